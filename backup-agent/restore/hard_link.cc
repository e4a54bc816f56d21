#include "backup-agent/restore/hard_link.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

#include "backup-agent/restore/metadata_writer.h"
#include "backup-agent/restore/temporary.h"

namespace holdfast::backup_agent {
bool put_hard_link(int object_directory_fd, const std::string& object, int directory_fd,
                   const std::string& name) {
  struct stat wanted {};
  if (::fstatat(object_directory_fd, object.c_str(), &wanted, AT_SYMLINK_NOFOLLOW) != 0) {
    return false;
  }
  const bool is_file = S_ISREG(wanted.st_mode);
  const auto link = [&](const std::string& as) {
    const auto make = [&] {
      return ::linkat(object_directory_fd, object.c_str(), directory_fd, as.c_str(), 0) == 0;
    };
    if (make()) return true;
    if (errno != EPERM || !is_file) return false;
    // It may have its immutable flag already, and gets no names with it.
    const ProtectionLifted lifted(object_directory_fd, object);
    return make();
  };
  if (link(name)) return true;
  if (errno != EEXIST) return false;
  // Locked, so that no other run takes its second name for a left-over.
  io::Fd held;
  if (is_file) {
    held = io::Fd(::openat(object_directory_fd, object.c_str(),
                           O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (held) (void)lock_temporary(held.get());
  }
  const std::string temporary = make_temporary(directory_fd, name, link);
  if (temporary.empty()) return false;
  const auto put = [&] { return rename_over(directory_fd, temporary, name); };
  const bool is_done =
      put() || (errno == EISDIR && remove_name(directory_fd, name, AT_REMOVEDIR) && put());
  const int error = errno;
  // If it failed; or if both are the same object by now: renaming does nothing then.
  struct stat left {};
  if (::fstatat(directory_fd, temporary.c_str(), &left, AT_SYMLINK_NOFOLLOW) == 0 &&
      same_object(left, wanted)) {
    (void)remove_name(directory_fd, temporary, 0);
  }
  errno = error;
  return is_done;
}

}  // namespace holdfast::backup_agent
