// Goal: whatever the encoder writes comes back; whatever else is given fails without reading past
// the end, without taking memory for counts that cannot be true, and stays failed.

#include "base/wire/decoder.h"

#include <random>

#include "base/wire/encoder.h"
#include "tests/support/expect.h"
#include "tests/support/seeds.h"

namespace holdfast::wire {
namespace {

TEST(Wire, RoundTripsEveryField) {
  Encoder out;
  out.u8(0xab);
  out.u16(0x1234);
  out.u32(0xdeadbeef);
  out.u64(0x0102030405060708);
  out.i64(-5);
  out.block("text");
  out.raw("raw");
  Decoder in(out.view(), "test");
  EXPECT_EQ(in.u8(), 0xab);
  EXPECT_EQ(in.u16(), 0x1234);
  EXPECT_EQ(in.u32(), 0xdeadbeef);
  EXPECT_EQ(in.u64(), 0x0102030405060708u);
  EXPECT_EQ(in.i64(), -5);
  EXPECT_EQ(in.text(10), "text");
  in.expect("raw");
  EXPECT_OK(in.finish());
}

TEST(Wire, IsLittleEndian) {
  Encoder out;
  out.u32(1);
  EXPECT_EQ(to_hex(out.view()), "01000000");
}

TEST(Wire, VarintsRoundTripAtEveryLength) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const uint64_t v :
         {uint64_t{1} << shift, (uint64_t{1} << shift) - 1, ~uint64_t{0} >> shift}) {
      Encoder out;
      out.varint(v);
      out.signed_varint(static_cast<int64_t>(v));
      out.signed_varint(static_cast<int64_t>(0 - v));
      Decoder in(out.view(), "test");
      EXPECT_EQ(in.varint(), v);
      EXPECT_EQ(in.signed_varint(), static_cast<int64_t>(v));
      EXPECT_EQ(in.signed_varint(), static_cast<int64_t>(0 - v));
      EXPECT_OK(in.finish());
    }
  }
}

TEST(Wire, RefusesVarintsThatAreNotTheShortest) {
  for (const Bytes& bad : {Bytes{0x80, 0x00}, Bytes{0x80}, Bytes(11, 0xff),
                           Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}}) {
    Decoder in(bad, "test");
    in.varint();
    EXPECT_FALSE(in.ok()) << to_hex(bad);
  }
}

TEST(Wire, CountsAreBoundedByWhatCanFollow) {
  const Bytes bytes(100);
  Decoder in(bytes, "test");
  EXPECT_EQ(in.count(100, 1), 100u);
  EXPECT_EQ(in.count(51, 2), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(Wire, StaysFailed) {
  const Bytes bytes(3);
  Decoder in(bytes, "thing");
  in.u32();
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0);
  EXPECT_TRUE(in.raw(1).empty());
  EXPECT_ERROR(Errc::malformed, in.finish());
}

TEST(Wire, LeftOverBytesAreAnError) {
  const Bytes bytes(3);
  Decoder in(bytes, "thing");
  in.u16();
  EXPECT_OK(in.status());
  EXPECT_ERROR(Errc::malformed, in.finish());
}

TEST(Wire, RandomBytesNeverReadPastTheEnd) {
  FOR_EACH_SEED(seed, 200) {
    std::mt19937_64 random(seed);
    Bytes bytes(random() % 64);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    Decoder in(bytes, "random");
    for (int i = 0; i < 40; ++i) {
      switch (random() % 7) {
        case 0:
          in.u8();
          break;
        case 1:
          in.u32();
          break;
        case 2:
          in.varint();
          break;
        case 3:
          in.block(random() % 50);
          break;
        case 4:
          in.raw(random() % 50);
          break;
        case 5:
          in.count(random(), 1 + random() % 8);
          break;
        default:
          in.array<16>();
          break;
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::wire
