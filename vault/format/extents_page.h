// Pages of the extents map of a large file: leaves with extents, inner pages with the length of
// each child. Lengths are relative, so that an insertion near the start changes few pages.
// docs/formats/map.md.
#pragma once

#include "vault/format/path_page.h"

namespace holdfast::vault {

inline constexpr size_t kExtentsPageMax = 1024;  // entries of one page

Bytes encode_extents_leaf(std::span<const Extent> extents, EdgeWriter& edges);
Result<std::vector<Extent>> decode_extents_leaf(ByteView payload, std::span<const ChunkId> edges);

struct ExtentsChild {
  ChunkId id;
  uint64_t bytes = 0;
  bool operator==(const ExtentsChild&) const = default;
};
struct ExtentsInner {
  uint8_t level = 1;
  std::vector<ExtentsChild> children;
};
// A child may stand there twice (the same run of chunks twice in a file), so children are
// references like a leaf's chunks.
Bytes encode_extents_inner(const ExtentsInner& page, EdgeWriter& edges);
Result<ExtentsInner> decode_extents_inner(ByteView payload, std::span<const ChunkId> edges);

}  // namespace holdfast::vault
