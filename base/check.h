// CHECK: states an invariant. A failed check is a bug in Holdfast, never bad input, a bad disk or
// a bad network; it is kept in release builds, prints where it stands and aborts.
#pragma once

namespace holdfast {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace holdfast

#define CHECK(condition) \
  ((condition) ? (void)0 : ::holdfast::check_failed(#condition, __FILE__, __LINE__))
