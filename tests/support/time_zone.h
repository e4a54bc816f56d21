// Local time of a test's own choice, while it lives. Not beside other threads that ask for local
// time.
#pragma once

#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

namespace holdfast::testing {

class TimeZone {
 public:
  // As in the environment variable TZ; rules in POSIX's form need no database.
  explicit TimeZone(const char* rules) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", rules, 1);
    ::tzset();
  }
  ~TimeZone() {
    if (before_) {
      ::setenv("TZ", before_->c_str(), 1);
    } else {
      ::unsetenv("TZ");
    }
    ::tzset();
  }
  TimeZone(const TimeZone&) = delete;
  TimeZone& operator=(const TimeZone&) = delete;

 private:
  std::optional<std::string> before_;
};

}  // namespace holdfast::testing
