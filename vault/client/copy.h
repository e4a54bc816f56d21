// Copies recovery points from one vault into another that has keys of its own. The source is read
// with its secret; the target is written to through ordinary sessions of this machine's agent, so
// that it needs no passphrase and content is sealed and deduplicated there anew. Only what the
// target lacks is sent, and what an earlier copy brought there is not even read: see
// vault/engine/tree_copier.h.
//
// What is carried over: item names, hosts, paths, times, labels, counts, problems, completeness.
// A copy says where it comes from, see docs/formats/manifest.md, "Copies": for this agent by a
// label, for who can read it in the text `source`. Nothing else is remembered, so that a copy is
// recognised as long as this agent is the same.
#pragma once

#include <functional>
#include <stop_token>

#include "vault/client/vault.h"
#include "vault/engine/tree_copier.h"

namespace holdfast::vault {

struct CopyOptions {
  Compression compression;
  unsigned workers = 0;  // that read and seal; 0: one for each processor, at most 4
  uint64_t write_bytes_per_second = 0;
  bool dry_run = false;
  std::string cache_directory;
};

enum class CopyOutcome {
  copied,   // or, in a dry run: would be
  present,  // an earlier run copied it
  damaged,  // it cannot be read completely, and was left out
};

struct CopiedPoint {
  const RecoveryPoint* source = nullptr;
  CopyOutcome outcome = CopyOutcome::copied;
  std::string item_name;           // in the target
  CommittedPoint target;           // if copied
  crypto::Digest target_sha256{};  // if copied or present
  std::string reason;              // if damaged
};

struct CopyProgress {
  CopyCounters counters;
  std::atomic<uint64_t> points_total{0};
  std::atomic<uint64_t> points{0};
  std::atomic<uint64_t> bytes_stored{0};
};

struct CopyReport {
  std::vector<std::string> warnings;
  uint64_t copied = 0;
  uint64_t present = 0;
  uint64_t damaged = 0;
  uint64_t bytes_stored = 0;  // in the target: packs and index runs
};

// Copies `points`, which are some of `list`, in its order: all that `source` has. `visit` is told
// of each as it is done. Errors: the stores'; Errc::interrupted, with what was stored kept for the
// next run; those of Vault::begin_session; std::errc::device_or_resource_busy if a copy or a backup
// of the same item runs on this machine.
Result<CopyReport> copy_points(VaultReader& source, const PointList& list,
                               const std::vector<const RecoveryPoint*>& points, Vault& target,
                               const AgentKeys& keys, const CopyOptions& options,
                               CopyProgress& progress,
                               const std::function<void(const CopiedPoint&)>& visit,
                               std::stop_token stop);

// The label of a copy: which point of which vault, for nobody but this agent to tell.
std::string copy_label(const AgentKeys& keys, const VaultId& source, const crypto::Digest& point);
bool is_copy_label(std::string_view label);

}  // namespace holdfast::vault
