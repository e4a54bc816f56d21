// Bytes read from files, cut into chunks, on their way from readers to chunkers.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "backup-agent/upload/file_job.h"
#include "base/async/bounded_queue.h"

namespace holdfast::backup_agent {

struct ChunkPiece {
  FileJobPtr job;
  uint64_t piece = 0;
  uint32_t offset = 0;  // in the batch's buffer
  uint32_t bytes = 0;
};

struct Batch {
  static constexpr size_t kBytes = 1024 * 1024;
  Buffer* buffer = nullptr;
  size_t used = 0;
  std::vector<ChunkPiece> pieces;
};

// A fixed set of buffers: what is read and not yet stored is bounded, and memory is touched once.
class BufferPool {
 public:
  explicit BufferPool(size_t count) : buffers_(count) {
    for (Buffer& b : buffers_) {
      b = Buffer(Batch::kBytes);
      free_.push_back(&b);
    }
  }
  // Null if cancelled.
  Buffer* acquire() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return cancelled_ || !free_.empty(); });
    if (cancelled_) return nullptr;
    Buffer* b = free_.back();
    free_.pop_back();
    return b;
  }
  void release(Buffer* buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
    freed_.notify_one();
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    freed_.notify_all();
  }

 private:
  std::vector<Buffer> buffers_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<Buffer*> free_;
  bool cancelled_ = false;
};

using BatchQueue = async::BoundedQueue<Batch>;

}  // namespace holdfast::backup_agent
