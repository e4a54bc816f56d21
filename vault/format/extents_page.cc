#include "vault/format/extents_page.h"

namespace holdfast::vault {

Bytes encode_extents_leaf(std::span<const Extent> extents, EdgeWriter& edges) {
  CHECK(!extents.empty() && extents.size() <= kExtentsPageMax);
  wire::Encoder out;
  out.u8(static_cast<uint8_t>(NodeType::extents_leaf));
  out.varint(extents.size());
  for (const Extent& x : extents) {
    out.varint(x.bytes << 1 | (x.chunk ? 0 : 1));
    if (x.chunk) edges.put(out, *x.chunk);
  }
  return out.take();
}

Result<std::vector<Extent>> decode_extents_leaf(ByteView payload, std::span<const ChunkId> edges) {
  wire::Decoder in(payload, "extents page");
  EdgeReader refs(edges);
  if (in.u8() != static_cast<uint8_t>(NodeType::extents_leaf)) in.fail("is of another type");
  const uint64_t n = in.count(in.varint_max(kExtentsPageMax), 1);
  if (n == 0) in.fail("is empty");
  std::vector<Extent> out;
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const uint64_t v = in.varint();
    Extent x;
    x.bytes = v >> 1;
    if (x.bytes == 0) in.fail("has an empty extent");
    if ((v & 1) == 0) {
      x.chunk = refs.get(in);
      if (x.bytes > kChunkBytesMax) in.fail("has an extent longer than a chunk can be");
    }
    out.push_back(x);
  }
  if (in.ok() && !refs.all_used()) in.fail("lists a chunk that it does not use");
  TRYV(in.finish());
  return out;
}

Bytes encode_extents_inner(const ExtentsInner& page, EdgeWriter& edges) {
  CHECK(!page.children.empty() && page.children.size() <= kExtentsPageMax);
  wire::Encoder out;
  out.u8(static_cast<uint8_t>(NodeType::extents_inner));
  out.u8(page.level);
  out.varint(page.children.size());
  for (const ExtentsChild& child : page.children) {
    out.varint(child.bytes);
    edges.put(out, child.id);
  }
  return out.take();
}

Result<ExtentsInner> decode_extents_inner(ByteView payload, std::span<const ChunkId> edges) {
  wire::Decoder in(payload, "extents page");
  EdgeReader refs(edges);
  ExtentsInner page;
  if (in.u8() != static_cast<uint8_t>(NodeType::extents_inner)) in.fail("is of another type");
  page.level = in.u8();
  if (page.level < 1 || page.level > 32) in.fail("is of an impossible level");
  const uint64_t n = in.count(in.varint_max(kExtentsPageMax), 2);
  if (n == 0) in.fail("is empty");
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    ExtentsChild child;
    child.bytes = in.varint();
    if (child.bytes == 0 || child.bytes > INT64_MAX) in.fail("has a child of impossible size");
    child.id = refs.get(in);
    page.children.push_back(child);
  }
  if (in.ok() && !refs.all_used()) in.fail("lists a chunk that it does not use");
  TRYV(in.finish());
  return page;
}

}  // namespace holdfast::vault
