#include "backup-agent/scan/metadata.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

namespace holdfast::backup_agent {
namespace {

constexpr size_t kXattrListBytesMax = 1 << 20;
constexpr int kXattrAttempts = 8;
constexpr size_t kOwnerNameMax = 255;  // of the format; the system's own limit is far below

std::string name_of_user(uint32_t uid) {
  std::vector<char> room(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, room.data(), room.size(), &found) != 0 || found == nullptr)
    return "";
  return std::string(found->pw_name).substr(0, kOwnerNameMax);
}

std::string name_of_group(uint32_t gid) {
  std::vector<char> room(64 * 1024);
  group entry{};
  group* found = nullptr;
  if (::getgrgid_r(gid, &entry, room.data(), room.size(), &found) != 0 || found == nullptr)
    return "";
  return std::string(found->gr_name).substr(0, kOwnerNameMax);
}

bool is_kept(std::string_view name) {
  return name != "security.ima" && name != "security.evm" &&
         !name.starts_with("trusted.overlay.") &&
         // Computed by the file system, not stored: reading them back says nothing.
         !name.starts_with("system.nfs4") && !name.starts_with("btrfs.");
}

bool means_none(int error) {
  return error == ENOTSUP || error == ENOSYS;
}

// `list` and `get` are flistxattr and fgetxattr, or the path forms. Sizes change between the calls,
// so each is repeated until the answer fits.
template <class List, class Get>
Result<std::vector<vault::Xattr>> read_with(const List& list, const Get& get) {
  std::vector<vault::Xattr> out;
  ssize_t size = list(nullptr, 0);
  if (size == 0 || (size < 0 && means_none(errno))) return out;
  std::string names;
  for (int attempt = 0;; ++attempt) {
    if (size < 0 && (errno != ERANGE || attempt == kXattrAttempts)) return errno_error("");
    names.resize(size < 0 ? kXattrListBytesMax : static_cast<size_t>(size));
    size = list(names.data(), names.size());
    if (size >= 0) break;
  }
  names.resize(static_cast<size_t>(size));
  for (size_t begin = 0; begin < names.size();) {
    const std::string name(names.c_str() + begin);
    begin += name.size() + 1;
    if (!is_kept(name)) continue;
    vault::Xattr x{name, {}};
    for (int attempt = 0;; ++attempt) {
      ssize_t value = get(name.c_str(), nullptr, 0);
      if (value > 0) {
        x.value.resize(static_cast<size_t>(value));
        value = get(name.c_str(), x.value.data(), x.value.size());
      }
      if (value >= 0) {
        x.value.resize(static_cast<size_t>(value));
        out.push_back(std::move(x));
        break;
      }
      // Removed meanwhile, or not for us to read (trusted.* for ordinary users).
      if (errno == ENODATA || errno == EPERM || errno == EACCES || means_none(errno)) break;
      if (errno != ERANGE || attempt == kXattrAttempts) return errno_error(name);
    }
  }
  std::sort(out.begin(), out.end(),
            [](const vault::Xattr& a, const vault::Xattr& b) { return a.name < b.name; });
  return out;
}

}  // namespace

bool FileStat::is_directory() const {
  return S_ISDIR(mode);
}
bool FileStat::is_regular() const {
  return S_ISREG(mode);
}

Result<vault::EntryType> FileStat::entry_type() const {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return vault::EntryType::file;
    case S_IFDIR:
      return vault::EntryType::directory;
    case S_IFLNK:
      return vault::EntryType::symlink;
    case S_IFCHR:
      return vault::EntryType::char_device;
    case S_IFBLK:
      return vault::EntryType::block_device;
    case S_IFIFO:
      return vault::EntryType::fifo;
    case S_IFSOCK:
      return vault::EntryType::socket;
    default:
      return Error{Errc::unsupported, "object of an unknown type"};
  }
}

Result<FileStat> stat_at(int directory_fd, const char* name) {
  struct statx x {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (::statx(directory_fd, name, flags, STATX_BASIC_STATS | STATX_MNT_ID, &x) != 0) {
    return errno_error("");
  }
  FileStat st;
  st.inode = x.stx_ino;
  st.device = makedev(x.stx_dev_major, x.stx_dev_minor);
  st.mount_id = x.stx_mnt_id;
  st.size = x.stx_size;
  st.blocks = x.stx_blocks;
  st.mtime_s = x.stx_mtime.tv_sec;
  st.mtime_ns = x.stx_mtime.tv_nsec;
  st.ctime_s = x.stx_ctime.tv_sec;
  st.ctime_ns = x.stx_ctime.tv_nsec;
  st.mode = x.stx_mode;
  st.uid = x.stx_uid;
  st.gid = x.stx_gid;
  st.links = x.stx_nlink;
  st.device_major = x.stx_rdev_major;
  st.device_minor = x.stx_rdev_minor;
  return st;
}

const std::string& OwnerNames::user(uint32_t uid) {
  const auto it = users_.find(uid);
  return it != users_.end() ? it->second : users_.emplace(uid, name_of_user(uid)).first->second;
}

const std::string& OwnerNames::group(uint32_t gid) {
  const auto it = groups_.find(gid);
  return it != groups_.end() ? it->second : groups_.emplace(gid, name_of_group(gid)).first->second;
}

uint32_t read_attributes(int fd) {
  // The kernel writes an int although the request's number says long.
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return 0;
  return static_cast<uint32_t>(flags) & kAttributesKept;
}

Result<std::vector<vault::Xattr>> read_xattrs(int fd) {
  return read_with(
      [&](char* to, size_t size) { return ::flistxattr(fd, to, size); },
      [&](const char* name, void* to, size_t size) { return ::fgetxattr(fd, name, to, size); });
}

Result<std::vector<vault::Xattr>> read_xattrs(const std::string& path) {
  return read_with([&](char* to, size_t size) { return ::llistxattr(path.c_str(), to, size); },
                   [&](const char* name, void* to, size_t size) {
                     return ::lgetxattr(path.c_str(), name, to, size);
                   });
}

Result<std::vector<vault::Xattr>> read_xattrs_at(int directory_fd, const std::string& name) {
  return read_xattrs("/proc/self/fd/" + std::to_string(directory_fd) + "/" + name);
}

void fill_entry(const FileStat& st, OwnerNames& owners, vault::Entry& entry) {
  if (const auto type = st.entry_type(); type.ok()) entry.type = *type;
  entry.mode = st.mode & 07777;
  entry.uid = st.uid;
  entry.gid = st.gid;
  entry.user = owners.user(st.uid);
  entry.group = owners.group(st.gid);
  entry.mtime_s = st.mtime_s;
  entry.mtime_ns = st.mtime_ns;
  if (st.is_regular()) entry.size = st.size;
  if (S_ISCHR(st.mode) || S_ISBLK(st.mode)) {
    entry.device_major = st.device_major;
    entry.device_minor = st.device_minor;
  }
}

Result<std::string> read_symlink_at(int directory_fd, const std::string& name) {
  std::string target(512, '\0');
  for (;;) {
    const ssize_t n = ::readlinkat(directory_fd, name.c_str(), target.data(), target.size());
    if (n < 0) return errno_error("");
    if (static_cast<size_t>(n) < target.size()) {
      target.resize(static_cast<size_t>(n));
      return target;
    }
    target.resize(target.size() * 2);
  }
}

}  // namespace holdfast::backup_agent
