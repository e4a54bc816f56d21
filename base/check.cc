#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace holdfast {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr,
               "holdfast: internal error: %s does not hold (%s:%d). Nothing committed is affected; "
               "please report this line.\n",
               condition, file, line);
  std::abort();
}

}  // namespace holdfast
