// Walks the trees to back up, in the order of the path map, reading directories ahead on a few
// threads.
#pragma once

#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "backup-agent/scan/directory.h"
#include "backup-agent/scan/filter.h"
#include "backup-agent/scan/fs_identity.h"
#include "base/io/file_system.h"

namespace holdfast::backup_agent {

// A tree to take: `key` is where it stands in the recovery point (its absolute path without the
// leading slash), `path` where it is read from; they differ when a snapshot stands in for the tree.
struct ScanRoot {
  std::string key;
  std::string path;
};

struct ScanOptions {
  bool one_file_system = false;
  unsigned threads = 2;
  // Directories that are left out whatever the patterns say: (device, inode). The vault itself.
  std::set<std::pair<uint64_t, uint64_t>> skip;
};

struct ScannedEntry {
  std::string key;
  // How to open it: a name in a directory; for directories also the directory itself, if it was
  // opened. Roots above the trees have neither.
  DirectoryHandle::Ptr parent;
  DirectoryHandle::Ptr directory;
  std::string name;
  FileStat stat;
  const FileSystemInfo* file_system = nullptr;  // lives as long as the scanner
  io::TimeNs seen_ns = 0;                       // the system's clock, taken before `stat` was
};

// Called by the thread that runs scan(), in key order.
class ScanVisitor {
 public:
  virtual ~ScanVisitor() = default;
  // An error ends the scan and is returned by it.
  virtual Status entry(ScannedEntry entry) = 0;
  // Something could not be looked at.
  virtual void problem(const std::string& key, const Error& error) = 0;
  // Something was left out on purpose, for a reason worth telling once.
  virtual void left_out(const std::string& key, std::string_view reason) = 0;
  // A btrfs subvolume inside a snapshot shows as an empty directory: where to read it instead, or
  // empty to take it as it is.
  virtual std::string nested_subvolume(const std::string& key) {
    (void)key;
    return "";
  }
};

class Scanner {
 public:
  // `roots` must be sorted by key, and none inside another.
  Scanner(std::vector<ScanRoot> roots, const Filter& filter, ScanOptions options);
  ~Scanner();

  // Errors: the visitor's; Errc::interrupted.
  Status scan(ScanVisitor& visitor, std::stop_token stop);

 private:
  class Walk;
  const std::vector<ScanRoot> roots_;
  const Filter& filter_;
  const ScanOptions options_;
  std::unique_ptr<Walk> walk_;
};

}  // namespace holdfast::backup_agent
