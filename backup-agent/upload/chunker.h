// The storing stage: names chunks, asks whether they are known, and fills segments with those that
// are not. One object per thread.
#pragma once

#include <deque>

#include "backup-agent/upload/batch.h"
#include "backup-agent/upload/churn.h"

namespace holdfast::backup_agent {

class Chunker {
 public:
  Chunker(PipelineState& state, BufferPool& buffers, BatchQueue& batches)
      : state_(state), buffers_(buffers), batches_(batches) {
    for (size_t c = 0; c < kChurnClasses; ++c) {
      writers_.emplace_back(state.session(), vault::PackKind::data);
    }
  }

  // Until the queue ends or the pipeline fails.
  void run();
  // What is left in the open segment of a churn class; called after run().
  vault::SegmentWriter& writer(size_t churn_class) { return writers_[churn_class]; }

 private:
  Status store(const Batch& batch);

  PipelineState& state_;
  BufferPool& buffers_;
  BatchQueue& batches_;
  std::deque<vault::SegmentWriter> writers_;  // by churn class; memory is theirs once used
};

}  // namespace holdfast::backup_agent
