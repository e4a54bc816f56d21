#include "vault/engine/repair.h"

#include <map>
#include <set>

#include "base/io/rate_limiter.h"
#include "vault/engine/pack_catalog.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/store/redundancy.h"

namespace holdfast::vault {
namespace {

// As much as a session puts into one.
constexpr size_t kRunEntriesMax = 512 * 1024;

class Repair {
 public:
  Repair(Store& store, const Description& description, const RepairOptions& options,
         RepairProgress& progress, std::stop_token stop)
      : store_(store),
        description_(description),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)),
        catalog_(store, description.vault) {
    if (options.bytes_per_second > 0) limiter_.emplace(options.bytes_per_second);
  }

  Result<RepairReport> run() {
    const std::stop_callback end_waiting(stop_, [this] {
      if (limiter_) limiter_->stop();
    });
    if (Redundancy* redundancy = store_.redundancy()) TRYV(repair_parts(*redundancy));
    TRYV(repair_index());
    return std::move(report_);
  }

 private:
  Status interrupted() const {
    if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
    return {};
  }
  void done(const std::string& object, const std::string& what) {
    report_.done.push_back({object, what});
  }
  void left(const std::string& object, const std::string& what) {
    report_.left.push_back({object, what});
  }

  Status repair_parts(Redundancy& redundancy) {
    TRY(const auto names, redundancy.part_names());
    progress_.objects_total = names.size();
    const auto pace = [this](uint64_t bytes) {
      report_.bytes_read += bytes;
      progress_.bytes = report_.bytes_read;
      if (stop_.stop_requested()) return false;
      return !limiter_ || limiter_->acquire(bytes);
    };
    for (const std::string& name : names) {
      TRYV(interrupted());
      TRY(const PartsReport parts, redundancy.repair_parts(name, options_.dry_run, pace));
      take_parts(name, parts);
      ++progress_.objects;
    }
    const bool all_there = report_.left.empty() && report_.unread.empty();
    if (all_there && !options_.dry_run) TRYV(redundancy.finish_repair());
    return {};
  }

  void take_parts(const std::string& name, const PartsReport& parts) {
    if (!parts.is_object) {
      report_.remains.push_back(name);
      return;
    }
    ++report_.objects;
    report_.parts_rebuilt += parts.parts_rebuilt;
    report_.parts_elsewhere += parts.parts_elsewhere;
    const bool repaired =
        parts.parts_good + parts.parts_rebuilt + parts.parts_elsewhere >= parts.parts_wanted;
    for (const std::string& fault : parts.faults) {
      if (repaired && parts.readable) {
        done(name, fault);
      } else {
        left(name, fault);
      }
    }
    for (const std::string& why : parts.unread) {
      // A part that cannot be read is made again like one that is damaged.
      if (repaired && parts.readable) {
        done(name, why);
      } else {
        report_.unread.push_back({name, why});
      }
    }
    if (!parts.readable && parts.unread.empty()) {
      left(name, "too much of it is damaged or missing: it cannot be read");
    }
  }

  // --- Index runs ---

  struct BadRun {
    std::string name;
    std::vector<PackId> packs;  // that it says it is about, if it can be read
  };

  Status repair_index() {
    // Runs before packs: what a backup beside this puts meanwhile has its run later.
    std::set<PackId> covered;
    std::vector<BadRun> bad;
    TRYV(read_runs(covered, bad));
    std::map<DomainId, IndexRunBuilder> builders;
    std::set<PackId> unreadable;
    TRY(const auto packs, store_.list(std::string(kPacksPrefix)));
    std::map<SessionId, bool> ended;
    for (const ObjectInfo& object : packs) {
      TRYV(interrupted());
      const auto id = parse_pack_name(object.name);
      if (!id.ok()) continue;
      if (covered.contains(*id)) continue;
      TRY(const bool has_ended, session_ended(ended, id->session));
      if (!has_ended) continue;  // its session, or the one that adopts it, puts the run
      auto described = catalog_.describe(*id);
      if (!described.ok()) {
        if (is_absent(described.error())) continue;
        if (!is_verdict(described.error())) return std::move(described).error();
        left(object.name, described.error().message());
        unreadable.insert(*id);
        continue;
      }
      TRY(const auto footer, catalog_.footer(*described));
      auto& builder =
          builders.try_emplace(footer->domain, description_.vault, footer->domain).first->second;
      builder.add_pack(*described, *footer);
      done(object.name, "in no good index run; its chunks are indexed again");
      if (builder.entry_count() >= kRunEntriesMax) TRYV(put_run(footer->domain, builder));
    }
    for (auto& [domain, builder] : builders) {
      if (!builder.empty()) TRYV(put_run(domain, builder));
    }
    for (const BadRun& run : bad) TRYV(remove_run(run, unreadable));
    return {};
  }

  Status read_runs(std::set<PackId>& covered, std::vector<BadRun>& bad) {
    TRY(const auto objects, store_.list(std::string(kIndexPrefix)));
    for (const ObjectInfo& object : objects) {
      TRYV(interrupted());
      const auto view = store_.view(object.name);
      if (!view.ok()) {
        if (is_absent(view.error())) continue;
        if (!is_verdict(view.error())) return view.error();
        bad.push_back({object.name, {}});
        continue;
      }
      const ByteView bytes = (*view)->bytes();
      report_.bytes_read += bytes.size();
      const auto run = IndexRun::parse(bytes);
      const bool good = run.ok() && run->vault() == description_.vault &&
                        index_name(run->domain(), crypto::sha256(bytes)) == object.name &&
                        run->check_entries().ok();
      BadRun damaged{object.name, {}};
      if (run.ok()) {
        for (const IndexedPack& p : run->packs()) {
          if (good) covered.insert(p.id);
          damaged.packs.push_back(p.id);
        }
      }
      if (!good) bad.push_back(std::move(damaged));
    }
    return {};
  }

  // Whether a session is over, so that nobody but us puts runs of its packs. Names of packs may
  // also be of a collector's run, which has no begin.
  Result<bool> session_ended(std::map<SessionId, bool>& known, const SessionId& session) {
    if (const auto it = known.find(session); it != known.end()) return it->second;
    bool ended = false;
    bool begun = true;
    for (const std::string& name : {session_end_name(session), session_heir_name(session)}) {
      const auto info = store_.head(name);
      if (!info.ok() && !is_verdict(info.error())) return info.error();
      ended = ended || info.ok();
    }
    if (!ended) {
      const auto info = store_.head(session_begin_name(session));
      if (!info.ok() && !is_verdict(info.error())) return info.error();
      begun = info.ok() || !is_absent(info.error());
    }
    known[session] = ended || !begun;
    return ended || !begun;
  }

  Status put_run(const DomainId& domain, IndexRunBuilder& builder) {
    const Bytes bytes = builder.finish();
    const std::string name = index_name(domain, crypto::sha256(bytes));
    ++report_.runs_written;
    done(name, "index run made from the footers of packs");
    if (options_.dry_run) return {};
    return store_.put(name, bytes);
  }

  Status remove_run(const BadRun& run, const std::set<PackId>& unreadable) {
    for (const PackId& pack : run.packs) {
      // It may be the last word of what such a pack had.
      if (!unreadable.contains(pack)) continue;
      left(run.name,
           "damaged; it is left as it names " + pack_name(pack) + ", which is damaged too");
      return {};
    }
    done(run.name, "damaged index run removed; the packs' footers have all of it");
    ++report_.runs_removed;
    if (options_.dry_run) return {};
    return store_.remove(run.name);
  }

  Store& store_;
  const Description& description_;
  const RepairOptions& options_;
  RepairProgress& progress_;
  const std::stop_token stop_;
  std::optional<io::RateLimiter> limiter_;
  PackCatalog catalog_;
  RepairReport report_;
};

}  // namespace

Result<RepairReport> repair_vault(Store& store, const Description& description,
                                  const RepairOptions& options, RepairProgress& progress,
                                  std::stop_token stop) {
  return Repair(store, description, options, progress, std::move(stop)).run();
}

}  // namespace holdfast::vault
