#include "backup-agent/restore/remove_tree.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/io/file_system.h"

namespace holdfast::backup_agent {

Result<std::vector<std::pair<std::string, bool>>> list_names(DirectoryHandle& directory) {
  TRY(const auto fd, directory.fd());
  TRY(const auto entries,
      io::posix_file_system().list("/proc/self/fd/" + std::to_string(fd->get())));
  std::vector<std::pair<std::string, bool>> names;
  for (const auto& e : entries) names.emplace_back(e.name, e.is_directory);
  return names;
}

Status remove_tree(DirectoryHandle& parent, const std::string& name) {
  TRY(const auto fd, parent.fd());
  if (::unlinkat(fd->get(), name.c_str(), 0) == 0) return {};
  if (errno != EISDIR && errno != EPERM) return errno_error("");
  auto child = parent.open_child(name);
  if (!child.ok()) return errno_error(EPERM, "");
  TRY(const auto names, list_names(**child));
  for (const auto& [below, is_directory] : names) TRYV(remove_tree(**child, below));
  if (::unlinkat(fd->get(), name.c_str(), AT_REMOVEDIR) != 0) return errno_error("");
  return {};
}

}  // namespace holdfast::backup_agent
