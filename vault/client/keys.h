// Managing who can open the vault. docs/formats/keys.md, "Rotation".
#pragma once

#include "vault/client/vault.h"

namespace holdfast::vault {

struct SlotStatus {
  Slot slot;
  bool readable = true;  // false: the object is damaged, only its name is known
  std::string name;
  int64_t proved_ns = 0;    // when somebody last showed that it opens; its making counts
  bool is_overdue = false;  // more than 180 days ago
  bool is_current = true;   // of the vault's newest generation
};

inline constexpr int64_t kProofIntervalNs = int64_t{180} * 86400 * 1'000'000'000;

// Every slot, with the proofs that the vault key signed.
Result<std::vector<SlotStatus>> list_slots(Vault& vault);

// Each returns the new slot's id.
Result<SlotId> add_passphrase(Vault& vault, const VaultSecret& secret, std::string_view passphrase,
                              std::string_view label);
// `code` receives what has to be printed and kept.
Result<SlotId> add_recovery_code(Vault& vault, const VaultSecret& secret, std::string_view label,
                                 std::string& code);
// `other` was just opened, which proves that the vault can be opened without `slot`.
// Errors: Errc::no_such_slot; std::errc::operation_not_permitted if it is the very slot.
Status remove_slot(Vault& vault, const UnlockedSlot& other, const SlotId& id);
// Writes down that `slot` was opened just now.
Status record_proof(Vault& vault, const UnlockedSlot& unlocked);

// Slot rotation: a new passphrase in place of the one that opened `old`. Costs two small objects.
// Worthless against somebody who kept a copy of the old slot and knows its passphrase.
Result<SlotId> rotate_slot(Vault& vault, const UnlockedSlot& old, std::string_view passphrase);

// Recovery key rotation: new vault secret. Sessions from now on cannot be opened with the old one;
// what is stored stays readable with both. All other slots stop working and have to be added again:
// their number is returned.
struct RecoveryRotation {
  SlotId slot;
  size_t slots_dropped = 0;
  uint32_t generation = 0;
};
Result<RecoveryRotation> rotate_recovery_key(Vault& vault, const UnlockedSlot& old,
                                             std::string_view passphrase);

// Domain rotation, after an agent was compromised: new id key, chunker secret and agent secret for
// the domain that `agent` (id or name; empty: this machine) is in, for all its agents. Nothing
// older is shared any more: the next backups send everything once.
struct DomainRotation {
  DomainId domain;
  size_t agents = 0;
};
Result<DomainRotation> rotate_domain(Vault& vault, const VaultSecret& secret,
                                     std::string_view agent);

}  // namespace holdfast::vault
