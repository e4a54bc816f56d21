#include "tests/vault/model/model.h"

#include <type_traits>

namespace holdfast::model {

static_assert(std::has_unique_object_representations_v<State>);

unsigned Model::content(const State& s, int pack) const {
  if (pack == 0) return 3;
  if (pack == 1) return config_.garbage ? 2 : 1;
  if (pack >= repacked_by(0)) return s.content >> (2 * (pack - repacked_by(0))) & 3;
  return bit((pack - 2) % kChunks);
}

unsigned Model::needs_of(int manifest) const {
  return manifest == 0 ? config_.initial_needs : config_.needs[(manifest - 1) / 2];
}

Model::Counts Model::counts(const State& s, int manifest, int own) const {
  if (manifest == 0) return Counts::yes;
  Counts result = Counts::yes;
  for (int r = 0; r < kRuns; ++r) {
    if (r == own || !has(s.tombstones_of(manifest - 1), r)) continue;
    if (!s.run[r].did(Run::kClosing)) {
      result = Counts::undecided;
    } else if (!has(s.run[r].named, manifest)) {
      return Counts::no;
    }
  }
  return result;
}

unsigned Model::condemned(const State& s, int but) const {
  unsigned packs = 0;
  for (int r = 0; r < kRuns; ++r) {
    if (r != but && s.run[r].binds()) packs |= s.run[r].condemned;
  }
  return packs;
}

unsigned Model::binding_runs(const State& s) const {
  unsigned runs = 0;
  for (int r = 0; r < kRuns; ++r) {
    if (s.run[r].binds()) runs |= bit(r);
  }
  return runs;
}

State Model::initial() const {
  State s;
  s.packs = s.vouched = config_.second_copy || config_.garbage ? 3 : 1;
  if (config_.initial_point) {
    s.manifests = s.reported = 1;
    s.before[0] = config_.second_copy && !config_.second_copy_is_newer ? 3 : 1;
    s.order[0] = s.points = 1;
  }
  for (int w = 0; w < config_.writers; ++w) {
    s.writer[w].advances = static_cast<uint8_t>(config_.advances);
  }
  return s;
}

void Model::successors(const State& s, std::vector<Next>& out) const {
  for (int w = 0; w < config_.writers; ++w) step_writer(s, w, out);
  for (int r = 0; r < config_.collectors; ++r) step_collector(s, r, out);
  if (config_.purges) step_purger(s, out);
}

// First the record, then the look at who builds on it, then the manifest goes.
void Model::step_purger(const State& s, std::vector<Next>& out) const {
  Next n{s, {'p', 0, Did::purge, 0}};
  ++n.state.purger;
  if (s.purger == 0) {
    n.state.purged |= 1;
  } else if (s.purger == 1) {
    n.step.did = Did::purge_waits;
    for (int i = 0; i < kSessions; ++i) {
      const bool open = has(s.begun & ~s.ended, i) && s.tombstones_of(i) == 0;
      if (config_.base[i / 2] == 0 && open && !is(Rule::base_removed_under_session)) return;
    }
  } else if (s.purger == 2) {
    n.step.did = Did::remove_manifest;
    n.state.manifests &= static_cast<uint8_t>(~1u);
  } else {
    return;
  }
  out.push_back(n);
}

const char* Model::violation(const State& s) const {
  for (int m = 0; m < kManifests; ++m) {
    if (!has(s.reported & ~s.purged, m)) continue;
    if (!has(s.manifests, m)) return "a reported point's manifest is gone";
    const Counts c = counts(s, m);
    if (c == Counts::no) return "a reported point does not count";
    if (c == Counts::undecided && is(Rule::undecided_is_no_point)) {
      return "a reported point does not count, as a run put no closing list";
    }
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (!has(needs_of(m), chunk)) continue;
      bool there = false;
      for (int p = 0; p < kPacks; ++p) {
        if (!has(s.packs, p) || !has(content(s, p), chunk)) continue;
        // Inside a domain agents trust one another: what was there before a point, it may have.
        const bool bogus = p == 1 && config_.second_copy_is_bogus;
        there |= !bogus || has(s.before[m], p);
      }
      if (!there) return "a reported point lost a chunk";
    }
  }
  return nullptr;
}

}  // namespace holdfast::model
