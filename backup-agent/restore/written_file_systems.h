// The file systems that a restore writes to.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include <sys/types.h>

#include "base/io/fd.h"
#include "base/result.h"

namespace holdfast::backup_agent {

// While it lives they are synced every second, so that little is left to wait for at the end.
class WrittenFileSystems {
 public:
  WrittenFileSystems();
  ~WrittenFileSystems();

  // That of an open directory, from before the first write: a sync tells only of errors since then
  // (syncfs(2), Linux 5.8).
  void add(int directory_fd);
  // When this returns what was written is on the disks. Errors: the system's, if a write that had
  // been taken could not be stored, now or before.
  Status sync();

 private:
  void run();

  std::mutex mutex_;
  std::map<dev_t, io::Fd> directories_;  // never removed
  Status failure_;                       // the kernel tells of each but once
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace holdfast::backup_agent
