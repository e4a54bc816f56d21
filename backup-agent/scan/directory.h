// Directories of the tree being scanned or restored, reached one name at a time.
//
// A handle knows its parent and its name, never a whole path, so paths beyond PATH_MAX and trees of
// any depth work, and no symbolic link put in the way is followed. Few descriptors stay open: a
// handle that lost its own opens it again through its parents and checks that it found the same
// directory.
//
// Thread safety: handles may be shared and opened by any number of threads.
#pragma once

#include <fcntl.h>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include <sys/stat.h>

#include "base/io/fd.h"
#include "base/result.h"

namespace holdfast::backup_agent {

class DirectoryHandle;

// Keeps the most recently used descriptors of a tree open.
class DirectoryPool {
 public:
  explicit DirectoryPool(size_t open_max = 256) : open_max_(open_max) {}

 private:
  friend class DirectoryHandle;
  void opened(DirectoryHandle& handle);
  void closed(DirectoryHandle& handle);

  const size_t open_max_;
  std::mutex mutex_;
  std::list<DirectoryHandle*> open_;  // most recently opened first
};

class DirectoryHandle : public std::enable_shared_from_this<DirectoryHandle> {
 public:
  using Ptr = std::shared_ptr<DirectoryHandle>;
  using SharedFd = std::shared_ptr<io::Fd>;

  // What the directory is for: to be listed, or only to reach what is in it. One that may be
  // entered but not read (mode 0711) can do only the latter.
  enum class Access { list, reach };
  // A directory by path, following links in it.
  static Result<Ptr> open_root(std::shared_ptr<DirectoryPool> pool, const std::string& path,
                               Access access = Access::list);
  // A child. Does not follow a link. Errors: the system's; std::errc::not_a_directory also for a
  // link.
  Result<Ptr> open_child(const std::string& name);
  ~DirectoryHandle();

  // The descriptor, opened again if need be; valid as long as the result is held.
  // Errors: the system's; std::errc::no_such_file_or_directory if the directory is no longer there
  // or another took its place.
  Result<SharedFd> fd();

  // Whether the descriptor gives its names, attributes and flags; always so for Access::list.
  bool is_readable() const { return open_flags_ == kListFlags; }

  // For messages: the path from the root, which may be long.
  std::string path() const;

 private:
  static constexpr int kListFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

  DirectoryHandle(std::shared_ptr<DirectoryPool> pool, Ptr parent, std::string name, int open_flags)
      : pool_(std::move(pool)),
        parent_(std::move(parent)),
        name_(std::move(name)),
        open_flags_(open_flags) {}
  Status remember_identity(int fd);

  friend class DirectoryPool;
  const std::shared_ptr<DirectoryPool> pool_;
  const Ptr parent_;        // null for a root
  const std::string name_;  // or the root's path
  const int open_flags_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::mutex mutex_;
  SharedFd fd_;
  std::list<DirectoryHandle*>::iterator position_;
  bool listed_ = false;  // in the pool; guarded by the pool's mutex
};

}  // namespace holdfast::backup_agent
