// Merging index runs: what many backups and collectors put, in few runs, without the packs that are
// gone. Runs are hints, so this never changes what can be found, only how fast.
#pragma once

#include <stop_token>
#include <string>

#include "vault/format/ids.h"
#include "vault/store/store.h"

namespace holdfast::vault {

struct MergeOptions {
  std::string directory;  // for temporary files
  size_t memory_bytes = size_t{128} << 20;
  // A domain's small runs are merged when there are more of them, and those at once of whose packs
  // a quarter is gone. What grew large stays as it is.
  size_t runs_max = 8;
};

struct MergedIndex {
  uint64_t runs_before = 0;
  uint64_t runs = 0;
};

// Merged runs are made from the packs' footers, so that a wrong run is not carried on. They are put
// before the old ones are removed. Errors: the store's.
Result<MergedIndex> merge_index(Store& store, const VaultId& vault, const MergeOptions& options,
                                const std::stop_token& stop);

}  // namespace holdfast::vault
