#include "backup-agent/scan/directory.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "base/io/file_system.h"

namespace holdfast::backup_agent {
namespace {

constexpr int kReachFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
constexpr size_t kReopenedKept = 100;

}  // namespace

void DirectoryPool::opened(DirectoryHandle& handle) {
  // Descriptors are dropped outside the pool's lock: closing may be slow.
  std::vector<DirectoryHandle::SharedFd> dropped;
  const std::lock_guard lock(mutex_);
  if (handle.listed_) open_.erase(handle.position_);
  open_.push_front(&handle);
  handle.position_ = open_.begin();
  handle.listed_ = true;
  for (auto it = open_.end(); open_.size() > open_max_ && it != open_.begin();) {
    --it;
    DirectoryHandle* victim = *it;
    // A handle that is busy is skipped: its owner may be waiting for our lock.
    std::unique_lock busy(victim->mutex_, std::try_to_lock);
    if (victim == &handle || !busy.owns_lock()) continue;
    dropped.push_back(std::move(victim->fd_));
    victim->fd_ = nullptr;
    victim->listed_ = false;
    it = open_.erase(it);
  }
}

void DirectoryPool::closed(DirectoryHandle& handle) {
  const std::lock_guard lock(mutex_);
  if (handle.listed_) open_.erase(handle.position_);
  handle.listed_ = false;
}

DirectoryHandle::~DirectoryHandle() {
  pool_->closed(*this);
}

Status DirectoryHandle::remember_identity(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return errno_error(path());
  device_ = st.st_dev;
  inode_ = st.st_ino;
  return {};
}

Result<DirectoryHandle::Ptr> DirectoryHandle::open_root(std::shared_ptr<DirectoryPool> pool,
                                                        const std::string& path, Access access) {
  int flags = kListFlags;
  auto fd = std::make_shared<io::Fd>(::open(path.c_str(), flags));
  if (!*fd && errno == EACCES && access == Access::reach) {
    flags = kReachFlags;
    *fd = io::Fd(::open(path.c_str(), flags));
  }
  if (!*fd) return errno_error(path);
  Ptr handle(new DirectoryHandle(std::move(pool), nullptr, path, flags));
  TRYV(handle->remember_identity(fd->get()));
  handle->fd_ = std::move(fd);
  handle->pool_->opened(*handle);
  return handle;
}

Result<DirectoryHandle::Ptr> DirectoryHandle::open_child(const std::string& name) {
  TRY(const SharedFd parent_fd, fd());
  auto child_fd =
      std::make_shared<io::Fd>(::openat(parent_fd->get(), name.c_str(), kListFlags | O_NOFOLLOW));
  if (!*child_fd) return errno_error(io::join_path(path(), name));
  Ptr handle(new DirectoryHandle(pool_, shared_from_this(), name, kListFlags));
  TRYV(handle->remember_identity(child_fd->get()));
  handle->fd_ = std::move(child_fd);
  handle->pool_->opened(*handle);
  return handle;
}

Result<DirectoryHandle::SharedFd> DirectoryHandle::fd() {
  {
    const std::lock_guard lock(mutex_);
    if (fd_) return fd_;
  }
  // Up to the nearest ancestor that is open (or the root), then down again: no recursion, so that
  // depth costs no stack.
  std::vector<DirectoryHandle*> chain;
  SharedFd at;
  for (DirectoryHandle* h = this; h != nullptr; h = h->parent_.get()) {
    const std::lock_guard lock(h->mutex_);
    if (h->fd_) {
      at = h->fd_;
      break;
    }
    chain.push_back(h);
  }
  for (size_t left = chain.size(); left-- > 0;) {
    DirectoryHandle& h = *chain[left];
    const bool is_root = h.parent_ == nullptr;
    auto next = std::make_shared<io::Fd>(
        is_root ? ::open(h.name_.c_str(), h.open_flags_)
                : ::openat(at->get(), h.name_.c_str(), h.open_flags_ | O_NOFOLLOW));
    if (!*next) return errno_error(h.path());
    struct stat st {};
    if (::fstat(next->get(), &st) != 0) return errno_error(h.path());
    if (st.st_dev != h.device_ || st.st_ino != h.inode_) {
      return errno_error(ENOENT, h.path() + " was replaced meanwhile");
    }
    at = std::move(next);
    // The nearest ancestors stay open too: a scan coming up from a deep tree needs them next.
    if (left > kReopenedKept) continue;
    {
      const std::lock_guard lock(h.mutex_);
      if (!h.fd_) h.fd_ = at;
    }
    pool_->opened(h);
  }
  return at;
}

std::string DirectoryHandle::path() const {
  std::vector<const std::string*> names;
  for (const DirectoryHandle* h = this; h != nullptr; h = h->parent_.get()) {
    names.push_back(&h->name_);
  }
  // In place: copying at every level would cost gigabytes in a tree of ten thousand.
  std::string out = *names.back();
  names.pop_back();
  for (auto it = names.rbegin(); it != names.rend(); ++it) {
    if (!out.ends_with('/')) out.push_back('/');
    out += **it;
  }
  return out;
}

}  // namespace holdfast::backup_agent
