#include "vault/engine/points.h"

#include <algorithm>
#include <map>
#include <set>

#include "vault/engine/collections.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/format/session.h"
#include "vault/lifecycle/maintainers.h"
#include "vault/seal/session_key.h"

namespace holdfast::vault {
namespace {

// Sessions that some collector gave up, from one listing instead of one per point.
Result<std::set<SessionId>> tombstoned_sessions(Store& store) {
  TRY(const auto objects, store.list(std::string(kSessionsPrefix)));
  std::set<SessionId> out;
  for (const ObjectInfo& object : objects) {
    auto name = parse_session_name(object.name);
    if (name.ok() && name->step.starts_with("tombstone-")) out.insert(name->session);
  }
  return out;
}

Result<RecoveryPoint> load_point(Store& store, const ObjectInfo& object, const PointName& name,
                                 const Description& description, const Roster& roster) {
  TRY(const Bytes bytes, store.get(object.name, kObjectBytesMax));
  RecoveryPoint point;
  auto manifest = decode_manifest(bytes);
  if (!manifest.ok()) return Error{Errc::damaged, manifest.error().context};
  point.manifest = std::move(*manifest);
  const Manifest& m = point.manifest;
  if (m.vault != description.vault || m.item() != name.item || m.sequence != name.sequence) {
    return Error{Errc::damaged, "it belongs elsewhere"};
  }
  const RosterAgent* agent = roster.find(m.agent());
  if (agent == nullptr) return Error{Errc::damaged, "signed by an agent that nobody enrolled"};
  if (!agent->is_member(m.domain)) {
    return Error{Errc::damaged, "its agent is not of its domain"};
  }
  if (!verify_object(bytes, agent->signing_key, "manifest").ok()) {
    return Error{Errc::damaged, "its signature does not verify"};
  }
  point.sha256 = crypto::sha256(bytes);
  point.stored_ns = object.stored_ns;
  return point;
}

using Names = std::map<ItemId, std::set<uint64_t>>;

// Numbers below a point of the same item that no object has: somebody removed them. Numbers between
// a point and the one that it names as its predecessor were never points.
void find_gaps(const Names& names, PointList& list) {
  constexpr size_t kReportedMax = 1000;  // of one item
  const ItemId* item = nullptr;
  uint64_t expected = 1;
  size_t reported = 0;
  for (const RecoveryPoint& point : list.points) {
    const Manifest& m = point.manifest;
    if (item == nullptr || *item != m.item()) {
      item = &m.item();
      expected = 1;
      reported = 0;
    }
    const auto& present = names.at(*item);
    for (; expected <= m.previous_sequence && reported < kReportedMax; ++expected) {
      if (present.contains(expected)) continue;
      ++reported;
      list.defects.push_back(
          {point_name(*item, expected), "missing without a record of its expiry"});
    }
    expected = m.sequence + 1;
  }
}

// Each manifest has the hash of the one before it.
void find_broken_links(PointList& list) {
  for (size_t i = 1; i < list.points.size(); ++i) {
    const RecoveryPoint& before = list.points[i - 1];
    const Manifest& m = list.points[i].manifest;
    if (m.item() == before.manifest.item() && m.previous_sequence == before.manifest.sequence &&
        m.previous_sha256 != before.sha256) {
      list.defects.push_back({point_name(m.item(), before.manifest.sequence),
                              "not the point that its successor was written after"});
    }
  }
}

// What any manifest saw of other items, against what is there.
void find_missing_tails(const Names& names, PointList& list) {
  std::map<ItemId, uint64_t> seen;
  for (const RecoveryPoint& p : list.points) {
    for (const ItemHead& head : p.manifest.heads) {
      seen[head.item] = std::max(seen[head.item], head.sequence);
    }
  }
  for (const auto& [item, sequence] : seen) {
    const auto it = names.find(item);
    if (it == names.end() || *it->second.rbegin() < sequence) {
      list.defects.push_back({point_name(item, sequence),
                              "missing, although a later recovery point of another item saw it"});
    }
  }
}

}  // namespace

Result<PointList> list_points(Store& store, const Description& description, const Roster& roster,
                              const std::optional<ItemId>& only) {
  // In this order: a tombstone put before a manifest that is seen here must not be missed.
  TRY(const auto objects, store.list(std::string(kPointsPrefix)));
  TRY(const auto tombstoned, tombstoned_sessions(store));
  // After the listing: a point's record of expiry is put before its manifest is removed.
  TRY(AuditLog log, AuditLog::load(store, description, roster.vault_key, roster.generation));
  PointList list;
  list.log = std::make_shared<const AuditLog>(std::move(log));
  const LifecycleState& lifecycle = list.log->state();
  const Maintainers maintainers = maintainers_of(lifecycle);
  Names names;
  for (const auto& [item, of_item] : lifecycle.items) {
    for (const auto& [sequence, sha256] : of_item.purged) names[item].insert(sequence);
  }
  for (const ObjectInfo& object : objects) {
    auto name = parse_point_name(object.name);
    if (!name.ok()) {
      list.defects.push_back({object.name, "not the name of a recovery point"});
      continue;
    }
    names[name->item].insert(name->sequence);
    if (only && name->item != *only) continue;
    auto point = load_point(store, object, *name, description, roster);
    if (!point.ok()) {
      if (is_absent(point.error())) continue;  // expired between listing and reading
      if (!is_verdict(point.error())) return std::move(point).error();
      const bool damaged = point.error().code == Errc::damaged;
      list.defects.push_back(
          {object.name, damaged ? point.error().context : point.error().message()});
      continue;
    }
    const PointRef ref{name->sequence, point->sha256};
    if (lifecycle.is_purged(name->item, ref)) continue;
    if (const auto* deleted = lifecycle.deleted(name->item, ref)) point->deleted = *deleted;
    if (tombstoned.contains(point->manifest.session())) {
      auto counts = manifest_counts(store, point->manifest, point->sha256, maintainers);
      if (!counts.ok() && counts.error().code == Errc::damaged) {
        list.defects.push_back(
            {object.name, "whether it counts cannot be told: " + counts.error().message()});
        continue;
      }
      if (!counts.ok()) return std::move(counts).error();
      if (*counts == Counts::no) {
        list.remarks.push_back({object.name,
                                "of a session that a collector gave up; its backup was "
                                "committed under another number, or not at all"});
        continue;
      }
    }
    list.points.push_back(std::move(*point));
  }
  std::sort(list.points.begin(), list.points.end(),
            [](const RecoveryPoint& a, const RecoveryPoint& b) {
              return std::pair(a.manifest.item(), a.manifest.sequence) <
                     std::pair(b.manifest.item(), b.manifest.sequence);
            });
  find_gaps(names, list);
  find_broken_links(list);
  find_missing_tails(names, list);
  return list;
}

Result<PointBody> open_body(const RecoveryPoint& point, const OpenRoster& roster,
                            const VaultSecret& secret) {
  const Manifest& m = point.manifest;
  const std::string name = point_name(m.item(), m.sequence);
  const OpenRoster::Agent* agent = roster.find(m.agent());
  const crypto::Key256* psk = agent == nullptr ? nullptr : agent->secret_for(m.domain);
  if (psk == nullptr) return Error{Errc::damaged, name + " (its agent is not of its domain)"};
  TRY(const SessionKey key, SessionKey::recover(secret, m.vault, m.domain, m.wrap, *psk));
  auto plain = key.open_body(m);
  if (!plain.ok()) return Error{Errc::damaged, name + " (its sealed body does not authenticate)"};
  auto body = decode_point_body(*plain);
  if (!body.ok()) return Error{Errc::damaged, name + " (" + body.error().context + ")"};
  if (item_id(agent->item_secret, body->item_name) != m.item()) {
    return Error{Errc::damaged, name + " (it claims an item that is not its agent's)"};
  }
  return body;
}

}  // namespace holdfast::vault
