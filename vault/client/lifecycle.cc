#include "vault/client/lifecycle.h"

#include <algorithm>
#include <set>

#include "vault/engine/replica.h"
#include "vault/engine/survey.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kPointsPerEntry = 5000;

std::string short_text(std::string text) {
  if (text.size() > kAuditTextBytesMax) text.resize(kAuditTextBytesMax);
  return text;
}

std::string describe_all(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& a : actions) text += (text.empty() ? "" : "; ") + describe(a);
  return text;
}

// Points that open sessions were begun on. A session that ended, or was given up, binds nothing;
// but only its own agent's end, and a maintainer's tombstone, say that it did.
Result<std::set<std::pair<ItemId, PointRef>>> bases_of_open_sessions(Vault& vault,
                                                                     const LifecycleState& state) {
  TRY(const Vault::TrustedKey trusted, vault.vault_key());
  TRY(const Roster roster, load_roster(vault.store(), vault.id(), trusted.key, trusted.generation));
  const Maintainers maintainers = maintainers_of(state);
  TRY(const auto sessions, survey_sessions({vault.store(), vault.id(), roster, maintainers}));
  std::set<std::pair<ItemId, PointRef>> bases;
  for (const auto& [id, s] : sessions) {
    if (!s.is_open() || !s.begin || s.begin->base_sequence == 0) continue;
    bases.insert({s.begin->wrap.item, {s.begin->base_sequence, s.begin->base_sha256}});
  }
  return bases;
}

}  // namespace

Result<Lifecycle> Lifecycle::open(Vault& vault) {
  TRY(PointList points, vault.list_points_without_secret());
  Lifecycle out(vault, *points.log);
  out.points_ = std::move(points);
  TRY(out.time_, vault.time(out.log_));
  return out;
}

Result<uint64_t> Lifecycle::append(const AuditKey& key, const AuditLog::Make& make) {
  return log_.append(vault_.store(), key, time_.now_ns, make);
}

Result<MaintainerKeys> granted_keys(Vault& vault, const LifecycleState& state, Role role) {
  TRY(auto keys, vault.state().load_granted(vault.id(), role));
  const std::string name(name_of(role));
  if (!keys) {
    return Error{Errc::no_authority, "it is no " + name + " of the vault at " +
                                         vault.store().location() + " ('holdfast vault enrol --" +
                                         name + "', with the passphrase, makes it one)"};
  }
  const auto grant = state.grants.find(keys->id);
  if (grant == state.grants.end() || !grant->second.active ||
      grant->second.key != keys->public_key()) {
    return Error{Errc::no_authority, "the vault's audit log does not grant its " + name +
                                         "'s key " + keys->id.hex() +
                                         " (any more); enrol it again with the passphrase"};
  }
  return std::move(*keys);
}

Result<AuditKey> Lifecycle::granted(Role role) const {
  TRY(const MaintainerKeys keys, granted_keys(vault_, state(), role));
  return AuditKey{{keys.id, 0}, keys.signing_seed};
}

Result<Lifecycle::Changed> Lifecycle::change(const VaultSecret& secret,
                                             std::vector<Action> actions) {
  TRYV(require_writable(vault_.store(), vault_.id()));
  const AuditKey key = vault_audit_key(secret);
  auto entry = log_.append(vault_.store(), key, time_.now_ns, actions);
  if (entry.ok()) return Changed{*entry, false};
  if (entry.error().code != Errc::refused) return std::move(entry).error();
  Error why = std::move(entry).error();
  if (state().approval_required) {
    auto request =
        log_.append(vault_.store(), key, time_.now_ns, {audit::Request{encode_actions(actions)}});
    if (request.ok()) return Changed{*request, true};
    if (request.error().code != Errc::refused) return std::move(request).error();
    why = std::move(request).error();
  }
  TRYV(log_.append(
      vault_.store(), key, time_.now_ns,
      {audit::Note{NoteKind::refusal, short_text(describe_all(actions) + ": " + why.context)}}));
  return why;
}

Result<Lifecycle::Changed> Lifecycle::approve(uint64_t request) {
  TRYV(require_writable(vault_.store(), vault_.id()));
  TRY(const AuditKey key, granted(Role::approver));
  const auto it = state().requests.find(request);
  if (it == state().requests.end()) {
    return Error{Errc::refused, "there is no open request " + std::to_string(request) +
                                    " ('holdfast vault audit' lists them)"};
  }
  const crypto::Digest sha256 = it->second.sha256;
  TRY(const uint64_t entry,
      log_.append(vault_.store(), key, time_.now_ns, {audit::Approve{request, sha256}}));
  return Changed{entry, false};
}

Result<Lifecycle::Changed> Lifecycle::confirm_clock(const VaultSecret& secret) {
  TRY(time_.now_ns, vault_.store().now_ns());
  TRY(const Changed changed, change(secret, {audit::ConfirmClock{}}));
  if (!changed.needs_approval) {
    time_.is_trusted = true;
    TRYV(vault_.state().save_clock({vault_.id(), time_.now_ns, boot_time()}));
  }
  return changed;
}

Result<std::vector<Lifecycle::ItemPlan>> Lifecycle::preview(
    const std::optional<ItemId>& only) const {
  std::map<ItemId, std::vector<const RecoveryPoint*>> items;
  for (const RecoveryPoint& p : points_.points) {
    const ItemId& item = p.manifest.item();
    // What is deleted since the list was made is not live either.
    if (only && item != *only) continue;
    auto& live = items[item];
    const PointRef ref{p.manifest.sequence, p.sha256};
    if (!state().deleted(item, ref) && !state().is_purged(item, ref)) live.push_back(&p);
  }
  std::map<std::string, TimeZone> zones;
  std::vector<ItemPlan> out;
  for (auto& [item, live] : items) {
    ItemPlan plan;
    plan.item = item;
    const PolicyState* policy = state().policy_of(item, &plan.policy);
    static const RetentionPolicy kEverything;
    const RetentionPolicy& rules = policy == nullptr ? kEverything : policy->policy;
    if (!zones.contains(rules.time_zone)) {
      TRY(TimeZone zone, TimeZone::load(rules.time_zone));
      zones.emplace(rules.time_zone, std::move(zone));
    }
    ItemFacts facts;
    if (const ItemLifecycle* known = state().find(item)) {
      facts.confirmed_sequence = known->confirmed_sequence;
      for (const auto& [sequence, sha256] : known->purged) facts.expired.push_back(sequence);
      for (const auto& [sequence, deleted] : known->deleted) facts.expired.push_back(sequence);
      std::sort(facts.expired.begin(), facts.expired.end());
    }
    std::map<uint64_t, const RecoveryPoint*> by_sequence;
    for (const RecoveryPoint* p : live) {
      const Manifest& m = p->manifest;
      by_sequence[m.sequence] = p;
      facts.points.push_back({m.sequence, p->stored_ns, m.entries, !m.incomplete,
                              state().hold_on(item, m.sequence) != nullptr, m.labels});
    }
    plan.plan = plan_retention(facts, rules, zones.at(rules.time_zone), time_.now_ns);
    for (const PointDecision& d : plan.plan.points) {
      plan.points.push_back(by_sequence.at(d.sequence));
    }
    out.push_back(std::move(plan));
  }
  return out;
}

Result<Lifecycle::Applied> Lifecycle::apply(const std::optional<ItemId>& only) {
  TRYV(require_writable(vault_.store(), vault_.id()));
  TRY(const AuditKey key, granted(Role::maintainer));
  if (!time_.is_trusted) {
    return Error{Errc::refused, "nothing expires while the time is in doubt: " + time_.doubt +
                                    ". If the store's clock is right, say so with 'holdfast vault "
                                    "clock confirm' and the passphrase"};
  }
  Applied out;
  TRY(out.plans, preview(only));
  for (const ItemPlan& plan : out.plans) TRYV(soft_delete(key, plan, out));
  TRYV(purge_due(key, out));
  TRYV(note_alerts(key, out.plans));
  TRYV(remove_purged(out));
  return out;
}

Status Lifecycle::soft_delete(const AuditKey& key, const ItemPlan& plan, Applied& out) {
  std::vector<PointRef> expiring;
  for (size_t i = 0; i < plan.points.size(); ++i) {
    if (plan.plan.points[i].keep) continue;
    expiring.push_back({plan.points[i]->manifest.sequence, plan.points[i]->sha256});
  }
  std::sort(expiring.begin(), expiring.end());
  for (size_t at = 0; at < expiring.size(); at += kPointsPerEntry) {
    size_t count = 0;
    TRYV(append(key, [&](const LifecycleState& now) -> Result<std::vector<Action>> {
      audit::SoftDelete deletion{plan.item, DeleteReason::by_policy, {}};
      // Somebody may have held, deleted or reassigned since the plan was made.
      std::string policy;
      if (now.policy_of(plan.item, &policy) == nullptr || policy != plan.policy) {
        return Error{Errc::refused, "the policy of item " + plan.item.hex() +
                                        " was changed meanwhile; run this again"};
      }
      for (size_t i = at; i < std::min(at + kPointsPerEntry, expiring.size()); ++i) {
        const ItemLifecycle* item = now.find(plan.item);
        const bool gone = item != nullptr && (item->deleted.contains(expiring[i].sequence) ||
                                              item->purged.contains(expiring[i].sequence));
        if (!gone && now.hold_on(plan.item, expiring[i].sequence) == nullptr) {
          deletion.points.push_back(expiring[i]);
        }
      }
      count = deletion.points.size();
      if (count == 0) return std::vector<Action>{};
      return std::vector<Action>{std::move(deletion)};
    }));
    out.soft_deleted += count;
  }
  return {};
}

Status Lifecycle::purge_due(const AuditKey& key, Applied& out) {
  for (;;) {
    size_t count = 0;
    TRYV(append(key, [&](const LifecycleState& now) -> Result<std::vector<Action>> {
      std::vector<Action> actions;
      count = 0;
      for (const auto& [item, of_item] : now.items) {
        audit::Purge purge{item, {}};
        for (const auto& [sequence, deleted] : of_item.deleted) {
          if (count == kPointsPerEntry) break;
          if (deleted.due_ns > time_.now_ns || now.hold_on(item, sequence) != nullptr) continue;
          purge.points.push_back({sequence, deleted.sha256});
          ++count;
        }
        if (!purge.points.empty()) actions.emplace_back(std::move(purge));
      }
      return actions;
    }));
    if (count == 0) return {};
    out.purged += count;
  }
}

Status Lifecycle::note_alerts(const AuditKey& key, const std::vector<ItemPlan>& plans) {
  std::set<std::string> known;
  for (const LoggedEntry& e : log_.entries()) {
    for (const Action& a : e.entry.actions) {
      if (const auto* note = std::get_if<audit::Note>(&a)) known.insert(note->text);
    }
  }
  std::vector<Action> notes;
  for (const ItemPlan& plan : plans) {
    for (const RetentionAlert& a : plan.plan.alerts) {
      std::string text = short_text("item " + plan.item.hex() + ", point #" +
                                    std::to_string(a.sequence) + ": " + a.text);
      if (known.insert(text).second && notes.size() < 100) {
        notes.emplace_back(audit::Note{NoteKind::alert, std::move(text)});
      }
    }
  }
  TRYV(append(key, [&](const LifecycleState&) -> Result<std::vector<Action>> { return notes; }));
  return {};
}

Status Lifecycle::remove_purged(Applied& out) {
  // The records are in the log. Only now look who still builds on a purged point: a session that
  // begins from here on reads the log, and does not.
  TRY(const auto bases, bases_of_open_sessions(vault_, state()));
  TRY(const auto objects, vault_.store().list(std::string(kPointsPrefix)));
  std::map<ItemId, uint64_t> newest;
  std::vector<std::pair<PointName, std::string>> present;
  for (const ObjectInfo& object : objects) {
    const auto name = parse_point_name(object.name);
    if (!name.ok()) continue;
    newest[name->item] = std::max(newest[name->item], name->sequence);
    present.emplace_back(*name, object.name);
  }
  for (const auto& [point, name] : present) {
    const ItemLifecycle* item = state().find(point.item);
    const auto purged =
        item == nullptr ? decltype(item->purged.end()){} : item->purged.find(point.sequence);
    if (item == nullptr || purged == item->purged.end()) continue;
    const PointRef ref{point.sequence, purged->second};
    // The last number of an item stays taken, or another point could get it and be lost with it.
    if (newest[point.item] == point.sequence || bases.contains({point.item, ref})) {
      ++out.manifests_waiting;
      continue;
    }
    const auto bytes = vault_.store().get(name, kObjectBytesMax);
    if (!bytes.ok()) {
      if (is_absent(bytes.error())) continue;
      return bytes.error();
    }
    if (crypto::sha256(*bytes) != ref.sha256) continue;  // not the point that was purged
    TRYV(vault_.store().remove(name));
    ++out.manifests_removed;
  }
  return {};
}

}  // namespace holdfast::vault
