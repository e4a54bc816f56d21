// Seeds of property tests: TEST_SEED replays one, TEST_SEEDS asks for more than CI runs.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {

inline std::vector<uint64_t> seeds(uint64_t count_in_ci) {
  if (const char* one = std::getenv("TEST_SEED")) return {std::strtoull(one, nullptr, 10)};
  uint64_t count = count_in_ci;
  if (const char* many = std::getenv("TEST_SEEDS")) count = std::strtoull(many, nullptr, 10);
  std::vector<uint64_t> out;
  for (uint64_t i = 1; i <= count; ++i) out.push_back(i);
  return out;
}

}  // namespace holdfast::testing

#define FOR_EACH_SEED(seed, count_in_ci)                                        \
  for (const uint64_t seed : ::holdfast::testing::seeds(count_in_ci))           \
    if (::testing::ScopedTrace seed_trace(__FILE__, __LINE__,                   \
                                          "TEST_SEED=" + std::to_string(seed)); \
        true)
