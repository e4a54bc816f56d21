// The storing stage: names chunks, asks whether they are known, and fills segments with those that
// are not. One object per thread.
#pragma once

#include "backup-agent/upload/batch.h"

namespace holdfast::backup_agent {

class Chunker {
 public:
  Chunker(PipelineState& state, BufferPool& buffers, BatchQueue& batches)
      : state_(state),
        buffers_(buffers),
        batches_(batches),
        writer_(state.session(), vault::PackKind::data) {}

  // Until the queue ends or the pipeline fails.
  void run();
  // What is left in the open segment; called after run().
  vault::SegmentWriter& writer() { return writer_; }

 private:
  Status store(const Batch& batch);

  PipelineState& state_;
  BufferPool& buffers_;
  BatchQueue& batches_;
  vault::SegmentWriter writer_;
};

}  // namespace holdfast::backup_agent
