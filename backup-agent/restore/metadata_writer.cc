#include "backup-agent/restore/metadata_writer.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "backup-agent/scan/metadata.h"
#include "base/units.h"

namespace holdfast::backup_agent {
namespace {

// Flags that make an object refuse further changes: set last, and cleared before changing it again.
constexpr uint32_t kProtectingFlags = 0x00000010 | 0x00000020;  // immutable, append

// Sets those flags that Holdfast keeps and leaves the others, which describe how the file system
// stores the object (ext4 would rebuild a file whose extents flag is missing). False with errno
// set.
bool set_attributes(int fd, uint32_t wanted) {
  int now = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &now) != 0) return false;
  int flags = static_cast<int>((static_cast<uint32_t>(now) & ~kAttributesKept) | wanted);
  return flags == now || ::ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

std::vector<char> lookup_room() {
  return std::vector<char>(64 * 1024);
}

std::optional<uint32_t> find_user(const std::string& name) {
  auto room = lookup_room();
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return found->pw_uid;
}

std::optional<uint32_t> find_group(const std::string& name) {
  auto room = lookup_room();
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return found->gr_gid;
}

void times_of(const vault::Entry& entry, timespec (&times)[2]) {
  times[0].tv_sec = 0;
  times[0].tv_nsec = UTIME_NOW;  // access: now is the truth
  times[1].tv_sec = entry.mtime_s;
  times[1].tv_nsec = entry.mtime_ns;
}

std::string xattr_kind(const std::string& name) {
  return "extended attributes '" + name.substr(0, name.find('.')) + ".*'";
}

// ext4 says that there is no space, and others that it is too much, if a value does not fit in what
// they have for the attributes of one object: that is no full disk.
int xattr_error(int error) {
  return error == ENOSPC || error == E2BIG || error == ERANGE ? ENOTSUP : error;
}

// Names that are there and should not be.
template <class Read, class Remove>
void remove_other_xattrs(const std::vector<vault::Xattr>& wanted, const Read& read,
                         const Remove& remove) {
  const auto present = read();
  if (!present.ok()) return;
  for (const vault::Xattr& x : *present) {
    const bool keep = std::any_of(wanted.begin(), wanted.end(),
                                  [&](const vault::Xattr& w) { return w.name == x.name; });
    // A security module labels by itself; without a stored label its own is right.
    if (!keep && !x.name.starts_with("security.selinux")) remove(x.name);
  }
}

}  // namespace

std::vector<std::string> RefusedMetadata::report() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  for (const auto& [kind, what] : kinds_) {
    lines.push_back(kind + " of " + format_count(what.count) +
                    (what.count == 1 ? " object (" : " objects (the first is ") + what.example +
                    ")");
  }
  return lines;
}

ProtectionLifted::ProtectionLifted(int directory_fd, const std::string& name)
    : fd_(::openat(directory_fd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) {
  if (!fd_) return;
  const uint32_t now = read_attributes(fd_.get());
  if ((now & kProtectingFlags) != 0 && set_attributes(fd_.get(), now & ~kProtectingFlags)) {
    flags_ = now;
  } else {
    fd_.reset();
  }
}

ProtectionLifted::~ProtectionLifted() {
  if (flags_ != 0) (void)set_attributes(fd_.get(), flags_);
}

bool remove_name(int directory_fd, const std::string& name, int flags) {
  if (::unlinkat(directory_fd, name.c_str(), flags) == 0) return true;
  if (errno != EPERM) return false;
  // If it has other names it keeps its flags under those.
  const ProtectionLifted lifted(directory_fd, name);
  return ::unlinkat(directory_fd, name.c_str(), flags) == 0;
}

uint32_t OwnerLookup::uid(const vault::Entry& entry) {
  if (!by_name_ || entry.user.empty()) return entry.uid;
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = users_.try_emplace(entry.user);
  if (fresh) it->second = find_user(entry.user);
  return it->second.value_or(entry.uid);
}

uint32_t OwnerLookup::gid(const vault::Entry& entry) {
  if (!by_name_ || entry.group.empty()) return entry.gid;
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = groups_.try_emplace(entry.group);
  if (fresh) it->second = find_group(entry.group);
  return it->second.value_or(entry.gid);
}

MetadataWriter::MetadataWriter(const MetadataOptions& options, RefusedMetadata& refused)
    : owners_(options.owners_by_name),
      refused_(refused),
      own_uid_(::geteuid()),
      own_gid_(::getegid()) {}

uint32_t MetadataWriter::mode_to_create(const vault::Entry& entry) {
  const bool is_ours = owners_.uid(entry) == own_uid_ && owners_.gid(entry) == own_gid_;
  return is_ours ? entry.mode & 0777 : 0600;
}

// Whether the failure is one of rights or of the file system's abilities, and counts it if so.
bool MetadataWriter::refused(int error, const std::string& kind, const std::string& path) {
  if (error != EPERM && error != EACCES && error != ENOTSUP && error != ENOTTY && error != EINVAL &&
      error != ENOSYS) {
    return false;
  }
  refused_.add(kind, path);
  return true;
}

Status MetadataWriter::apply(int fd, const vault::Entry& entry,
                             const std::vector<vault::Xattr>& xattrs, bool fresh,
                             const std::string& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return errno_error(path);
  uint32_t flags_now = 0;
  if (!fresh) {
    flags_now = read_attributes(fd);
    if ((flags_now & kProtectingFlags) != 0) {
      flags_now &= ~kProtectingFlags;
      if (!set_attributes(fd, flags_now) && !refused(errno, "protecting flags", path)) {
        return errno_error(path);
      }
    }
  }
  const uint32_t uid = owners_.uid(entry);
  const uint32_t gid = owners_.gid(entry);
  bool owner_set = true;
  if ((st.st_uid != uid || st.st_gid != gid) && ::fchown(fd, uid, gid) != 0) {
    if (!refused(errno, "owner", path)) return errno_error("owner of " + path);
    owner_set = false;
  }
  // Set-id bits are worth nothing, or too much, on a file of another owner.
  const uint32_t mode = owner_set ? entry.mode : entry.mode & 01777;
  if (((st.st_mode & 07777) != mode || !fresh || st.st_uid != uid || st.st_gid != gid) &&
      ::fchmod(fd, mode) != 0 && !refused(errno, "mode", path)) {
    return errno_error("mode of " + path);
  }
  if (!fresh) {
    remove_other_xattrs(
        xattrs, [&] { return read_xattrs(fd); },
        [&](const std::string& name) {
          if (::fremovexattr(fd, name.c_str()) != 0) refused(errno, xattr_kind(name), path);
        });
  }
  for (const vault::Xattr& x : xattrs) {
    if (::fsetxattr(fd, x.name.c_str(), x.value.data(), x.value.size(), 0) != 0 &&
        !refused(xattr_error(errno), xattr_kind(x.name), path)) {
      return errno_error("extended attribute " + x.name + " of " + path);
    }
  }
  timespec times[2];
  times_of(entry, times);
  if (::futimens(fd, times) != 0 && !refused(errno, "time", path)) {
    return errno_error("time of " + path);
  }
  if (entry.attributes != flags_now && !set_attributes(fd, entry.attributes) &&
      !refused(errno, "inode flags", path)) {
    return errno_error("inode flags of " + path);
  }
  return {};
}

Status MetadataWriter::apply_at(int directory_fd, const std::string& name,
                                const vault::Entry& entry, const std::vector<vault::Xattr>& xattrs,
                                bool fresh, const std::string& path) {
  struct stat st {};
  if (::fstatat(directory_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno_error(path);
  const uint32_t uid = owners_.uid(entry);
  const uint32_t gid = owners_.gid(entry);
  if ((st.st_uid != uid || st.st_gid != gid) &&
      ::fchownat(directory_fd, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0 &&
      !refused(errno, "owner", path)) {
    return errno_error("owner of " + path);
  }
  // Linux gives links no mode of their own.
  if (entry.type != vault::EntryType::symlink &&
      ::fchmodat(directory_fd, name.c_str(), entry.mode, 0) != 0 && !refused(errno, "mode", path)) {
    return errno_error("mode of " + path);
  }
  const std::string proc = "/proc/self/fd/" + std::to_string(directory_fd) + "/" + name;
  if (!fresh) {
    remove_other_xattrs(
        xattrs, [&] { return read_xattrs(proc); },
        [&](const std::string& x) {
          if (::lremovexattr(proc.c_str(), x.c_str()) != 0) refused(errno, xattr_kind(x), path);
        });
  }
  for (const vault::Xattr& x : xattrs) {
    if (::lsetxattr(proc.c_str(), x.name.c_str(), x.value.data(), x.value.size(), 0) != 0 &&
        !refused(xattr_error(errno), xattr_kind(x.name), path)) {
      return errno_error("extended attribute " + x.name + " of " + path);
    }
  }
  timespec times[2];
  times_of(entry, times);
  if (::utimensat(directory_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0 &&
      !refused(errno, "time", path)) {
    return errno_error("time of " + path);
  }
  return {};
}

}  // namespace holdfast::backup_agent
