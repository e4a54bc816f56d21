// Puts metadata of a recovery point back on file-system objects: owner, mode, extended attributes,
// times, inode flags, in the order in which one does not undo the other.
//
// What this process may not do (owners, trusted attributes and the like as an ordinary user) is
// counted by kind, to be told once; everything else that fails is an error of that object.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "base/io/fd.h"
#include "vault/format/entry.h"

namespace holdfast::backup_agent {

// Kinds of metadata that could not be set, and on how many objects. Any number of threads.
class RefusedMetadata {
 public:
  void add(const std::string& kind, const std::string& example) {
    const std::lock_guard lock(mutex_);
    auto& entry = kinds_[kind];
    if (entry.count++ == 0) entry.example = example;
  }
  // "owner of 1,204 objects, the first is ..." and so on.
  std::vector<std::string> report() const;

 private:
  struct Kind {
    uint64_t count = 0;
    std::string example;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Kind> kinds_;
};

struct MetadataOptions {
  bool owners_by_name = false;  // look names up here instead of using the stored numbers
};

// Uids and gids to use on this machine. Any number of threads.
class OwnerLookup {
 public:
  explicit OwnerLookup(bool by_name) : by_name_(by_name) {}
  uint32_t uid(const vault::Entry& entry);
  uint32_t gid(const vault::Entry& entry);

 private:
  const bool by_name_;
  std::mutex mutex_;
  std::map<std::string, std::optional<uint32_t>> users_;
  std::map<std::string, std::optional<uint32_t>> groups_;
};

// While it lives, the immutable and append-only flags of an object are off, if it has them and this
// process may.
class ProtectionLifted {
 public:
  ProtectionLifted(int directory_fd, const std::string& name);
  ~ProtectionLifted();
  ProtectionLifted(const ProtectionLifted&) = delete;
  ProtectionLifted& operator=(const ProtectionLifted&) = delete;
  // The object has got the flags that it is to have: they stay.
  void forget() { flags_ = 0; }

 private:
  io::Fd fd_;
  uint32_t flags_ = 0;
};

// unlinkat, lifting the flags of what is in the way. False with errno set.
bool remove_name(int directory_fd, const std::string& name, int flags);
// renameat within a directory, lifting the flags of both. False with errno set.
bool rename_over(int directory_fd, const std::string& from, const std::string& to);
bool same_object(const struct stat& a, const struct stat& b);

class MetadataWriter {
 public:
  MetadataWriter(const MetadataOptions& options, RefusedMetadata& refused);

  // What to make a file with: at once the mode that it is to have where that lets nobody in who
  // does not belong there, which saves setting it later.
  uint32_t mode_to_create(const vault::Entry& entry);
  // An open file or directory. Without `xattrs` those that it has stay. A `clean` object was just
  // made and inherited nothing: it has no attributes to remove. `path` is for messages. Errors: the
  // system's; what did not fail has been applied all the same.
  Status apply(int fd, const vault::Entry& entry, const std::vector<vault::Xattr>* xattrs,
               bool clean, const std::string& path);
  // An object that cannot be opened (link, device, FIFO, socket), by name.
  Status apply_at(int directory_fd, const std::string& name, const vault::Entry& entry,
                  const std::vector<vault::Xattr>* xattrs, bool clean, const std::string& path);

  // Counts `error` among what this process may not do. False if it is something else.
  bool refused(int error, const std::string& kind, const std::string& path);

 private:
  OwnerLookup owners_;
  RefusedMetadata& refused_;
  const uint32_t own_uid_;
  const uint32_t own_gid_;
};

}  // namespace holdfast::backup_agent
