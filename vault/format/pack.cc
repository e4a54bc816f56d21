#include "vault/format/pack.h"

#include <numeric>

namespace holdfast::vault {

uint64_t PackFooter::edges_offset() const {
  return segments.empty() ? kPackHeaderBytes
                          : segments.back().offset + segments.back().stored_bytes;
}

uint64_t PackFooter::edge_total() const {
  return std::accumulate(edge_counts.begin(), edge_counts.end(), uint64_t{0});
}

Bytes PackFooter::encode() const {
  CHECK(sessions.size() <= kPackSessionsMax && segments.size() <= kPackSegmentsMax &&
        chunk_ids.size() <= kPackChunksMax);
  wire::Encoder out;
  out.raw(kFooterMagic);
  out.u8(static_cast<uint8_t>(kind));
  out.u8(0);
  out.u16(0);
  out.raw(vault.view());
  out.raw(domain.view());
  out.u32(static_cast<uint32_t>(sessions.size()));
  out.u32(static_cast<uint32_t>(segments.size()));
  out.u32(static_cast<uint32_t>(chunk_ids.size()));
  out.raw(edges_sha256);
  for (const KeyWrap& wrap : sessions) encode_key_wrap(out, wrap);
  for (const PackSegment& s : segments) {
    out.u32(s.stored_bytes);
    out.u16(s.session_index);
    out.u8(static_cast<uint8_t>(s.codec));
    out.u8(0);
    out.u64(s.counter);
    out.u32(s.chunk_count);
    out.raw(s.sha256);
  }
  out.raw(edge_bytes(chunk_ids));
  if (kind == PackKind::metadata) {
    CHECK(chunk_kinds.size() == chunk_ids.size() && edge_counts.size() == chunk_ids.size());
    for (const ChunkKind k : chunk_kinds) out.u8(static_cast<uint8_t>(k));
    for (const uint32_t n : edge_counts) out.u32(n);
  }
  out.u32(static_cast<uint32_t>(out.size() + kFooterTailBytes));
  out.raw(kFooterEndMagic);
  return out.take();
}

namespace {

constexpr size_t kSegmentRecordBytes = 4 + 2 + 1 + 1 + 8 + 4 + 32;
constexpr size_t kKeyWrapBytesMin = 16 * 3 + 4 + 2 + 2;

void decode_segments(wire::Decoder& in, size_t count, PackFooter& footer) {
  uint64_t offset = kPackHeaderBytes;
  uint64_t chunks = 0;
  for (size_t i = 0; i < count && in.ok(); ++i) {
    PackSegment s;
    s.offset = offset;
    s.stored_bytes = in.u32();
    s.session_index = in.u16();
    const uint8_t codec = in.u8();
    if (in.u8() != 0) in.fail("has a reserved field set");
    s.counter = in.u64();
    s.chunk_first = static_cast<uint32_t>(chunks);
    s.chunk_count = in.u32();
    s.sha256 = in.array<32>();
    if (s.stored_bytes == 0 || s.stored_bytes > kSegmentStoredMax) {
      in.fail("has a segment of impossible size");
    }
    if (s.session_index >= footer.sessions.size()) in.fail("has a segment of no session");
    if (codec > static_cast<uint8_t>(Codec::zstd)) in.fail("has a segment of an unknown codec");
    if (s.chunk_count == 0 || s.chunk_count > kSegmentChunksMax) {
      in.fail("has a segment with an impossible number of chunks");
    }
    s.codec = static_cast<Codec>(codec);
    offset += s.stored_bytes;
    chunks += s.chunk_count;
    footer.segments.push_back(s);
  }
  if (in.ok() && chunks != footer.chunk_ids.size()) in.fail("has chunks outside its segments");
}

void decode_metadata_columns(wire::Decoder& in, PackFooter& footer) {
  const size_t n = footer.chunk_ids.size();
  footer.chunk_kinds.reserve(in.count(n, 5));
  for (size_t i = 0; i < n && in.ok(); ++i) {
    const uint8_t kind = in.u8();
    if (kind != static_cast<uint8_t>(ChunkKind::node) &&
        kind != static_cast<uint8_t>(ChunkKind::attributes)) {
      in.fail("has a chunk of a kind that does not belong there");
    }
    footer.chunk_kinds.push_back(static_cast<ChunkKind>(kind));
  }
  footer.edge_counts.reserve(in.count(n, 4));
  for (size_t i = 0; i < n && in.ok(); ++i) {
    const uint32_t edges = in.u32();
    if (edges > kChunkEdgesMax || (edges > 0 && footer.chunk_kinds[i] != ChunkKind::node)) {
      in.fail("has a chunk with an impossible number of edges");
    }
    footer.edge_counts.push_back(edges);
  }
}

}  // namespace

Result<PackFooter> decode_footer(ByteView bytes, uint64_t pack_bytes) {
  wire::Decoder in(bytes, "pack footer");
  PackFooter footer;
  in.expect(kFooterMagic);
  const uint8_t kind = in.u8();
  if (kind != static_cast<uint8_t>(PackKind::data) &&
      kind != static_cast<uint8_t>(PackKind::metadata)) {
    in.fail("is of an unknown kind");
  }
  footer.kind = static_cast<PackKind>(kind);
  if (in.u8() != 0 || in.u16() != 0) in.fail("has a reserved field set");
  footer.vault = read_id<VaultId>(in);
  footer.domain = read_id<DomainId>(in);
  const uint32_t session_count = in.u32();
  const uint32_t segment_count = in.u32();
  const uint32_t chunk_count = in.u32();
  footer.edges_sha256 = in.array<32>();
  if (session_count > kPackSessionsMax || segment_count > kPackSegmentsMax ||
      chunk_count > kPackChunksMax) {
    in.fail("is too large");
  }
  footer.sessions.reserve(in.count(session_count, kKeyWrapBytesMin));
  for (size_t i = 0; i < session_count && in.ok(); ++i) {
    footer.sessions.push_back(decode_key_wrap(in));
  }
  // The ids come after the segments; their number is needed first, for the sum check.
  footer.segments.reserve(in.count(segment_count, kSegmentRecordBytes));
  footer.chunk_ids.resize(in.count(chunk_count, ChunkId::kSize));
  decode_segments(in, segment_count, footer);
  if (const ByteView ids = in.raw(footer.chunk_ids.size() * ChunkId::kSize); !ids.empty()) {
    std::memcpy(footer.chunk_ids.data(), ids.data(), ids.size());
  }
  if (footer.kind == PackKind::metadata) {
    decode_metadata_columns(in, footer);
  } else if (!all_zero(footer.edges_sha256)) {
    in.fail("has edges in a data pack");
  }
  if (in.u32() != bytes.size()) in.fail("has the wrong length");
  in.expect(kFooterEndMagic);
  TRYV(in.finish());
  if (footer.edges_offset() + footer.edges_bytes() + bytes.size() != pack_bytes) {
    return Error{holdfast::Errc::malformed, "pack footer does not fit the pack's size"};
  }
  return footer;
}

Result<uint32_t> footer_bytes_from_tail(ByteView tail, uint64_t pack_bytes) {
  wire::Decoder in(tail, "pack");
  const uint32_t footer_bytes = in.u32();
  in.expect(kFooterEndMagic);
  TRYV(in.finish());
  if (footer_bytes < kFooterTailBytes || footer_bytes > kFooterBytesMax ||
      footer_bytes + kPackHeaderBytes > pack_bytes) {
    return Error{holdfast::Errc::malformed, "pack has an impossible footer size"};
  }
  return footer_bytes;
}

}  // namespace holdfast::vault
