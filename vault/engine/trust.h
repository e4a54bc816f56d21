// Which keys to believe. Everything starts from one of two places: the vault secret, or the vault
// key that an agent pinned when it was enrolled. docs/formats/keys.md.
#pragma once

#include "vault/format/description.h"
#include "vault/format/roster.h"
#include "vault/lifecycle/audit_log.h"
#include "vault/seal/roster_seal.h"
#include "vault/store/store.h"

namespace holdfast::vault {

// Errors: Errc::not_a_vault if the store holds no description; Errc::damaged; Errc::unsupported.
Result<Description> load_description(Store& store);

// The vault key of `generation`, reached from the description's by signed successions.
// Errors: Errc::key_not_trusted, Errc::damaged, Errc::missing.
Result<crypto::PublicKey> vault_key_of(Store& store, const Description& description,
                                       uint32_t generation);

// Follows successions beyond what `keys` pins, and updates the pins. True if something changed and
// the credential has to be saved. One that the pinned key did not sign counts as none.
Result<bool> update_pins(Store& store, AgentKeys& keys);
// Whether another secret took over from this one by a recovery rotation.
Result<bool> is_superseded(Store& store, const VaultId& vault, const VaultSecret& secret);

// The roster in force: the one with the highest number that `vault_key` signed for `generation`.
// Others are passed over: junk that anybody could put, and what rotations left that did not end.
// Whoever remembers a higher number notices a rollback; the check names what does not verify.
// Errors: Errc::missing if there is none; the store's.
Result<Roster> load_roster(Store& store, const VaultId& vault, const crypto::PublicKey& vault_key,
                           uint32_t generation);

// The vault key as a signer of audit entries.
AuditKey vault_audit_key(const VaultSecret& secret);

// Checks that the agent is active there and that keys agree with the pins.
// Errors: Errc::no_credential for an agent that is not in the roster or retired;
// Errc::key_not_trusted for a recovery key that is not the pinned one.
Status check_agent(const Roster& roster, const AgentKeys& keys);

// Everything that the vault secret opens in the roster.
struct OpenRoster {
  struct Agent {
    AgentId id;
    std::string name;
    crypto::PublicKey signing_key{};
    AgentState state = AgentState::active;
    int64_t enrolled_ns = 0;
    crypto::Key256 item_secret;
    std::vector<std::pair<DomainId, crypto::Key256>> secrets;  // by membership, the last is current
    const crypto::Key256* secret_for(const DomainId& domain) const;
  };
  Roster clear;
  std::vector<DomainKeys> domains;
  std::vector<Agent> agents;

  const DomainKeys* find(const DomainId& domain) const;
  const Agent* find(const AgentId& agent) const;
  // By name or id. Errors: Errc::no_such_agent; without a code if agents of several dedup
  // domains have that name.
  Result<const Agent*> named(std::string_view name_or_id) const;
};
// Errors: as load_roster; Errc::key_not_trusted if the roster names another recovery key than the
// secret's, or the secret is of an older generation than the vault.
Result<OpenRoster> open_roster(Store& store, const Description& description,
                               const VaultSecret& secret);

// Puts `roster` as the successor of the one it was made from (sequence and hash are set here),
// passing over what a rotation that did not end left. Errors: std::errc::file_exists if another
// change came first.
Status put_roster(Store& store, Roster& roster, const VaultSecret& secret);

}  // namespace holdfast::vault
