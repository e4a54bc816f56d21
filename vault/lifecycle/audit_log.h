// The audit log: numbered, signed, hash-chained objects audit/<sequence>. Its valid entries are the
// lifecycle state. docs/formats/audit.md has the rules, docs/decisions/009 the reasons.
//
// An object counts if it decodes, names this vault and its own number, names the valid entry before
// it with its hash, its signer had the authority when it was put, and the rules then in force allow
// every action in it. Everything else is passed over and reported: whoever may put objects can take
// a number, and nothing more.
//
// Not for several threads at a time.
#pragma once

#include <functional>
#include <set>

#include "vault/lifecycle/key_chain.h"
#include "vault/lifecycle/state.h"

namespace holdfast::vault {

// Who appends: the vault key, or a granted key of this machine.
struct AuditKey {
  AuditSigner signer;
  crypto::Key256 seed;
};

struct LoggedEntry {
  AuditEntry entry;
  crypto::Digest sha256{};
  io::TimeNs stored_ns = 0;
};

struct PassedOverEntry {
  std::string name;
  std::string reason;
  // Signed by a key of the vault's, for this number: the entry that it follows is missing or was
  // changed, or it broke a rule. Nobody can make such a thing who may only put objects.
  bool is_genuine = false;
};

class AuditLog {
 public:
  // `chain` ends with the vault key that the caller trusts. A log without an entry is an empty one.
  // Errors: the store's. What does not count goes to passed_over().
  static Result<AuditLog> load(Store& store, const VaultId& vault, KeyChain chain);
  // The same, from the key that is trusted. Errors: as load_key_chain too.
  static Result<AuditLog> load(Store& store, const Description& description,
                               const crypto::PublicKey& trusted, uint32_t generation);

  const LifecycleState& state() const { return state_; }
  const std::vector<LoggedEntry>& entries() const { return entries_; }
  const std::vector<PassedOverEntry>& passed_over() const { return passed_over_; }

  // What to append, given the state; called again if somebody else's entry came first. Nothing to
  // append is an empty list.
  using Make = std::function<Result<std::vector<Action>>(const LifecycleState&)>;
  // Appends one entry and gives its number, 0 if there was nothing to append. state() then has it.
  // `time_ns` is vault time; an entry never goes behind the one before it, unless it confirms the
  // clock. Errors: Errc::refused; what `make` returns; the store's.
  Result<uint64_t> append(Store& store, const AuditKey& key, int64_t time_ns, const Make& make);
  Result<uint64_t> append(Store& store, const AuditKey& key, int64_t time_ns,
                          std::vector<Action> actions);

  // Takes what was put since.
  Status refresh(Store& store);

 private:
  AuditLog(const VaultId& vault, KeyChain chain) : vault_(vault), chain_(std::move(chain)) {}
  Status take(const ObjectInfo& object, uint64_t sequence, ByteView bytes, bool& is_genuine);

  VaultId vault_;
  KeyChain chain_;
  LifecycleState state_;
  std::vector<LoggedEntry> entries_;
  std::vector<PassedOverEntry> passed_over_;
  std::set<std::string> seen_;  // names that were looked at and passed over
};

}  // namespace holdfast::vault
