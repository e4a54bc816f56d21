#include "backup-agent/restore/temporary.h"

#include <cerrno>
#include <fcntl.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "backup-agent/restore/metadata_writer.h"
#include "base/crypto/hash.h"
#include "base/crypto/random.h"

namespace holdfast::backup_agent {
namespace {

constexpr std::string_view kPrefix = ".holdfast-";

// Whether `name` is there and nobody writes it. `fd` holds its lock then, if it is a file.
bool take_over(int directory_fd, const std::string& name, io::Fd& fd) {
  struct stat st {};
  if (::fstatat(directory_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (!S_ISREG(st.st_mode)) return true;
  constexpr int kOpen = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  // NFS locks only what is open for writing, which not every file allows.
  fd = io::Fd(::openat(directory_fd, name.c_str(), O_RDWR | kOpen));
  if (!fd) fd = io::Fd(::openat(directory_fd, name.c_str(), O_RDONLY | kOpen));
  return fd && lock_temporary(fd.get());
}

bool has_name(int fd, int directory_fd, const std::string& name) {
  struct stat own {};
  struct stat there {};
  return ::fstat(fd, &own) == 0 &&
         ::fstatat(directory_fd, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
         same_object(own, there);
}

void remove_left_over(int directory_fd, const std::string& name) {
  io::Fd fd;
  if (!take_over(directory_fd, name, fd)) return;
  if (!fd || has_name(fd.get(), directory_fd, name)) (void)remove_name(directory_fd, name, 0);
}

}  // namespace

std::string temporary_name(std::string_view name) {
  return std::string(kPrefix) + to_hex(ByteView(crypto::sha256(as_bytes(name))).first(8));
}

std::string make_temporary(int directory_fd, std::string_view name,
                           const std::function<bool(const std::string&)>& make) {
  std::string temporary = temporary_name(name);
  if (make(temporary)) return temporary;
  if (errno != EEXIST) return "";
  remove_left_over(directory_fd, temporary);
  if (make(temporary)) return temporary;
  if (errno != EEXIST) return "";
  temporary += "-" + to_hex(crypto::random_array<8>());
  return make(temporary) ? temporary : "";
}

std::string create_temporary(int directory_fd, std::string_view name, mode_t mode, io::Fd& fd) {
  return make_temporary(directory_fd, name, [&](const std::string& temporary) {
    fd = io::Fd(::openat(directory_fd, temporary.c_str(),
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!fd) return false;
    if (lock_temporary(fd.get()) && has_name(fd.get(), directory_fd, temporary)) return true;
    // Another run took it for a left-over before it was locked, and removes it.
    fd.reset();
    errno = EEXIST;
    return false;
  });
}

bool lock_temporary(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

bool is_temporary_in_use(int directory_fd, const std::string& name) {
  io::Fd fd;
  return name.starts_with(kPrefix) && !take_over(directory_fd, name, fd);
}

}  // namespace holdfast::backup_agent
