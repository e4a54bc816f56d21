// An entry of the audit log, audit/<sequence>: what somebody with the authority to do so did to the
// life of recovery points. Replaying the entries in order gives the state of the vault's lifecycle
// (vault/lifecycle/state.h). docs/formats/audit.md.
//
// Invariant: what decodes encodes to the very same bytes. An unknown type of action makes the whole
// entry unreadable: who understands half of an entry would reach another state than its writer.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "vault/format/ids.h"
#include "vault/format/policy.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kAuditMagic = "HFV1AUDI";
inline constexpr size_t kAuditEntryBytesMax = 1024 * 1024;
inline constexpr size_t kAuditTextBytesMax = 1024;
inline constexpr size_t kAuditActionsMax = 10'000;
inline constexpr size_t kAuditPointsMax = 10'000;  // in one action
// Of times: the year 2116, so that spans can be added without overflow.
inline constexpr int64_t kAuditTimeMaxNs = int64_t{1} << 62;

// What a granted key may do. A maintainer expires by policy and collects; an approver is the second
// person that destructive operations need where the vault demands one.
enum class Role : uint8_t { maintainer = 1, approver = 2 };
enum class Immutability : uint8_t { off = 0, unlocked = 1, locked = 2 };
enum class DeleteReason : uint8_t { by_policy = 1, by_hand = 2 };
enum class NoteKind : uint8_t { refusal = 1, result = 2, alert = 3 };

// A point as the log names it: another manifest under the same number is another point.
struct PointRef {
  uint64_t sequence = 0;
  crypto::Digest sha256{};
  auto operator<=>(const PointRef&) const = default;
};

namespace audit {

struct Grant {
  MaintainerId id;
  crypto::PublicKey key{};
  Role role = Role::maintainer;
  std::string label;  // for people; clear
};
struct Revoke {
  MaintainerId id;
};
// The new vault key's first word after a rotation: from here on the old one signs nothing.
struct Generation {};
struct SetPolicy {
  std::string name;
  RetentionPolicy policy;
};
struct RemovePolicy {
  std::string name;
};
// `policy` empty: none, everything stays. `item` zero: what holds for all items without their own.
struct Assign {
  ItemId item;
  std::string policy;
};
struct SoftDelete {
  ItemId item;
  DeleteReason reason = DeleteReason::by_policy;
  std::vector<PointRef> points;
};
struct Undelete {
  ItemId item;
  std::vector<uint64_t> sequences;
};
// The expiry record: these points are none any more, and their absence is no gap.
struct Purge {
  ItemId item;
  std::vector<PointRef> points;
};
struct Hold {
  ItemId item;
  uint64_t sequence = 0;  // 0: the item with all its points
  std::string reason;
};
struct Release {
  ItemId item;
  uint64_t sequence = 0;
};
struct SetSoftDelete {
  uint16_t days = 0;
};
struct SetImmutability {
  std::string policy;  // empty: of the vault
  Immutability level = Immutability::off;
};
struct SetApproval {
  bool required = false;
};
// Asks for the actions, which take effect when an approver approves this entry.
struct Request {
  Bytes actions;  // encode_actions
};
struct Approve {
  uint64_t sequence = 0;  // of the entry with the request
  crypto::Digest sha256{};
};
// Somebody looked: the entry's time is right, whatever was recorded before.
struct ConfirmClock {};
// Somebody looked: the item's points up to this one are as they should be, expiry goes on.
struct ConfirmItem {
  ItemId item;
  uint64_t sequence = 0;
};
// For people; changes nothing.
struct Note {
  NoteKind kind = NoteKind::result;
  std::string text;
};

}  // namespace audit

// The index in this list, from 1, is the type in the bytes: only ever append.
using Action = std::variant<audit::Grant, audit::Revoke, audit::Generation, audit::SetPolicy,
                            audit::RemovePolicy, audit::Assign, audit::SoftDelete, audit::Undelete,
                            audit::Purge, audit::Hold, audit::Release, audit::SetSoftDelete,
                            audit::SetImmutability, audit::SetApproval, audit::Request,
                            audit::Approve, audit::ConfirmClock, audit::ConfirmItem, audit::Note>;

// What a request carries: no requests and approvals.
Bytes encode_actions(const std::vector<Action>& actions);
// Errors: Errc::malformed.
Result<std::vector<Action>> decode_actions(ByteView bytes);

// Whose signature an entry bears: a granted key, or the vault key of a generation.
struct AuditSigner {
  std::optional<MaintainerId> granted;
  uint32_t generation = 0;  // of the vault key; 0 for a granted key
  bool operator==(const AuditSigner&) const = default;
};

struct AuditEntry {
  VaultId vault;
  uint64_t sequence = 0;  // as in the name, from 1
  // The valid entry before this one; 0 and zeros for the first.
  uint64_t previous_sequence = 0;
  crypto::Digest previous_sha256{};
  int64_t time_ns = 0;  // vault time, see vault/lifecycle/clock.h
  AuditSigner signer;
  std::vector<Action> actions;

  Bytes encode(const crypto::Key256& signing_seed) const;
};
// Does not verify the signature: use verify_object with the signer's key. Errors: Errc::malformed.
Result<AuditEntry> decode_audit_entry(ByteView object);

}  // namespace holdfast::vault
