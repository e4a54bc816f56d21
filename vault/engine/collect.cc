#include "vault/engine/collect.h"

#include <algorithm>
#include <unordered_map>

#include "vault/engine/collect_roots.h"
#include "vault/engine/collector_run.h"
#include "vault/engine/merge_index.h"
#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

class Collection {
 public:
  Collection(const Collector& c, const CollectOptions& options, CollectProgress& progress,
             const std::stop_token& stop)
      : c_(c), options_(options), progress_(progress), stop_(stop) {
    if (options.write_bytes_per_second != 0) {
      limiter_ = std::make_unique<io::RateLimiter>(options.write_bytes_per_second);
    }
  }

  Result<CollectReport> run() {
    TRYV(require_features(c_.description.features_collect, "collect in"));
    if (options_.dry_run) return dry_run();
    TRY(const auto runs, list_runs(c_));
    for (const ListedRun& r : runs) {
      if (r.is_over) continue;
      if (r.maintainer == c_.keys.id) {
        TRY(const bool over, complete(r.run));
        if (!over) return report_;
        continue;
      }
      TRY(const io::TimeNs now, c_.store.now_ns());
      if (now - r.last_sign_ns >= options_.dead_run_ns) {
        TRYV(end_dead_run(r));
      } else {
        report_.other_run = r.run.hex();
        return report_;
      }
    }
    TRY(const RunId run, begin_run(c_));
    TRYV(condemn(run));
    TRY(report_.done, complete(run));
    if (report_.done) {
      TRYV(tidy());
      TRYV(merge());
    }
    return report_;
  }

 private:
  SurveyContext context() const {
    return {c_.store, c_.description.vault, c_.roster, c_.maintainers};
  }

  struct Look {
    Survey survey;
    CollectRoots roots;
    Marked marked;
  };
  // The mark, with everything that goes before it.
  Result<Look> look(const std::optional<RunId>& run) {
    Look out;
    TRY(auto sessions, survey_sessions(context()));
    TRY(out.roots, gather_roots(context(), c_.description, sessions, run));
    TRY(out.survey, survey_vault(context(), out.roots.named));
    MarkOptions mark_options;
    mark_options.directory = options_.directory;
    mark_options.memory_bytes = options_.memory_bytes / 4;
    TRY(Condemned others, load_condemned(c_.store, c_.description.vault, c_.maintainers, run));
    mark_options.doubtful = std::move(others.packs);
    TRY(out.marked, mark(c_.store, c_.description.vault, out.survey, out.roots.roots, mark_options,
                         progress_.mark, stop_));
    TRYV(refuse_damage(out));
    return out;
  }

  // Whoever frees what a damaged point may need takes away what could have repaired it.
  Status refuse_damage(const Look& look) {
    std::vector<std::string> reasons = look.roots.defects;
    for (const size_t i : look.marked.damaged_roots) {
      reasons.push_back(look.roots.roots[i].name + ": chunks of it are missing or damaged");
    }
    if (reasons.empty()) return {};
    if (options_.despite_damage) {
      for (const std::string& r : reasons) report_.warnings.push_back(r);
      return {};
    }
    const std::string more =
        reasons.size() > 1 ? " (and " + std::to_string(reasons.size() - 1) + " more)" : "";
    return Error{Errc::damaged,
                 reasons.front() + more +
                     "; nothing was freed, so that it can still be repaired: see 'holdfast vault "
                     "check' and 'vault repair', or, if it is lost for good, --despite-damage"};
  }

  // Packs that this run must not touch: of sessions that go on, or may be taken over, and of
  // collectors' runs.
  std::vector<bool> touchable(const Look& look) const {
    std::set<SessionId> spared;
    for (const auto& [id, s] : look.survey.sessions) {
      if (s.is_open()) {
        spared.insert(id);
        if (s.begin) spared.insert(s.begin->adopts.begin(), s.begin->adopts.end());
        continue;
      }
      const bool committed = s.end && s.end->outcome == SessionOutcome::committed;
      const bool recent = look.survey.now_ns - s.last_sign_ns < options_.dead_session_ns;
      if (!committed && recent) spared.insert(id);
    }
    std::vector<bool> out(look.survey.packs.size());
    for (size_t i = 0; i < out.size(); ++i) {
      const SurveyedPack& p = look.survey.packs[i];
      const SessionId& session = p.pack.id.session;
      bool touch = look.marked.packs[i].readable && !spared.contains(session);
      // Under the name of no session: of a run, or of a session whose objects were tidied away.
      if (touch && p.claim != Claim::vouched && !look.survey.sessions.contains(session)) {
        touch = look.survey.now_ns - p.stored_ns >= options_.dead_session_ns;
      }
      out[i] = touch;
    }
    return out;
  }

  void count(const Look& look) {
    report_.points = look.roots.points;
    report_.packs = look.survey.packs.size();
    report_.pack_bytes = 0;
    report_.needed_bytes = 0;
    for (size_t i = 0; i < look.survey.packs.size(); ++i) {
      report_.pack_bytes += look.survey.packs[i].pack.pack_bytes;
      report_.needed_bytes += look.marked.packs[i].needed_bytes();
    }
  }

  Result<CollectReport> dry_run() {
    TRY(const Look look, this->look(std::nullopt));
    count(look);
    const auto usable = touchable(look);
    for (size_t i = 0; i < usable.size(); ++i) {
      if (!usable[i] || look.marked.packs[i].is_needed()) continue;
      ++report_.packs_condemned;
      report_.bytes_freed += look.survey.packs[i].pack.pack_bytes;
    }
    for (const size_t i : choose_packs_to_copy(look.survey, look.marked, usable, options_.repack)) {
      ++report_.packs_copied;
      report_.bytes_copied += look.marked.packs[i].needed_bytes();
    }
    report_.done = true;
    return report_;
  }

  // Steps 1 and 2: mark, copy what is worth it, put the condemned list.
  Status condemn(const RunId& run) {
    report_.run = run.hex();
    TRY(const Look look, this->look(run));
    count(look);
    auto usable = touchable(look);
    std::vector<PackId> condemned;
    for (size_t i = 0; i < usable.size(); ++i) {
      if (usable[i] && !look.marked.packs[i].is_needed()) {
        condemned.push_back(look.survey.packs[i].pack.id);
      }
    }
    TRYV(copy_packs(run, look, usable, condemned));
    report_.packs_condemned = condemned.size();
    return put_condemned(c_, run, std::move(condemned));
  }

  Status copy_packs(const RunId& run, const Look& look, const std::vector<bool>& usable,
                    std::vector<PackId>& condemned) {
    const auto sources = choose_packs_to_copy(look.survey, look.marked, usable, options_.repack);
    if (sources.empty()) return {};
    auto copied = repack(c_.store, c_.description.vault, run, look.survey, look.marked, sources,
                         limiter_.get(), stop_);
    if (!copied.ok() && copied.error().code == std::errc::no_space_on_device) {
      // Freeing comes first, then there is room: what was copied is garbage of this run.
      report_.warnings.push_back("no room to rewrite packs that are partly garbage: " +
                                 copied.error().message());
      return {};
    }
    if (!copied.ok()) return std::move(copied).error();
    for (const std::string& d : copied->damaged) report_.warnings.push_back(d);
    // From here on these copies may be relied on, and so the sources may go.
    TRYV(put_vouched(c_, run, copied->packs));
    for (const size_t i : copied->sources) condemned.push_back(look.survey.packs[i].pack.id);
    report_.packs_copied = copied->sources.size();
    report_.bytes_copied = copied->bytes;
    return {};
  }

  // Steps 3 to 5, from wherever the run was left. False if it has to wait.
  Result<bool> complete(const RunId& run) {
    report_.run = run.hex();
    TRY(const auto condemned, load_run_list<CondemnedList>(c_, run, kStepCondemned));
    if (!condemned) {
      TRYV(put_mark(c_, run, kFreedMagic, kStepFreed));
      return true;
    }
    TRY(auto closing, load_run_list<ClosingList>(c_, run, kStepClosing));
    if (!closing) {
      if (condemned->packs.empty()) {
        TRYV(put_mark(c_, run, kFreedMagic, kStepFreed));
        return true;
      }
      TRY(const bool passed, wait_for_sessions(run));
      if (!passed) return false;
      TRYV(put_closing(run, *condemned));
      // What is stored counts, whoever put it.
      TRY(closing, load_run_list<ClosingList>(c_, run, kStepClosing));
      if (!closing) return Error{Errc::missing, collection_name(run, kStepClosing)};
    }
    TRY(const bool decided, decide_run(c_, run));
    // Somebody who took this run for dead decides now what becomes of it.
    if (!decided) return true;
    TRYV(delete_packs(*closing));
    TRYV(put_mark(c_, run, kFreedMagic, kStepFreed));
    return true;
  }

  // Step 3. False if some session has neither ended, nor taken note, nor been silent for too long.
  Result<bool> wait_for_sessions(const RunId& run) {
    TRY(const ObjectInfo condemned, c_.store.head(collection_name(run, kStepCondemned)));
    TRY(const auto sessions, survey_sessions(context()));
    TRY(auto waiting, load_run_list<WaitingList>(c_, run, kStepWaiting));
    if (!waiting) {
      std::vector<SessionId> began;
      for (const auto& [id, s] : sessions) {
        if (s.has_begin && !s.end) began.push_back(id);
      }
      TRYV(put_waiting(c_, run, std::move(began)));
      TRY(waiting, load_run_list<WaitingList>(c_, run, kStepWaiting));
      if (!waiting) return Error{Errc::missing, collection_name(run, kStepWaiting)};
    }
    TRY(const io::TimeNs now, c_.store.now_ns());
    report_.waits_for.clear();
    for (const SessionId& id : waiting->sessions) {
      const auto it = sessions.find(id);
      if (it == sessions.end()) continue;  // it ended, and was tidied away
      const SurveyedSession& s = it->second;
      if (s.end || s.tombstones.contains(run) || s.read_runs.contains(run)) continue;
      TRY(const bool buried, is_buried(s));
      if (buried) continue;
      TRY(const io::TimeNs last_sign, last_sign_of(id, s));
      const bool silent = now - last_sign >= options_.session_silent_ns;
      const bool unheeding = now - condemned.stored_ns >= options_.session_limit_ns;
      if (silent || unheeding) {
        TRYV(put_tombstone(c_, run, id));
        report_.given_up.push_back(id);
      } else {
        report_.waits_for.push_back(id);
      }
    }
    return report_.waits_for.empty();
  }

  // Given up by another run that closed: its manifest is there by now, or will never count.
  Result<bool> is_buried(const SurveyedSession& s) {
    for (const RunId& other : s.tombstones) {
      auto closing = load_run_list<ClosingList>(c_, other, kStepClosing);
      if (closing.ok() && *closing) return true;
      if (!closing.ok() && closing.error().code != Errc::damaged) return std::move(closing).error();
    }
    return false;
  }

  Result<io::TimeNs> last_sign_of(const SessionId& id, const SurveyedSession& s) {
    io::TimeNs last = s.last_sign_ns;
    TRY(const auto packs, c_.store.list(pack_prefix(id)));
    for (const ObjectInfo& p : packs) last = std::max(last, p.stored_ns);
    return last;
  }

  // Step 4: the second mark decides.
  Status put_closing(const RunId& run, const CondemnedList& condemned) {
    TRY(const Look look, this->look(run));
    std::unordered_map<PackId, size_t, IdHash> index;
    for (size_t i = 0; i < look.survey.packs.size(); ++i) {
      index.emplace(look.survey.packs[i].pack.id, i);
    }
    ClosingList closing;
    for (const PackId& p : condemned.packs) {
      const auto it = index.find(p);
      // Gone: deleted by another run. Unreadable: not ours to judge.
      if (it == index.end() || !look.marked.packs[it->second].readable) continue;
      if (!look.marked.packs[it->second].is_needed()) closing.packs.push_back(p);
    }
    closing.manifests = look.roots.tombstoned;
    return holdfast::vault::put_closing(c_, run, std::move(closing));
  }

  Status delete_packs(const ClosingList& closing) {
    for (const PackId& p : closing.packs) {
      if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
      const std::string name = pack_name(p);
      const auto info = c_.store.head(name);
      if (!info.ok()) {
        if (is_absent(info.error())) continue;
        return info.error();
      }
      TRYV(c_.store.remove(name));
      ++report_.packs_deleted;
      ++progress_.packs_deleted;
      report_.bytes_freed += info->size_bytes;
    }
    return {};
  }

  // Another maintainer's run that died. Only one may do this for a run: whoever comes second could
  // not tell what the first one saw, and leaves it. Its list then binds until its packs are gone.
  Status end_dead_run(const ListedRun& r) {
    TRY(const auto aborted, load_mark(c_, r.run, kAbortMagic, kStepAbort));
    if (r.has_abort && (!aborted || aborted->maintainer != c_.keys.id)) return {};
    if (!aborted) {
      TRYV(put_mark(c_, r.run, kAbortMagic, kStepAbort));
      // Two may have found none, and put theirs: only one of them is there.
      TRY(const auto whose, load_mark(c_, r.run, kAbortMagic, kStepAbort));
      if (!whose || whose->maintainer != c_.keys.id) return {};
    }
    TRY(const auto verdict, load_mark(c_, r.run, kVerdictMagic, kStepVerdict));
    if (verdict) {
      TRY(const auto closing, load_run_list<ClosingList>(c_, r.run, kStepClosing));
      if (!closing) return Error{Errc::missing, collection_name(r.run, kStepClosing)};
      TRYV(delete_packs(*closing));
    }
    return put_mark(c_, r.run, kFreedMagic, kStepFreed);
  }

  Status tidy() {
    TRY(const Survey survey, survey_vault(context(), {}));
    return tidy_runs_and_sessions(c_, survey, options_.dead_session_ns);
  }

  Status merge() {
    const MergeOptions merge_options{options_.directory, options_.memory_bytes / 2,
                                     options_.index_runs_max};
    TRY(const MergedIndex merged,
        merge_index(c_.store, c_.description.vault, merge_options, stop_));
    report_.index_runs_before = merged.runs_before;
    report_.index_runs = merged.runs;
    return {};
  }

  const Collector& c_;
  const CollectOptions& options_;
  CollectProgress& progress_;
  const std::stop_token& stop_;
  std::unique_ptr<io::RateLimiter> limiter_;
  CollectReport report_;
};

}  // namespace

Result<CollectReport> collect(const Collector& collector, const CollectOptions& options,
                              CollectProgress& progress, const std::stop_token& stop) {
  return Collection(collector, options, progress, stop).run();
}

}  // namespace holdfast::vault
