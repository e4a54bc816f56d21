#include "backup-agent/upload/chunker.h"

namespace holdfast::backup_agent {

void Chunker::run() {
  while (auto batch = batches_.pop()) {
    if (!state_.failed()) {
      if (const Status stored = store(*batch); !stored.ok()) state_.fail(stored.error());
    }
    buffers_.release(batch->buffer);
  }
}

Status Chunker::store(const Batch& batch) {
  vault::Session& session = state_.session();
  for (const ChunkPiece& p : batch.pieces) {
    const ByteView bytes = batch.buffer->view().subspan(p.offset, p.bytes);
    const vault::ChunkId id = session.chunk_id(vault::ChunkKind::data, {}, bytes);
    TRY(const bool is_new, session.claim(id));
    if (is_new) TRYV(writers_[p.job->churn_class()].add({id, vault::ChunkKind::data, {}}, bytes));
    p.job->deliver(p.piece, {p.bytes, id});
  }
  return {};
}

}  // namespace holdfast::backup_agent
