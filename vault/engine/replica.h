// A replica: a second store, in another region, that receives every object of a vault byte for
// byte. It has the vault's id and keys, so that it restores with the same passphrase. It takes no
// backups until it is promoted, and takes nothing from the primary afterwards. Whoever syncs needs
// access to both stores and no key. docs/formats/geo.md has the order and why a replica is whole at
// every moment.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "vault/format/geo.h"
#include "vault/store/store.h"

namespace holdfast::vault {

// --- What a store is ---

struct ReplicaRole {
  std::optional<GeoReplica> replica;    // nothing: an ordinary vault
  std::optional<GeoPromoted> promoted;  // a replica that became one
  bool is_read_only() const { return replica && !promoted; }
};
// Errors: Errc::damaged for a mark that is not right; the store's.
Result<ReplicaRole> load_role(Store& store, const VaultId& vault);
// For everybody who is about to write to a vault. Errors: std::errc::read_only_file_system, which
// says how to promote; those of load_role.
Status require_writable(Store& store, const VaultId& vault);

// Makes an empty store a replica of the vault in `primary`. Errors: the stores'.
Status add_replica(Store& primary, Store& replica);

// --- Bringing it up to date ---

struct ReplicaLag {
  uint64_t points_primary = 0;
  uint64_t points_replica = 0;
  uint64_t points_behind = 0;  // manifests that the replica lacks
  uint64_t objects_behind = 0;
  uint64_t bytes_behind = 0;
  uint64_t objects_kept = 0;         // of the replica, that the primary has no more
  io::TimeNs newest_primary_ns = 0;  // when the primary received its newest point
  io::TimeNs newest_replica_ns = 0;  // the same of the newest point that the replica has too
  io::TimeNs lag_ns = 0;  // how long the oldest point that the replica lacks has been there
};
Result<ReplicaLag> measure_lag(Store& primary, Store& replica);

struct SyncOptions {
  unsigned workers = 4;
  // Also reads every object that both have, and repairs those of the replica.
  bool verify = false;
};

struct SyncFinding {
  std::string object;
  std::string what;
};

struct SyncReport {
  uint64_t objects = 0;  // copied
  uint64_t bytes = 0;
  uint64_t packs = 0;
  uint64_t points = 0;
  uint64_t later = 0;     // of sessions that still run: copied last, or by the next pass
  uint64_t verified = 0;  // found equal or intact, with `verify`
  uint64_t repaired = 0;
  uint64_t kept = 0;                  // the primary has them no more
  std::vector<SyncFinding> findings;  // damaged in the primary, and therefore not copied
  ReplicaLag lag;                     // afterwards
};

struct SyncProgress {
  std::atomic<uint64_t> objects_total{0};
  std::atomic<uint64_t> objects{0};
  std::atomic<uint64_t> bytes_total{0};
  std::atomic<uint64_t> bytes{0};
};

// One pass. Errors: Errc::rolled_back, before anything was written, if the primary looks older
// than the replica or parted from it; Errc::promoted; Errc::not_a_vault if `replica` is no replica
// of this vault; Errc::interrupted; the stores'. What was copied stays, and the next pass goes on.
Result<SyncReport> sync_replica(Store& primary, Store& replica, const SyncOptions& options,
                                SyncProgress& progress, std::stop_token stop);

// The newest record of a pass that got through, if there is one.
Result<std::optional<GeoSync>> last_sync(Store& replica, const VaultId& vault);

// From here on the replica is a vault of its own. Errors: Errc::not_a_vault; Errc::promoted; the
// store's.
Status promote_replica(Store& replica);

}  // namespace holdfast::vault
