// Entries on their way from the scan to the map, and the work that some of them need first.
//
// The scan gives entries in key order, in blocks. An entry that must be read gets a FileJob;
// readers and chunkers complete jobs in any order; a block goes on to the map when all of its jobs
// are done, blocks in the order of the scan.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "backup-agent/scan/file_cache.h"
#include "backup-agent/scan/scanner.h"
#include "backup-agent/upload/node_store.h"
#include "backup-agent/upload/pipeline_state.h"

namespace holdfast::backup_agent {

struct PendingEntry {
  std::string key;
  vault::Entry entry;
  CachedStat stat;
  bool dropped = false;  // vanished or could not be read: not in the point
  uint64_t link_group =
      0;               // entries with the same number are names of one object; 0: only one name
  uint32_t links = 0;  // how many names it has in all
  // Set where the entry is read only to see that unchanged times still mean unchanged content.
  std::optional<vault::Entry> expected;
};

class EntryBlock {
 public:
  static constexpr size_t kEntries = 256;
  EntryBlock() { entries.reserve(kEntries); }

  std::vector<PendingEntry> entries;  // never grows past kEntries: jobs point into it
  size_t open_jobs = 0;               // guarded by the window's mutex
};

// Blocks in order, the oldest first; at most `blocks_max` at a time.
class EntryWindow {
 public:
  explicit EntryWindow(size_t blocks_max) : blocks_max_(blocks_max) {}

  // Waits for room. False if cancelled.
  bool push(std::shared_ptr<EntryBlock> block);
  // No more blocks will come.
  void close();
  // The oldest block, once its jobs are done; null at the end or if cancelled.
  std::shared_ptr<EntryBlock> pop();
  void cancel();

  void add_job(EntryBlock& block);
  void finish_job(EntryBlock& block);

 private:
  const size_t blocks_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<EntryBlock>> blocks_;
  bool closed_ = false;
  bool cancelled_ = false;
};

// Gathers a file's extents in order; few stay a list, many become an extents map at once, so that
// a file of any size needs little memory.
class ExtentGatherer {
 public:
  explicit ExtentGatherer(NodeStore& nodes) : nodes_(nodes) {}
  Status add(const vault::Extent& extent);
  // Sets extents or extents_root of `entry`.
  Status finish(vault::Entry& entry);

 private:
  NodeStore& nodes_;
  std::vector<vault::Extent> few_;
  std::optional<vault::Extent> hole_;  // holes that touch become one
  std::unique_ptr<vault::ExtentsMapBuilder> map_;
  Status add_whole(const vault::Extent& extent);
};

// Where large files write down how far they are, see CacheWriter::file_part. Any number of threads.
class PartJournal {
 public:
  virtual ~PartJournal() = default;
  virtual void part(const std::string& key, const FileStat& st, uint64_t offset,
                    std::span<const vault::Extent> extents) = 0;
};

class FileJob {
 public:
  FileJob(std::shared_ptr<EntryBlock> block, size_t index, ScannedEntry source, EntryWindow& window,
          NodeStore& nodes, PipelineState& state, PartJournal& journal, size_t churn_class);

  const ScannedEntry& source() const { return source_; }
  size_t churn_class() const { return churn_class_; }
  // The entry to fill in; for the thread that reads the file, until finish_reading or drop.
  PendingEntry& pending() { return block_->entries[index_]; }
  // Pieces are numbered from 0 in the order of the file and delivered in any.
  void deliver(uint64_t piece, const vault::Extent& extent);
  // All pieces were given out; the job is done once they are delivered. `st` is what the file was
  // when it was opened.
  void finish_reading(uint64_t pieces);
  // The entry cannot be taken; pieces still under way are ignored.
  void drop();
  // Large files, before the first piece: remember extents as they come. `st` as opened; an earlier
  // backup remembered those before `offset`, which ends an extent.
  void journal_parts(const FileStat& st, uint64_t offset) {
    const std::lock_guard lock(mutex_);
    journaled_ = true;
    opened_ = st;
    part_offset_ = offset;
  }

 private:
  void take(const vault::Extent& extent);
  void complete_if_done();

  const std::shared_ptr<EntryBlock> block_;
  const size_t index_;
  const ScannedEntry source_;
  EntryWindow& window_;
  PipelineState& state_;
  PartJournal& journal_;
  const size_t churn_class_;

  std::mutex mutex_;
  ExtentGatherer gatherer_;
  uint64_t next_piece_ = 0;
  std::map<uint64_t, vault::Extent> early_;
  std::optional<uint64_t> pieces_;
  bool closed_ = false;

  bool journaled_ = false;
  FileStat opened_;
  uint64_t part_offset_ = 0;
  uint64_t next_offset_ = 0;
  std::vector<vault::Extent> part_;
};

using FileJobPtr = std::shared_ptr<FileJob>;

}  // namespace holdfast::backup_agent
