// Vault locations as users write them, and the stores behind them.
#pragma once

#include "vault/store/store.h"

namespace holdfast::vault {

// The absolute path of the directory that a location names. Errors: as open_store.
Result<std::string> location_path(const std::string& location);

// A directory's path, absolute or relative; of a vault in several directories any one of them.
// `moved` are places where others of these may be that are not where they were. Errors:
// Errc::unsupported, naming what is, for a URL of a kind that this program has no store for; the
// system's.
Result<std::unique_ptr<Store>> open_store(const std::string& location,
                                          const std::vector<std::string>& moved = {});
// Makes the store, which must be empty.
Result<std::unique_ptr<Store>> create_store(const std::string& location);
// The same over several directories, any `parity_shards` of which may be lost.
struct StripedPlaces {
  unsigned data_shards = 0;
  unsigned parity_shards = 0;
  std::vector<std::string> directories;
};
Result<std::unique_ptr<Store>> create_store(const StripedPlaces& places);

}  // namespace holdfast::vault
