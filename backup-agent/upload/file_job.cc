#include "backup-agent/upload/file_job.h"

namespace holdfast::backup_agent {
namespace {

constexpr uint64_t kPartBytes = 16 * 1024 * 1024;

}  // namespace

bool EntryWindow::push(std::shared_ptr<EntryBlock> block) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return cancelled_ || blocks_.size() < blocks_max_; });
  if (cancelled_) return false;
  blocks_.push_back(std::move(block));
  changed_.notify_all();
  return true;
}

void EntryWindow::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void EntryWindow::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

std::shared_ptr<EntryBlock> EntryWindow::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return cancelled_ || (blocks_.empty() ? closed_ : blocks_.front()->open_jobs == 0);
  });
  if (cancelled_ || blocks_.empty()) return nullptr;
  auto block = std::move(blocks_.front());
  blocks_.pop_front();
  changed_.notify_all();
  return block;
}

void EntryWindow::add_job(EntryBlock& block) {
  const std::lock_guard lock(mutex_);
  ++block.open_jobs;
}

void EntryWindow::finish_job(EntryBlock& block) {
  const std::lock_guard lock(mutex_);
  if (--block.open_jobs == 0) changed_.notify_all();
}

Status ExtentGatherer::add(const vault::Extent& extent) {
  if (extent.bytes == 0) return {};
  if (!extent.chunk) {
    if (hole_) {
      hole_->bytes += extent.bytes;
    } else {
      hole_ = extent;
    }
    return {};
  }
  if (hole_) {
    const vault::Extent hole = *hole_;
    hole_.reset();
    TRYV(add_whole(hole));
  }
  return add_whole(extent);
}

Status ExtentGatherer::add_whole(const vault::Extent& extent) {
  if (map_) return map_->add(extent);
  few_.push_back(extent);
  if (few_.size() <= vault::kInlineExtentsMax) return {};
  map_ = std::make_unique<vault::ExtentsMapBuilder>(nodes_);
  for (const vault::Extent& x : few_) TRYV(map_->add(x));
  few_.clear();
  return {};
}

Status ExtentGatherer::finish(vault::Entry& entry) {
  if (hole_) TRYV(add_whole(*hole_));
  hole_.reset();
  if (map_) {
    TRY(entry.extents_root, map_->finish());
  } else {
    entry.extents = std::move(few_);
  }
  return {};
}

FileJob::FileJob(std::shared_ptr<EntryBlock> block, size_t index, ScannedEntry source,
                 EntryWindow& window, NodeStore& nodes, PipelineState& state, PartJournal& journal,
                 size_t churn_class)
    : block_(std::move(block)),
      index_(index),
      source_(std::move(source)),
      window_(window),
      state_(state),
      journal_(journal),
      churn_class_(churn_class),
      gatherer_(nodes) {
  window_.add_job(*block_);
}

void FileJob::take(const vault::Extent& extent) {
  if (const Status added = gatherer_.add(extent); !added.ok()) state_.fail(added.error());
  const uint64_t offset = std::exchange(next_offset_, next_offset_ + extent.bytes);
  if (!journaled_ || offset < part_offset_) return;
  part_.push_back(extent);
  if (next_offset_ - part_offset_ >= kPartBytes) {
    journal_.part(source_.key, opened_, part_offset_, part_);
    part_.clear();
    part_offset_ = next_offset_;
  }
}

void FileJob::deliver(uint64_t piece, const vault::Extent& extent) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  if (piece != next_piece_) {
    early_.emplace(piece, extent);
    return;
  }
  take(extent);
  ++next_piece_;
  for (auto it = early_.begin(); it != early_.end() && it->first == next_piece_;) {
    take(it->second);
    ++next_piece_;
    it = early_.erase(it);
  }
  complete_if_done();
}

void FileJob::finish_reading(uint64_t pieces) {
  const std::lock_guard lock(mutex_);
  pieces_ = pieces;
  complete_if_done();
}

void FileJob::complete_if_done() {
  if (closed_ || !pieces_ || next_piece_ != *pieces_) return;
  closed_ = true;
  if (const Status done = gatherer_.finish(pending().entry); !done.ok()) state_.fail(done.error());
  window_.finish_job(*block_);
}

void FileJob::drop() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(closed_, true)) return;
  pending().dropped = true;
  window_.finish_job(*block_);
}

}  // namespace holdfast::backup_agent
