#include "vault/engine/segment_writer.h"

#include <algorithm>

namespace holdfast::vault {

SegmentWriter::SegmentWriter(Session& session, PackKind kind) : session_(session), kind_(kind) {
  start_segment();
}

void SegmentWriter::start_segment() {
  uint32_t random;
  crypto::random_fill({reinterpret_cast<uint8_t*>(&random), sizeof random});
  target_bytes_ = kSegmentTargetMin + random % (kSegmentTargetMax - kSegmentTargetMin + 1);
  refs_.clear();
  lengths_.clear();
  used_ = 0;
}

Status SegmentWriter::add(ChunkRef ref, ByteView bytes) {
  session_.count_new_chunk(ref.kind == ChunkKind::data ? bytes.size() : 0);
  return append(std::move(ref), bytes);
}

Status SegmentWriter::append(ChunkRef ref, ByteView bytes) {
  CHECK(bytes.size() <= kChunkBytesMax);
  if (used_ > 0 && used_ + bytes.size() > kSegmentTargetMax) TRYV(flush());
  if (buffer_.size() < used_ + bytes.size()) {
    // Only for chunks larger than a whole segment; ordinary ones fit the first buffer.
    Buffer larger(std::max(used_ + bytes.size(), kSegmentTargetMax));
    if (used_ > 0) std::memcpy(larger.data(), buffer_.data(), used_);
    buffer_ = std::move(larger);
  }
  if (!bytes.empty()) std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
  used_ += bytes.size();
  refs_.push_back(std::move(ref));
  lengths_.push_back(static_cast<uint32_t>(bytes.size()));
  if (used_ >= target_bytes_ || refs_.size() >= kSegmentChunksMax) return flush();
  return {};
}

Status SegmentWriter::flush() {
  if (refs_.empty()) return {};
  TRY(SealedSegment sealed, sealer_.seal(session_.key(), session_.next_counter(), refs_, lengths_,
                                         buffer_.view().first(used_), session_.compression()));
  std::vector<ChunkRef> refs = std::move(refs_);
  start_segment();
  return session_.add_segment(kind_, std::move(refs), std::move(sealed));
}

Status SegmentWriter::move_to(SegmentWriter& other) {
  size_t at = 0;
  for (size_t i = 0; i < refs_.size(); ++i) {
    // Counted when it was added here.
    TRYV(other.append(std::move(refs_[i]), buffer_.view().subspan(at, lengths_[i])));
    at += lengths_[i];
  }
  start_segment();
  return {};
}

}  // namespace holdfast::vault
