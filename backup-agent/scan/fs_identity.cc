#include "backup-agent/scan/fs_identity.h"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/io/fd.h"

namespace holdfast::backup_agent {
namespace {

// Linux 6.9: <linux/fs.h>, FS_IOC_GETFSUUID. Spelled out, because Debian 12's headers are older.
struct FsUuid2 {
  uint8_t length;
  uint8_t uuid[16];
};
constexpr unsigned long kGetFsUuid = _IOR(0x15, 0, FsUuid2);

std::string uuid_by_ioctl(int fd) {
  FsUuid2 answer{};
  if (::ioctl(fd, kGetFsUuid, &answer) != 0 || answer.length == 0 || answer.length > 16) return "";
  return to_hex({answer.uuid, answer.length});
}

// udev keeps /dev/disk/by-uuid/<uuid> -> device; look for the one with this device number.
std::string uuid_by_links(uint64_t device) {
  std::error_code error;
  for (const auto& link : std::filesystem::directory_iterator("/dev/disk/by-uuid", error)) {
    struct stat st {};
    if (::stat(link.path().c_str(), &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device) {
      return link.path().filename().string();
    }
  }
  return "";
}

struct MountInfo {
  std::string type;
  std::string source;
};

MountInfo mount_info(uint64_t mount_id, uint64_t device) {
  std::ifstream in("/proc/self/mountinfo");
  std::string line;
  char wanted_device[32];
  std::snprintf(wanted_device, sizeof wanted_device, "%u:%u", major(device), minor(device));
  MountInfo by_device;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string id, parent, dev, rest;
    fields >> id >> parent >> dev;
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream tail(line.substr(separator + 3));
    MountInfo info;
    tail >> info.type >> info.source;
    if (mount_id != 0 && id == std::to_string(mount_id)) return info;
    if (dev == wanted_device) by_device = info;
  }
  return by_device;
}

bool is_pseudo_type(uint64_t magic) {
  switch (static_cast<uint32_t>(magic)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case SELINUX_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case BPF_FS_MAGIC:
    case PSTOREFS_MAGIC:
    case EFIVARFS_MAGIC:
    case BINFMTFS_MAGIC:
    case NSFS_MAGIC:
    case 0x62656570:  // configfs
    case 0x19800202:  // mqueue
    case 0x65735543:  // fusectl
    case 0x67596969:  // rpc_pipefs
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string btrfs_identity(int fd, bool of_source) {
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0 || fs.f_type != BTRFS_SUPER_MAGIC) return "";
  btrfs_ioctl_fs_info_args info{};
  btrfs_ioctl_get_subvol_info_args subvolume{};
  // Only a negative result is a failure: for a snapshot newer kernels answer 1 (what they looked
  // for last, further references to it, is not there) with everything filled in.
  if (::ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0 ||
      ::ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &subvolume) < 0) {
    return "";
  }
  const uint8_t* uuid = of_source ? subvolume.parent_uuid : subvolume.uuid;
  return "btrfs:" + to_hex({info.fsid, sizeof info.fsid}) + ":" + to_hex({uuid, 16});
}

FileSystemInfo identify_file_system(int fd, const FileStat& st) {
  FileSystemInfo out;
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0) {
    out.identity = "unknown:" + std::to_string(st.device);
    return out;
  }
  out.is_pseudo = is_pseudo_type(static_cast<uint64_t>(fs.f_type));
  out.identity = btrfs_identity(fd, false);
  if (!out.identity.empty()) return out;
  const MountInfo mount = mount_info(st.mount_id, st.device);
  out.is_network = mount.type.starts_with("nfs") || mount.type == "cifs" || mount.type == "smb3" ||
                   mount.type == "9p" || mount.type == "ceph" || mount.type.starts_with("fuse");
  std::string uuid = uuid_by_ioctl(fd);
  if (uuid.empty()) uuid = uuid_by_links(st.device);
  if (uuid.empty() && !out.is_network) {
    // ext4 and others fold their UUID into f_fsid; where it is derived from the device number
    // instead (xfs before 6.9), a remount under another number costs one full read.
    uint64_t fsid = 0;
    static_assert(sizeof fs.f_fsid == sizeof fsid);
    std::memcpy(&fsid, &fs.f_fsid, sizeof fsid);
    char text[24];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(fsid));
    uuid = text;
  }
  out.identity = mount.type + ":" + (uuid.empty() ? mount.source : uuid);
  return out;
}

}  // namespace holdfast::backup_agent
