#include "base/bytes.h"

#include "tests/support/expect.h"

namespace holdfast {
namespace {

TEST(Hex, RoundTripsAndRefusesNonsense) {
  const Bytes bytes{0x00, 0x7f, 0xff, 0xa5};
  EXPECT_EQ(to_hex(bytes), "007fffa5");
  ASSIGN(const Bytes back, from_hex("007FFFa5"));
  EXPECT_EQ(back, bytes);
  EXPECT_ERROR(Errc::malformed, from_hex("0"));
  EXPECT_ERROR(Errc::malformed, from_hex("0g"));
}

TEST(AllZero, LooksAtEveryByte) {
  Bytes bytes(1000);
  EXPECT_TRUE(all_zero(bytes));
  EXPECT_TRUE(all_zero({}));
  for (const size_t at : {size_t{0}, size_t{1}, size_t{500}, size_t{999}}) {
    bytes[at] = 1;
    EXPECT_FALSE(all_zero(bytes)) << at;
    bytes[at] = 0;
  }
}

TEST(Buffer, ReusesMemoryAndMoves) {
  Buffer a(100);
  const uint8_t* memory = a.data();
  a.reset(50);
  EXPECT_EQ(a.size(), 50u);
  a.reset(100);
  EXPECT_EQ(a.data(), memory);
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(a.size(), 0u);  // NOLINT: moved-from is empty by contract
}

}  // namespace
}  // namespace holdfast
