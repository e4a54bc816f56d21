// Runs `work(i)` for every i below `count` on a few threads, each index once, and returns when all
// are done. `work` must not throw.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace holdfast::async {

template <class Work>
void parallel_for(unsigned threads, size_t count, const Work& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> helpers;
  for (unsigned t = 1; t < threads && t < count; ++t) helpers.emplace_back(run);
  run();
  for (std::thread& t : helpers) t.join();
}

}  // namespace holdfast::async
