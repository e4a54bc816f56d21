#include "backup-agent/restore/written_file_systems.h"

#include <chrono>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include <sys/stat.h>

namespace holdfast::backup_agent {

WrittenFileSystems::WrittenFileSystems() : thread_([this] { run(); }) {}

WrittenFileSystems::~WrittenFileSystems() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void WrittenFileSystems::add(int directory_fd) {
  struct stat st {};
  const std::lock_guard lock(mutex_);
  if (::fstat(directory_fd, &st) != 0 || directories_.contains(st.st_dev)) return;
  io::Fd directory(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) directories_.emplace(st.st_dev, std::move(directory));
}

Status WrittenFileSystems::sync() {
  std::unique_lock lock(mutex_);
  std::vector<int> open;
  for (const auto& [device, directory] : directories_) open.push_back(directory.get());
  lock.unlock();
  Status synced;
  for (const int fd : open) {
    if (::syncfs(fd) != 0 && synced.ok()) synced = errno_error("");
  }
  lock.lock();
  if (failure_.ok()) failure_ = synced;
  return failure_;
}

void WrittenFileSystems::run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::seconds(1), [this] { return end_; })) {
    lock.unlock();
    (void)sync();  // kept for whoever asks at the end
    lock.lock();
  }
}

}  // namespace holdfast::backup_agent
