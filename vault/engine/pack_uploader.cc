#include "vault/engine/pack_uploader.h"

#include <algorithm>

#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

size_t slot_of(PackKind kind) {
  return kind == PackKind::data ? 0 : 1;
}

// A pack also closes when its footer grows out of proportion: thousands of tiny chunks.
constexpr size_t kChunksToClose = 256 * 1024;
constexpr size_t kSegmentsToClose = 32 * 1024;

}  // namespace

PackUploader::PackUploader(Store& store, const VaultId& vault, const DomainId& domain,
                           unsigned uploads, io::RateLimiter* limiter, StoredCallback stored)
    : store_(store), vault_(vault), domain_(domain), limiter_(limiter), stored_(std::move(stored)) {
  if (uploads == 0) return;
  queue_ = std::make_unique<async::BoundedQueue<ClosedPack>>(1);
  for (unsigned i = 0; i < uploads; ++i) threads_.emplace_back([this] { run_uploads(); });
}

PackUploader::~PackUploader() {
  cancel();
}

void PackUploader::cancel() {
  if (queue_) queue_->cancel();
  for (std::thread& t : threads_) t.join();
  threads_.clear();
}

void PackUploader::set_session(const SessionId& session) {
  const std::lock_guard lock(open_mutex_);
  session_ = session;
}

void PackUploader::fail(const Error& error) {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = error;
}

Status PackUploader::failure() {
  const std::lock_guard lock(failure_mutex_);
  if (failure_) return *failure_;
  return {};
}

Status PackUploader::add(PackKind kind, const KeyWrap& wrap, std::vector<ChunkRef> refs,
                         SealedSegment segment) {
  TRYV(failure());
  std::optional<ClosedPack> full;
  {
    const std::lock_guard lock(open_mutex_);
    OpenPack& pack = open_[slot_of(kind)];
    append_segment(pack, kind, wrap, refs, segment);
    const uint64_t bytes = pack.bytes + pack.edges.size() * ChunkId::kSize;
    if (bytes >= kPackTargetBytes || pack.footer.chunk_ids.size() >= kChunksToClose ||
        pack.footer.segments.size() >= kSegmentsToClose ||
        pack.footer.sessions.size() >= kPackSessionsMax) {
      full = close_pack(std::exchange(pack, {}));
    }
  }
  if (full) return submit(std::move(*full));
  return {};
}

void PackUploader::append_segment(OpenPack& pack, PackKind kind, const KeyWrap& wrap,
                                  std::vector<ChunkRef>& refs, SealedSegment& segment) {
  PackFooter& footer = pack.footer;
  footer.kind = kind;
  auto session = std::find_if(footer.sessions.begin(), footer.sessions.end(),
                              [&](const KeyWrap& w) { return w == wrap; });
  if (session == footer.sessions.end()) {
    footer.sessions.push_back(wrap);
    session = footer.sessions.end() - 1;
  }
  PackSegment s;
  s.offset = kPackHeaderBytes + pack.bytes;
  s.stored_bytes = static_cast<uint32_t>(segment.stored.size());
  s.session_index = static_cast<uint16_t>(session - footer.sessions.begin());
  s.codec = segment.codec;
  s.counter = segment.counter;
  s.chunk_first = static_cast<uint32_t>(footer.chunk_ids.size());
  s.chunk_count = static_cast<uint32_t>(refs.size());
  s.sha256 = segment.sha256;
  footer.segments.push_back(s);
  for (ChunkRef& ref : refs) {
    footer.chunk_ids.push_back(ref.id);
    if (kind == PackKind::metadata) {
      footer.chunk_kinds.push_back(ref.kind);
      footer.edge_counts.push_back(static_cast<uint32_t>(ref.edges.size()));
      pack.edges.insert(pack.edges.end(), ref.edges.begin(), ref.edges.end());
    }
  }
  pack.bytes += segment.stored.size();
  pack.segments.push_back(std::move(segment.stored));
}

PackUploader::ClosedPack PackUploader::close_pack(OpenPack pack) {
  ClosedPack closed;
  closed.footer = std::move(pack.footer);
  closed.footer.vault = vault_;
  closed.footer.domain = domain_;
  closed.segments = std::move(pack.segments);
  closed.edges = std::move(pack.edges);
  if (closed.footer.kind == PackKind::metadata) {
    closed.footer.edges_sha256 = crypto::sha256(edge_bytes(closed.edges));
  }
  closed.footer_bytes = closed.footer.encode();
  closed.id.id = {session_, crypto::sha256(closed.footer_bytes)};
  closed.id.kind = closed.footer.kind;
  closed.id.footer_bytes = static_cast<uint32_t>(closed.footer_bytes.size());
  closed.id.pack_bytes = kPackHeaderBytes + pack.bytes + closed.edges.size() * ChunkId::kSize +
                         closed.footer_bytes.size();
  return closed;
}

Status PackUploader::submit(ClosedPack pack) {
  if (!queue_) {
    const Status done = put(pack);
    if (!done.ok()) fail(done.error());
    return done;
  }
  {
    const std::lock_guard lock(pending_mutex_);
    ++pending_;
  }
  if (!queue_->push(std::move(pack))) {
    const std::lock_guard lock(pending_mutex_);
    --pending_;
    return Error{holdfast::Errc::interrupted, ""};
  }
  return failure();
}

Status PackUploader::put(ClosedPack& pack) {
  std::vector<ByteView> parts;
  parts.reserve(pack.segments.size() + 3);
  parts.push_back(as_bytes(kPackMagic));
  for (const Buffer& segment : pack.segments) parts.push_back(segment.view());
  if (!pack.edges.empty()) parts.push_back(edge_bytes(pack.edges));
  parts.push_back(pack.footer_bytes);
  if (limiter_ != nullptr && !limiter_->acquire(pack.id.pack_bytes)) {
    return Error{holdfast::Errc::interrupted, ""};
  }
  TRYV(store_.put(pack_name(pack.id.id), parts));
  (pack.id.kind == PackKind::data ? counters_.data_bytes : counters_.metadata_bytes) +=
      pack.id.pack_bytes;
  ++counters_.packs;
  const std::lock_guard lock(stored_mutex_);
  return stored_(pack.id, pack.footer);
}

void PackUploader::run_uploads() {
  while (auto pack = queue_->pop()) {
    // After a failure the rest is dropped: a full disk does not get emptier by trying each pack.
    if (failure().ok()) {
      if (const Status done = put(*pack); !done.ok()) fail(done.error());
    }
    pack.reset();
    const std::lock_guard lock(pending_mutex_);
    if (--pending_ == 0) none_pending_.notify_all();
  }
}

Status PackUploader::drain() {
  for (OpenPack& open : open_) {
    std::optional<ClosedPack> last;
    {
      const std::lock_guard lock(open_mutex_);
      if (!open.segments.empty()) last = close_pack(std::exchange(open, {}));
    }
    if (!last) continue;
    if (const Status submitted = submit(std::move(*last)); !submitted.ok()) break;
  }
  // Also after a failure nothing is under way any more when this returns.
  std::unique_lock lock(pending_mutex_);
  none_pending_.wait(lock, [&] { return pending_ == 0; });
  lock.unlock();
  return failure();
}

}  // namespace holdfast::vault
