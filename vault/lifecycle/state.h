// The lifecycle of a vault's recovery points, as the audit log leaves it: who may maintain, which
// policy holds for which item, what is held, deleted and purged, and the rules in force.
//
// A point is live, then soft-deleted (its manifest and data stay, undelete brings it back), then
// purged: the log entry is the record of its expiry, and the manifest goes afterwards.
//
// A value: made by replaying entries in order, by whoever reads the log. Two readers of the same
// entries reach the same state. Not for several threads at a time.
#pragma once

#include <map>

#include "vault/format/audit_entry.h"

namespace holdfast::vault {

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr int64_t kDayNs = 86'400 * kSecondNs;
inline constexpr uint16_t kSoftDeleteDaysMin = 14;
inline constexpr uint16_t kSoftDeleteDaysMax = 180;
inline constexpr int64_t kRequestValidNs = 14 * kDayNs;

struct GrantState {
  crypto::PublicKey key{};
  Role role = Role::maintainer;
  std::string label;
  int64_t granted_ns = 0;
  bool active = true;  // false: revoked; what it signed before stays valid
};

struct PolicyState {
  RetentionPolicy policy;
  Immutability immutability = Immutability::off;
};

struct DeletedPoint {
  crypto::Digest sha256{};
  int64_t deleted_ns = 0;  // vault time
  int64_t due_ns = 0;      // may be purged from then on
  DeleteReason reason = DeleteReason::by_policy;
};

struct ItemLifecycle {
  std::optional<std::string> policy;          // its own; otherwise the default one
  std::map<uint64_t, std::string> holds;      // by sequence, 0: all points; why
  std::map<uint64_t, DeletedPoint> deleted;   // soft-deleted, by sequence
  std::map<uint64_t, crypto::Digest> purged;  // by sequence: the manifest's hash
  uint64_t confirmed_sequence = 0;            // bursts and shrinkage up to here were looked at
};

struct OpenRequest {
  crypto::Digest sha256{};  // of the entry
  int64_t time_ns = 0;
  std::vector<Action> actions;
};

class LifecycleState {
 public:
  // Takes the next entry, all of it or nothing; its signature and place in the chain were checked.
  // Errors: Errc::refused, with what the rules in force say against it.
  Status apply(const AuditEntry& entry, const crypto::Digest& entry_sha256);
  // The same answer, changing nothing.
  Status would_apply(const AuditEntry& entry, const crypto::Digest& entry_sha256);

  std::map<MaintainerId, GrantState> grants;
  std::map<std::string, PolicyState> policies;
  std::string default_policy;  // empty: none
  std::map<ItemId, ItemLifecycle> items;
  uint16_t soft_delete_days = kSoftDeleteDaysMin;
  Immutability immutability = Immutability::off;
  bool approval_required = false;
  std::map<uint64_t, OpenRequest> requests;  // by sequence
  // Of the newest entry: its number and hash, and the greatest vault time so far.
  PointRef head;
  int64_t time_ns = 0;
  uint32_t generation = 0;  // older vault keys sign nothing any more

  const ItemLifecycle* find(const ItemId& item) const;
  // The policy in force, its name in `name`; null: everything stays.
  const PolicyState* policy_of(const ItemId& item, std::string* name = nullptr) const;
  // The reason of the hold on this point, or on the item; null if there is none.
  const std::string* hold_on(const ItemId& item, uint64_t sequence) const;
  // Whether points of this item must not go before their time: the stricter of vault and policy.
  Immutability immutability_of(const ItemId& item) const;
  bool is_purged(const ItemId& item, const PointRef& point) const;
  const DeletedPoint* deleted(const ItemId& item, const PointRef& point) const;
  size_t active(Role role) const;
};

// "2 points of item 1234.. deleted by hand", for people.
std::string describe(const Action& action);
std::string_view name_of(Immutability level);
std::string_view name_of(Role role);

}  // namespace holdfast::vault
