// Randomness that a seed decides, for everything in this process that asks OpenSSL: ids, keys,
// nonces. So a simulation replays exactly. For tests only, of course.
#pragma once

#include <cstdint>

namespace holdfast::testing {

// While one of these lives, the thread that made it draws from the seed. Other threads, and this
// one before and after, get real randomness.
class SeededRandomness {
 public:
  explicit SeededRandomness(uint64_t seed);
  ~SeededRandomness();
  SeededRandomness(const SeededRandomness&) = delete;
  SeededRandomness& operator=(const SeededRandomness&) = delete;
};

}  // namespace holdfast::testing
