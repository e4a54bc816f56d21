// Directories of the tree being scanned or restored, reached one name at a time.
//
// A handle knows its parent and its name, never a whole path, so paths beyond PATH_MAX and trees of
// any depth work, and no symbolic link put in the way is followed. Few descriptors stay open: a
// handle that lost its own opens it again through its parents and checks that it found the same
// directory.
//
// Thread safety: handles may be shared and opened by any number of threads.
#pragma once

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

  // A directory by path, following links in it. `flags` are added to O_DIRECTORY | O_RDONLY.
  static Result<Ptr> open_root(std::shared_ptr<DirectoryPool> pool, const std::string& path);
  // A child. Does not follow a link. Errors: the system's; std::errc::not_a_directory also for a
  // link.
  Result<Ptr> open_child(const std::string& name);
  ~DirectoryHandle();

  // The descriptor, opened again if need be; valid as long as the result is held.
  // Errors: the system's; std::errc::no_such_file_or_directory if the directory is no longer there
  // or another took its place.
  Result<SharedFd> fd();

  // For messages: the path from the root, which may be long.
  std::string path() const;

 private:
  DirectoryHandle(std::shared_ptr<DirectoryPool> pool, Ptr parent, std::string name)
      : pool_(std::move(pool)), parent_(std::move(parent)), name_(std::move(name)) {}
  Status remember_identity(int fd);

  friend class DirectoryPool;
  const std::shared_ptr<DirectoryPool> pool_;
  const Ptr parent_;        // null for a root
  const std::string name_;  // or the root's path
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::mutex mutex_;
  SharedFd fd_;
  std::list<DirectoryHandle*>::iterator position_;
  bool listed_ = false;  // in the pool; guarded by the pool's mutex
};

}  // namespace holdfast::backup_agent
