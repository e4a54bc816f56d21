// Cuts are a format: change them and nothing stored before is found again. Golden positions for a
// fixed table and input, bounds, and what makes content-defined cuts worth having.

#include "backup-agent/chunk/fastcdc.h"

#include <algorithm>
#include <random>
#include <set>

#include "base/crypto/hash.h"
#include "tests/support/seeds.h"

namespace holdfast::backup_agent {
namespace {

GearTable table(uint64_t seed) {
  std::mt19937_64 random(seed);
  GearTable gear;
  for (uint64_t& g : gear) g = random();
  return gear;
}
Bytes bytes_of(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random() >> 11);
  return out;
}
// Ends of all chunks.
std::vector<size_t> cuts_of(const GearTable& gear, ByteView data) {
  std::vector<size_t> out;
  for (size_t at = 0; at < data.size();) {
    at += cdc_cut(gear, data.subspan(at));
    out.push_back(at);
  }
  return out;
}
// The definition in fastcdc.h, byte by byte.
size_t slow_cut(const GearTable& gear, ByteView data) {
  if (data.size() <= kCdcMin) return data.size();
  const size_t end = std::min(data.size(), kCdcMax);
  for (size_t i = kCdcMin; i < end; ++i) {
    uint64_t h = 0;
    for (size_t j = i - 63; j <= i; ++j) h = (h << 1) + gear[data[j]];
    if (h >> (i < kCdcAverage ? 64 - 19 : 64 - 15) == 0) return i + 1;
  }
  return end;
}

TEST(FastCdc, GoldenCuts) {
  const Bytes data = bytes_of(2, 2'000'000);
  const std::vector<size_t> expected{132'970,   274'677,   456'223,   580'096,   670'013,
                                     831'872,   1'055'786, 1'191'874, 1'344'384, 1'512'693,
                                     1'617'692, 1'802'434, 1'979'042, 2'000'000};
  EXPECT_EQ(cuts_of(table(1), data), expected);
}

TEST(FastCdc, AgreesWithTheDefinition) {
  FOR_EACH_SEED(seed, 20) {
    const GearTable gear = table(seed);
    const Bytes data = bytes_of(seed + 1000, kCdcMax + seed % 5);
    EXPECT_EQ(cdc_cut(gear, data), slow_cut(gear, data));
  }
}

TEST(FastCdc, Bounds) {
  FOR_EACH_SEED(seed, 4) {
    const Bytes data = bytes_of(seed, 8'000'000);
    const auto cuts = cuts_of(table(seed + 50), data);
    size_t begin = 0;
    for (size_t i = 0; i < cuts.size(); ++i) {
      const size_t size = cuts[i] - begin;
      EXPECT_LE(size, kCdcMax);
      if (i + 1 < cuts.size()) {
        EXPECT_GT(size, kCdcMin);
      }
      begin = cuts[i];
    }
    const size_t average = data.size() / cuts.size();
    EXPECT_GT(average, size_t{100'000});
    EXPECT_LT(average, size_t{190'000});
  }
}

TEST(FastCdc, TinyInputs) {
  const GearTable gear = table(1);
  EXPECT_EQ(cdc_cut(gear, {}), 0u);
  const Bytes data = bytes_of(3, kCdcMin + 2);
  for (const size_t size : {size_t{1}, size_t{63}, size_t{64}, kCdcMin - 1, kCdcMin}) {
    EXPECT_EQ(cdc_cut(gear, ByteView(data).first(size)), size);
  }
}

TEST(FastCdc, ZerosAreCutAtTheMaximumOrAtOnce) {
  const Bytes zeros(3 * kCdcMax);
  const auto cuts = cuts_of(table(1), zeros);
  // The window never changes: the first position that may be a cut is one, or none is.
  ASSERT_GE(cuts.size(), 3u);
  for (size_t i = 1; i + 1 < cuts.size(); ++i) {
    EXPECT_EQ(cuts[i] - cuts[i - 1], cuts[0]);
  }
}

TEST(FastCdc, ACutDependsOnNothingBehindTheMaximum) {
  const GearTable gear = table(4);
  const Bytes data = bytes_of(5, 5 * kCdcMax);
  for (size_t at = 0; at < 3 * kCdcMax; at += 10'007) {
    const size_t cut = cdc_cut(gear, ByteView(data).subspan(at));
    EXPECT_EQ(cdc_cut(gear, ByteView(data).subspan(at, kCdcMax)), cut);
    // However the bytes behind the cut differ.
    Bytes other(data.begin() + static_cast<ptrdiff_t>(at),
                data.begin() + static_cast<ptrdiff_t>(at + kCdcMax));
    std::fill(other.begin() + static_cast<ptrdiff_t>(cut), other.end(), uint8_t{0});
    if (cut < kCdcMax) {
      EXPECT_EQ(cdc_cut(gear, other), cut);
    }
  }
}

TEST(FastCdc, ResynchronisesAfterAnInsertion) {
  FOR_EACH_SEED(seed, 4) {
    const GearTable gear = table(seed + 7);
    const Bytes before = bytes_of(seed + 100, 6'000'000);
    Bytes after = before;
    const Bytes inserted = bytes_of(seed + 200, 1 + seed * 37);
    after.insert(after.begin() + 1'000'000, inserted.begin(), inserted.end());
    const auto hashes = [&](const Bytes& data) {
      std::set<crypto::Digest> out;
      size_t begin = 0;
      for (const size_t end : cuts_of(gear, data)) {
        out.insert(crypto::sha256(ByteView(data).subspan(begin, end - begin)));
        begin = end;
      }
      return out;
    };
    const auto a = hashes(before);
    const auto b = hashes(after);
    const auto fresh =
        std::count_if(b.begin(), b.end(), [&](const auto& h) { return !a.contains(h); });
    EXPECT_LE(fresh, 8) << "of " << b.size();
    EXPECT_GE(fresh, 1);
  }
}

TEST(FastCdc, AnotherSecretCutsElsewhere) {
  const Bytes data = bytes_of(9, 4'000'000);
  const auto a = cuts_of(table(1), data);
  const auto b = cuts_of(table(2), data);
  std::vector<size_t> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  EXPECT_LE(common.size(), 2u);
}

}  // namespace
}  // namespace holdfast::backup_agent
