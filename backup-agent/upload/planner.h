// The first stage: decides for every scanned entry whether the caches' word suffices or it must be
// read, and hands out the reading in units of neighbours.
#pragma once

#include <unordered_map>

#include "backup-agent/scan/snapshots.h"
#include "backup-agent/upload/batch.h"
#include "backup-agent/upload/cache_set.h"
#include "backup-agent/upload/sequencer.h"

namespace holdfast::backup_agent {

// Jobs to be read one after another: neighbours, so that what belongs together is stored together.
using ReadUnit = std::vector<FileJobPtr>;
using ReadQueue = async::BoundedQueue<ReadUnit>;

struct PlannerOptions {
  // Unchanged files whose turn it is are read anyway: one in `audit_one_in`; 0: none.
  uint64_t audit_one_in = 0;
  uint64_t audit_turn = 0;
  // Where the trees are read from snapshots; may be null.
  SnapshotSet* snapshots = nullptr;
};

class Planner final : public ScanVisitor {
 public:
  struct Shared {
    PipelineState& state;
    CacheSet& cache;
    NodeStore& nodes;
    EntryWindow& window;
    ReadQueue& reads;
    Sequencer& sequencer;
  };
  Planner(const Shared& shared, PlannerOptions options);

  Status entry(ScannedEntry source) override;
  void problem(const std::string& key, const Error& error) override;
  void left_out(const std::string& key, std::string_view reason) override;
  std::string nested_subvolume(const std::string& key) override;

  // Hands over what is gathered. Errors: Errc::interrupted if the pipeline was cancelled.
  Status finish();
  const std::vector<std::pair<std::string, std::string>>& left_out_entries() const {
    return left_out_;
  }

 private:
  struct LinkedObject {
    std::string first_key;
    uint64_t group = 0;
    uint32_t links_left = 0;
  };
  const std::string& identity_of(const ScannedEntry& entry) const;
  Result<bool> content_is_known(const vault::Entry& entry);
  bool is_audit_turn(std::string_view key) const;
  bool is_later_link(const ScannedEntry& source, PendingEntry& pending);
  Status start_job(ScannedEntry source, size_t churn_class);
  void count(const PendingEntry& pending, bool existed, bool unchanged);
  Status end_block();
  Status end_unit();

  Shared shared_;
  const PlannerOptions options_;
  std::shared_ptr<EntryBlock> block_ = std::make_shared<EntryBlock>();
  ReadUnit unit_;
  uint64_t unit_bytes_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, LinkedObject> linked_;
  uint64_t next_group_ = 1;
  std::vector<std::pair<std::string, std::string>> left_out_;
};

}  // namespace holdfast::backup_agent
