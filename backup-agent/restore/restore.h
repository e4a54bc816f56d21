// Restores a recovery point, or a part of it, into a directory.
//
// The map is walked in order; what has to be fetched gathers in windows, is sorted by pack and
// segment, and each segment is read and opened once, by several threads, which write what it holds
// to all files that need it. Chunk ids are always checked. A file of more
// than one chunk appears under its name complete or not at all where none was before (if the file
// system has O_TMPFILE); one that exists is replaced at once when its successor is complete, unless
// `delta` asks to rewrite just the ranges that differ.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>

#include "backup-agent/restore/metadata_writer.h"
#include "backup-agent/scan/filter.h"
#include "vault/client/vault.h"

namespace holdfast::backup_agent {

enum class Overwrite {
  always,      // every file is written again
  if_changed,  // unless size and modification time are those of the point
  if_newer,    // only files whose copy in the point is newer
  never,       // what exists stays
};

struct RestoreOptions {
  std::string target;                     // directory; made if need be
  std::string subpath;                    // key below which to restore; empty: everything
  std::string vault;                      // directory that delete_extra never touches; empty: none
  std::vector<std::string> vault_others;  // others like it, of a vault that has several
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  Overwrite overwrite = Overwrite::if_changed;
  // Existing files that `overwrite` does not leave or take as equal: compare by content, rewrite
  // differing ranges in place.
  bool delta = false;
  bool delete_extra = false;  // remove what the point does not have
  bool verify = false;        // read everything back and compare
  bool dry_run = false;
  MetadataOptions metadata;
  unsigned workers = 0;  // 0: one per processor, and one more
};

struct RestoreProgress {
  std::atomic<uint64_t> entries_total{0};
  std::atomic<uint64_t> bytes_total{0};
  std::atomic<uint64_t> entries{0};
  std::atomic<uint64_t> bytes{0};  // of files that are as they should be
  std::atomic<uint64_t> problems{0};
  std::atomic<bool> verifying{false};
};

struct RestoreReport {
  uint64_t files_written = 0;  // or, in a dry run, that would be
  uint64_t files_patched = 0;  // by delta
  uint64_t files_unchanged = 0;
  uint64_t files_skipped = 0;  // by the overwrite rule
  uint64_t directories = 0;
  uint64_t links = 0;  // hard links
  uint64_t others = 0;
  uint64_t deleted = 0;
  uint64_t bytes_written = 0;
  uint64_t files_verified = 0;
  uint64_t problem_count = 0;
  std::vector<vault::PointProblem> problems;  // what could not be restored
  std::vector<std::string> refused;           // kinds of metadata that could not be set
};

// What happens to each entry, for --dry-run and --verbose: "write", "patch", "delete", ...
using RestoreVisit = std::function<void(std::string_view action, const std::string& path)>;

// What `include` and `exclude` say, relative to `subpath`. Errors: those of PatternList::add.
Result<Filter> restore_filter(const RestoreOptions& options);

// Errors: std::errc::no_such_file_or_directory for a sub-path that the point does not have; fatal
// ones of the target (no space, read-only) and of the vault; Errc::interrupted. Single files that
// cannot be restored are problems in the report.
Result<RestoreReport> run_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                                  const RestoreOptions& options, RestoreProgress& progress,
                                  const RestoreVisit& visit, std::stop_token stop);

// Compares what is on disk with the point, content and metadata, and adds what differs to the
// report's problems. `target` as for the restore.
Status verify_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                      const RestoreOptions& options, RestoreProgress& progress,
                      RestoreReport& report, std::stop_token stop);

}  // namespace holdfast::backup_agent
