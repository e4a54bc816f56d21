// Collection: gives back the space of what no recovery point needs. Runs beside backups, restores,
// checks and other collectors, holds no lock on them, and needs no key that opens anything; a
// maintainer's key signs what it puts. docs/formats/session.md has the order of steps and why it
// is safe; every step is one object, so a run that was interrupted at any moment, or has to wait
// for a backup, is continued by the next call.
//
// It never looks at policies: what is to go has been taken out of points/ before.
#pragma once

#include <functional>

#include "vault/engine/mark.h"
#include "vault/engine/points.h"
#include "vault/engine/repack.h"

namespace holdfast::vault {

struct CollectOptions {
  std::string directory;  // for temporary files
  size_t memory_bytes = size_t{256} << 20;
  bool dry_run = false;  // mark and say what would be freed
  RepackOptions repack;
  uint64_t write_bytes_per_second = 0;  // of repacking; 0: no limit
  // Goes on although points are missing or damaged: what only they needed is freed.
  bool despite_damage = false;
  // Give up what can be waited for: for tests and for the impatient, all by the store's clock.
  // A session that gives no sign (object, pack) for so long is given up,
  int64_t session_silent_ns = int64_t{24} * 3600 * 1'000'000'000;
  // and one that did not take note of the condemned list for so long after it was put.
  int64_t session_limit_ns = int64_t{48} * 3600 * 1'000'000'000;
  // Packs of a session that died are kept for so long, for the next backup to take over.
  int64_t dead_session_ns = int64_t{7} * 24 * 3600 * 1'000'000'000;
  // Another maintainer's run without a sign for so long is ended.
  int64_t dead_run_ns = int64_t{72} * 3600 * 1'000'000'000;
  // Index runs of a domain are merged when there are so many.
  size_t index_runs_max = 8;
};

struct CollectProgress {
  MarkProgress mark;
  std::atomic<uint64_t> bytes_copied{0};
  std::atomic<uint64_t> packs_deleted{0};
};

struct CollectReport {
  std::string run;                   // its id; empty if none was begun
  bool done = false;                 // false: it waits, and the next call goes on
  std::vector<SessionId> waits_for;  // sessions that began before the condemned list was there
  std::vector<SessionId> given_up;   // sessions that got a tombstone
  std::string other_run;             // another maintainer's run is under way: nothing was begun
  uint64_t points = 0;
  uint64_t packs = 0;  // seen by the mark
  uint64_t pack_bytes = 0;
  uint64_t needed_bytes = 0;  // of segments with a needed chunk, in readable packs
  uint64_t packs_condemned = 0;
  uint64_t packs_copied = 0;  // into others: see repack.h
  uint64_t bytes_copied = 0;
  uint64_t packs_deleted = 0;
  uint64_t bytes_freed = 0;
  uint64_t index_runs_before = 0;
  uint64_t index_runs = 0;
  std::vector<std::string> warnings;
};

struct Collector {
  Store& store;
  const Description& description;
  const Roster& roster;
  const Maintainers& maintainers;
  const MaintainerKeys& keys;
};

// One run, or as much of it as can be done now. Only one call with the same maintainer's keys may
// run at a time (vault/client holds a lock).
// Errors: Errc::damaged or Errc::missing if points cannot be walked (see despite_damage), naming
// the first; Errc::unsupported for a vault that needs a feature for collecting which this program
// lacks; Errc::interrupted; the store's. Nothing that a point needs is touched, whatever fails.
Result<CollectReport> collect(const Collector& collector, const CollectOptions& options,
                              CollectProgress& progress, const std::stop_token& stop);

}  // namespace holdfast::vault
