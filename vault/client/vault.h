// A vault, opened: the front door for everything outside vault/.
//
// Three levels of access: the location alone (status, keyless check), this machine's write-only
// credential (backup), and the vault secret, unlocked with a passphrase or recovery code (restore,
// content checks, keys).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "vault/client/state.h"
#include "vault/engine/points.h"
#include "vault/engine/reader.h"
#include "vault/engine/segment_writer.h"
#include "vault/engine/session.h"
#include "vault/engine/stored_sizes.h"
#include "vault/engine/trust.h"
#include "vault/lifecycle/maintainers.h"
#include "vault/seal/vault_secret.h"
#include "vault/store/store.h"

namespace holdfast::vault {

struct CreateOptions {
  std::string name;
  std::string region;
  std::string passphrase;
  std::string machine;  // name of the first agent: this machine
};

struct EnrolOptions {
  std::string machine;
  // A new agent even if this machine has a credential.
  bool fresh = false;
  // The agent (id or name) whose dedup domain to share; empty: a domain of its own.
  std::string join;
};

struct UnlockedSlot {
  VaultSecret secret;
  Slot slot;
};

class Vault {
 public:
  // Makes a vault at `location` and enrols this machine. Errors: std::errc::directory_not_empty;
  // the store's. A vault whose making failed half way holds no description, and is none.
  static Result<std::unique_ptr<Vault>> create(const std::string& location,
                                               const CreateOptions& options, StateDirectory state);
  static Result<std::unique_ptr<Vault>> create(std::unique_ptr<Store> store,
                                               const CreateOptions& options, StateDirectory state);
  // If the location is one of several directories of a vault that this machine knows and is lost,
  // the others are tried. `moved`: see open_store. Errors: Errc::not_a_vault; the store's.
  static Result<std::unique_ptr<Vault>> open(const std::string& location, StateDirectory state,
                                             const std::vector<std::string>& moved = {});
  static Result<std::unique_ptr<Vault>> open(std::unique_ptr<Store> store, StateDirectory state);

  Store& store() { return *store_; }
  const Description& description() const { return description_; }
  const VaultId& id() const { return description_.vault; }
  const StateDirectory& state() const { return state_; }

  // Tries every slot that the text can be for; scrypt's half second each.
  // Errors: Errc::wrong_passphrase; Errc::missing if there is no slot at all.
  Result<UnlockedSlot> unlock(std::string_view passphrase);

  // This machine's credential, its pins brought up to date and its place in the roster checked. A
  // roster older than remembered is told through `warnings`.
  // Errors: Errc::no_credential; Errc::key_not_trusted.
  Result<AgentKeys> credential(std::vector<std::string>& warnings);
  // Makes this machine an agent of the vault, or fetches its keys again after a rotation.
  Result<AgentKeys> enrol(const VaultSecret& secret, const EnrolOptions& options);

  // Grants this machine a key in `role` and keeps it in the state directory. A key that is active
  // already stays. Where the vault demands approvals it is a request. Errors: Errc::refused; the
  // store's.
  struct GrantedKey {
    MaintainerId id;
    uint64_t request = 0;  // that has to be approved first; 0: it is granted
  };
  Result<GrantedKey> enrol_granted(const VaultSecret& secret, Role role, const std::string& label);
  // The audit log, verified from the vault key to believe. Errors: the store's;
  // Errc::key_not_trusted.
  Result<AuditLog> audit_log();
  // The vault's own time, as this machine knows it; noted for the next time, if it is trusted.
  Result<VaultTime> time(const AuditLog& log);

  // A backup session of this machine's agent. Remembered heads are filled in.
  Result<std::unique_ptr<Session>> begin_session(const AgentKeys& keys, SessionRequest request,
                                                 SessionOptions options);
  // Notes what was committed, and what the session saw.
  Status remember(const Session& session, const ItemId& item, const CommittedPoint& point);

  Result<std::unique_ptr<VaultReader>> open_reader(const VaultSecret& secret,
                                                   ReaderOptions options = {});
  // The vault key to believe without the secret: this machine's pin, or, where it has none, the
  // word of the vault itself.
  struct TrustedKey {
    crypto::PublicKey key{};
    uint32_t generation = 0;
    bool is_pinned = false;
  };
  Result<TrustedKey> vault_key();
  // Without keys: names are not known. The roster's signature is checked against this machine's pin
  // where there is one, against the description's key otherwise.
  Result<PointList> list_points_without_secret();

 private:
  Vault(std::unique_ptr<Store> store, Description description, StateDirectory state)
      : store_(std::move(store)), description_(std::move(description)), state_(std::move(state)) {}

  std::unique_ptr<Store> store_;
  Description description_;
  StateDirectory state_;
};

// The row of the table of promises (docs/threat-model.md) that applies to a store, as lines of
// text.
std::vector<std::string> promises(const StoreTraits& traits);

}  // namespace holdfast::vault
