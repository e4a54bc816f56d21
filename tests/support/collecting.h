// Collection for tests: what a maintainer's machine does, without a state directory.
#pragma once

#include "tests/support/test_vault.h"
#include "vault/engine/collect.h"

namespace holdfast::testing {

// One call of the collector. `keys`: the vault's first maintainer, if not given.
Result<vault::CollectReport> run_collect(vault::Store& store, const TestVault& vault,
                                         const vault::CollectOptions& options,
                                         const vault::MaintainerKeys* keys = nullptr,
                                         const std::stop_token& stop = {});

// What `retention apply` leaves of a point in the end: its records in the log, and no manifest.
void purge_point(vault::Store& store, const TestVault& vault, const vault::ItemId& item,
                 uint64_t sequence, const crypto::Digest& sha256);

}  // namespace holdfast::testing
