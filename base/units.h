// Sizes by name; sizes, durations and times for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// "512 B", "1.5 KiB", "2.0 GiB".
std::string format_size(uint64_t bytes);
// "0.42 s", "1:05", "2:03:04".
std::string format_duration(double seconds);
// "2026-03-29 12:34:56", local time, of nanoseconds since 1970-01-01 UTC. No order: in autumn an
// hour comes twice.
std::string format_time(int64_t ns);
// "12,345,678".
std::string format_count(uint64_t count);
// Parses "100", "64K", "1.5M", "2GiB", "10MB" (K, M, G, T are powers of 1024).
// Errors: Errc::malformed.
Result<uint64_t> parse_size(std::string_view text);

}  // namespace holdfast
