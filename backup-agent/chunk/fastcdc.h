// Content-defined chunk boundaries: FastCDC (Xia et al., USENIX ATC 2016) with a keyed Gear table
// and normalized chunking level 2.
//
// h = (h << 1) + gear[byte]; a chunk ends where the top bits of h are zero: 19 of them before the
// average size, 15 behind it. The table comes from the domain's chunker secret, so boundaries
// cannot be predicted from known content. A boundary depends on the 64 bytes before it alone (and
// on where the chunk began), so chunking resumes at any boundary.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace holdfast::backup_agent {

inline constexpr size_t kCdcMin = 32 * 1024;
inline constexpr size_t kCdcAverage = 128 * 1024;
inline constexpr size_t kCdcMax = 256 * 1024;
// Files up to this size are one chunk.
inline constexpr size_t kWholeFileMax = 256 * 1024;

using GearTable = std::array<uint64_t, 256>;

// The length of the first chunk of `data`. At most kCdcMax; all of `data` if it is no longer than
// kCdcMin. Where `data` may go on, the caller must give at least kCdcMax bytes.
size_t cdc_cut(const GearTable& gear, ByteView data);

}  // namespace holdfast::backup_agent
