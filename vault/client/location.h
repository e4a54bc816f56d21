// Vault locations as users write them, and the stores behind them.
#pragma once

#include "vault/store/store.h"

namespace holdfast::vault {

// A directory's path, absolute or relative. Errors: Errc::unsupported, naming what is, for a URL of
// a kind that this program has no store for; the system's.
Result<std::unique_ptr<Store>> open_store(const std::string& location);
// Makes the store, which must be empty.
Result<std::unique_ptr<Store>> create_store(const std::string& location);

}  // namespace holdfast::vault
