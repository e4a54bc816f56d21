// Fills segments with chunks, one open segment at a time, and gives them to a session. One object
// per thread and pack kind; the session must outlive it.
#pragma once

#include "vault/engine/session.h"

namespace holdfast::vault {

class SegmentWriter {
 public:
  SegmentWriter(Session& session, PackKind kind);

  // Adds a chunk that the caller claimed. Seals and hands over the segment when it is full.
  Status add(ChunkRef ref, ByteView bytes);
  // Seals what is open, if anything.
  Status flush();
  // Plaintext in the open segment.
  size_t open_bytes() const { return used_; }
  // Gives what is open to `other` instead, so that several half-empty segments become one.
  Status move_to(SegmentWriter& other);

 private:
  void start_segment();
  Status append(ChunkRef ref, ByteView bytes);

  Session& session_;
  const PackKind kind_;
  SegmentSealer sealer_;
  size_t target_bytes_ = 0;
  std::vector<ChunkRef> refs_;
  std::vector<uint32_t> lengths_;
  Buffer buffer_;
  size_t used_ = 0;
};

}  // namespace holdfast::vault
