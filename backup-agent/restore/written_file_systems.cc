#include "backup-agent/restore/written_file_systems.h"

#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

namespace holdfast::backup_agent {

void WrittenFileSystems::add(int directory_fd) {
  struct stat st {};
  if (::fstat(directory_fd, &st) != 0 || directories_.contains(st.st_dev)) return;
  io::Fd directory(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) directories_.emplace(st.st_dev, std::move(directory));
}

Status WrittenFileSystems::sync() {
  for (const auto& [device, directory] : directories_) {
    if (::syncfs(directory.get()) != 0) return errno_error("");
  }
  return {};
}

}  // namespace holdfast::backup_agent
