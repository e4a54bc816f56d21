#include "base/io/rate_limiter.h"

#include <algorithm>

namespace holdfast::io {

RateLimiter::RateLimiter(uint64_t bytes_per_second)
    : bytes_per_second_(static_cast<double>(std::max<uint64_t>(bytes_per_second, 1))),
      available_(bytes_per_second_ / 10),
      last_(Clock::now()) {}

bool RateLimiter::acquire(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  available_ += std::chrono::duration<double>(now - last_).count() * bytes_per_second_;
  available_ = std::min(available_, bytes_per_second_);
  last_ = now;
  available_ -= static_cast<double>(bytes);
  if (available_ >= 0) return !stopped_;
  const std::chrono::duration<double> wait(-available_ / bytes_per_second_);
  return !stopping_.wait_for(lock, wait, [&] { return stopped_; });
}

void RateLimiter::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  stopping_.notify_all();
}

}  // namespace holdfast::io
