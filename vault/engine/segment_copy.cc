#include "vault/engine/segment_copy.h"

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Result<SegmentCopy> copy_segment(Store& store, const PackId& pack, const PackFooter& footer,
                                 const PackEdges* edges, size_t segment) {
  const PackSegment& s = footer.segments[segment];
  const std::string name = pack_name(pack);
  SegmentCopy copy;
  copy.sealed.stored = Buffer(s.stored_bytes);
  copy.sealed.codec = s.codec;
  copy.sealed.counter = s.counter;
  copy.sealed.sha256 = s.sha256;
  TRYV(store.get_range(name, s.offset, copy.sealed.stored.view()));
  if (crypto::sha256(copy.sealed.stored.view()) != s.sha256) {
    return Error{Errc::damaged, name + " (segment " + std::to_string(segment) + ")"};
  }
  copy.refs.resize(s.chunk_count);
  for (uint32_t c = 0; c < s.chunk_count; ++c) {
    const size_t chunk = s.chunk_first + c;
    copy.refs[c].id = footer.chunk_ids[chunk];
    copy.refs[c].kind = footer.kind_of(chunk);
    if (edges == nullptr) continue;
    const auto of_chunk = edges->of(chunk);
    copy.refs[c].edges.assign(of_chunk.begin(), of_chunk.end());
  }
  return copy;
}

}  // namespace holdfast::vault
