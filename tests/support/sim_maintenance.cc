#include "tests/support/sim_maintenance.h"

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"
#include "vault/format/session.h"
#include "vault/lifecycle/audit_log.h"

namespace holdfast::testing {

using namespace vault;  // NOLINT: test support

CollectingMachine::CollectingMachine(const TestVault& vault, const MaintainerKeys& keys, int calls)
    : vault_(vault), keys_(keys), calls_(calls) {
  options.directory = directory_.path();
  options.memory_bytes = 1 << 20;
  options.session_silent_ns = 4 * kHour;
  options.session_limit_ns = 12 * kHour;
  options.dead_session_ns = 2 * kDay;
  options.dead_run_ns = 10 * kHour;
  options.repack.dead_share_min = 0.1;
  options.repack.small_packs_min = 6;
}

void CollectingMachine::run(SimStore& sim) {
  for (int i = 0; i < calls_; ++i) {
    const std::unique_ptr<Store> wrapped = wrap ? wrap(sim) : nullptr;
    Store& store = wrapped ? *wrapped : sim;
    const auto report = run_collect(store, vault_, options, &keys_);
    if (report.ok()) {
      sim.simulation().note(sim.name() +
                            (report->done ? " collected, deleted " : " waits, deleted ") +
                            std::to_string(report->packs_deleted));
      runs_done += report->done ? 1 : 0;
      packs_deleted += report->packs_deleted;
      packs_copied += report->packs_copied;
      given_up += report->given_up.size();
    } else {
      sim.simulation().note(sim.name() + " failed: " + report.error().message());
      if (!sim.is_killed() && report.error().code != std::errc::io_error) {
        failures.push_back(report.error().message());
      }
    }
    if (sim.is_killed()) sim.reboot();
    sim.sleep(static_cast<int64_t>(sim.random(6 * kHour)));
  }
}

void Purger::run(SimStore& sim) {
  for (int i = 0; i < calls_; ++i) {
    sim.sleep(static_cast<int64_t>(sim.random(30 * kHour)));
    std::map<ItemId, uint64_t> newest;
    for (const Ledger::Point& p : ledger_.points()) {
      newest[p.item] = std::max(newest[p.item], p.committed.sequence);
    }
    for (size_t k = 0; k < ledger_.points().size(); ++k) {
      Ledger::Point& p = ledger_.points()[k];
      if (p.purged || p.committed.sequence == newest[p.item] || sim.random(2) == 0) continue;
      // Whatever becomes of the attempt, nobody may count on it any more.
      p.purged = true;
      if (record(sim, p).ok()) {
        ++purged;
        to_remove_.push_back(p);
      }
      if (sim.random(2) == 0) break;
    }
    if (sim.is_killed()) sim.reboot();
    const Status ignored = remove_manifests(sim);
    if (sim.is_killed()) sim.reboot();
  }
}

Status Purger::record(SimStore& sim, Ledger::Point& point) {
  const ItemId item = point.item;
  const std::vector<PointRef> points{{point.committed.sequence, point.committed.sha256}};
  TRY(auto log, AuditLog::load(sim, vault_.description, vault_.description.vault_key, 0));
  const int64_t deleted_ns = log.state().time_ns + 1;
  TRYV(log.append(sim, vault_audit_key(vault_.secret), deleted_ns,
                  {audit::SoftDelete{item, DeleteReason::by_hand, points}}));
  TRYV(log.append(sim, vault_audit_key(vault_.secret), deleted_ns + 15 * kDayNs,
                  {audit::Purge{item, points}}));
  sim.simulation().note("purged " + point_name(item, points[0].sequence));
  return {};
}

Result<bool> Purger::is_base_of_open_session(SimStore& sim, const Ledger::Point& point) {
  TRY(const auto objects, sim.list(std::string(kSessionsPrefix)));
  std::set<SessionId> over;
  for (const ObjectInfo& o : objects) {
    const auto name = parse_session_name(o.name);
    if (name.ok() && (name->step == "end" || name->step.starts_with("tombstone-"))) {
      over.insert(name->session);
    }
  }
  for (const ObjectInfo& o : objects) {
    const auto name = parse_session_name(o.name);
    if (!name.ok() || name->step != "begin" || over.contains(name->session)) continue;
    const auto object = sim.get(o.name, kObjectBytesMax);
    if (!object.ok()) {
      if (is_absent(object.error())) continue;
      return object.error();
    }
    const auto begin = decode_session_begin(*object);
    if (begin.ok() && begin->wrap.item == point.item &&
        begin->base_sequence == point.committed.sequence) {
      return true;
    }
  }
  return false;
}

Status Purger::remove_manifests(SimStore& sim) {
  for (size_t i = 0; i < to_remove_.size();) {
    if (waits_for_sessions) {
      TRY(const bool needed, is_base_of_open_session(sim, to_remove_[i]));
      if (needed) {
        ++i;
        continue;
      }
    }
    TRYV(sim.remove(point_name(to_remove_[i].item, to_remove_[i].committed.sequence)));
    ++removed;
    to_remove_.erase(to_remove_.begin() + static_cast<ptrdiff_t>(i));
  }
  return {};
}

}  // namespace holdfast::testing
