// A file backup from beginning to end: hooks, snapshots, session, pipeline, commit, cache.
#pragma once

#include "backup-agent/scan/filter.h"
#include "backup-agent/scan/snapshots.h"
#include "backup-agent/upload/pipeline.h"

namespace holdfast::backup_agent {

struct BackupOptions {
  std::vector<std::string> paths;  // as given; relative ones hang from the working directory
  std::string stdin_name;          // if not empty: one file of this name, from standard input
  std::string item;                // name; points of one item follow one another
  std::string host;
  std::vector<std::string> labels;

  std::vector<std::string> exclude;       // patterns, see filter.h
  std::vector<std::string> exclude_from;  // files of patterns
  std::vector<std::string> include;
  bool exclude_caches = false;
  uint64_t exclude_larger_than = 0;
  bool one_file_system = false;

  SnapshotMode snapshot = SnapshotMode::automatic;
  std::string before;  // commands for the shell
  std::string after;

  vault::Compression compression;
  uint64_t read_bytes_per_second = 0;
  uint64_t write_bytes_per_second = 0;
  unsigned readers = 2;
  unsigned uploads = 2;
  bool force_read = false;  // read every file, whatever the cache says
  // One in so many unchanged files is read anyway, once a day; 0: none.
  uint64_t audit_one_in = 365;
  std::string cache_directory;
  std::chrono::milliseconds advance_every{std::chrono::hours(1)};
};

struct BackupResult {
  vault::CommittedPoint point;
  SequencerTotals totals;
  uint64_t problem_count = 0;
  std::vector<vault::PointProblem> problems;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> left_out;
  std::vector<std::string> notes;
  bool used_base = false;       // unchanged entries were taken from the point before
  size_t resumed_sessions = 0;  // interrupted backups whose work was taken over
};

// Errors: Errc::interrupted, with what was stored kept for the next run; the vault's;
// std::errc::no_such_file_or_directory if none of the paths exists; the hook's failure.
Result<BackupResult> run_backup(vault::Vault& vault, const vault::AgentKeys& keys,
                                const BackupOptions& options, BackupProgress& progress,
                                std::stop_token stop);

// What a backup would do, by looking at metadata only.
struct DryRunReport {
  uint64_t files_new = 0;
  uint64_t files_changed = 0;
  uint64_t files_unchanged = 0;
  uint64_t directories = 0;
  uint64_t others = 0;
  uint64_t bytes_to_read = 0;
  uint64_t bytes = 0;
  std::vector<vault::PointProblem> problems;
  std::vector<std::pair<std::string, std::string>> left_out;
};
// `visit` is called for each file that would be read.
Result<DryRunReport> dry_run(vault::Vault& vault, const vault::AgentKeys& keys,
                             const BackupOptions& options,
                             const std::function<void(const std::string& path, bool is_new)>& visit,
                             std::stop_token stop);

}  // namespace holdfast::backup_agent
