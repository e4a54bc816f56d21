#include "base/io/rate_limiter.h"

#include <algorithm>
#include <thread>

namespace holdfast::io {

RateLimiter::RateLimiter(uint64_t bytes_per_second)
    : bytes_per_second_(static_cast<double>(std::max<uint64_t>(bytes_per_second, 1))),
      available_(bytes_per_second_ / 10),
      last_(Clock::now()) {}

void RateLimiter::acquire(uint64_t bytes) {
  double wait_s = 0;
  {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    available_ += std::chrono::duration<double>(now - last_).count() * bytes_per_second_;
    available_ = std::min(available_, bytes_per_second_);
    last_ = now;
    available_ -= static_cast<double>(bytes);
    if (available_ < 0) wait_s = -available_ / bytes_per_second_;
  }
  if (wait_s > 0) std::this_thread::sleep_for(std::chrono::duration<double>(wait_s));
}

}  // namespace holdfast::io
