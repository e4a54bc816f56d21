// The last stage: takes finished entries in key order, builds the map of the point, and writes the
// cache of the next backup. One thread.
#pragma once

#include <deque>
#include <unordered_map>

#include "backup-agent/upload/file_job.h"

namespace holdfast::backup_agent {

struct SequencerTotals {
  uint64_t entries = 0;
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t others = 0;
  uint64_t bytes = 0;
};

// `cache` may be null (standard input has none to keep).
class Sequencer final : public PartJournal {
 public:
  Sequencer(PipelineState& state, NodeStore& nodes, EntryWindow& window, CacheWriter* cache);
  ~Sequencer() override;

  // Until the window ends.
  void run();
  // The root of the map; after run() ended without failure, and at least one entry.
  Result<vault::ChunkId> finish();
  const SequencerTotals& totals() const { return totals_; }

  // The index that the new cache has for an identity. Any thread.
  uint32_t cached_file_system(const std::string& identity);

  void part(const std::string& key, const FileStat& st, uint64_t offset,
            std::span<const vault::Extent> extents) override;
  // Writes down what is known so far, for an interrupted backup.
  void flush_cache();

 private:
  class Sink;
  struct LinkedObject {
    vault::Entry entry;
    CachedStat stat;
    uint32_t links_left = 0;
    bool dropped = false;
  };
  Status add(PendingEntry& pending);
  bool resolve_link(PendingEntry& pending);
  void compare_with_expected(const PendingEntry& pending);

  PipelineState& state_;
  EntryWindow& window_;
  CacheWriter* const cache_;
  std::mutex file_systems_mutex_;
  std::unordered_map<std::string, uint32_t> file_systems_;
  std::deque<CachedStat> stats_;  // of entries whose page is not closed yet
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<vault::PathMapBuilder> builder_;
  std::unordered_map<uint64_t, LinkedObject> linked_;
  SequencerTotals totals_;
};

}  // namespace holdfast::backup_agent
