// Reads what a vault stores, slowly and for ever: each object's every byte (and on a store with
// redundancy every shard and copy) is held against its hash, the one that was not looked at for
// longest first. Needs no key, changes nothing in the vault, may be ended at any moment.
//
// What was found whole is remembered. What was found damaged is not, so that every scrub reports it
// until it is repaired. What could not be read for a reason that may pass is neither.
#pragma once

#include <atomic>
#include <optional>
#include <stop_token>

#include "vault/engine/check.h"
#include "vault/engine/scrub_memory.h"

namespace holdfast::vault {

struct ScrubOptions {
  uint64_t bytes_per_second = 0;  // 0: as fast as it goes
  // Only what was not found whole within this time; nothing: everything.
  std::optional<io::TimeNs> max_age_ns;
  uint64_t bytes_max = UINT64_MAX;  // read at most about so much in this run
};

struct ScrubProgress {
  std::atomic<uint64_t> objects_due{0};
  std::atomic<uint64_t> objects{0};
  std::atomic<uint64_t> bytes{0};
};

struct ScrubReport {
  std::vector<CheckFinding> damage;
  std::vector<CheckFinding> unread;  // could not be read just now
  uint64_t objects = 0;              // that the vault has
  uint64_t due = 0;                  // of these, when the scrub began
  uint64_t verified = 0;             // found whole
  uint64_t degraded = 0;             // of the damaged ones: can be read in spite of it
  uint64_t bytes_read = 0;
  io::TimeNs oldest_ns = 0;  // when the object was verified that was not for longest; 0: never

  bool clean() const { return damage.empty(); }
};

// `path` is the memory's file in `fs`. `vault_key` and `generation` are those to believe, for the
// objects that are signed. Errors: the store's, if it cannot be listed or nothing can be read; the
// system's for the memory. Errc::interrupted only before anything was looked at: after that a stop
// just ends the run, and the report says how far it came.
Result<ScrubReport> scrub_vault(Store& store, const Description& description,
                                const crypto::PublicKey& vault_key, uint32_t generation,
                                io::FileSystem& fs, const std::string& path,
                                const ScrubOptions& options, ScrubProgress& progress,
                                std::stop_token stop);

}  // namespace holdfast::vault
