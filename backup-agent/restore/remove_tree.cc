#include "backup-agent/restore/remove_tree.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

#include "backup-agent/restore/metadata_writer.h"
#include "base/io/file_system.h"

namespace holdfast::backup_agent {

Result<std::vector<std::pair<std::string, bool>>> list_names(DirectoryHandle& directory) {
  TRY(const auto fd, directory.fd());
  TRY(const auto entries,
      io::posix_file_system().list("/proc/self/fd/" + std::to_string(fd->get())));
  std::vector<std::pair<std::string, bool>> names;
  names.reserve(entries.size());
  for (const auto& e : entries) names.emplace_back(e.name, e.is_directory);
  return names;
}

Result<DirectoryId> directory_id(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return errno_error("");
  return DirectoryId{st.st_dev, st.st_ino};
}

Result<bool> is_inside(int fd, const DirectoryId& directory) {
  io::Fd above;
  TRY(DirectoryId id, directory_id(fd));
  for (;;) {
    if (id == directory) return true;
    io::Fd next(::openat(above ? above.get() : fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!next) return errno_error("");
    TRY(const DirectoryId next_id, directory_id(next.get()));
    if (next_id == id) return false;  // the root is above itself
    id = next_id;
    above = std::move(next);
  }
}

namespace {

struct Kind {
  bool is_directory;
  // Device numbers do not tell the mounts of a file system onto itself (bind mounts). Before Linux
  // 5.8 this does not either.
  bool is_mount_root;
};

Result<Kind> kind_of(int fd, const std::string& name) {
  struct statx st {};
  if (::statx(fd, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) != 0) {
    return errno_error("");
  }
  return Kind{S_ISDIR(st.stx_mode), (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

// Without recursion: a tree may be deeper than the stack, or than there are descriptors.
class TreeRemoval {
 public:
  TreeRemoval(DirectoryHandle& parent, const RemoveOptions& options)
      : parent_(parent), options_(options) {}

  Result<Removed> run(const std::string& name) {
    TRYV(remove_or_enter(parent_, name));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next < level.names.size()) {
        const std::string below = level.names[level.next++].first;
        TRYV(remove_or_enter(*level.directory, below));
      } else {
        TRYV(leave_level());
      }
    }
    if (!left_) return Removed::all;
    return removed_ ? Removed::part : Removed::nothing;
  }

 private:
  struct Level {
    DirectoryHandle::Ptr directory;
    std::string name;  // in the one above
    std::vector<std::pair<std::string, bool>> names;
    size_t next = 0;
    bool stays = false;  // something in it was left
    std::unique_ptr<ProtectionLifted> lifted;
  };

  // Removes anything but a directory; goes down into one.
  Status remove_or_enter(DirectoryHandle& above, const std::string& name) {
    TRY(const auto fd, above.fd());
    TRY(const Kind kind, kind_of(fd->get(), name));
    if (options_.keeps && options_.keeps(below_top(name), kind.is_directory)) {
      stay();
      return {};
    }
    if (!kind.is_directory) {
      if (kind.is_mount_root) {
        leave(io::join_path(above.path(), name), "something is mounted on it; not deleted");
        return {};
      }
      if (!options_.dry_run && !remove_name(fd->get(), name, 0)) return errno_error("");
      removed_ = true;
      return {};
    }
    TRY(auto child, above.open_child(name));
    TRY(const auto child_fd, child->fd());
    TRY(const DirectoryId id, directory_id(child_fd->get()));
    TRY(const DirectoryId above_id, directory_id(fd->get()));
    if (std::find(options_.spared.begin(), options_.spared.end(), id) != options_.spared.end()) {
      leave(child->path(), "is the vault itself; not deleted");
      return {};
    }
    if (id.first != above_id.first || kind.is_mount_root) {
      leave(child->path(), "is another file system; not deleted");
      return {};
    }
    TRY(auto names, list_names(*child));
    auto lifted = options_.dry_run ? nullptr : std::make_unique<ProtectionLifted>(fd->get(), name);
    levels_.push_back({std::move(child), name, std::move(names), 0, false, std::move(lifted)});
    return {};
  }

  Status leave_level() {
    const std::string name = std::move(levels_.back().name);
    const bool stays = levels_.back().stays;
    levels_.pop_back();
    if (stays) {
      if (!levels_.empty()) levels_.back().stays = true;
      return {};
    }
    removed_ = true;
    if (options_.dry_run) return {};
    TRY(const auto fd, (levels_.empty() ? parent_ : *levels_.back().directory).fd());
    if (!remove_name(fd->get(), name, AT_REMOVEDIR)) return errno_error("");
    return {};
  }

  // The path from the top of the tree, which `name` is if there is no level yet.
  std::string below_top(const std::string& name) const {
    std::string path;
    for (size_t i = 1; i < levels_.size(); ++i) path += levels_[i].name + "/";
    return levels_.empty() ? path : path + name;
  }

  void stay() {
    left_ = true;
    if (!levels_.empty()) levels_.back().stays = true;
  }

  void leave(const std::string& path, const std::string& reason) {
    stay();
    if (options_.on_left) options_.on_left(path, reason);
  }

  DirectoryHandle& parent_;
  const RemoveOptions& options_;
  std::vector<Level> levels_;
  bool removed_ = false;
  bool left_ = false;
};

}  // namespace

Result<Removed> remove_tree(DirectoryHandle& parent, const std::string& name,
                            const RemoveOptions& options) {
  return TreeRemoval(parent, options).run(name);
}

}  // namespace holdfast::backup_agent
