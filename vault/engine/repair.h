// Makes again what a vault lost and what can be derived from what is left.
//
// - On a store with redundancy: shards and copies that are damaged or missing, from the others.
// - On every store: index runs, from the footers of packs. A damaged run is removed once runs that
//   say all it can have said are durable.
//
// Nothing else is removed or overwritten: a damaged pack may hold the last copy of its good
// segments, a damaged manifest the only word of its point. What restores before a repair restores
// after it, byte for byte. May be ended at any moment and run again.
#pragma once

#include <atomic>
#include <stop_token>

#include "vault/engine/check.h"

namespace holdfast::vault {

struct RepairOptions {
  bool dry_run = false;
  uint64_t bytes_per_second = 0;  // 0: as fast as it goes
};

struct RepairProgress {
  std::atomic<uint64_t> objects_total{0};
  std::atomic<uint64_t> objects{0};
  std::atomic<uint64_t> bytes{0};
};

struct RepairReport {
  std::vector<CheckFinding> done;    // what was repaired; with dry_run: what would be
  std::vector<CheckFinding> left;    // what is wrong and could not be repaired
  std::vector<CheckFinding> unread;  // could not be read just now; nothing was concluded from that
  std::vector<std::string> remains;  // names of parts that are no object: of a put or remove that
                                     // did not end; left alone
  uint64_t objects = 0;
  uint64_t parts_rebuilt = 0;
  uint64_t parts_elsewhere = 0;  // in directories that are missing
  uint64_t runs_written = 0;
  uint64_t runs_removed = 0;
  uint64_t bytes_read = 0;

  bool complete() const { return left.empty() && unread.empty() && parts_elsewhere == 0; }
};

// Errors: the store's, if it cannot be listed or written to; Errc::interrupted.
Result<RepairReport> repair_vault(Store& store, const Description& description,
                                  const RepairOptions& options, RepairProgress& progress,
                                  std::stop_token stop);

}  // namespace holdfast::vault
