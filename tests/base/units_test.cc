#include "base/units.h"

#include "tests/support/expect.h"
#include "tests/support/time_zone.h"

namespace holdfast {
namespace {

TEST(Units, FormatForPeople) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(3 * kGiB), "3.0 GiB");
  EXPECT_EQ(format_count(1), "1");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_duration(0.4), "0.40 s");
  EXPECT_EQ(format_duration(65), "1:05");
  EXPECT_EQ(format_duration(7384), "2:03:04");
}

TEST(Units, LocalTime) {
  const testing::TimeZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(format_time(1'761'439'800'000'000'000), "2025-10-26 02:50:00");
  EXPECT_EQ(format_time(1'761'441'000'999'999'999), "2025-10-26 02:10:00") << "20 minutes later";
  EXPECT_EQ(format_time(0), "1970-01-01 01:00:00");
}

TEST(Units, ParseWhatPeopleWrite) {
  const std::pair<const char*, uint64_t> good[] = {
      {"0", 0},           {"100", 100},        {"64K", 64 * kKiB}, {"1.5M", kMiB * 3 / 2},
      {"2GiB", 2 * kGiB}, {"10MB", 10 * kMiB}, {"3 g", 3 * kGiB},  {"7B", 7}};
  for (const auto& [text, bytes] : good) {
    ASSIGN(const uint64_t parsed, parse_size(text));
    EXPECT_EQ(parsed, bytes) << text;
  }
  for (const char* bad : {"", "x", "-1", "5X", "5KK", "1e40", "nan", "K"}) {
    EXPECT_ERROR(Errc::malformed, parse_size(bad));
  }
}

}  // namespace
}  // namespace holdfast
