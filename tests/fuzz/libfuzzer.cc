// The entry point that libFuzzer calls.
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::fuzz::run({data, size});
  return 0;
}
