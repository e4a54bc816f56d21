// The sealed fields of the roster, for holders of the vault secret. docs/formats/keys.md.
//
// Each is nonce 12 | AES-256-GCM under the roster key; associated data names the vault, the field
// and every clear value it belongs to, so that fields cannot be exchanged.
#pragma once

#include "vault/format/roster.h"
#include "vault/seal/agent_keys.h"
#include "vault/seal/vault_secret.h"

namespace holdfast::vault {

RosterDomain seal_domain(const VaultId& vault, const crypto::Key256& roster_key,
                         const DomainKeys& domain);
Result<DomainKeys> open_domain(const VaultId& vault, const crypto::Key256& roster_key,
                               const RosterDomain& domain);

// An agent's record without memberships.
struct AgentRecord {
  std::string name;
  crypto::Key256 item_secret;
};
Bytes seal_agent_record(const VaultId& vault, const crypto::Key256& roster_key,
                        const RosterAgent& clear, const AgentRecord& record);
Result<AgentRecord> open_agent_record(const VaultId& vault, const crypto::Key256& roster_key,
                                      const RosterAgent& agent);

RosterMembership seal_membership(const VaultId& vault, const crypto::Key256& roster_key,
                                 const RosterAgent& agent, const DomainId& domain,
                                 const crypto::Key256& agent_secret);
Result<crypto::Key256> open_membership(const VaultId& vault, const crypto::Key256& roster_key,
                                       const RosterAgent& agent,
                                       const RosterMembership& membership);

// The record of a new agent, and its credential, in `domain`.
RosterAgent enrol_agent(const VaultSecret& secret, const VaultId& vault, const DomainKeys& domain,
                        std::string_view name, int64_t now_ns, AgentKeys& credential);

}  // namespace holdfast::vault
