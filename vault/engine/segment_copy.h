// A segment out of a stored pack, ready to be added to another as it stands: no key is needed.
#pragma once

#include <memory>

#include "vault/engine/pack_catalog.h"
#include "vault/seal/segment_sealer.h"

namespace holdfast::vault {

struct SegmentCopy {
  std::vector<ChunkRef> refs;
  SealedSegment sealed;
};

// `edges`: of the pack, for a metadata pack; null for a data pack. Errors: Errc::damaged if the
// stored bytes do not have their hash; the store's.
Result<SegmentCopy> copy_segment(Store& store, const PackId& pack, const PackFooter& footer,
                                 const PackEdges* edges, size_t segment);

}  // namespace holdfast::vault
