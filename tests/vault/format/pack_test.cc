// Goal: a footer decodes to what was encoded, and no other bytes decode to a footer that
// contradicts the pack or a limit. Method: round trips, every truncation, and every single-bit
// change, which must either fail or give a footer that differs (its hash then is not the pack's
// name).

#include "vault/format/pack.h"

#include "tests/support/expect.h"

namespace holdfast::vault {
namespace {

PackFooter sample(PackKind kind) {
  PackFooter f;
  f.kind = kind;
  f.vault = VaultId::random();
  f.domain = DomainId::random();
  f.sessions.push_back({SessionId::random(), AgentId::random(), ItemId::random(), 3,
                        crypto::kHpkeKemX25519, Bytes(32, 9)});
  uint64_t offset = kPackHeaderBytes;
  uint32_t chunk = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    PackSegment s;
    s.offset = offset;
    s.stored_bytes = 1000 + i;
    s.codec = i == 0 ? Codec::raw : Codec::zstd;
    s.counter = i;
    s.chunk_first = chunk;
    s.chunk_count = i + 1;
    s.sha256 = crypto::sha256(as_bytes(std::to_string(i)));
    offset += s.stored_bytes;
    chunk += s.chunk_count;
    f.segments.push_back(s);
  }
  for (uint32_t i = 0; i < chunk; ++i) f.chunk_ids.push_back(ChunkId::random());
  if (kind == PackKind::metadata) {
    for (uint32_t i = 0; i < chunk; ++i) {
      f.chunk_kinds.push_back(i == 0 ? ChunkKind::attributes : ChunkKind::node);
      f.edge_counts.push_back(i);
    }
    f.edges_sha256 = crypto::sha256(as_bytes("edges"));
  }
  return f;
}

uint64_t pack_bytes_of(const PackFooter& f, const Bytes& encoded) {
  return f.edges_offset() + f.edges_bytes() + encoded.size();
}

TEST(PackFooter, RoundTrips) {
  for (const PackKind kind : {PackKind::data, PackKind::metadata}) {
    const PackFooter f = sample(kind);
    const Bytes encoded = f.encode();
    ASSIGN(const PackFooter back, decode_footer(encoded, pack_bytes_of(f, encoded)));
    EXPECT_EQ(back.sessions, f.sessions);
    EXPECT_EQ(back.segments, f.segments);
    EXPECT_EQ(back.chunk_ids, f.chunk_ids);
    EXPECT_EQ(back.chunk_kinds, f.chunk_kinds);
    EXPECT_EQ(back.edge_counts, f.edge_counts);
    EXPECT_EQ(back.encode(), encoded);
    ASSIGN(const uint32_t size, footer_bytes_from_tail(ByteView(encoded).last(kFooterTailBytes),
                                                       pack_bytes_of(f, encoded)));
    EXPECT_EQ(size, encoded.size());
  }
}

TEST(PackFooter, RefusesEveryTruncation) {
  const PackFooter f = sample(PackKind::metadata);
  const Bytes encoded = f.encode();
  for (size_t n = 0; n < encoded.size(); ++n) {
    EXPECT_FALSE(decode_footer(ByteView(encoded).first(n), pack_bytes_of(f, encoded)).ok()) << n;
  }
}

TEST(PackFooter, NoBitMayChangeUnseen) {
  const PackFooter f = sample(PackKind::metadata);
  const Bytes encoded = f.encode();
  for (size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    Bytes changed = encoded;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const auto decoded = decode_footer(changed, pack_bytes_of(f, encoded));
    if (decoded.ok()) {
      EXPECT_NE(decoded->encode(), encoded) << bit;
    }
  }
}

TEST(PackFooter, MustFitThePack) {
  const PackFooter f = sample(PackKind::data);
  const Bytes encoded = f.encode();
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded) + 1).ok());
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded) - 1).ok());
  EXPECT_FALSE(footer_bytes_from_tail(ByteView(encoded).last(kFooterTailBytes), 20).ok());
}

TEST(PackFooter, RefusesWhatLimitsForbid) {
  PackFooter f = sample(PackKind::data);
  f.segments[0].session_index = 5;
  Bytes encoded = f.encode();
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded)).ok());
  f = sample(PackKind::data);
  f.segments[0].stored_bytes = kSegmentStoredMax + 1;
  encoded = f.encode();
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded)).ok());
  f = sample(PackKind::data);
  f.segments[0].chunk_count = 0;
  encoded = f.encode();
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded)).ok());
  f = sample(PackKind::metadata);
  f.chunk_kinds[3] = ChunkKind::data;  // does not belong into a metadata pack
  encoded = f.encode();
  EXPECT_FALSE(decode_footer(encoded, pack_bytes_of(f, encoded)).ok());
}

}  // namespace
}  // namespace holdfast::vault
