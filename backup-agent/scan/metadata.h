// What the system says about a file-system object: statx, owners' names, extended attributes,
// inode flags.
#pragma once

#include <string>
#include <unordered_map>

#include "vault/format/entry.h"

namespace holdfast::backup_agent {

// The part of statx that a backup looks at, in a form that is cheap to keep by the million.
struct FileStat {
  uint64_t inode = 0;
  uint64_t device = 0;
  uint64_t mount_id = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // of 512 bytes, allocated
  int64_t mtime_s = 0;
  int64_t ctime_s = 0;
  uint32_t mtime_ns = 0;
  uint32_t ctime_ns = 0;
  uint32_t mode = 0;  // with type bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  uint32_t device_major = 0;  // of a device node
  uint32_t device_minor = 0;

  bool is_directory() const;
  bool is_regular() const;
  // The type as entries have it. Errors: Errc::unsupported for anything else (a door, a whiteout).
  Result<vault::EntryType> entry_type() const;
};

// Of `name` in an open directory, or of the descriptor itself with an empty name. Does not follow a
// link and mounts nothing. Errors: the system's, without context.
Result<FileStat> stat_at(int directory_fd, const char* name);

// Names of users and groups, asked for once each. One thread at a time.
class OwnerNames {
 public:
  const std::string& user(uint32_t uid);
  const std::string& group(uint32_t gid);

 private:
  std::unordered_map<uint32_t, std::string> users_;
  std::unordered_map<uint32_t, std::string> groups_;
};

// The inode flags that Holdfast keeps: those of chattr(1) that a process may set again.
inline constexpr uint32_t kAttributesKept = 0x00000001 |  // s  FS_SECRM_FL
                                            0x00000002 |  // u  FS_UNRM_FL
                                            0x00000004 |  // c  FS_COMPR_FL
                                            0x00000008 |  // S  FS_SYNC_FL
                                            0x00000010 |  // i  FS_IMMUTABLE_FL
                                            0x00000020 |  // a  FS_APPEND_FL
                                            0x00000040 |  // d  FS_NODUMP_FL
                                            0x00000080 |  // A  FS_NOATIME_FL
                                            0x00004000 |  // j  FS_JOURNAL_DATA_FL
                                            0x00008000 |  // t  FS_NOTAIL_FL
                                            0x00010000 |  // D  FS_DIRSYNC_FL
                                            0x00020000 |  // T  FS_TOPDIR_FL
                                            0x00800000 |  // C  FS_NOCOW_FL
                                            0x20000000;   // P  FS_PROJINHERIT_FL

// Flags of an open file or directory; 0 where the file system has none.
uint32_t read_attributes(int fd);

// Extended attributes of an open file or directory, sorted by name; of what a path names, without
// following a link. Where the file system has none the list is empty. Attributes that only describe
// the moment (security.ima, security.evm) and those of overlay file systems are left out.
// Errors: the system's, without context.
Result<std::vector<vault::Xattr>> read_xattrs(int fd);
Result<std::vector<vault::Xattr>> read_xattrs(const std::string& path);
// Of `name` in an open directory, for objects that cannot be opened. Needs /proc.
Result<std::vector<vault::Xattr>> read_xattrs_at(int directory_fd, const std::string& name);

// Type, mode, owner and times. Content, links, attributes and xattrs are the caller's.
void fill_entry(const FileStat& st, OwnerNames& owners, vault::Entry& entry);

// Errors: the system's, without context.
Result<std::string> read_symlink_at(int directory_fd, const std::string& name);

}  // namespace holdfast::backup_agent
