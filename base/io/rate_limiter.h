// A token bucket: callers wait until what they want to move fits the rate. Any number of threads.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace holdfast::io {

class RateLimiter {
 public:
  // `bytes_per_second` > 0. Up to a second's worth may be moved at once after a pause.
  explicit RateLimiter(uint64_t bytes_per_second);

  // Returns when `bytes` may be moved. More than the bucket holds is allowed: it is paid for by a
  // longer wait of whoever comes next. False if stop() came first.
  bool acquire(uint64_t bytes);
  // From now on nobody waits any more.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  const double bytes_per_second_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;
  double available_;
  Clock::time_point last_;
};

}  // namespace holdfast::io
