// Reads a whole pack and holds every byte against the hash that covers it. Needs no keys.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "vault/index/run.h"
#include "vault/store/store.h"

namespace holdfast::vault {

// What is wrong with the pack; nothing if it is whole. `pace` is called with the bytes about to be
// read; false ends the work. Errors: Errc::interrupted; the store's, also if it is not there.
Result<std::vector<std::string>> verify_pack(Store& store, const VaultId& vault, const PackId& pack,
                                             const std::function<bool(uint64_t)>& pace);

}  // namespace holdfast::vault
