// The collectors' program.

#include "tests/vault/model/model.h"

namespace holdfast::model {
namespace {

enum Pc : uint8_t {
  kIdle,
  kSessions1,
  kCondemned1,
  kPacks1,
  kRepackRead,
  kRepackPut,
  kVouch,
  kCondemn,
  kList,
  kWait,
  kSessions2,
  kCondemned2,
  kPacks2,
  kClosing,
  kVerdict,
  kLookAbort,
  kMarker,
  kRemove,
  kFreed,
  kDone,
  kPoints1,
  kPoints2,
  kEndLook,
  kEndRemove,
  kEndFreed,
};

constexpr unsigned kAllSessions = bit(kSessions) - 1;
constexpr int kOld = 0;  // the pack that is repacked

unsigned named_by(unsigned runs_of_sessions, int run) {
  unsigned sessions = 0;
  for (int i = 0; i < kSessions; ++i) {
    if (has(runs_of_sessions >> (3 * i), run)) sessions |= bit(i);
  }
  return sessions;
}
unsigned with_any(unsigned runs_of_sessions) {
  unsigned sessions = 0;
  for (int r = 0; r < kRuns; ++r) sessions |= named_by(runs_of_sessions, r);
  return sessions;
}

}  // namespace

void Model::step_collector(const State& s, int r, std::vector<Next>& out) const {
  switch (s.collector[r].pc) {
    case kIdle:
      if (s.run[r].has == 0 && r < config_.runs) mark(s, r, out);
      return end_another(s, r, out);
    case kDone:
      if (is(Rule::given_up_sessions_tidied)) tidy(s, r, out);
      return end_another(s, r, out);
    case kPoints1:
    case kPoints2:
    case kSessions1:
    case kCondemned1:
    case kPacks1:
    case kSessions2:
    case kCondemned2:
    case kPacks2:
      return mark(s, r, out);
    case kRepackRead:
    case kRepackPut:
    case kVouch:
      return repack(s, r, out);
    case kCondemn:
    case kList:
    case kWait:
      return wait(s, r, out);
    case kClosing:
    case kVerdict:
    case kLookAbort:
    case kMarker:
      return close(s, r, out);
    case kRemove:
    case kFreed:
    case kEndRemove:
    case kEndFreed:
      return remove_packs(s, r, out);
    case kEndLook:
      return end_another(s, r, out);
    default:
      return;
  }
}

// Both marks: list points, then sessions, then the lists of other runs, then packs.
void Model::mark(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  const bool second =
      me.pc == kWait || me.pc == kPoints2 || (me.pc >= kSessions2 && me.pc <= kPacks2);
  const bool bases_once = is(Rule::sessions_listed_first_and_bases_once);
  const bool retries_some = is(Rule::sessions_listed_first_again_if_ended);
  const bool retries = is(Rule::harmless_sessions_listed_first);
  const bool sessions_first =
      retries || retries_some || bases_once || is(Rule::sessions_listed_first_and_never_again);
  Next n{s, {'c', static_cast<uint8_t>(r), Did::mark_points, second}};
  Collector& mine = n.state.collector[r];
  if (sessions_first && (me.pc == kIdle || me.pc == kWait)) {
    n.step.did = Did::mark_sessions;
    mine.open = static_cast<uint8_t>(s.begun & ~s.ended & ~with_any(s.tombstones));
    mine.pc = second ? kPoints2 : kPoints1;
  } else if (me.pc == kIdle || me.pc == kWait || me.pc == kPoints1 || me.pc == kPoints2) {
    mine.seen = s.manifests & static_cast<uint8_t>(~s.purged);
    mine.pc = second ? kSessions2 : kSessions1;
  } else if (me.pc == kSessions1 || me.pc == kSessions2) {
    n.step.did = Did::mark_sessions;
    const unsigned over = s.ended | with_any(s.tombstones);
    const unsigned builders = sessions_first ? me.open : s.begun & ~over;
    // Whose base went away meanwhile is over: its own point may be there since points were listed.
    const unsigned over_now = retries ? over : retries_some ? s.ended : 0;
    for (int i = 0; i < kSessions; ++i) {
      const int base = config_.base[i / 2];
      if (!has(builders & over_now, i) || base == kNone || has(s.manifests, base)) continue;
      mine = Collector{};
      mine.pc = second ? kWait : kIdle;
      out.push_back(n);
      return;
    }
    mine.open = static_cast<uint8_t>(~over & kAllSessions);
    for (int m = 0; m < kManifests; ++m) {
      const Counts c = has(me.seen, m) ? counts(s, m, r) : Counts::no;
      const bool undecided = c == Counts::undecided && !is(Rule::undecided_manifests_not_marked);
      if (c == Counts::yes || undecided) mine.counting |= static_cast<uint8_t>(bit(m));
    }
    for (int i = 0; i < kSessions; ++i) {
      const int base = config_.base[i / 2];
      if (is(Rule::bases_not_marked)) break;
      if (second && (bases_once || is(Rule::harmless_second_mark_without_bases))) break;
      if (base == kNone || !has(builders, i) || !has(s.manifests, base)) continue;
      mine.counting |= static_cast<uint8_t>(bit(base));
    }
    if (!second) mine.seen = 0;
    const bool late = second && is(Rule::condemned_read_after_packs);
    const bool looks = config_.drops_copies && !late;
    mine.pc = second ? (looks ? kCondemned2 : kPacks2) : (looks ? kCondemned1 : kPacks1);
  } else if (me.pc == kCondemned1 || me.pc == kCondemned2) {
    n.step.did = Did::mark_condemned;
    mine.others = static_cast<uint16_t>(condemned(s, r));
    mine.pc = second ? kPacks2 : kPacks1;
    if (second && is(Rule::condemned_read_after_packs)) candidates(n.state, r);
  } else {
    n.step.did = Did::mark_packs;
    mine.packs = s.packs;
    if (second && is(Rule::condemned_read_after_packs)) {
      mine.pc = kCondemned2;
    } else {
      candidates(n.state, r);
    }
  }
  out.push_back(n);
}

// What is not needed, of the packs that were listed.
void Model::candidates(State& n, int r) const {
  Collector& me = n.collector[r];
  const bool second = n.run[r].did(Run::kCondemned);
  const unsigned listed = me.packs;
  const unsigned need = needed(n, r, listed);
  unsigned packs = listed & ~need & ~left_alone(n, r);
  if (second) {
    packs &= n.run[r].condemned;
    me.pc = kClosing;
  } else {
    unsigned live = 0;
    for (int m = 0; m < kManifests; ++m) {
      if (has(me.counting, m)) live |= needs_of(m);
    }
    const bool repacks = config_.repacks && has(need, kOld) && (live == 1 || live == 2);
    if (repacks) n.content |= static_cast<uint16_t>(live << (2 * r));
    me.pc = repacks ? kRepackRead : packs != 0 ? kCondemn : kIdle;
    if (me.pc == kCondemn && is(Rule::sessions_listed_before_condemned)) me.pc = kList;
  }
  me.packs = static_cast<uint16_t>(packs);
  me.counting = me.open = 0;
  me.others = 0;
}

// Which copies stay. Points are taken from the oldest. Of the copies of a chunk that were committed
// before the oldest point that needs it, the newest is enough, if no other run is about to delete
// it.
unsigned Model::needed(const State& s, int r, unsigned listed) const {
  const Collector& me = s.collector[r];
  unsigned need = 0;
  for (int c = 0; c < kChunks; ++c) {
    int oldest = kNone;
    for (int m = 0; m < kManifests; ++m) {
      if (!has(me.counting, m) || !has(needs_of(m), c)) continue;
      if (oldest == kNone || s.order[m] < s.order[oldest]) oldest = m;
    }
    if (oldest == kNone) continue;
    unsigned copies = 0;
    int kept = kNone;
    int kept_age = -1;
    for (int p = 0; p < kPacks; ++p) {
      const int run = p - repacked_by(0);
      const bool vouched =
          has(s.vouched, p) || (run == r && is(Rule::source_condemned_before_voucher));
      if (!has(listed, p) || !has(content(s, p), c) || (run >= 0 && !vouched)) continue;
      copies |= bit(p);
      if (!config_.drops_copies || !vouched) continue;
      if (has(me.others, p) && !is(Rule::copy_condemned_by_others_counts)) continue;
      // What was repacked is as old as its source: its bytes are.
      const int session = p < 2 || run >= 0 ? kNone : (p - 2) / kChunks;
      const bool in_time =
          has(s.before[oldest], run >= 0 ? kOld : p) || (session != kNone && oldest == 1 + session);
      if (!in_time && !is(Rule::newest_copy_wins)) continue;
      const int age = run >= 0 ? 100 + run : session != kNone ? 2 + s.order[1 + session] : p;
      if (age > kept_age) kept = p;
      if (age > kept_age) kept_age = age;
    }
    need |= kept == kNone ? copies : bit(kept);
  }
  return need;
}

// Packs of sessions that were not over when they were listed, and of runs that are not.
unsigned Model::left_alone(const State& s, int r) const {
  unsigned packs = 0;
  for (int i = 0; i < kSessions; ++i) {
    if (!has(s.collector[r].open, i) || is(Rule::packs_of_open_sessions_condemned)) continue;
    packs |= bit(pack_of(i, 0)) | bit(pack_of(i, 1));
  }
  for (int q = 0; q < kRuns; ++q) {
    if (q == r || !s.run[q].did(Run::kFreed)) packs |= bit(repacked_by(q));
  }
  return packs;
}

void Model::repack(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  Next n{s, {'c', static_cast<uint8_t>(r), Did::repack_read, 0}};
  Collector& mine = n.state.collector[r];
  const bool voucher_first = is(Rule::harmless_voucher_before_pack);
  if (me.pc == kRepackRead) {
    if (has(s.packs, kOld)) {
      mine.packs |= bit(kOld);
      mine.pc = voucher_first ? kVouch : kRepackPut;
    } else {  // somebody else repacked it
      n.state.content &= static_cast<uint16_t>(~(3u << (2 * r)));
      mine.pc = me.packs != 0 ? kCondemn : kIdle;
    }
  } else if (me.pc == kRepackPut) {
    n.step.did = Did::repack_put;
    n.state.packs |= static_cast<uint16_t>(bit(repacked_by(r)));
    mine.pc = voucher_first || is(Rule::source_condemned_before_voucher) ? kCondemn : kVouch;
  } else {
    n.step.did = Did::vouch;
    n.state.vouched |= static_cast<uint16_t>(bit(repacked_by(r)));
    mine.pc = voucher_first && !has(s.packs, repacked_by(r)) ? kRepackPut : kCondemn;
    if (s.run[r].did(Run::kCondemned)) mine.pc = kFreed;
  }
  out.push_back(n);
}

void Model::wait(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  const auto step = [&](Did did, int what = 0) {
    return Next{s, {'c', static_cast<uint8_t>(r), did, static_cast<int8_t>(what)}};
  };
  const bool list_first = is(Rule::sessions_listed_before_condemned);
  const bool waits_only = is(Rule::wait_for_older_only);
  unsigned passed = s.ended;
  if (!waits_only) {
    passed |= named_by(s.epochs, r) | named_by(s.tombstones, r);
    if (is(Rule::any_epoch_ends_the_wait)) passed |= s.begun >> kSessions;
    if (is(Rule::harmless_any_tombstone_ends_the_wait)) passed |= with_any(s.tombstones);
  }
  if (me.pc == kCondemn) {
    Next n = step(Did::condemn);
    n.state.run[r].condemned = me.packs;
    n.state.run[r].has |= Run::kCondemned;
    n.state.collector[r].packs = 0;
    n.state.collector[r].pc = list_first ? kWait : kList;
    out.push_back(n);
    return;
  }
  if (me.pc == kList) {
    Next n = step(Did::list_sessions);
    n.state.collector[r].waiting = static_cast<uint8_t>(s.begun & kAllSessions & ~passed);
    if (is(Rule::second_mark_before_tombstones)) {
      n.state.collector[r].seen = s.manifests & static_cast<uint8_t>(~s.purged);
    }
    n.state.collector[r].pc = list_first ? kCondemn : kWait;
    out.push_back(n);
    return;
  }
  if (me.waiting == 0) {
    if (is(Rule::no_second_mark) || waits_only) {
      Next n = step(Did::mark_points, 1);
      n.state.collector[r].seen = s.manifests;
      n.state.collector[r].packs = s.run[r].condemned;
      n.state.collector[r].pc = kClosing;
      out.push_back(n);
    } else if (is(Rule::second_mark_before_tombstones)) {
      Next n = step(Did::mark_points, 1);
      n.state.collector[r].pc = kSessions2;
      out.push_back(n);
    } else {
      mark(s, r, out);
    }
    return;
  }
  if ((me.waiting & passed) != 0) {
    Next n = step(Did::poll);
    n.state.collector[r].waiting = static_cast<uint8_t>(me.waiting & ~passed);
    out.push_back(n);
  }
  for (int i = 0; i < kSessions && !waits_only; ++i) {
    if (!has(me.waiting, i)) continue;
    Next n = step(Did::tombstone, i);
    n.state.tombstones |= static_cast<uint16_t>(bit(3 * i + r));
    n.state.collector[r].waiting &= static_cast<uint8_t>(~bit(i));
    out.push_back(n);
  }
}

void Model::close(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  Next n{s, {'c', static_cast<uint8_t>(r), Did::closing, 0}};
  Collector& mine = n.state.collector[r];
  Run& run = n.state.run[r];
  if (me.pc == kClosing) {
    run.closing = me.packs;
    const unsigned given_up = named_by(s.tombstones, r) << 1;  // manifest 1 + i is of session i
    if (!is(Rule::closing_names_nothing)) run.named = me.seen & static_cast<uint8_t>(given_up);
    run.has |= Run::kClosing;
    mine = Collector{};
    mine.pc = kVerdict;
  } else if (me.pc == kVerdict) {
    n.step.did = Did::verdict;
    run.has |= Run::kVerdict;
    mine.pc = kLookAbort;
  } else if (me.pc == kLookAbort) {
    const bool stop = s.run[r].aborted_by() != kNone && !is(Rule::no_look_for_abort);
    n.step.did = stop ? Did::abort_seen : Did::no_abort;
    mine.pc = stop ? kDone : is(Rule::harmless_deletion_marker) ? kMarker : kRemove;
    if (mine.pc == kRemove && is(Rule::freed_before_deletion)) mine.pc = kFreed;
  } else {
    n.step.did = Did::verdict;
    n.step.what = 1;
    run.has |= Run::kDeleting;
    mine.pc = is(Rule::freed_before_deletion) ? kFreed : kRemove;
  }
  out.push_back(n);
}

// Of the own run, or of another that is completed.
void Model::remove_packs(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  const bool own = me.pc == kRemove || me.pc == kFreed;
  const int run = own ? r : me.ending - 1;
  const unsigned left = s.run[run].closing & s.packs;
  const bool freed_first = is(Rule::freed_before_deletion);
  const bool frees = me.pc == kFreed || me.pc == kEndFreed || left == 0;
  Next n{s,
         {'c', static_cast<uint8_t>(r), own ? Did::freed : Did::freed_other,
          static_cast<int8_t>(run)}};
  Collector& mine = n.state.collector[r];
  if (frees && own && is(Rule::source_condemned_before_voucher) && has(s.packs, repacked_by(r)) &&
      !has(s.vouched, repacked_by(r))) {
    return repack(s, r, out);
  }
  if (frees) {
    n.state.run[run].has |= Run::kFreed;
    mine = Collector{};
    mine.pc = s.run[r].has != 0 ? kDone : kIdle;
    if (own && freed_first && left != 0) mine.pc = kRemove;
  } else {
    const int pack = __builtin_ctz(left);
    n.step = {'c', static_cast<uint8_t>(r), own ? Did::remove : Did::remove_for_other,
              static_cast<int8_t>(pack)};
    n.state.packs &= static_cast<uint16_t>(~bit(pack));
  }
  out.push_back(n);
}

// Only whose abort is there may end the run: a second one could not tell what the first one saw.
void Model::end_another(const State& s, int r, std::vector<Next>& out) const {
  const Collector& me = s.collector[r];
  const bool marker = is(Rule::harmless_deletion_marker);
  if (me.pc != kEndLook) {
    for (int q = 0; q < config_.collectors && config_.ends_dead_runs; ++q) {
      if (q == r || !s.run[q].binds()) continue;
      const int by = s.run[q].aborted_by();
      if (by != kNone && by != r && !marker && !is(Rule::dead_run_ended_by_two)) continue;
      Next n{s, {'c', static_cast<uint8_t>(r), Did::abort_other, static_cast<int8_t>(q)}};
      if (by == kNone) n.state.run[q].has |= static_cast<uint8_t>((r + 1) << Run::kAbortShift);
      n.state.collector[r].ending = static_cast<uint8_t>(q + 1);
      n.state.collector[r].pc = kEndLook;
      out.push_back(n);
    }
    return;
  }
  const Run& run = s.run[me.ending - 1];
  Next n{s, {'c', static_cast<uint8_t>(r), Did::free_other, static_cast<int8_t>(me.ending - 1)}};
  Collector& mine = n.state.collector[r];
  if (is(Rule::dead_run_freed_without_verdict) || !run.did(Run::kVerdict)) {
    mine.pc = kEndFreed;
  } else if (marker && !run.did(Run::kDeleting)) {
    // Either it saw the abort and stopped, or it did not and is about to delete.
    n.step.did = Did::leave_other;
    mine = Collector{};
    mine.pc = s.run[r].has != 0 ? kDone : kIdle;
  } else {
    n.step.did = Did::complete_other;
    mine.pc = kEndRemove;
  }
  out.push_back(n);
}

// One of the mistakes: what looks like the remains of a session may be one that stalled.
void Model::tidy(const State& s, int r, std::vector<Next>& out) const {
  for (int i = 0; i < kSessions; ++i) {
    const unsigned packs = bit(pack_of(i, 0)) | bit(pack_of(i, 1));
    if (s.tombstones_of(i) == 0 || has(s.ended, i) || has(s.manifests, 1 + i)) continue;
    if ((s.packs & packs) != 0) continue;
    Next n{s, {'c', static_cast<uint8_t>(r), Did::tidy, static_cast<int8_t>(i)}};
    n.state.begun &= static_cast<uint8_t>(~bit(i));
    n.state.tombstones &= static_cast<uint16_t>(~(7u << (3 * i)));
    out.push_back(n);
  }
}

}  // namespace holdfast::model
