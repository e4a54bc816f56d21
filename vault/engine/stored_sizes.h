// How much of what a vault holds, told apart without a key.
#pragma once

#include "vault/engine/pack_catalog.h"

namespace holdfast::vault {

struct StoredSizes {
  uint64_t data_packs = 0;
  uint64_t data_bytes = 0;
  uint64_t data_chunks = 0;
  uint64_t metadata_packs = 0;
  uint64_t metadata_bytes = 0;
  uint64_t metadata_chunks = 0;
  uint64_t index_runs = 0;
  uint64_t index_bytes = 0;
  uint64_t manifest_bytes = 0;
  uint64_t other_bytes = 0;
};

// Reads the footer of every pack; damaged ones count as other bytes. Errors: the store's.
Result<StoredSizes> measure_stored(Store& store, const VaultId& vault);

}  // namespace holdfast::vault
