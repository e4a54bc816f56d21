// What writers and readers need to know of collectors' runs. docs/formats/session.md.
#pragma once

#include <unordered_set>

#include "vault/format/collection.h"
#include "vault/format/manifest.h"
#include "vault/store/store.h"

namespace holdfast::vault {

using PackSet = std::unordered_set<PackId, IdHash>;

// What unfinished runs may delete.
struct Condemned {
  PackSet packs;
  std::vector<RunId> runs;  // whose lists these are
};
// Fails rather than miss one: a list that cannot be read could name a pack that the caller is about
// to rely on.
Result<Condemned> load_condemned(Store& store, const VaultId& vault);

// Collectors' runs that ended this session, from the names below sessions/<session>/.
Result<std::vector<RunId>> tombstones_of(Store& store, const SessionId& session);

// Whether a manifest counts: its session has no tombstone, or every tombstone's closing list names
// it. Errors: Errc::damaged for a closing list that cannot be read; the store's.
Result<bool> manifest_counts(Store& store, const Manifest& manifest,
                             const crypto::Digest& manifest_sha256);

}  // namespace holdfast::vault
