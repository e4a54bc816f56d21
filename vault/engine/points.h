// Recovery points as the store shows them.
#pragma once

#include <memory>
#include <optional>

#include "vault/engine/trust.h"
#include "vault/format/manifest.h"
#include "vault/format/point_body.h"
#include "vault/lifecycle/audit_log.h"

namespace holdfast::vault {

struct RecoveryPoint {
  Manifest manifest;
  crypto::Digest sha256{};        // of the manifest object; the point's id is its hexadecimal form
  io::TimeNs stored_ns = 0;       // when the store received it
  std::optional<PointBody> body;  // if the vault secret was given
  std::optional<DeletedPoint> deleted;  // soft-deleted: there to be brought back, for a while

  std::string id() const { return to_hex(sha256); }
};

// A manifest that is there but cannot be used, or a number that should have one and has not.
struct PointDefect {
  std::string name;  // points/<item>/<sequence>
  std::string reason;
};

struct PointList {
  std::vector<RecoveryPoint> points;  // by item, then by sequence
  std::vector<PointDefect> defects;
  std::vector<PointDefect> remarks;  // harmless
  // The lifecycle that this list was made with.
  std::shared_ptr<const AuditLog> log;
};

// Lists all points that count, checking names, signatures by the roster's agents, links to the
// point before, and gaps in the numbers. Purged points are none, and their numbers no gaps;
// soft-deleted ones are in the list, with a mark. `only` restricts to one item. Errors: the
// store's. Damage of single manifests goes to `defects`.
Result<PointList> list_points(Store& store, const Description& description, const Roster& roster,
                              const std::optional<ItemId>& only = std::nullopt);

// Whether a manifest that is there is a recovery point: its session was not given up
// (manifest_counts), and the point was not purged. Errors: as manifest_counts; the store's.
Result<bool> point_counts(Store& store, const Roster& roster, const Manifest& manifest,
                          const crypto::Digest& manifest_sha256);

// Opens the sealed body. Errors: Errc::damaged: also for a session that the named agent did not
// make, and for an item that is not its own.
Result<PointBody> open_body(const RecoveryPoint& point, const OpenRoster& roster,
                            const VaultSecret& secret);

}  // namespace holdfast::vault
