// The running stages of one backup, their threads and queues:
//
//   scan -> Planner -> [reads] -> FileReader x n -> [batches] -> Chunker x n -> segments
//              \-------------- EntryWindow (key order) --------> Sequencer -> map
//
// Queues are bounded, buffers come from a fixed pool; the first fatal error stops everything.
#pragma once

#include "backup-agent/upload/chunker.h"
#include "backup-agent/upload/file_reader.h"
#include "backup-agent/upload/planner.h"

namespace holdfast::backup_agent {

struct PipelineOptions {
  unsigned readers = 2;
  unsigned chunkers = 0;               // 0: one per processor
  uint64_t read_bytes_per_second = 0;  // 0: no limit
};

struct PipelineResult {
  vault::ChunkId root;
  SequencerTotals totals;
  uint64_t problem_count = 0;
  std::vector<vault::PointProblem> problems;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> left_out;
};

class Pipeline {
 public:
  // `writer` receives the new cache; null for none.
  Pipeline(vault::Session& session, CacheSet& cache, CacheWriter* writer, BackupProgress& progress,
           PipelineOptions options);
  ~Pipeline();

  // Runs a scan through all stages. Errors: the vault's; Errc::interrupted. After an error, what
  // was stored so far has been given to the session.
  Result<PipelineResult> run(Scanner& scanner, PlannerOptions planner_options,
                             std::stop_token stop);
  // A point of one file that is read from a descriptor. Errors: also that of reading.
  Result<PipelineResult> run_stream(const vault::PathEntry& entry, int fd, std::stop_token stop);

 private:
  void start();
  // Lets every stage end, in order, and gathers what is left.
  void cancel_waits();  // frees every stage that waits for another
  Result<PipelineResult> end(Status first_stage);
  Status store_rest();

  PipelineState state_;
  const PipelineOptions options_;
  CacheSet& cache_;
  NodeStore nodes_;
  EntryWindow window_;
  BufferPool buffers_;
  ReadQueue reads_;
  BatchQueue batches_;
  Sequencer sequencer_;
  GearTable gear_;
  std::unique_ptr<io::RateLimiter> limiter_;
  std::vector<std::unique_ptr<Chunker>> chunkers_;
  std::vector<std::thread> reader_threads_;
  std::vector<std::thread> chunker_threads_;
  std::thread sequencer_thread_;
};

}  // namespace holdfast::backup_agent
