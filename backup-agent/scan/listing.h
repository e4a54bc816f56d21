// One directory's names, sorted, with what statx said of each: the unit of reading ahead.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backup-agent/scan/scanner.h"
#include "base/async/job_pool.h"

namespace holdfast::backup_agent {

// File systems by device number, identified once each. Any number of threads.
class FileSystems {
 public:
  const FileSystemInfo* find(uint64_t device);
  const FileSystemInfo& identify(int fd, const FileStat& st);

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, std::unique_ptr<FileSystemInfo>> by_device_;
};

struct Listing {
  struct Name {
    uint32_t offset = 0;
    uint16_t length = 0;
    bool is_directory = false;
  };
  struct Stat {
    FileStat stat;
    int error = 0;  // errno, or 0
    io::TimeNs seen_ns = 0;
  };
  // Large directories are looked at piecewise: a million FileStats at once would be 100 MB.
  static constexpr size_t kBatch = 1024;
  using Batch = std::vector<Stat>;

  DirectoryHandle::Ptr directory;
  const FileSystemInfo* file_system = nullptr;
  FileStat stat;  // of the directory itself
  std::optional<Error> error;
  std::string left_out;  // why the content was not listed
  std::string arena;
  std::vector<Name> names;
  Batch first_batch;

  std::string_view name(size_t i) const {
    return std::string_view(arena).substr(names[i].offset, names[i].length);
  }
  size_t batch_count() const { return (names.size() + kBatch - 1) / kBatch; }
};

struct ListingContext {
  const Filter& filter;
  const ScanOptions& options;
  FileSystems& file_systems;
};

// Lists `listing.directory`, whose key is `key`; everything but `directory` is filled in.
void read_listing(const ListingContext& context, const std::string& key, Listing& listing);
// Looks at names [index * kBatch, ...) of a listing.
Listing::Batch read_batch(const Listing& listing, size_t index);

std::string child_key(std::string_view parent, std::string_view name);

}  // namespace holdfast::backup_agent
