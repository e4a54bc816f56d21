#include "backup-agent/chunk/fastcdc.h"

#include <algorithm>

namespace holdfast::backup_agent {
namespace {

constexpr uint64_t kMaskBeforeAverage = ~uint64_t{0} << (64 - 19);
constexpr uint64_t kMaskBehindAverage = ~uint64_t{0} << (64 - 15);
constexpr size_t kWindow = 64;  // older bytes have been shifted out of h

// The first position in [from, to] behind whose byte the chunk ends, or 0. Four bytes a step: the
// hashes of the three before the last depend on h by one shift each, not on one another, so that
// the processor need not wait byte by byte (2.4 GB/s where the plain loop does 1.5, measured
// 2026-11-20).
size_t scan(const GearTable& gear, const uint8_t* p, size_t from, size_t to, uint64_t mask,
            uint64_t& h) {
  size_t i = from;
  for (; i + 4 <= to; i += 4) {
    const uint64_t s1 = gear[p[i]];
    const uint64_t s2 = (s1 << 1) + gear[p[i + 1]];
    const uint64_t s3 = (s2 << 1) + gear[p[i + 2]];
    const uint64_t s4 = (s3 << 1) + gear[p[i + 3]];
    const uint64_t h1 = (h << 1) + s1;
    const uint64_t h2 = (h << 2) + s2;
    const uint64_t h3 = (h << 3) + s3;
    h = (h << 4) + s4;
    if ((h1 & mask) == 0) return i + 1;
    if ((h2 & mask) == 0) return i + 2;
    if ((h3 & mask) == 0) return i + 3;
    if ((h & mask) == 0) return i + 4;
  }
  for (; i < to; ++i) {
    h = (h << 1) + gear[p[i]];
    if ((h & mask) == 0) return i + 1;
  }
  return 0;
}

}  // namespace

size_t cdc_cut(const GearTable& gear, ByteView data) {
  if (data.size() <= kCdcMin) return data.size();
  const size_t end = std::min(data.size(), kCdcMax);
  const size_t middle = std::min(end, kCdcAverage);
  // The bytes that a cut at the minimum would depend on.
  uint64_t h = 0;
  for (size_t i = kCdcMin - kWindow; i < kCdcMin; ++i) h = (h << 1) + gear[data[i]];
  if (const size_t cut = scan(gear, data.data(), kCdcMin, middle, kMaskBeforeAverage, h))
    return cut;
  if (const size_t cut = scan(gear, data.data(), middle, end, kMaskBehindAverage, h)) return cut;
  return end;
}

}  // namespace holdfast::backup_agent
