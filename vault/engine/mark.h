// Marking: which copies of which chunks the recovery points need. Follows clear edges, needs no
// keys, and uses a fixed budget of memory whatever the vault's size: what is more goes through
// sorted temporary files (external merge sort, Knuth, TAOCP vol. 3, 5.4).
//
// Copies. A chunk may have several; a copy is only a claim until somebody with a key opens it. Of
// copies that the same agent stored for the same item, an older one is not needed if a newer one
// was committed no later than the oldest point that needs the chunk; that it was, that point's own
// signed word (its number, its heads) has to show. Copies of different agents are all needed: so
// nobody can push out what another one stored. A page is followed through every copy that somebody
// vouches for, as nobody without a key can tell whose edges are right.
#pragma once

#include <functional>
#include <set>
#include <stop_token>

#include "vault/engine/pack_catalog.h"
#include "vault/engine/survey.h"

namespace holdfast::vault {

// A point whose maps are to be kept.
struct MarkRoot {
  DomainId domain;
  ItemId item;
  uint64_t sequence = 0;
  std::vector<ChunkId> roots;
  std::string name;  // of the manifest: its heads are read again when they are asked for
};

struct MarkOptions {
  std::string directory;                   // for temporary files
  size_t memory_bytes = size_t{64} << 20;  // of each of up to four sorters at a time
  // Copies in these packs do not make others superfluous: another run is about to delete them.
  PackSet doubtful;
};

// One segment: chunks that it holds, and how many of them are needed.
struct SegmentUse {
  uint32_t chunks = 0;
  uint32_t needed = 0;
};
struct PackUse {
  bool readable = false;  // its footer verifies; nothing is known of others
  DomainId domain;
  std::vector<SegmentUse> segments;
  std::vector<uint32_t> segment_bytes;
  bool is_needed() const;
  uint64_t needed_bytes() const;  // of segments with something needed in them
};

struct Marked {
  std::vector<PackUse> packs;      // as in Survey::packs
  uint64_t chunks = 0;             // copies, in all readable packs
  uint64_t chunks_needed = 0;      // different ids
  uint64_t missing = 0;            // ids that are needed and have no copy
  std::set<size_t> damaged_roots;  // indexes of points with missing chunks, as far as found
};

struct MarkProgress {
  std::atomic<uint64_t> packs{0};
  std::atomic<uint64_t> packs_total{0};
  std::atomic<uint64_t> pages{0};
};

// `roots` from the oldest to the newest. Errors: the store's; that of reading edges of a page whose
// every copy is damaged counts as missing.
Result<Marked> mark(Store& store, const VaultId& vault, Survey& survey,
                    const std::vector<MarkRoot>& roots, const MarkOptions& options,
                    MarkProgress& progress, const std::stop_token& stop);

}  // namespace holdfast::vault
