#include "vault/client/keys.h"

#include <algorithm>
#include <map>

#include "vault/engine/replica.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/format/proof.h"

namespace holdfast::vault {
namespace {

int64_t now_ns() {
  return io::posix_file_system().now_ns();
}

// The newest time that a signed proof gives for each slot.
Result<std::map<SlotId, int64_t>> load_proofs(Vault& vault) {
  TRY(const auto objects, vault.store().list(std::string(kProofsPrefix)));
  std::map<SlotId, int64_t> newest;
  std::map<uint32_t, crypto::PublicKey> keys;
  for (const ObjectInfo& object : objects) {
    TRY(const Bytes bytes, vault.store().get(object.name, kObjectBytesMax));
    const auto proof = decode_proof(bytes);
    if (!proof.ok() || proof->vault != vault.id()) continue;
    if (!keys.contains(proof->generation)) {
      auto key = vault_key_of(vault.store(), vault.description(), proof->generation);
      if (!key.ok()) continue;
      keys[proof->generation] = *key;
    }
    if (!verify_object(bytes, keys[proof->generation], "proof").ok()) continue;
    int64_t& time = newest[proof->slot];
    time = std::max(time, proof->time_ns);
  }
  return newest;
}

}  // namespace

Result<std::vector<SlotStatus>> list_slots(Vault& vault) {
  TRY(const auto objects, vault.store().list(std::string(kKeysPrefix)));
  TRY(const auto proofs, load_proofs(vault));
  std::vector<SlotStatus> out;
  TRY(const auto trusted, vault.vault_key());
  for (const ObjectInfo& object : objects) {
    const auto bytes = vault.store().get(object.name, kObjectBytesMax);
    if (!bytes.ok() && !is_verdict(bytes.error())) return bytes.error();
    SlotStatus status;
    status.name = object.name;
    auto slot = bytes.ok() ? decode_slot(*bytes) : Result<Slot>(bytes.error());
    status.readable = slot.ok() && slot->vault == vault.id() && slot_name(slot->id) == object.name;
    if (status.readable) {
      status.slot = std::move(*slot);
      const auto proof = proofs.find(status.slot.id);
      status.proved_ns =
          std::max(status.slot.created_ns, proof == proofs.end() ? int64_t{0} : proof->second);
      status.is_overdue = now_ns() - status.proved_ns > kProofIntervalNs;
      status.is_current = status.slot.generation == trusted.generation;
    }
    out.push_back(std::move(status));
  }
  return out;
}

Result<SlotId> add_passphrase(Vault& vault, const VaultSecret& secret, std::string_view passphrase,
                              std::string_view label) {
  TRYV(require_writable(vault.store(), vault.id()));
  TRY(const Slot slot, make_passphrase_slot(vault.id(), secret, passphrase, label, now_ns()));
  TRYV(vault.store().put_if_absent(slot_name(slot.id), slot.encode()));
  return slot.id;
}

Result<SlotId> add_recovery_code(Vault& vault, const VaultSecret& secret, std::string_view label,
                                 std::string& code) {
  TRYV(require_writable(vault.store(), vault.id()));
  const Slot slot = make_recovery_code_slot(vault.id(), secret, label, now_ns(), code);
  TRYV(vault.store().put_if_absent(slot_name(slot.id), slot.encode()));
  return slot.id;
}

Status remove_slot(Vault& vault, const UnlockedSlot& other, const SlotId& id) {
  TRYV(require_writable(vault.store(), vault.id()));
  if (id == other.slot.id) {
    return Error{std::make_error_code(std::errc::operation_not_permitted),
                 "this is the key slot that the given passphrase opens; give the passphrase of one "
                 "that stays, which proves that the vault can still be opened"};
  }
  const auto head = vault.store().head(slot_name(id));
  if (!head.ok()) {
    if (is_absent(head.error()))
      return Error{Errc::no_such_slot, id.hex() + " ('holdfast vault key list' shows them)"};
    return head.error();
  }
  return vault.store().remove(slot_name(id));
}

Status record_proof(Vault& vault, const UnlockedSlot& unlocked) {
  TRYV(require_writable(vault.store(), vault.id()));
  Proof proof;
  proof.vault = vault.id();
  proof.slot = unlocked.slot.id;
  proof.generation = unlocked.secret.generation;
  proof.time_ns = now_ns();
  return vault.store().put(proof_name(proof), proof.encode(unlocked.secret.vault_seed));
}

Result<SlotId> rotate_slot(Vault& vault, const UnlockedSlot& old, std::string_view passphrase) {
  TRY(const SlotId added, add_passphrase(vault, old.secret, passphrase, old.slot.label));
  TRYV(vault.store().remove(slot_name(old.slot.id)));
  return added;
}

Result<RecoveryRotation> rotate_recovery_key(Vault& vault, const UnlockedSlot& old,
                                             std::string_view passphrase) {
  TRYV(require_writable(vault.store(), vault.id()));
  TRY(const OpenRoster open, open_roster(vault.store(), vault.description(), old.secret));
  TRY(const auto slots, list_slots(vault));
  const VaultSecret next = old.secret.successor();
  RecoveryRotation out;
  out.generation = next.generation;

  // First the slot that opens the new secret: whatever fails later, somebody can open the vault.
  TRY(out.slot, add_passphrase(vault, next, passphrase, old.slot.label));
  // Then the roster, sealed anew under the new secret, ready but not in force...
  Roster roster = open.clear;
  roster.domains.clear();
  for (const DomainKeys& d : open.domains) {
    roster.domains.push_back(seal_domain(vault.id(), next.roster_key, d));
  }
  for (RosterAgent& a : roster.agents) {
    const OpenRoster::Agent* known = open.find(a.id);
    CHECK(known != nullptr);
    a.sealed = seal_agent_record(vault.id(), next.roster_key, a, {known->name, known->item_secret});
    a.memberships.clear();
    for (const auto& [domain, secret] : known->secrets) {
      a.memberships.push_back(seal_membership(vault.id(), next.roster_key, a, domain, secret));
    }
  }
  // ... until the succession is there. A crash before it leaves a slot and a roster that nobody
  // believes; the rotation is simply run again.
  Succession succession;
  succession.vault = vault.id();
  succession.generation = next.generation;
  succession.old_vault_key = old.secret.vault_key();
  succession.vault_key = next.vault_key();
  succession.recovery_key = next.recovery_key();
  succession.time_ns = now_ns();
  TRYV(put_roster(vault.store(), roster, next));
  TRYV(vault.store().put_if_absent(succession_name(next.generation),
                                   succession.encode(old.secret.vault_seed, next.vault_seed)));
  // From here on the old vault key signs no audit entry.
  TRY(AuditLog log,
      AuditLog::load(vault.store(), vault.description(), next.vault_key(), next.generation));
  TRY(const uint64_t logged,
      log.append(vault.store(), vault_audit_key(next), log.state().time_ns, {audit::Generation{}}));
  (void)logged;
  for (const SlotStatus& s : slots) {
    if (s.readable && s.slot.id != old.slot.id) ++out.slots_dropped;
    TRYV(vault.store().remove(s.name));
  }
  return out;
}

Result<DomainRotation> rotate_domain(Vault& vault, const VaultSecret& secret,
                                     std::string_view agent) {
  TRYV(require_writable(vault.store(), vault.id()));
  TRY(const OpenRoster open, open_roster(vault.store(), vault.description(), secret));
  const OpenRoster::Agent* compromised = nullptr;
  if (agent.empty()) {
    TRY(const auto stored, vault.state().load_credential(vault.id()));
    if (stored) compromised = open.find(stored->agent);
    if (compromised == nullptr) {
      return Error{{}, "this machine is no agent of the vault; name one with --agent"};
    }
  } else {
    TRY(compromised, open.named(agent));
  }
  const DomainId old_domain = compromised->secrets.back().first;
  const DomainKeys fresh = DomainKeys::create();
  Roster roster = open.clear;
  roster.domains.push_back(seal_domain(vault.id(), secret.roster_key, fresh));
  DomainRotation out;
  out.domain = fresh.id;
  for (RosterAgent& a : roster.agents) {
    if (a.memberships.back().domain != old_domain) continue;
    a.memberships.push_back(
        seal_membership(vault.id(), secret.roster_key, a, fresh.id, crypto::random_secret<32>()));
    ++out.agents;
  }
  TRYV(put_roster(vault.store(), roster, secret));
  return out;
}

}  // namespace holdfast::vault
