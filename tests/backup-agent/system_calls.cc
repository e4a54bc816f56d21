#include "tests/backup-agent/system_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <dlfcn.h>
#include <fcntl.h>
#include <shared_mutex>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/check.h"

namespace holdfast::backup_agent {
namespace {

std::shared_mutex current_mutex;
SystemCalls* current = nullptr;
std::atomic<bool> is_active{false};
thread_local bool is_inside = false;

// "/proc/self/fd/N/name" as what it stands for.
std::string path_through_proc(std::string path) {
  constexpr std::string_view kDescriptors = "/proc/self/fd/";
  if (!path.starts_with(kDescriptors)) return path;
  const size_t slash = path.find('/', kDescriptors.size());
  char text[4096];
  const ssize_t n = ::readlink(path.substr(0, slash).c_str(), text, sizeof text);
  if (n <= 0) return path;
  const std::string rest = slash == std::string::npos ? "" : path.substr(slash);
  return std::string(text, static_cast<size_t>(n)) + rest;
}

std::string path_of(int fd, const char* name) {
  std::string path;
  if (fd != AT_FDCWD) {
    char text[4096];
    const ssize_t n =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text, sizeof text);
    if (n > 0) path.assign(text, static_cast<size_t>(n));
  }
  if (name != nullptr && *name == '/') {
    path = path_through_proc(name);
  } else if (name != nullptr && *name != '\0') {
    path += "/" + std::string(name);
  }
  return path;
}

}  // namespace

SystemCalls::SystemCalls(std::string below, Handler handler)
    : below_(std::move(below)), handler_(std::move(handler)) {
  const std::unique_lock lock(current_mutex);
  CHECK(current == nullptr);
  current = this;
  is_active = true;
}

SystemCalls::~SystemCalls() {
  const std::unique_lock lock(current_mutex);
  current = nullptr;
  is_active = false;
}

int SystemCalls::before(const char* call, int fd, const char* name) {
  if (!is_active || is_inside) return 0;
  const int saved = errno;
  is_inside = true;
  int error = 0;
  {
    const std::shared_lock lock(current_mutex);
    if (current != nullptr) {
      const std::string path = path_of(fd, name);
      if (path.starts_with(current->below_)) {
        ++current->count_;
        error = current->handler_(call, path);
      }
    }
  }
  is_inside = false;
  errno = saved;
  return error;
}

FailingCall::FailingCall(const std::string& below, uint64_t number, int error,
                         std::vector<std::string> calls)
    : number_(number),
      error_(error),
      calls_(std::move(calls)),
      intercepted_(below, [this](const std::string& call, const std::string& path) {
        if (!calls_.empty() && std::find(calls_.begin(), calls_.end(), call) == calls_.end()) {
          return 0;
        }
        if (seen_++ != number_) return 0;
        failed_ = true;
        const std::lock_guard lock(mutex_);
        what_ = call + " " + path;
        return error_;
      }) {}

std::string FailingCall::what() const {
  const std::lock_guard lock(mutex_);
  return what_;
}

}  // namespace holdfast::backup_agent

// NOLINTBEGIN: the C library's names
namespace {

using holdfast::backup_agent::SystemCalls;

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// Defines the function `symbol`, shown as `call`, about `name` below `fd`.
#define INTERCEPT(result, symbol, call, fd, name, parameters, arguments)     \
  extern "C" result symbol parameters {                                      \
    static auto* const real = next<result parameters>(#symbol);              \
    if (const int error = SystemCalls::before(call, fd, name); error != 0) { \
      errno = error;                                                         \
      return -1;                                                             \
    }                                                                        \
    return real arguments;                                                   \
  }

INTERCEPT(ssize_t, pread64, "pread", fd, nullptr, (int fd, void* to, size_t n, off64_t at),
          (fd, to, n, at))
INTERCEPT(ssize_t, pwrite64, "pwrite", fd, nullptr,
          (int fd, const void* from, size_t n, off64_t at), (fd, from, n, at))
INTERCEPT(int, ftruncate64, "ftruncate", fd, nullptr, (int fd, off64_t size), (fd, size))
INTERCEPT(int, fallocate64, "fallocate", fd, nullptr, (int fd, int mode, off64_t at, off64_t n),
          (fd, mode, at, n))
INTERCEPT(int, mkdirat, "mkdirat", fd, name, (int fd, const char* name, mode_t mode) noexcept,
          (fd, name, mode))
INTERCEPT(int, mknodat, "mknodat", fd, name,
          (int fd, const char* name, mode_t mode, dev_t device) noexcept, (fd, name, mode, device))
INTERCEPT(int, symlinkat, "symlinkat", fd, name,
          (const char* target, int fd, const char* name) noexcept, (target, fd, name))
INTERCEPT(int, linkat, "linkat", fd, name,
          (int from, const char* old, int fd, const char* name, int flags) noexcept,
          (from, old, fd, name, flags))
INTERCEPT(int, renameat, "renameat", fd, name,
          (int from, const char* old, int fd, const char* name) noexcept, (from, old, fd, name))
INTERCEPT(int, unlinkat, "unlinkat", fd, name, (int fd, const char* name, int flags) noexcept,
          (fd, name, flags))
INTERCEPT(int, fchown, "fchown", fd, nullptr, (int fd, uid_t uid, gid_t gid) noexcept,
          (fd, uid, gid))
INTERCEPT(int, fchownat, "fchownat", fd, name,
          (int fd, const char* name, uid_t uid, gid_t gid, int flags) noexcept,
          (fd, name, uid, gid, flags))
INTERCEPT(int, fchmod, "fchmod", fd, nullptr, (int fd, mode_t mode) noexcept, (fd, mode))
INTERCEPT(int, fchmodat, "fchmodat", fd, name,
          (int fd, const char* name, mode_t mode, int flags) noexcept, (fd, name, mode, flags))
INTERCEPT(int, futimens, "futimens", fd, nullptr, (int fd, const timespec times[2]) noexcept,
          (fd, times))
INTERCEPT(int, utimensat, "utimensat", fd, name,
          (int fd, const char* name, const timespec times[2], int flags) noexcept,
          (fd, name, times, flags))
INTERCEPT(int, fsetxattr, "fsetxattr", fd, nullptr,
          (int fd, const char* name, const void* value, size_t size, int flags) noexcept,
          (fd, name, value, size, flags))
INTERCEPT(ssize_t, flistxattr, "flistxattr", fd, nullptr,
          (int fd, char* names, size_t size) noexcept, (fd, names, size))
INTERCEPT(ssize_t, llistxattr, "llistxattr", AT_FDCWD, path,
          (const char* path, char* names, size_t size) noexcept, (path, names, size))
INTERCEPT(ssize_t, readlinkat, "readlinkat", fd, name,
          (int fd, const char* name, char* to, size_t size) noexcept, (fd, name, to, size))
INTERCEPT(int, statx, "statx", fd, name,
          (int fd, const char* name, int flags, unsigned mask, struct statx* to) noexcept,
          (fd, name, flags, mask, to))

extern "C" int openat64(int fd, const char* name, int flags, ...) {
  static auto* const real = next<int(int, const char*, int, ...)>("openat64");
  if (const int error = SystemCalls::before("openat", fd, name); error != 0) {
    errno = error;
    return -1;
  }
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return real(fd, name, flags, mode);
}
// NOLINTEND
