// Operations on the life of recovery points: retention, deletion, holds, and the rules of a vault.
// docs/formats/audit.md has the rules; every reader enforces them, these only ask.
//
// Not for several threads at a time. Several machines may work on one vault.
#pragma once

#include "vault/client/vault.h"
#include "vault/lifecycle/retention.h"

namespace holdfast::vault {

// This machine's key in that role. Errors: Errc::no_authority if it has none, or none that the log
// grants; the system's.
Result<MaintainerKeys> granted_keys(Vault& vault, const LifecycleState& state, Role role);

class Lifecycle {
 public:
  // Reads the log and the points. Errors: the store's; Errc::key_not_trusted.
  static Result<Lifecycle> open(Vault& vault);

  const LifecycleState& state() const { return log_.state(); }
  const AuditLog& log() const { return log_; }
  const PointList& points() const { return points_; }
  const VaultTime& time() const { return time_; }

  struct Changed {
    uint64_t entry = 0;
    bool needs_approval = false;  // it is a request; nothing has changed yet
  };
  // With the vault key. Where the vault demands a second person's approval, a destructive change
  // becomes a request. What the rules refuse is recorded, and returned as Errc::refused.
  Result<Changed> change(const VaultSecret& secret, std::vector<Action> actions);
  // Approves a request with this machine's approver's key. Errors: Errc::no_authority,
  // Errc::refused.
  Result<Changed> approve(uint64_t request);
  // From here on the store's clock is right. With the vault key.
  Result<Changed> confirm_clock(const VaultSecret& secret);

  // What retention does with each point of an item.
  struct ItemPlan {
    ItemId item;
    std::string policy;  // empty: none
    RetentionPlan plan;
    std::vector<const RecoveryPoint*> points;  // as in plan.points; of points()
  };
  // Of all items, or of `only`. Errors: of a time zone that this machine does not know.
  Result<std::vector<ItemPlan>> preview(const std::optional<ItemId>& only = std::nullopt) const;

  struct Applied {
    std::vector<ItemPlan> plans;
    uint64_t soft_deleted = 0;
    uint64_t purged = 0;  // got their record of expiry
    uint64_t manifests_removed = 0;
    uint64_t manifests_waiting = 0;  // purged, but the base of an open session or the item's last
  };
  // Soft-deletes what expires, purges what is due, and removes manifests of purged points. With
  // this machine's maintainer's key. Errors: Errc::no_authority; Errc::refused, if the clock is in
  // doubt; the store's. What was done before an error stays done.
  Result<Applied> apply(const std::optional<ItemId>& only = std::nullopt);

 private:
  Lifecycle(Vault& vault, AuditLog log) : vault_(vault), log_(std::move(log)) {}
  Result<uint64_t> append(const AuditKey& key, const AuditLog::Make& make);
  Result<AuditKey> granted(Role role) const;
  Status soft_delete(const AuditKey& key, const ItemPlan& plan, Applied& out);
  Status purge_due(const AuditKey& key, Applied& out);
  Status remove_purged(Applied& out);
  Status note_alerts(const AuditKey& key, const std::vector<ItemPlan>& plans);

  Vault& vault_;
  AuditLog log_;
  PointList points_;
  VaultTime time_;
};

}  // namespace holdfast::vault
