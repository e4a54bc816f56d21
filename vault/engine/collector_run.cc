#include "vault/engine/collector_run.h"

#include <algorithm>

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

RunHeader header_of(const Collector& c, const RunId& run) {
  return {c.description.vault, run, c.keys.id, io::posix_file_system().now_ns()};
}

Status put_once(const Collector& c, const RunId& run, std::string_view step, const Bytes& object) {
  const Status put = c.store.put_if_absent(collection_name(run, step), object);
  if (!put.ok() && put.error().code == std::errc::file_exists) return {};
  return put;
}

Result<CondemnedList> decode_list(ByteView object, CondemnedList*) {
  return decode_condemned(object);
}
Result<WaitingList> decode_list(ByteView object, WaitingList*) {
  return decode_waiting(object);
}
Result<ClosingList> decode_list(ByteView object, ClosingList*) {
  return decode_closing(object);
}

// Sessions that any manifest names, counting or not: an object that does not count today must not
// begin to count because its session's tombstone was tidied away.
Result<std::set<SessionId>> sessions_of_manifests(const Collector& c) {
  TRY(const auto objects, c.store.list(std::string(kPointsPrefix)));
  std::set<SessionId> named;
  for (const ObjectInfo& o : objects) {
    const auto object = c.store.get(o.name, kObjectBytesMax);
    if (!object.ok()) {
      if (is_verdict(object.error())) continue;
      return object.error();
    }
    const auto m = decode_manifest(*object);
    if (!m.ok()) continue;
    named.insert(m->session());
    named.insert(m->adopts.begin(), m->adopts.end());
  }
  return named;
}

Status remove_objects(const Collector& c, const std::vector<std::string>& names) {
  for (const std::string& name : names) TRYV(c.store.remove(name));
  return {};
}

}  // namespace

template <class List>
Result<std::optional<List>> load_run_list(const Collector& c, const RunId& run,
                                          std::string_view step) {
  TRY(const auto object, get_run_object(c.store, c.description.vault, run, step, c.maintainers));
  if (!object) return std::optional<List>();
  auto list = decode_list(*object, static_cast<List*>(nullptr));
  if (!list.ok()) return Error{Errc::damaged, collection_name(run, step)};
  return std::optional(std::move(*list));
}
template Result<std::optional<CondemnedList>> load_run_list(const Collector&, const RunId&,
                                                            std::string_view);
template Result<std::optional<WaitingList>> load_run_list(const Collector&, const RunId&,
                                                          std::string_view);
template Result<std::optional<ClosingList>> load_run_list(const Collector&, const RunId&,
                                                          std::string_view);

Result<std::optional<RunHeader>> load_mark(const Collector& c, const RunId& run,
                                           std::string_view magic, std::string_view step) {
  TRY(const auto object, get_run_object(c.store, c.description.vault, run, step, c.maintainers));
  if (!object) return std::optional<RunHeader>();
  auto header = decode_run_mark(magic, *object);
  if (!header.ok()) return Error{Errc::damaged, collection_name(run, step)};
  return std::optional(*header);
}

Result<std::vector<ListedRun>> list_runs(const Collector& c) {
  TRY(const auto objects, c.store.list(std::string(kCollectionsPrefix)));
  std::map<RunId, ListedRun> runs;
  for (const ObjectInfo& object : objects) {
    const auto name = parse_collection_name(object.name);
    if (!name.ok()) continue;
    ListedRun& r = runs[name->run];
    r.run = name->run;
    r.last_sign_ns = std::max(r.last_sign_ns, object.stored_ns);
    r.has_abort = r.has_abort || name->step == kStepAbort;
  }
  std::vector<ListedRun> out;
  for (auto& [id, r] : runs) {
    auto freed = load_mark(c, id, kFreedMagic, kStepFreed);
    if (!freed.ok() && freed.error().code != Errc::damaged) return std::move(freed).error();
    r.is_over = freed.ok() && freed->has_value();
    auto begin = load_mark(c, id, kRunBeginMagic, kStepBegin);
    if (!begin.ok() && begin.error().code != Errc::damaged) return std::move(begin).error();
    if (begin.ok() && *begin) {
      r.maintainer = (*begin)->maintainer;
    } else if (r.is_over) {
      r.maintainer = (*freed)->maintainer;  // tidied up already
    } else {
      continue;
    }
    out.push_back(r);
  }
  return out;
}

Result<RunId> begin_run(const Collector& c) {
  const RunId run = RunId::random();
  TRYV(put_mark(c, run, kRunBeginMagic, kStepBegin));
  return run;
}

Status put_mark(const Collector& c, const RunId& run, std::string_view magic,
                std::string_view step) {
  return put_once(c, run, step, encode_run_mark(magic, header_of(c, run), c.keys.signing_seed));
}

Status put_condemned(const Collector& c, const RunId& run, std::vector<PackId> packs) {
  const CondemnedList list{header_of(c, run), std::move(packs)};
  return put_once(c, run, kStepCondemned, list.encode(c.keys.signing_seed));
}

Status put_waiting(const Collector& c, const RunId& run, std::vector<SessionId> sessions) {
  const WaitingList list{header_of(c, run), std::move(sessions)};
  return put_once(c, run, kStepWaiting, list.encode(c.keys.signing_seed));
}

Status put_vouched(const Collector& c, const RunId& run, std::vector<VouchedPack> packs) {
  const VouchedList list{header_of(c, run), std::move(packs)};
  return put_once(c, run, kStepVouched, list.encode(c.keys.signing_seed));
}

Status put_closing(const Collector& c, const RunId& run, ClosingList closing) {
  closing.header = header_of(c, run);
  return put_once(c, run, kStepClosing, closing.encode(c.keys.signing_seed));
}

Status put_tombstone(const Collector& c, const RunId& run, const SessionId& session) {
  const Tombstone t{c.description.vault, session, run, c.keys.id, io::posix_file_system().now_ns()};
  return c.store.put(tombstone_name(session, run), t.encode(c.keys.signing_seed));
}

Result<bool> decide_run(const Collector& c, const RunId& run) {
  TRYV(put_mark(c, run, kVerdictMagic, kStepVerdict));
  const auto abort = c.store.head(collection_name(run, kStepAbort));
  if (abort.ok()) return false;
  if (is_absent(abort.error())) return true;
  return abort.error();
}

Status tidy_runs_and_sessions(const Collector& c, const Survey& survey, int64_t dead_ns) {
  std::set<SessionId> with_packs;
  for (const SurveyedPack& p : survey.packs) with_packs.insert(p.pack.id.session);
  TRY(const auto named, sessions_of_manifests(c));
  std::set<RunId> burying;  // whose closing lists are still asked for
  for (const auto& [id, s] : survey.sessions) {
    // One that was given up may only have stalled, for weeks perhaps. When it goes on it has to
    // find the tombstone.
    const bool dead = s.tombstones.empty() && survey.now_ns - s.last_sign_ns >= dead_ns;
    const bool idle = s.end || dead;
    if (idle && !s.is_open() && !named.contains(id) && !with_packs.contains(id)) {
      TRYV(remove_objects(c, s.objects));
    } else {
      burying.insert(s.tombstones.begin(), s.tombstones.end());
    }
  }
  TRY(const auto runs, list_runs(c));
  for (const ListedRun& r : runs) {
    // Whoever was taken for dead must find the abort whenever it wakes up.
    if (!r.is_over || r.has_abort) continue;
    // The list goes first and `freed` last: in between the run is over, not under way.
    for (const std::string_view step : {kStepCondemned, kStepWaiting, kStepVerdict, kStepBegin}) {
      TRYV(c.store.remove(collection_name(r.run, step)));
    }
    const bool keeps_closing = burying.contains(r.run);
    const bool keeps_vouched = with_packs.contains(SessionId(r.run.bytes));
    if (!keeps_closing) TRYV(c.store.remove(collection_name(r.run, kStepClosing)));
    if (!keeps_vouched) TRYV(c.store.remove(collection_name(r.run, kStepVouched)));
    if (!keeps_closing && !keeps_vouched) {
      TRYV(c.store.remove(collection_name(r.run, kStepFreed)));
    }
  }
  return {};
}

}  // namespace holdfast::vault
