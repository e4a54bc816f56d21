// Gathers sealed segments into packs and puts them, several at a time.
//
// One pack of each kind is open. A full one is closed and waits for a free uploader: one in the
// queue, others in the calls of add() that closed them. So there are in memory at most `uploads`
// packs being put, 1 in the queue, 1 for each thread in add(), and the 2 that are open. Without
// uploads add() itself puts what it closed, and there is no queue.
//
// The first failure stays: every later call returns it. add() may be called by any number of
// threads.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/async/bounded_queue.h"
#include "base/io/rate_limiter.h"
#include "vault/format/pack.h"
#include "vault/index/run.h"
#include "vault/seal/segment_sealer.h"
#include "vault/store/store.h"

namespace holdfast::vault {

struct UploadCounters {
  std::atomic<uint64_t> data_bytes{0};      // stored, of data packs
  std::atomic<uint64_t> metadata_bytes{0};  // stored, of metadata packs
  std::atomic<uint64_t> packs{0};
};

class PackUploader {
 public:
  // Called for every pack that is durable, by whichever thread put it; one call at a time.
  using StoredCallback = std::function<Status(const IndexedPack&, const PackFooter&)>;

  PackUploader(Store& store, const VaultId& vault, const DomainId& domain, unsigned uploads,
               io::RateLimiter* limiter, StoredCallback stored);
  ~PackUploader();

  // Names the session that packs closed from now on are stored under.
  void set_session(const SessionId& session);

  // Adds a segment; `wrap` is that of the session whose key sealed it. Blocks while too much is
  // waiting. Errors: the store's, from this or an earlier pack.
  Status add(PackKind kind, const KeyWrap& wrap, std::vector<ChunkRef> refs, SealedSegment segment);
  // Closes the open packs and waits until all are durable.
  Status drain();
  // Drops what waits and stops the threads; what was put stays in the store.
  void cancel();

  const UploadCounters& counters() const { return counters_; }

 private:
  struct OpenPack {
    PackFooter footer;
    std::vector<Buffer> segments;
    std::vector<ChunkId> edges;
    uint64_t bytes = 0;
  };
  struct ClosedPack {
    IndexedPack id;
    PackFooter footer;
    Bytes footer_bytes;
    std::vector<Buffer> segments;
    std::vector<ChunkId> edges;
  };

  void append_segment(OpenPack& pack, PackKind kind, const KeyWrap& wrap,
                      std::vector<ChunkRef>& refs, SealedSegment& segment);
  ClosedPack close_pack(OpenPack pack);
  Status submit(ClosedPack pack);
  Status put(ClosedPack& pack);
  void run_uploads();
  void fail(const Error& error);
  Status failure();

  Store& store_;
  const VaultId vault_;
  const DomainId domain_;
  io::RateLimiter* const limiter_;
  const StoredCallback stored_;
  UploadCounters counters_;

  std::mutex open_mutex_;
  SessionId session_;
  std::array<OpenPack, 2> open_;

  std::mutex stored_mutex_;

  std::mutex failure_mutex_;
  std::optional<Error> failure_;

  std::mutex pending_mutex_;
  std::condition_variable none_pending_;
  size_t pending_ = 0;
  std::unique_ptr<async::BoundedQueue<ClosedPack>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace holdfast::vault
