// Which file system an inode number belongs to, in words that survive a remount under another
// device number: type and UUID, and for btrfs the subvolume. An inode, ctime and mtime mean
// something only together with this.
#pragma once

#include <map>
#include <string>

#include "backup-agent/scan/metadata.h"

namespace holdfast::backup_agent {

struct FileSystemInfo {
  std::string
      identity;  // e.g. "ext4:0f9c...", "btrfs:<fs uuid>:<subvolume uuid>", "nfs:host:/export"
  bool is_pseudo = false;  // kernel state posing as files: proc, sysfs and the like
  bool is_network = false;
};

// Looks a file system up by an open descriptor of an object in it. Never fails: what cannot be
// found out makes a coarser identity.
FileSystemInfo identify_file_system(int fd, const FileStat& st);

// The identity of a btrfs subvolume that `fd` is in; of a snapshot's source if `of_source`.
// Empty if it is not btrfs.
std::string btrfs_identity(int fd, bool of_source);

}  // namespace holdfast::backup_agent
