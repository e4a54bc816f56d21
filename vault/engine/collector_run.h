// The objects of a collector's own run: putting them, signed, and finding where a run stands.
// collect.h has the order of steps.
#pragma once

#include "vault/engine/collect.h"

namespace holdfast::vault {

// A run that has objects in the store.
struct ListedRun {
  RunId run;
  MaintainerId maintainer;  // who began it
  bool is_over = false;     // freed
  bool has_abort = false;   // an object of that name, whatever is in it
  io::TimeNs last_sign_ns = 0;
};
// Runs that a maintainer began. What others put below collections/ is left out.
Result<std::vector<ListedRun>> list_runs(const Collector& c);

// Puts the begin of a new run.
Result<RunId> begin_run(const Collector& c);

// Each puts its object unless there is one already: then that one counts.
Status put_mark(const Collector& c, const RunId& run, std::string_view magic,
                std::string_view step);
Status put_condemned(const Collector& c, const RunId& run, std::vector<PackId> packs);
Status put_waiting(const Collector& c, const RunId& run, std::vector<SessionId> sessions);
Status put_vouched(const Collector& c, const RunId& run, std::vector<VouchedPack> packs);
Status put_closing(const Collector& c, const RunId& run, ClosingList closing);
Status put_tombstone(const Collector& c, const RunId& run, const SessionId& session);

// Nothing if there is none. Errors: Errc::damaged; the store's.
Result<std::optional<RunHeader>> load_mark(const Collector& c, const RunId& run,
                                           std::string_view magic, std::string_view step);
template <class List>
Result<std::optional<List>> load_run_list(const Collector& c, const RunId& run,
                                          std::string_view step);

// Puts the verdict, then looks for an abort. True if the run may delete.
Result<bool> decide_run(const Collector& c, const RunId& run);

// Removes objects that nobody needs any more: of runs that are over, and of sessions that neither
// packs nor points name. `dead_ns`: how long a session without an end is left alone.
Status tidy_runs_and_sessions(const Collector& c, const Survey& survey, int64_t dead_ns);

}  // namespace holdfast::vault
