#include "vault/client/vault.h"

#include <algorithm>

#include "vault/client/location.h"
#include "vault/engine/replica.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kClearTextMax = 255;

int64_t now_ns() {
  return io::posix_file_system().now_ns();
}

// Whether put_if_absent really refuses: some stores ignore the condition.
Result<bool> probe_put_if_absent(Store& store) {
  const std::string name = "tmp/probe-" + RunId::random().hex();
  TRYV(store.put_if_absent(name, as_bytes("1")));
  const Status second = store.put_if_absent(name, as_bytes("2"));
  TRYV(store.remove(name));
  if (!second.ok() && second.error().code != std::errc::file_exists) return second.error();
  return !second.ok();
}

}  // namespace

Result<std::unique_ptr<Vault>> Vault::create(const std::string& location,
                                             const CreateOptions& options, StateDirectory state) {
  TRY(auto store, create_store(location));
  return create(std::move(store), options, std::move(state));
}

Result<std::unique_ptr<Vault>> Vault::create(std::unique_ptr<Store> store,
                                             const CreateOptions& options, StateDirectory state) {
  for (const std::string* text : {&options.name, &options.region, &options.machine}) {
    if (text->size() > kClearTextMax) {
      return Error{holdfast::Errc::limit_exceeded,
                   "'" + text->substr(0, 40) + "...' is longer than 255 bytes"};
    }
  }
  const VaultSecret secret = VaultSecret::create();
  Description d;
  d.vault = VaultId::random();
  d.vault_key = secret.vault_key();
  d.created_ns = now_ns();
  d.name = options.name;
  d.region = options.region;
  TRY(d.put_if_absent_enforced, probe_put_if_absent(*store));

  TRY(const Slot slot,
      make_passphrase_slot(d.vault, secret, options.passphrase, "passphrase", now_ns()));
  TRYV(store->put(slot_name(slot.id), slot.encode()));

  const DomainKeys domain = DomainKeys::create();
  AgentKeys credential;
  Roster roster;
  roster.vault = d.vault;
  roster.domains.push_back(seal_domain(d.vault, secret.roster_key, domain));
  roster.agents.push_back(
      enrol_agent(secret, d.vault, domain, options.machine, now_ns(), credential));
  TRYV(put_roster(*store, roster, secret));
  TRYV(state.save_credential(credential));
  // Who makes a vault looks after it.
  const MaintainerKeys maintainer = MaintainerKeys::create(d.vault);
  TRY(AuditLog log, AuditLog::load(*store, d.vault, {d.vault_key}));
  TRY(const uint64_t granted, log.append(*store, vault_audit_key(secret), d.created_ns,
                                         {maintainer.grant(Role::maintainer, options.machine)}));
  CHECK(granted == 1);
  TRYV(state.save_maintainer(maintainer));
  TRYV(state.save_clock({d.vault, d.created_ns, boot_time()}));
  TRYV(state.save_locations(d.vault, store->locations()));
  // Last: from here on it is a vault.
  TRYV(store->put_if_absent(std::string(kDescriptionName), d.encode(secret.vault_seed)));
  return std::unique_ptr<Vault>(new Vault(std::move(store), std::move(d), std::move(state)));
}

Result<std::unique_ptr<Vault>> Vault::open(const std::string& location, StateDirectory state,
                                           const std::vector<std::string>& moved) {
  const auto open_at = [&](const std::string& place) -> Result<std::unique_ptr<Vault>> {
    auto store = open_store(place, moved);
    if (!store.ok()) {
      if (store.error().code == std::errc::no_such_file_or_directory) {
        return Error{Errc::not_a_vault, place};
      }
      return std::move(store).error();
    }
    return open(std::move(*store), state);
  };
  auto vault = open_at(location);
  if (!vault.ok()) {
    // Perhaps one of several directories, which is lost, not mounted or cannot be read.
    TRY(const std::string path, location_path(location));
    for (const std::string& other : state.other_locations(path)) {
      auto found = open_at(other);
      if (!found.ok()) continue;
      vault = std::move(found);
      break;
    }
  }
  if (!vault.ok()) return vault;
  const auto locations = (*vault)->store().locations();
  // For the day on which this directory is the one that is lost.
  if (locations.size() > 1 && !state.load_locations((*vault)->id()).empty() &&
      state.load_locations((*vault)->id()) != locations) {
    TRYV(state.save_locations((*vault)->id(), locations));
  }
  return vault;
}

Result<std::unique_ptr<Vault>> Vault::open(std::unique_ptr<Store> store, StateDirectory state) {
  TRY(Description description, load_description(*store));
  return std::unique_ptr<Vault>(
      new Vault(std::move(store), std::move(description), std::move(state)));
}

Result<UnlockedSlot> Vault::unlock(std::string_view passphrase) {
  TRY(const auto objects, store_->list(std::string(kKeysPrefix)));
  const bool is_code = looks_like_recovery_code(passphrase);
  size_t tried = 0;
  std::vector<UnlockedSlot> opened;
  std::optional<Error> damage;
  for (const ObjectInfo& object : objects) {
    const auto bytes = store_->get(object.name, kObjectBytesMax);
    if (!bytes.ok() && !is_verdict(bytes.error())) return bytes.error();
    auto slot = bytes.ok() ? decode_slot(*bytes) : Result<Slot>(bytes.error());
    if (!slot.ok() || slot->vault != id() || slot_name(slot->id) != object.name) {
      damage = Error{Errc::damaged, object.name};
      continue;
    }
    if (slot->kind == SlotKind::recovery_code && !is_code) continue;
    ++tried;
    auto secret = open_slot(*slot, passphrase);
    if (!secret.ok()) {
      if (secret.error().code == Errc::wrong_passphrase) continue;
      damage = std::move(secret).error().in(object.name);
      continue;
    }
    opened.push_back(UnlockedSlot{std::move(*secret), std::move(*slot)});
  }
  std::sort(opened.begin(), opened.end(), [](const UnlockedSlot& a, const UnlockedSlot& b) {
    return a.secret.generation > b.secret.generation;
  });
  for (UnlockedSlot& candidate : opened) {
    // The secret proves itself by the key that signed the description and its successors.
    auto key = vault_key_of(*store_, description_, candidate.secret.generation);
    if (!key.ok() && key.error().code == Errc::missing) continue;  // a rotation that did not end
    if (!key.ok() && is_verdict(key.error())) {
      damage = std::move(key).error();
      continue;
    }
    if (!key.ok()) return std::move(key).error();
    if (*key != candidate.secret.vault_key()) {
      damage = Error{Errc::key_not_trusted, "the vault at " + store_->location() +
                                                " is not signed by the key in its key slot"};
      continue;
    }
    // A rotation that was stopped after it took force leaves the slots it wanted to remove.
    TRY(const bool superseded, is_superseded(*store_, id(), candidate.secret));
    if (!superseded) return std::move(candidate);
    damage = Error{Errc::key_not_trusted,
                   "this key slot was made before the vault's keys were "
                   "rotated; use a passphrase that was set since"};
  }
  if (damage) return *damage;
  if (objects.empty()) {
    return Error{Errc::missing, "every key slot of the vault at " + store_->location()};
  }
  return Error{Errc::wrong_passphrase, "none of the " + std::to_string(objects.size()) +
                                           " key slots of the vault at " + store_->location() +
                                           " opens (" + std::to_string(tried) + " tried)"};
}

Result<AgentKeys> Vault::credential(std::vector<std::string>& warnings) {
  TRY(auto stored, state_.load_credential(id()));
  if (!stored) {
    return Error{Errc::no_credential,
                 "give the passphrase once ('holdfast vault enrol', or HOLDFAST_PASSPHRASE) to "
                 "make this machine an agent of the vault at " +
                     store_->location()};
  }
  AgentKeys keys = std::move(*stored);
  TRY(const bool changed, update_pins(*store_, keys));
  TRY(const Roster roster, load_roster(*store_, id(), keys.vault_key, keys.generation));
  TRYV(check_agent(roster, keys));
  TRY(const VaultMemory memory, state_.load_memory(id()));
  if (roster.sequence < memory.roster_sequence) {
    warnings.push_back("the vault at " + store_->location() + " shows roster " +
                       std::to_string(roster.sequence) + ", this machine has seen roster " +
                       std::to_string(memory.roster_sequence) +
                       ". Was the vault restored from a copy?");
  }
  if (roster.sequence > memory.roster_sequence) {
    TRYV(state_.change_memory(id(), [&](VaultMemory& now) {
      now.roster_sequence = std::max(now.roster_sequence, roster.sequence);
    }));
  }
  if (changed) TRYV(state_.save_credential(keys));
  return keys;
}

Result<AgentKeys> Vault::enrol(const VaultSecret& secret, const EnrolOptions& options) {
  TRYV(require_writable(*store_, id()));
  TRY(const OpenRoster open, open_roster(*store_, description_, secret));
  Roster roster = open.clear;
  auto loaded = state_.load_credential(id());
  // A damaged one is none: its keys are lost, and this is the way to new ones.
  if (!loaded.ok() && loaded.error().code != holdfast::Errc::malformed) {
    return std::move(loaded).error();
  }
  const std::optional<AgentKeys> stored = loaded.ok() ? std::move(*loaded) : std::nullopt;
  const OpenRoster::Agent* self = stored && !options.fresh ? open.find(stored->agent) : nullptr;
  if (self != nullptr && self->state == AgentState::active) {
    // Fetch what a rotation changed.
    AgentKeys keys = *stored;
    const auto& [domain, agent_secret] = self->secrets.back();
    const DomainKeys* domain_keys = open.find(domain);
    if (domain_keys == nullptr) return Error{Errc::missing, "domain " + domain.hex()};
    if (!options.join.empty()) {
      TRY(const OpenRoster::Agent* other, open.named(options.join));
      if (other->secrets.back().first != domain) {
        return Error{{},
                     "this machine is agent " + self->name +
                         " already, in another dedup domain; --new makes it another agent, "
                         "whose items begin anew"};
      }
    }
    keys.domain = *domain_keys;
    keys.agent_secret = agent_secret;
    keys.generation = secret.generation;
    keys.vault_key = secret.vault_key();
    keys.recovery_key = secret.recovery_key();
    TRYV(state_.save_credential(keys));
    return keys;
  }

  DomainKeys domain;
  if (options.join.empty()) {
    domain = DomainKeys::create();
    roster.domains.push_back(seal_domain(id(), secret.roster_key, domain));
  } else {
    TRY(const OpenRoster::Agent* other, open.named(options.join));
    const DomainKeys* shared = open.find(other->secrets.back().first);
    if (shared == nullptr) return Error{Errc::missing, "the domain of agent " + options.join};
    domain = *shared;
  }
  AgentKeys credential;
  roster.agents.push_back(enrol_agent(secret, id(), domain, options.machine, now_ns(), credential));
  TRYV(put_roster(*store_, roster, secret));
  TRYV(state_.save_credential(credential));
  TRYV(state_.save_locations(id(), store_->locations()));
  return credential;
}

Result<Vault::GrantedKey> Vault::enrol_granted(const VaultSecret& secret, Role role,
                                               const std::string& label) {
  TRYV(require_writable(*store_, id()));
  TRY(AuditLog log, AuditLog::load(*store_, description_, secret.vault_key(), secret.generation));
  auto stored = state_.load_granted(id(), role);
  // A damaged one is none: this is the way to a new one.
  if (!stored.ok() && stored.error().code != holdfast::Errc::malformed) {
    return std::move(stored).error();
  }
  if (stored.ok() && stored->has_value()) {
    const auto it = log.state().grants.find((*stored)->id);
    if (it != log.state().grants.end() && it->second.active) return GrantedKey{(*stored)->id, 0};
  }
  const MaintainerKeys keys = MaintainerKeys::create(id());
  // Kept first: a grant without its key is for nobody.
  TRYV(state_.save_granted(keys, role));
  TRYV(state_.save_locations(id(), store_->locations()));
  std::vector<Action> actions{keys.grant(role, label)};
  const bool asks = log.state().approval_required;
  if (asks) actions = {audit::Request{encode_actions(actions)}};
  TRY(const VaultTime now, time(log));
  TRY(const uint64_t entry,
      log.append(*store_, vault_audit_key(secret), now.now_ns, std::move(actions)));
  return GrantedKey{keys.id, asks ? entry : 0};
}

Result<AuditLog> Vault::audit_log() {
  TRY(const TrustedKey trusted, vault_key());
  return AuditLog::load(*store_, description_, trusted.key, trusted.generation);
}

Result<VaultTime> Vault::time(const AuditLog& log) {
  TRY(const auto mark, state_.load_clock(id()));
  TRY(const io::TimeNs store_ns, store_->now_ns());
  const BootTime boot = boot_time();
  VaultTime now = vault_time(log.state().time_ns, mark, store_ns, boot);
  // Best effort: without it a longer pause needs the clock confirmed.
  if (now.is_trusted) (void)state_.save_clock({id(), now.now_ns, boot});
  return now;
}

Result<std::unique_ptr<Session>> Vault::begin_session(const AgentKeys& keys, SessionRequest request,
                                                      SessionOptions options) {
  TRYV(require_features(description_.features_write, "write to"));
  TRYV(require_writable(*store_, id()));
  TRY(const VaultMemory memory, state_.load_memory(id()));
  for (const auto& [item, sequence] : memory.heads) {
    request.remembered_heads.push_back({item, sequence});
  }
  if (const auto it = memory.own_heads.find(request.item); it != memory.own_heads.end()) {
    request.remembered_head = it->second;
  }
  TRY(Roster roster, load_roster(*store_, id(), keys.vault_key, keys.generation));
  request.roster = std::make_shared<const Roster>(std::move(roster));
  request.lifecycle = [this, key = keys.vault_key,
                       generation = keys.generation]() -> Result<LifecycleState> {
    TRY(const AuditLog log, AuditLog::load(*store_, description_, key, generation));
    return log.state();
  };
  return Session::begin(*store_, keys, std::move(request), std::move(options));
}

Status Vault::remember(const Session& session, const ItemId& item, const CommittedPoint& point) {
  // Backups come more often than maintenance: the vault's time then outlives restarts.
  TRY(const auto mark, state_.load_clock(id()));
  if (mark) {
    TRY(const io::TimeNs store_ns, store_->now_ns());
    const VaultTime time = vault_time(mark->vault_ns, mark, store_ns, boot_time());
    if (time.is_trusted) TRYV(state_.save_clock({id(), time.now_ns, boot_time()}));
  }
  return state_.change_memory(id(), [&](VaultMemory& memory) {
    // What is gone was reported by this session; reporting it for ever would hide the next loss.
    memory.heads.clear();
    for (const ItemHead& head : session.heads()) memory.heads[head.item] = head.sequence;
    memory.heads[item] = point.sequence;
    memory.own_heads[item] = {point.sequence, point.sha256};
  });
}

Result<std::unique_ptr<VaultReader>> Vault::open_reader(const VaultSecret& secret,
                                                        ReaderOptions options) {
  return VaultReader::open(*store_, description_, secret, options);
}

Result<Vault::TrustedKey> Vault::vault_key() {
  TRY(const auto stored, state_.load_credential(id()));
  if (stored) {
    AgentKeys keys = *stored;
    TRY(const bool changed, update_pins(*store_, keys));
    (void)changed;  // kept when the credential is next used for writing
    return TrustedKey{keys.vault_key, keys.generation, true};
  }
  TrustedKey trusted{description_.vault_key, 0, false};
  for (;;) {
    auto next = vault_key_of(*store_, description_, trusted.generation + 1);
    if (!next.ok()) {
      if (is_verdict(next.error())) return trusted;
      return std::move(next).error();
    }
    trusted.key = *next;
    ++trusted.generation;
  }
}

Result<PointList> Vault::list_points_without_secret() {
  TRY(const TrustedKey trusted, vault_key());
  TRY(const Roster roster, load_roster(*store_, id(), trusted.key, trusted.generation));
  return list_points(*store_, description_, roster);
}

std::vector<std::string> promises(const StoreTraits& traits) {
  std::vector<std::string> lines{
      "points that were reported are restorable until their retention ends; nobody reads them "
      "without a key; damage, gaps and older states are found; backups, restores and maintenance "
      "run side by side"};
  if (traits.locks_objects) {
    lines.push_back(
        "deletion before its time: the store refuses it to agents, and to "
        "administrators without the store's root");
  } else {
    lines.push_back(
        "deletion before its time: programs refuse it (holds, soft delete, "
        "immutability), which protects against mistakes; this store does not enforce "
        "it: root of this machine and the directory's owner can delete everything");
  }
  if (traits.network_file_system) {
    lines.push_back("this is a network file system: let one host at a time write to the vault");
  }
  return lines;
}

}  // namespace holdfast::vault
