// Churn classes: what is likely to become garbage together is stored together.
//
// A segment is freed only when its last chunk dies. The best guess at how long a new version of a
// file lives is how long the one lived that it replaces, so a backup keeps one open segment for
// each class of that. The boundaries are those of the simulation that the vault's design rests on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace holdfast::backup_agent {

inline constexpr std::array<int64_t, 4> kChurnDays{4, 12, 40, 150};
inline constexpr size_t kChurnClasses = kChurnDays.size() + 1;
inline constexpr size_t kLongLived = kChurnClasses - 1;  // and whatever was not there before

// The class of a file whose last version lived for so many seconds.
constexpr size_t churn_class(int64_t lived_s) {
  size_t c = 0;
  while (c < kChurnDays.size() && lived_s >= kChurnDays[c] * 86400) ++c;
  return c;
}

}  // namespace holdfast::backup_agent
