// The file systems that a restore writes to.
#pragma once

#include <map>

#include <sys/types.h>

#include "base/io/fd.h"
#include "base/result.h"

namespace holdfast::backup_agent {

class WrittenFileSystems {
 public:
  // That of an open directory, from before the first write: a sync tells only of errors since then
  // (syncfs(2), Linux 5.8).
  void add(int directory_fd);
  // When this returns what was written is on the disks. Errors: the system's, if a write that had
  // been taken could not be stored.
  Status sync();

 private:
  std::map<dev_t, io::Fd> directories_;
};

}  // namespace holdfast::backup_agent
