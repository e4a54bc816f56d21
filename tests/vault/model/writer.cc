// The writers' program.

#include "tests/vault/model/model.h"

namespace holdfast::model {
namespace {

enum Pc : uint8_t {
  kBegin,
  kReadCondemned,
  kBasePresent,
  kBasePurged,
  kBaseCounts,
  kWork,
  kStore,
  kCopyRead,
  kCopyPut,
  kEpoch,
  kLook,
  kEnd,
  kHeir,
  kCarryOn,
  kCarryCopy,
  kDone,
};
enum Flag : uint8_t {
  kBaseValid = 1,
  kBaseWasValid = 2,
  kContinues = 4,  // after a tombstone; otherwise it begins, or begins again
  kReadEarly = 8,
  kCheckedEarly = 16,
};
constexpr uint8_t kFromBase = 1;

int session_of(const State& s, int w) {
  return 2 * w + s.writer[w].second;
}
bool is_of_session(int pack, int session) {
  return pack == pack_of(session, 0) || pack == pack_of(session, 1);
}

}  // namespace

void Model::step_writer(const State& s, int w, std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const auto number = static_cast<uint8_t>(w);
  if (config_.restarts && me.second == 0 && me.pc > kBegin && me.pc <= kLook) {
    Next n{s, {'w', number, Did::killed, 0}};
    Writer again{};
    again.second = 1;
    again.own = me.own;
    again.advances = static_cast<uint8_t>(config_.advances);
    n.state.writer[w] = again;
    out.push_back(n);
  }
  switch (me.pc) {
    case kBegin:
    case kReadCondemned:
      return begin_session(s, w, out);
    case kBasePresent:
    case kBasePurged:
    case kBaseCounts:
      return check_base(s, w, out);
    case kWork:
    case kStore:
    case kCopyRead:
    case kCopyPut:
    case kEpoch:
      return work(s, w, out);
    case kLook:
    case kEnd:
    case kHeir:
      return commit(s, w, out);
    case kCarryOn:
    case kCarryCopy:
      return carry_on(s, w, out);
    default:
      return;
  }
}

void Model::begin_session(const State& s, int w, std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const int session = session_of(s, w);
  const int base = config_.base[w];
  Next n{s, {'w', static_cast<uint8_t>(w), Did::begin, 0}};
  Writer& mine = n.state.writer[w];
  const bool read_early = is(Rule::condemned_read_before_begin);
  const bool check_early = is(Rule::base_checked_before_begin) && base != kNone;
  if (me.pc == kReadCondemned || (read_early && (me.flags & kReadEarly) == 0)) {
    n.step.did = Did::read_condemned;
    mine.condemned = is(Rule::condemned_not_minded) ? 0 : static_cast<uint16_t>(condemned(s));
    if (me.pc == kBegin) {
      mine.flags |= kReadEarly;
      out.push_back(n);
      return;
    }
  } else if (check_early && (me.flags & kCheckedEarly) == 0) {
    n.step.did = Did::check_base_counts;
    mine.flags |= kCheckedEarly;
    if (has(s.manifests & ~s.purged, base) && counts(s, base) == Counts::yes) {
      mine.flags |= kBaseValid;
    }
    out.push_back(n);
    return;
  } else {
    n.state.begun |= static_cast<uint8_t>(bit(session));
    mine.pc = kReadCondemned;
    if ((me.flags & kReadEarly) == 0) {
      out.push_back(n);
      return;
    }
  }
  if (base == kNone || check_early) {
    base_is(n.state, w, (me.flags & kBaseValid) != 0);
  } else {
    mine.pc = kBasePresent;
  }
  out.push_back(n);
}

void Model::check_base(const State& s, int w, std::vector<Next>& out) const {
  const int base = config_.base[w];
  const auto step = [&](Did did) { return Next{s, {'w', static_cast<uint8_t>(w), did, 0}}; };
  if (s.writer[w].pc == kBasePresent) {
    Next n = step(Did::check_base_present);
    if (!has(s.manifests, base)) {
      base_is(n.state, w, false);
    } else if (config_.purges && base == 0) {
      n.state.writer[w].pc = kBasePurged;
    } else if (base == 0) {
      base_is(n.state, w, true);
    } else {
      n.state.writer[w].pc = kBaseCounts;
    }
    out.push_back(n);
  } else if (s.writer[w].pc == kBasePurged) {
    Next n = step(Did::check_base_purged);
    base_is(n.state, w, !has(s.purged, base) || is(Rule::base_presence_is_enough));
    out.push_back(n);
  } else {
    Next n = step(Did::check_base_counts);
    base_is(n.state, w, counts(s, base) == Counts::yes || is(Rule::base_of_undecided_session));
    out.push_back(n);
  }
}

void Model::base_is(State& n, int w, bool valid) const {
  Writer& me = n.writer[w];
  const uint8_t kept = me.flags & (kContinues | kBaseWasValid);
  me.flags = kept | (valid ? kBaseValid : 0);
  if (kept & kContinues) return next_to_carry_on(n, w, 0);
  for (int c = 0; c < kChunks; ++c) {
    if (valid && has(config_.base_chunks[w], c)) me.source[c] = kFromBase;
  }
  me.pc = kWork;
}

void Model::work(const State& s, int w, std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const int session = session_of(s, w);
  const auto step = [&](Did did) {
    return Next{s, {'w', static_cast<uint8_t>(w), did, static_cast<int8_t>(me.chunk)}};
  };
  if (me.pc == kStore || me.pc == kCopyPut) {
    Next n = step(me.pc == kStore ? Did::store : Did::copy_put);
    put_pack(n.state, w, me.chunk);
    n.state.writer[w].pc = kWork;
    if (me.pc == kCopyPut) next_to_copy(n.state, w);
    out.push_back(n);
    return;
  }
  if (me.pc == kCopyRead) {
    const bool present = has(s.packs, me.source[me.chunk] - 2);
    Next n = step(present ? Did::copy_read : Did::fail);
    n.state.writer[w].pc = present ? kCopyPut : kDone;
    out.push_back(n);
    return;
  }
  if (me.pc == kEpoch) {
    Next n = step(Did::epoch);
    const unsigned runs = is(Rule::epoch_names_unread_runs) ? binding_runs(s) : me.runs;
    n.state.epochs |= static_cast<uint16_t>(runs << (3 * session));
    if (is(Rule::any_epoch_ends_the_wait)) {
      n.state.begun |= static_cast<uint8_t>(bit(kSessions + session));
    }
    n.state.writer[w].runs = 0;
    n.state.writer[w].pc = kWork;
    if (is(Rule::harmless_epoch_before_copies)) next_to_copy(n.state, w);
    out.push_back(n);
    return;
  }
  if (me.advances > 0) {
    Next n = step(Did::advance);
    Writer& mine = n.state.writer[w];
    --mine.advances;
    mine.condemned = static_cast<uint16_t>(condemned(s));
    mine.runs = static_cast<uint8_t>(binding_runs(s));
    mine.pc = kEpoch;
    const bool later = is(Rule::harmless_epoch_before_copies) || is(Rule::epoch_without_copies);
    if (!later) next_to_copy(n.state, w);
    out.push_back(n);
  }
  for (int c = 0; c < kChunks; ++c) {
    if (has(config_.needs[w], c) && me.source[c] == 0) return look_up(s, w, c, true, out);
  }
  Next n = step(Did::manifest);
  n.state.manifests |= static_cast<uint8_t>(bit(1 + session));
  if (config_.drops_copies) {
    n.state.before[1 + session] = s.vouched;
    n.state.order[1 + session] = ++n.state.points;
  }
  n.state.writer[w].condemned = 0;
  n.state.writer[w].advances = 0;
  n.state.writer[w].chunk = 0;
  n.state.writer[w].pc = kLook;
  out.push_back(n);
}

void Model::look_up(const State& s, int w, int chunk, bool may_store,
                    std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const auto number = static_cast<uint8_t>(w);
  bool found = false;
  for (int p = 0; p < kPacks; ++p) {
    if (!has(content(s, p), chunk) || has(me.condemned, p) || !has(me.own | s.vouched, p)) continue;
    if (!has(s.packs, p) && !is(Rule::relies_without_presence)) continue;
    found = true;
    Next n{s, {'w', number, Did::rely, static_cast<int8_t>(p)}};
    n.state.writer[w].source[chunk] = static_cast<uint8_t>(2 + p);
    if (!may_store) next_to_carry_on(n.state, w, chunk + 1);
    out.push_back(n);
  }
  if (found) return;
  Next n{s, {'w', number, may_store ? Did::rely : Did::fail, -1}};
  n.state.writer[w].chunk = static_cast<uint8_t>(chunk);
  n.state.writer[w].pc = may_store ? kStore : kDone;
  out.push_back(n);
}

void Model::put_pack(State& n, int w, int chunk) const {
  const int pack = pack_of(session_of(n, w), chunk);
  Writer& me = n.writer[w];
  n.packs |= static_cast<uint16_t>(bit(pack));
  me.own |= static_cast<uint16_t>(bit(pack));
  me.source[chunk] = static_cast<uint8_t>(2 + pack);
  me.chunk = 0;
}

// Of an advance: what the session relied on and is now condemned.
void Model::next_to_copy(State& n, int w) const {
  Writer& me = n.writer[w];
  for (int c = 0; c < kChunks; ++c) {
    const int pack = me.source[c] - 2;
    if (pack < 0 || !has(me.condemned, pack) || is_of_session(pack, session_of(n, w))) continue;
    me.chunk = static_cast<uint8_t>(c);
    me.pc = kCopyRead;
    return;
  }
  me.pc = is(Rule::harmless_epoch_before_copies) ? kWork : kEpoch;
}

void Model::commit(const State& s, int w, std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const int session = session_of(s, w);
  Next n{s, {'w', static_cast<uint8_t>(w), Did::report, 0}};
  Writer& mine = n.state.writer[w];
  const auto finish = [&] {
    mine = Writer{};
    mine.pc = kDone;
  };
  if (me.pc == kLook) {
    if (s.tombstones_of(session) == 0 || is(Rule::no_look_for_tombstone)) {
      n.state.reported |= static_cast<uint8_t>(bit(1 + session));
      mine = Writer{};
      mine.second = me.second;
      mine.own = me.own;
      mine.pc = kEnd;
    } else if (me.second == 0) {
      n.step.did = Did::tombstone_seen;
      mine.second = 1;
      mine.flags = kContinues | ((me.flags & kBaseValid) != 0 ? kBaseWasValid : 0);
      mine.pc = kBegin;
    } else {
      n.step.did = Did::fail;
      finish();
    }
  } else {
    const int vouched = me.pc == kEnd ? session : session - 1;
    n.step.did = Did::end;
    n.step.what = static_cast<int8_t>(vouched);
    const unsigned packs = bit(pack_of(vouched, 0)) | bit(pack_of(vouched, 1));
    n.state.vouched |= static_cast<uint16_t>(me.own & packs);
    if (me.pc == kEnd) n.state.ended |= static_cast<uint8_t>(bit(session));
    const unsigned older = bit(pack_of(session & ~1, 0)) | bit(pack_of(session & ~1, 1));
    if (me.pc == kEnd && me.second == 1 && (me.own & older) != 0) {
      mine.pc = kHeir;
    } else {
      finish();
    }
  }
  out.push_back(n);
}

// After a tombstone: everything that the point needs must still be there.
void Model::carry_on(const State& s, int w, std::vector<Next>& out) const {
  const Writer& me = s.writer[w];
  const int chunk = me.chunk;
  Next n{s, {'w', static_cast<uint8_t>(w), Did::carry_on, static_cast<int8_t>(chunk)}};
  if (me.pc == kCarryCopy) {
    n.step.did = Did::copy_put;
    put_pack(n.state, w, chunk);
    next_to_carry_on(n.state, w, chunk + 1);
    out.push_back(n);
    return;
  }
  if (me.source[chunk] == kFromBase) return look_up(s, w, chunk, false, out);
  const int pack = me.source[chunk] - 2;
  const bool copies = has(me.condemned, pack) && !is(Rule::continues_without_copying);
  const bool present = has(s.packs, pack);
  if (!present && (copies || !is(Rule::continues_without_presence))) {
    n.step.did = Did::fail;
    n.state.writer[w] = Writer{};
    n.state.writer[w].pc = kDone;
  } else if (copies) {
    n.state.writer[w].pc = kCarryCopy;
  } else {
    next_to_carry_on(n.state, w, chunk + 1);
  }
  out.push_back(n);
}

void Model::next_to_carry_on(State& n, int w, int chunk) const {
  Writer& me = n.writer[w];
  for (; chunk < kChunks; ++chunk) {
    if (me.source[chunk] == 0) continue;  // never looked up: killed before, or not needed
    if (me.source[chunk] == kFromBase &&
        ((me.flags & kBaseValid) != 0 || is(Rule::base_lost_is_ignored))) {
      continue;
    }
    me.chunk = static_cast<uint8_t>(chunk);
    me.pc = kCarryOn;
    return;
  }
  me.chunk = 0;
  me.pc = kWork;
}

}  // namespace holdfast::model
