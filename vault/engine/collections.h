// What writers and readers need to know of collectors' runs. docs/formats/session.md.
//
// Objects of a run are believed if a maintainer signed them. What anybody else puts there counts
// as not there, with one exception: see load_condemned.
#pragma once

#include <optional>
#include <unordered_set>

#include "vault/format/collection.h"
#include "vault/format/manifest.h"
#include "vault/lifecycle/maintainers.h"
#include "vault/store/store.h"

namespace holdfast::vault {

using PackSet = std::unordered_set<PackId, IdHash>;

// What unfinished runs may delete.
struct Condemned {
  PackSet packs;
  std::vector<RunId> runs;  // whose lists these are
};
// Fails rather than miss one: a list that cannot be read could name a pack that the caller is about
// to rely on. A list that no maintainer signed is passed over only if no maintainer began the run.
// `except`: a run to leave out. Errors: Errc::damaged; the store's.
Result<Condemned> load_condemned(Store& store, const VaultId& vault, const Maintainers& maintainers,
                                 const std::optional<RunId>& except = std::nullopt);

// Collectors' runs that ended this session, from the names below sessions/<session>/ alone: for
// those who have to be careful.
Result<std::vector<RunId>> tombstones_of(Store& store, const SessionId& session);

// Whether a maintainer's run really gave the session up. Anybody could put an object of that name.
// Errors: the store's.
Result<bool> is_tombstone(Store& store, const VaultId& vault, const SessionId& session,
                          const RunId& run, const Maintainers& maintainers);

// Whether a manifest counts: its session has no tombstone that a maintainer signed, or every such
// tombstone's closing list names it. Undecided: no closing list leaves it out, but there is a
// tombstone whose run has none yet, or died before. It may have been reported, so readers take it
// for a point and collectors keep what it needs; but that run may free some of it if it was not, so
// nobody builds on it. Errors: Errc::damaged for a closing list that cannot be believed; the
// store's.
enum class Counts { no, undecided, yes };
Result<Counts> manifest_counts(Store& store, const Manifest& manifest,
                               const crypto::Digest& manifest_sha256,
                               const Maintainers& maintainers);

// Whether a maintainer signed this object of a run. Errors: Errc::damaged if it is of another vault
// or run, if no known maintainer is named, or if the signature does not verify.
Status verify_run_object(ByteView object, const VaultId& vault, const RunId& run,
                         const Maintainers& maintainers);

// An object of a run, verified. Nothing if there is none. Errors: Errc::damaged; the store's.
Result<std::optional<Bytes>> get_run_object(Store& store, const VaultId& vault, const RunId& run,
                                            std::string_view step, const Maintainers& maintainers);

}  // namespace holdfast::vault
