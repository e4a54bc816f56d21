// The reading stage: opens what changed, reads metadata and content, cuts content into chunks. One
// object per thread.
#pragma once

#include "backup-agent/chunk/fastcdc.h"
#include "backup-agent/upload/batch.h"
#include "backup-agent/upload/cache_set.h"
#include "base/io/rate_limiter.h"

namespace holdfast::backup_agent {

class FileReader {
 public:
  struct Shared {
    PipelineState& state;
    NodeStore& nodes;
    CacheSet& cache;
    BufferPool& buffers;
    BatchQueue& batches;
    const GearTable& gear;
    io::RateLimiter* limiter = nullptr;
  };
  explicit FileReader(const Shared& shared) : shared_(shared) {}

  // Reads each job's object, in order; hands over what it gathered before it returns. Returns early
  // if the pipeline was cancelled.
  void read(const std::vector<FileJobPtr>& jobs);
  // Content that comes from a descriptor without a file: standard input. The job's entry is filled
  // in but for its size. False if it could not be read to its end.
  bool read_stream(const FileJobPtr& job, int fd);

 private:
  enum class Outcome { done, changed, cancelled };
  // How far a file is given out.
  struct Position {
    uint64_t at = 0;
    uint64_t pieces = 0;
    bool file_ended = false;  // before the size that it had when it was opened

    void deliver(FileJob& job, const vault::Extent& extent) {
      job.deliver(pieces++, extent);
      at += extent.bytes;
    }
  };

  void read_one(const FileJobPtr& job);
  void read_file(const FileJobPtr& job);
  void read_other(const FileJobPtr& job);
  void read_metadata(const FileJobPtr& job, int fd);
  void take_xattrs(const FileJobPtr& job, Result<std::vector<vault::Xattr>> xattrs);
  void store_xattrs(vault::Entry& entry, std::vector<vault::Xattr> xattrs);
  Outcome read_small(const FileJobPtr& job, int fd, const FileStat& st, bool last_attempt);
  Outcome read_large(const FileJobPtr& job, int fd, const FileStat& st);
  bool take_over_parts(const FileJobPtr& job, int fd, const FileStat& st, Position& here);
  bool read_range(const FileJobPtr& job, int fd, Position& here, uint64_t end);
  // Reads to the end of what `read_some` gives, cutting as it goes. False on cancellation or error.
  template <class Read>
  bool cut_stream(const FileJobPtr& job, const Read& read_some, Position& here);
  ssize_t read_some_at(int fd, uint8_t* to, size_t bytes, uint64_t offset);
  void changed_while_read(const FileJobPtr& job);
  bool is_replaced_link(const FileJobPtr& job, const FileStat& now);
  void incomplete(const FileJobPtr& job, std::string_view what, const std::string& reason);
  void unreadable(const FileJobPtr& job, int error, std::string_view what);

  bool need_room(size_t bytes);
  void add_piece(const FileJobPtr& job, uint64_t piece, size_t bytes);
  bool hand_over();

  Shared shared_;
  OwnerNames owners_;
  Batch batch_;
};

}  // namespace holdfast::backup_agent
