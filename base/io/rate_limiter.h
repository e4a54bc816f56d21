// A token bucket: callers wait until what they want to move fits the rate. Any number of threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace holdfast::io {

class RateLimiter {
 public:
  // `bytes_per_second` > 0. Up to a second's worth may be moved at once after a pause.
  explicit RateLimiter(uint64_t bytes_per_second);

  // Returns when `bytes` may be moved. More than the bucket holds is allowed: it is paid for by a
  // longer wait of whoever comes next.
  void acquire(uint64_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  const double bytes_per_second_;
  std::mutex mutex_;
  double available_;
  Clock::time_point last_;
};

}  // namespace holdfast::io
