#include "tests/support/sim_random.h"

#include <mutex>
#include <optional>
#include <random>

#include <openssl/rand.h>

#include "base/check.h"

// OpenSSL 3 wants a provider for this, which is a program of its own; the older way still works.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace holdfast::testing {
namespace {

thread_local std::optional<std::mt19937_64> seeded;

int seeded_bytes(unsigned char* out, int size) {
  if (!seeded) return RAND_OpenSSL()->bytes(out, size);
  for (int i = 0; i < size; ++i) out[i] = static_cast<unsigned char>((*seeded)());
  return 1;
}
int seeded_status() {
  return 1;
}

const RAND_METHOD kMethod{nullptr, seeded_bytes, nullptr, nullptr, seeded_bytes, seeded_status};

}  // namespace

SeededRandomness::SeededRandomness(uint64_t seed) {
  static std::once_flag once;
  std::call_once(once, [] { CHECK(RAND_set_rand_method(&kMethod) == 1); });
  CHECK(!seeded);
  seeded.emplace(seed);
}

SeededRandomness::~SeededRandomness() {
  seeded.reset();
}

}  // namespace holdfast::testing
