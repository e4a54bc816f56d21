#include "base/crypto/aead.h"
#include "tools/format-vectors/maker.h"
#include "vault/seal/segment_sealer.h"

namespace holdfast::vault {
namespace {

// The zstd frame of chunk_letters_ and chunk_promise_ in a row: compressors may differ, so the
// bytes stand here.
constexpr std::string_view kFrame =
    "28b52ffd60cc01ad010094026162636465666768486f6c6466617374206b656570732077686174206974"
    "2070726f6d697365642e20020041234a7d35530b17";

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

MadeChunk Maker::make_chunk(ChunkKind kind, std::vector<ChunkId> edges, ByteView bytes,
                            const std::string& name) {
  MadeChunk c;
  c.bytes = to_bytes(bytes);
  c.ref = {chunk_id(crypto::HmacSha256(v_.domain.id_key.view()), kind, edges, bytes), kind,
           std::move(edges)};
  out_.hex(name + ".bytes", c.bytes);
  if (!c.ref.edges.empty()) out_.hex(name + ".edges", edge_bytes(c.ref.edges));
  out_.hex(name + ".id", c.ref.id.view());
  return c;
}

MadeSegment Maker::make_segment(const MadeSession& session, uint64_t counter, Codec codec,
                                const std::vector<MadeChunk>& chunks, ByteView payload,
                                const std::string& page) {
  MadeSegment s;
  s.wrap = session.wrap;
  s.codec = codec;
  s.counter = counter;
  wire::Encoder plain;
  plain.u32(static_cast<uint32_t>(payload.size()));
  Bytes all;
  for (const MadeChunk& c : chunks) {
    s.refs.push_back(c.ref);
    plain.u32(static_cast<uint32_t>(c.bytes.size()));
    append(all, c.bytes);
  }
  plain.raw(payload);
  Bytes padded = plain.take();
  padded.resize(padme(padded.size() + crypto::kTagBytes) - crypto::kTagBytes);
  const crypto::Digest refs = refs_hash(s.refs);
  wire::Encoder counted;
  counted.u64(counter);
  counted.u8(static_cast<uint8_t>(codec));
  const Bytes associated_data = joined("HFV1SEGM", {v_.vault.view(), v_.domain.id.view(),
                                                    s.wrap.session.view(), counted.view(), refs});
  const crypto::Key256 key = session.key->segment_key(counter, refs, codec);
  s.stored = crypto::aes256gcm_seal(key, crypto::Nonce{}, associated_data, padded);

  SegmentSealer sealer;
  const auto opened =
      must(sealer.open(*session.key, counter, codec, refs, chunks.size(), s.stored));
  CHECK(equal(opened.chunks.view(), all));
  if (codec == Codec::raw) {
    const auto sealed =
        must(sealer.seal(*session.key, counter, s.refs, opened.lengths, all, {.level = 0}));
    CHECK(equal(sealed.stored.view(), s.stored));
  }
  out_.hex(page + ".refs_hash", refs);
  out_.hex(page + ".key", key.view());
  out_.hex(page + ".associated", associated_data);
  out_.hex(page + ".plaintext", padded);
  out_.hex(page + ".stored", s.stored);
  return s;
}

MadeSegment Maker::make_raw_segment(const MadeSession& session, uint64_t counter,
                                    const std::vector<MadeChunk>& chunks, const std::string& page) {
  Bytes all;
  for (const MadeChunk& c : chunks) append(all, c.bytes);
  return make_segment(session, counter, Codec::raw, chunks, all, page);
}

MadeChunk Maker::data_chunk(std::string_view text, const std::string& name) {
  return make_chunk(ChunkKind::data, {}, as_bytes(text), name);
}

void Maker::make_chunks() {
  chunk_hosts_ = data_chunk("127.0.0.1 localhost\n", "chunk.hosts");
  chunk_note_ = data_chunk("a file with two names\n", "chunk.note");
  chunk_letters_ = data_chunk(repeat("abcdefgh", 40), "chunk.letters");
  chunk_promise_ = data_chunk(repeat("Holdfast keeps what it promised. ", 12), "chunk.promise");
  chunk_new_hosts_ = data_chunk("127.0.0.1 localhost\n::1 localhost\n", "chunk.new_hosts");
  chunk_new_note_ = data_chunk("a file with two names, changed\n", "chunk.new_note");
  const std::vector<Xattr> xattrs{{"user.empty", {}}, {"user.long", Bytes(600, 0x78)}};
  chunk_xattrs_ = make_chunk(ChunkKind::attributes, {}, encode_xattrs(xattrs), "chunk.attributes");
}

void Maker::make_segments(const MadeMap& first, const MadeMap& second) {
  data_.push_back(
      make_raw_segment(sessions_[kFirst], 0, {chunk_hosts_, chunk_note_}, "segment.raw"));
  data_.push_back(make_segment(sessions_[kFirst], 1, Codec::zstd, {chunk_letters_, chunk_promise_},
                               must(from_hex(kFrame)), "segment.zstd"));
  std::vector<MadeChunk> metadata = first.nodes;
  metadata.push_back(chunk_xattrs_);
  metadata_ = make_raw_segment(sessions_[kFirst], 2, metadata, "segment.metadata");
  adopted_data_ = make_raw_segment(sessions_[kAdopted], 0, {chunk_new_hosts_}, "segment.adopted");
  new_data_ = make_raw_segment(sessions_[kContinued], 0, {chunk_new_note_}, "segment.data2");
  // The pages in which the second map differs from the first.
  new_metadata_ = make_raw_segment(sessions_[kContinued], 1, {second.nodes[3], second.nodes[5]},
                                   "segment.metadata2");
}

}  // namespace holdfast::vault
