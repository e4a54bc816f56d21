#include "base/io/file_lock.h"

#include <cerrno>
#include <fcntl.h>

#include <sys/file.h>

namespace holdfast::io {

Result<Fd> lock_file(const std::string& path, IfLocked if_locked) {
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return errno_error(path);
  while (::flock(lock.get(), LOCK_EX | (if_locked == IfLocked::fail ? LOCK_NB : 0)) != 0) {
    if (errno != EINTR) return errno_error(path);
  }
  return lock;
}

}  // namespace holdfast::io
