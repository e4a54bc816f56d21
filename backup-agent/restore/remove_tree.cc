#include "backup-agent/restore/remove_tree.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

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

// Without recursion: a tree may be deeper than the stack, or than there are descriptors.
Status remove_tree(DirectoryHandle& parent, const std::string& name) {
  struct Level {
    DirectoryHandle::Ptr directory;
    std::string name;  // in the one above
    std::vector<std::pair<std::string, bool>> names;
    size_t next = 0;
    std::unique_ptr<ProtectionLifted> lifted;
  };
  std::vector<Level> levels;
  // Removes anything but a directory; goes down into one.
  const auto remove_or_enter = [&](DirectoryHandle& above, const std::string& what) -> Status {
    TRY(const auto fd, above.fd());
    if (remove_name(fd->get(), what, 0)) return {};
    const int error = errno;
    if (error != EISDIR && error != EPERM) return errno_error(error, "");
    auto child = above.open_child(what);
    if (!child.ok()) return errno_error(error == EISDIR ? child.error().code.value() : EPERM, "");
    TRY(auto names, list_names(**child));
    levels.push_back({std::move(*child), what, std::move(names), 0,
                      std::make_unique<ProtectionLifted>(fd->get(), what)});
    return {};
  };
  TRYV(remove_or_enter(parent, name));
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.next < level.names.size()) {
      const std::string below = level.names[level.next++].first;
      TRYV(remove_or_enter(*level.directory, below));
      continue;
    }
    const std::string empty = std::move(level.name);
    levels.pop_back();
    TRY(const auto fd, (levels.empty() ? parent : *levels.back().directory).fd());
    if (!remove_name(fd->get(), empty, AT_REMOVEDIR)) return errno_error("");
  }
  return {};
}

}  // namespace holdfast::backup_agent
