// System calls of the agent that fail, or are preceded by something, at a chosen moment.
//
// What is backed up and restored does not go through io::FileSystem, so the calls themselves are
// intercepted: this binary defines the C library's functions and passes them on. While a
// SystemCalls object lives, every intercepted call on something below its directory is shown to it.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace holdfast::backup_agent {

class SystemCalls {
 public:
  // Called before each call with its name ("pread", "openat", ...) and what it is about: a path, as
  // far as it is known. Returns the errno to fail with, or 0. Any thread; calls made by the handler
  // itself are not shown.
  using Handler = std::function<int(const std::string& call, const std::string& path)>;

  // One at a time. `below` is an absolute path.
  SystemCalls(std::string below, Handler handler);
  ~SystemCalls();
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;

  uint64_t count() const { return count_; }

  // For the intercepting functions. The errno, or 0.
  static int before(const char* call, int fd, const char* name);

 private:
  const std::string below_;
  const Handler handler_;
  std::atomic<uint64_t> count_{0};
};

// Fails the call with this number (from 0), counting those whose names are in `calls`, or all.
class FailingCall {
 public:
  FailingCall(const std::string& below, uint64_t number, int error,
              std::vector<std::string> calls = {});
  bool has_failed() const { return failed_; }
  // What failed, for messages.
  std::string what() const;

 private:
  const uint64_t number_;
  const int error_;
  const std::vector<std::string> calls_;
  std::atomic<uint64_t> seen_{0};
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::string what_;
  SystemCalls intercepted_;
};

}  // namespace holdfast::backup_agent
