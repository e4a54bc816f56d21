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

// Everything is tried, whatever failed before it; the first failure is what is told.
class FirstFailure {
 public:
  FirstFailure(MetadataWriter& writer, const std::string& path) : writer_(writer), path_(path) {}

  // `done` or else errno is set. Gives `done`.
  bool unless(bool done, const std::string& kind) {
    if (done) return true;
    const int error = errno;
    if (!writer_.refused(error, kind, path_) && status_.ok()) {
      status_ = errno_error(error, kind + " of " + path_);
    }
    return false;
  }
  Status status() { return std::move(status_); }

 private:
  MetadataWriter& writer_;
  const std::string& path_;
  Status status_;
};

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

bool rename_over(int directory_fd, const std::string& from, const std::string& to) {
  const auto rename = [&] {
    return ::renameat(directory_fd, from.c_str(), directory_fd, to.c_str()) == 0;
  };
  if (rename()) return true;
  if (errno != EPERM) return false;
  // Either may have its flags: what is replaced from before, its successor from the point.
  const ProtectionLifted successor(directory_fd, from);
  const ProtectionLifted predecessor(directory_fd, to);
  return rename();
}

bool same_object(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
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
                             const std::vector<vault::Xattr>* xattrs, bool clean,
                             const std::string& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return errno_error(path);
  FirstFailure failure(*this, path);
  uint32_t flags_now = 0;
  if (!clean) {
    flags_now = read_attributes(fd);
    if ((flags_now & kProtectingFlags) != 0) {
      flags_now &= ~kProtectingFlags;
      failure.unless(set_attributes(fd, flags_now), "protecting flags");
    }
  }
  const uint32_t uid = owners_.uid(entry);
  const uint32_t gid = owners_.gid(entry);
  const bool other_owner = st.st_uid != uid || st.st_gid != gid;
  const bool owner_set = !other_owner || failure.unless(::fchown(fd, uid, gid) == 0, "owner");
  // Set-id bits are worth nothing, or too much, on a file of another owner.
  const uint32_t mode = owner_set ? entry.mode : entry.mode & 01777;
  if ((st.st_mode & 07777) != mode || !clean || other_owner) {
    failure.unless(::fchmod(fd, mode) == 0, "mode");
  }
  if (!clean && xattrs != nullptr) {
    remove_other_xattrs(
        *xattrs, [&] { return read_xattrs(fd); },
        [&](const std::string& name) {
          failure.unless(::fremovexattr(fd, name.c_str()) == 0, xattr_kind(name));
        });
  }
  const auto set_xattr = [&](const vault::Xattr& x) {
    if (::fsetxattr(fd, x.name.c_str(), x.value.data(), x.value.size(), 0) == 0) return true;
    if (errno != EACCES || (mode & S_IWUSR) != 0) {
      errno = xattr_error(errno);
      return false;
    }
    // An ordinary user's own file that is not to be written to.
    const bool lifted = ::fchmod(fd, mode | S_IWUSR) == 0;
    const bool set =
        lifted && ::fsetxattr(fd, x.name.c_str(), x.value.data(), x.value.size(), 0) == 0;
    const int error = xattr_error(errno);
    if (lifted) failure.unless(::fchmod(fd, mode) == 0, "mode");
    errno = error;
    return set;
  };
  if (xattrs != nullptr) {
    for (const vault::Xattr& x : *xattrs) failure.unless(set_xattr(x), xattr_kind(x.name));
  }
  timespec times[2];
  times_of(entry, times);
  failure.unless(::futimens(fd, times) == 0, "time");
  if (entry.attributes != flags_now) {
    failure.unless(set_attributes(fd, entry.attributes), "inode flags");
  }
  return failure.status();
}

Status MetadataWriter::apply_at(int directory_fd, const std::string& name,
                                const vault::Entry& entry, const std::vector<vault::Xattr>* xattrs,
                                bool clean, const std::string& path) {
  struct stat st {};
  if (::fstatat(directory_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno_error(path);
  FirstFailure failure(*this, path);
  const uint32_t uid = owners_.uid(entry);
  const uint32_t gid = owners_.gid(entry);
  if (st.st_uid != uid || st.st_gid != gid) {
    failure.unless(::fchownat(directory_fd, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) == 0,
                   "owner");
  }
  // Linux gives links no mode of their own.
  if (entry.type != vault::EntryType::symlink) {
    failure.unless(::fchmodat(directory_fd, name.c_str(), entry.mode, AT_SYMLINK_NOFOLLOW) == 0,
                   "mode");
  }
  const std::string proc = "/proc/self/fd/" + std::to_string(directory_fd) + "/" + name;
  if (!clean && xattrs != nullptr) {
    remove_other_xattrs(
        *xattrs, [&] { return read_xattrs(proc); },
        [&](const std::string& x) {
          failure.unless(::lremovexattr(proc.c_str(), x.c_str()) == 0, xattr_kind(x));
        });
  }
  if (xattrs != nullptr) {
    for (const vault::Xattr& x : *xattrs) {
      const bool set =
          ::lsetxattr(proc.c_str(), x.name.c_str(), x.value.data(), x.value.size(), 0) == 0;
      if (!set) errno = xattr_error(errno);
      failure.unless(set, xattr_kind(x.name));
    }
  }
  timespec times[2];
  times_of(entry, times);
  failure.unless(::utimensat(directory_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "time");
  return failure.status();
}

}  // namespace holdfast::backup_agent
