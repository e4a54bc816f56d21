// What a running backup has done so far, for whoever shows it. Written by its threads, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast::backup_agent {

struct BackupProgress {
  std::atomic<uint64_t> entries{0};    // looked at
  std::atomic<uint64_t> files_new{0};  // not in the base, or not known there
  std::atomic<uint64_t> files_changed{0};
  std::atomic<uint64_t> files_unchanged{0};
  std::atomic<uint64_t> bytes_seen{0};  // logical size of all files looked at
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> problems{0};
  std::atomic<bool> scan_finished{false};
};

}  // namespace holdfast::backup_agent
