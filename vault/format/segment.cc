#include "vault/format/segment.h"

#include <bit>

#include "base/wire/decoder.h"

namespace holdfast::vault {

size_t padme(size_t size) {
  if (size < 2) return size;
  const int exponent = std::bit_width(size) - 1;                              // floor(log2 size)
  const int mantissa_bits = std::bit_width(static_cast<unsigned>(exponent));  // floor(log2 e) + 1
  const int low_bits = exponent - mantissa_bits;
  if (low_bits <= 0) return size;
  const size_t mask = (size_t{1} << low_bits) - 1;
  return (size + mask) & ~mask;
}

crypto::Digest refs_hash(std::span<const ChunkRef> refs) {
  crypto::Sha256 hash;
  for (const ChunkRef& ref : refs) {
    const auto n = static_cast<uint32_t>(ref.edges.size());
    const uint8_t kind = static_cast<uint8_t>(ref.kind);
    const uint8_t count[4] = {static_cast<uint8_t>(n), static_cast<uint8_t>(n >> 8),
                              static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 24)};
    hash.update(ByteView(&kind, 1));
    hash.update(ref.id.view());
    hash.update(count);
    hash.update(edge_bytes(ref.edges));
  }
  return hash.finish();
}

Result<SegmentPlain> parse_segment_plain(ByteView plain, size_t chunk_count) {
  wire::Decoder in(plain, "segment");
  SegmentPlain out;
  const uint32_t payload_bytes = in.u32();
  if (chunk_count > kSegmentChunksMax) in.fail("has too many chunks");
  out.chunk_lengths.reserve(in.count(chunk_count, 4));
  for (size_t i = 0; i < chunk_count && in.ok(); ++i) {
    const uint32_t length = in.u32();
    if (length > kChunkBytesMax) in.fail("has a chunk that is too long");
    out.chunk_lengths.push_back(length);
    out.chunk_bytes += length;
  }
  if (out.chunk_bytes > kSegmentPlainMax) in.fail("is too long");
  out.payload = in.raw(payload_bytes);
  if (!all_zero(in.rest())) in.fail("is padded with something");
  TRYV(in.status());
  return out;
}

}  // namespace holdfast::vault
