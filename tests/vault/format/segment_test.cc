#include "vault/format/segment.h"

#include "base/wire/encoder.h"
#include "tests/support/expect.h"

namespace holdfast::vault {
namespace {

TEST(Padme, CostsAtMostTwelvePercentAndNeverShrinks) {
  for (size_t size = 1; size < 2'000'000; size = size * 21 / 20 + 1) {
    const size_t padded = padme(size);
    ASSERT_GE(padded, size);
    ASSERT_LE(static_cast<double>(padded), static_cast<double>(size) * 1.12 + 1);
    ASSERT_EQ(padme(padded), padded) << "padding twice changes nothing";
  }
  // From the paper's reference implementation.
  EXPECT_EQ(padme(9), 10u);
  EXPECT_EQ(padme(1000), 1024u);
  EXPECT_EQ(padme(300'000), 303'104u);
}

Bytes plain_of(uint32_t payload_bytes, const std::vector<uint32_t>& lengths, size_t payload,
               size_t padding) {
  wire::Encoder out;
  out.u32(payload_bytes);
  for (const uint32_t n : lengths) out.u32(n);
  out.raw(Bytes(payload, 0x55));
  out.raw(Bytes(padding));
  return out.take();
}

TEST(SegmentPlain, ParsesWhatItShould) {
  ASSIGN(const SegmentPlain plain, parse_segment_plain(plain_of(30, {10, 20}, 30, 5), 2));
  EXPECT_EQ(plain.chunk_bytes, 30u);
  EXPECT_EQ(plain.payload.size(), 30u);
}

TEST(SegmentPlain, RefusesEveryContradiction) {
  EXPECT_ERROR(holdfast::Errc::malformed, parse_segment_plain(plain_of(31, {10, 20}, 30, 0), 2));
  Bytes padded = plain_of(30, {10, 20}, 30, 5);
  padded.back() = 1;
  EXPECT_ERROR(holdfast::Errc::malformed, parse_segment_plain(padded, 2));
  EXPECT_ERROR(holdfast::Errc::malformed, parse_segment_plain(plain_of(0, {}, 0, 0), 100'000));
  EXPECT_ERROR(holdfast::Errc::malformed, parse_segment_plain(plain_of(1, {0xffffffff}, 1, 0), 1));
  EXPECT_ERROR(holdfast::Errc::malformed,
               parse_segment_plain(plain_of(1, std::vector<uint32_t>(2, kChunkBytesMax), 1, 0), 2));
  EXPECT_ERROR(holdfast::Errc::malformed, parse_segment_plain(Bytes(3), 0));
}

TEST(RefsHash, CoversIdsKindsEdgesAndOrder) {
  const ChunkRef a{ChunkId::random(), ChunkKind::node, {ChunkId::random(), ChunkId::random()}};
  const ChunkRef b{ChunkId::random(), ChunkKind::node, {}};
  const auto hash = [](std::vector<ChunkRef> refs) { return refs_hash(refs); };
  const auto base = hash({a, b});
  EXPECT_NE(base, hash({b, a}));
  EXPECT_NE(base, hash({a}));
  ChunkRef changed = a;
  std::swap(changed.edges[0], changed.edges[1]);
  EXPECT_NE(base, hash({changed, b}));
  changed = a;
  changed.kind = ChunkKind::attributes;
  EXPECT_NE(base, hash({changed, b}));
  // An edge of the first chunk must not count as one of the second.
  ChunkRef less = a;
  ChunkRef more = b;
  more.edges.push_back(less.edges.back());
  less.edges.pop_back();
  EXPECT_NE(base, hash({less, more}));
}

}  // namespace
}  // namespace holdfast::vault
