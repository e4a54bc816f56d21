#include "vault/engine/trust.h"

#include <optional>

#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/lifecycle/key_chain.h"

namespace holdfast::vault {
namespace {

// Whether keys were succeeded. A succession that cannot be believed is as good as none: whoever can
// put junk there could have removed the object as well, and the check names it.
Result<std::optional<Succession>> successor_of(Store& store, const VaultId& vault,
                                               uint32_t generation,
                                               const crypto::PublicKey& pinned) {
  auto next = load_succession(store, vault, generation + 1, pinned);
  if (next.ok() || !is_verdict(next.error())) return next;
  return std::optional<Succession>();
}

}  // namespace

Result<Description> load_description(Store& store) {
  const std::string name(kDescriptionName);
  auto object = store.get(name, kObjectBytesMax);
  if (!object.ok()) {
    if (is_absent(object.error())) return Error{Errc::not_a_vault, store.location()};
    return std::move(object).error();
  }
  auto description = decode_description(*object);
  if (!description.ok()) {
    if (description.error().code == holdfast::Errc::unsupported) {
      return std::move(description).error();
    }
    return Error{Errc::damaged, "object 'vault' at " + store.location() + " (" +
                                    description.error().context + ")"};
  }
  return description;
}

Result<crypto::PublicKey> vault_key_of(Store& store, const Description& description,
                                       uint32_t generation) {
  crypto::PublicKey key = description.vault_key;
  for (uint32_t g = 1; g <= generation; ++g) {
    TRY(const auto next, load_succession(store, description.vault, g, key));
    if (!next) return Error{Errc::missing, succession_name(g)};
    key = next->vault_key;
  }
  return key;
}

Result<bool> update_pins(Store& store, AgentKeys& keys) {
  bool changed = false;
  for (;;) {
    TRY(const auto next, successor_of(store, keys.vault, keys.generation, keys.vault_key));
    if (!next) return changed;
    keys.generation = next->generation;
    keys.vault_key = next->vault_key;
    keys.recovery_key = next->recovery_key;
    changed = true;
  }
}

Result<bool> is_superseded(Store& store, const VaultId& vault, const VaultSecret& secret) {
  TRY(const auto next, successor_of(store, vault, secret.generation, secret.vault_key()));
  return next.has_value();
}

Result<Roster> load_roster(Store& store, const VaultId& vault, const crypto::PublicKey& vault_key,
                           uint32_t generation) {
  TRY(const auto objects, store.list(std::string(kRosterPrefix)));
  for (auto it = objects.rbegin(); it != objects.rend(); ++it) {
    const auto sequence = parse_roster_name(it->name);
    if (!sequence.ok()) continue;
    const auto object = store.get(it->name, kObjectBytesMax);
    if (!object.ok()) {
      if (is_verdict(object.error())) continue;
      return object.error();
    }
    auto roster = decode_roster(*object, vault_key);
    if (roster.ok() && roster->vault == vault && roster->sequence == *sequence &&
        roster->generation == generation) {
      return roster;
    }
  }
  return Error{Errc::missing, std::string(kRosterPrefix)};
}

AuditKey vault_audit_key(const VaultSecret& secret) {
  return {{std::nullopt, secret.generation}, secret.vault_seed};
}

Status check_agent(const Roster& roster, const AgentKeys& keys) {
  if (roster.recovery_key != keys.recovery_key) {
    return Error{Errc::key_not_trusted,
                 "the roster names a recovery key that this machine was not "
                 "told of by the vault key"};
  }
  const RosterAgent* agent = roster.find(keys.agent);
  if (agent == nullptr || agent->signing_key != crypto::ed25519_public(keys.signing_seed)) {
    return Error{Errc::no_credential, "the roster does not list agent " + keys.agent.hex() +
                                          "; enrol this machine again with the passphrase"};
  }
  if (agent->state != AgentState::active) {
    return Error{Errc::no_credential,
                 "agent " + keys.name +
                     " is retired; 'holdfast vault enrol' makes this machine a new agent"};
  }
  if (agent->memberships.back().domain != keys.domain.id) {
    return Error{Errc::no_credential,
                 "the keys of this machine's domain were rotated; run 'holdfast vault enrol' with "
                 "the passphrase to fetch the new ones"};
  }
  return {};
}

const crypto::Key256* OpenRoster::Agent::secret_for(const DomainId& domain) const {
  for (const auto& [member_of, secret] : secrets) {
    if (member_of == domain) return &secret;
  }
  return nullptr;
}

const DomainKeys* OpenRoster::find(const DomainId& domain) const {
  for (const DomainKeys& d : domains) {
    if (d.id == domain) return &d;
  }
  return nullptr;
}

Result<const OpenRoster::Agent*> OpenRoster::named(std::string_view name_or_id) const {
  const Agent* found = nullptr;
  for (const Agent& a : agents) {
    if (a.id.hex() == name_or_id) return &a;
    if (a.name != name_or_id) continue;
    if (found != nullptr && found->secrets.back().first != a.secrets.back().first) {
      return Error{{},
                   "the vault has agents '" + a.name +
                       "' in several dedup domains; give the id"
                       " of one ('holdfast vault status' lists them, given the passphrase)"};
    }
    found = &a;
  }
  if (found != nullptr) return found;
  return Error{Errc::no_such_agent, "'" + std::string(name_or_id) +
                                        "' ('holdfast vault status' lists them, given the "
                                        "passphrase)"};
}

const OpenRoster::Agent* OpenRoster::find(const AgentId& agent) const {
  for (const Agent& a : agents) {
    if (a.id == agent) return &a;
  }
  return nullptr;
}

Result<OpenRoster> open_roster(Store& store, const Description& description,
                               const VaultSecret& secret) {
  TRY(const bool superseded, is_superseded(store, description.vault, secret));
  if (superseded) {
    return Error{Errc::key_not_trusted,
                 "this key slot was made before the vault's keys were "
                 "rotated; use a passphrase that was set since"};
  }
  OpenRoster out;
  TRY(out.clear, load_roster(store, description.vault, secret.vault_key(), secret.generation));
  if (out.clear.recovery_key != secret.recovery_key()) {
    return Error{Errc::key_not_trusted, "the roster names a foreign recovery key"};
  }
  for (const RosterDomain& d : out.clear.domains) {
    TRY(DomainKeys keys, open_domain(description.vault, secret.roster_key, d));
    out.domains.push_back(std::move(keys));
  }
  for (const RosterAgent& a : out.clear.agents) {
    OpenRoster::Agent agent;
    agent.id = a.id;
    agent.signing_key = a.signing_key;
    agent.state = a.state;
    agent.enrolled_ns = a.enrolled_ns;
    TRY(AgentRecord record, open_agent_record(description.vault, secret.roster_key, a));
    agent.name = std::move(record.name);
    agent.item_secret = record.item_secret;
    for (const RosterMembership& m : a.memberships) {
      TRY(const crypto::Key256 key, open_membership(description.vault, secret.roster_key, a, m));
      agent.secrets.emplace_back(m.domain, key);
    }
    out.agents.push_back(std::move(agent));
  }
  return out;
}

Status put_roster(Store& store, Roster& roster, const VaultSecret& secret) {
  if (roster.sequence > 0) {
    TRY(const Bytes before, store.get(roster_name(roster.sequence), kObjectBytesMax));
    roster.previous_sha256 = crypto::sha256(before);
  }
  roster.generation = secret.generation;
  roster.vault_key = secret.vault_key();
  roster.recovery_key = secret.recovery_key();
  roster.changed_ns = io::posix_file_system().now_ns();
  for (;;) {
    ++roster.sequence;
    const Status put =
        store.put_if_absent(roster_name(roster.sequence), roster.encode(secret.vault_seed));
    if (put.ok() || put.error().code != std::errc::file_exists) return put;
    // In the way of a rotation that did not end: signed by a key that nothing put in force.
    TRY(const Bytes there, store.get(roster_name(roster.sequence), kObjectBytesMax));
    const auto generation = roster_generation(there);
    if (!generation.ok()) return put;
    const auto in_force = store.head(succession_name(*generation));
    if (*generation == 0 || in_force.ok() || !is_absent(in_force.error())) return put;
  }
}

}  // namespace holdfast::vault
