// Traces for people.

#include "tests/vault/model/model.h"

namespace holdfast::model {
namespace {

std::string session_name(int session) {
  return "session " + std::to_string(session / 2 + 1) + (session % 2 == 0 ? "a" : "b");
}

std::string chunk_name(int chunk) {
  return chunk == 0 ? "chunk x" : "chunk y";
}

std::string pack_name(int pack) {
  if (pack < 2) return "pack P" + std::to_string(pack);
  if (pack >= repacked_by(0)) return "the pack of run " + std::to_string(pack - repacked_by(0) + 1);
  const int session = (pack - 2) / kChunks;
  return "the pack of " + session_name(session) + " with " + chunk_name(pack % kChunks);
}

std::string packs_of(unsigned mask) {
  std::string text;
  for (int p = 0; p < kPacks; ++p) {
    if (has(mask, p)) text += (text.empty() ? "" : ", ") + pack_name(p);
  }
  return text.empty() ? "nothing" : text;
}

std::string points_of(unsigned mask) {
  std::string text;
  for (int m = 0; m < kManifests; ++m) {
    if (!has(mask, m)) continue;
    text += (text.empty() ? "" : ", ") + (m == 0 ? "m0" : "that of " + session_name(m - 1));
  }
  return text.empty() ? "none" : text;
}

std::string runs_of(unsigned mask) {
  std::string text;
  for (int r = 0; r < kRuns; ++r) {
    if (has(mask, r)) text += (text.empty() ? "" : ", ") + std::to_string(r + 1);
  }
  return text.empty() ? "no run" : "run " + text;
}

std::string writer_step(const State& before, const Step& step, const State& after) {
  const int w = step.number;
  const Writer& me = before.writer[w];
  const Writer& now = after.writer[w];
  const int session = 2 * w + me.second;
  switch (step.did) {
    case Did::begin:
      return "puts begin";
    case Did::read_condemned:
      return "reads the condemned lists: " + packs_of(now.condemned);
    case Did::check_base_present:
      return "looks for its base";
    case Did::check_base_purged:
      return "looks whether its base was purged";
    case Did::check_base_counts:
      return "looks whether its base counts";
    case Did::rely:
      return step.what < 0 ? "finds no pack to rely on for " + chunk_name(now.chunk)
                           : "relies on " + pack_name(step.what);
    case Did::store:
      return "puts a pack with " + chunk_name(step.what);
    case Did::advance:
      return "advances, reads the lists of " + runs_of(now.runs) + ": " + packs_of(now.condemned);
    case Did::copy_read:
      return "reads " + chunk_name(step.what) + " to copy it";
    case Did::copy_put:
      return "puts its copy of " + chunk_name(step.what);
    case Did::epoch:
      return "puts an epoch that names " +
             runs_of(after.epochs_of(session) & ~before.epochs_of(session));
    case Did::manifest:
      return "puts its manifest";
    case Did::report:
      return "looks for a tombstone, finds none, reports the point";
    case Did::tombstone_seen:
      return "looks for a tombstone, finds one";
    case Did::end:
      return "puts end or heir for " + session_name(step.what);
    case Did::fail:
      return "fails";
    case Did::killed:
      return "is killed, and begins again";
    case Did::carry_on:
      return "looks for what it needs of " + chunk_name(step.what);
    default:
      return "?";
  }
}

std::string collector_step(const Step& step, const State& after) {
  const int r = step.number;
  const Collector& now = after.collector[r];
  const Run& run = after.run[r];
  const std::string other = "run " + std::to_string(step.what + 1);
  const std::string mark = step.what == 0 ? "mark: " : "second mark: ";
  switch (step.did) {
    case Did::mark_points:
      return mark + "lists points, finds " + points_of(now.seen);
    case Did::mark_sessions:
      return mark + "lists sessions, marks from " + points_of(now.counting);
    case Did::mark_condemned:
      return mark + "reads others' condemned lists";
    case Did::mark_packs:
      return mark + "lists packs, would free " + packs_of(now.packs);
    case Did::repack_read:
      return "reads P0 to repack it";
    case Did::repack_put:
      return "puts what lives of P0";
    case Did::vouch:
      return "vouches for it";
    case Did::condemn:
      return "puts its condemned list: " + packs_of(run.condemned);
    case Did::list_sessions:
      return "lists sessions, has to wait for some of them, or not";
    case Did::poll:
      return "lists sessions again";
    case Did::tombstone:
      return "puts a tombstone for " + session_name(step.what);
    case Did::closing:
      return "puts its closing list: frees " + packs_of(run.closing) + "; names " +
             points_of(run.named);
    case Did::verdict:
      return step.what == 0 ? "puts its verdict" : "puts that it deletes";
    case Did::no_abort:
      return "looks for an abort, finds none";
    case Did::abort_seen:
      return "looks for an abort, finds one, stops";
    case Did::remove:
      return "deletes " + pack_name(step.what);
    case Did::freed:
      return "puts freed";
    case Did::abort_other:
      return "puts an abort for " + other;
    case Did::complete_other:
      return "will complete " + other;
    case Did::free_other:
      return "will free " + other;
    case Did::leave_other:
      return "leaves " + other + " as it is";
    case Did::remove_for_other:
      return "deletes " + pack_name(step.what) + " for another run";
    case Did::tidy:
      return "tidies " + session_name(step.what) + " away";
    case Did::freed_other:
      return "puts freed for " + other;
    default:
      return "?";
  }
}

}  // namespace

std::string Model::describe(const State& before, const Step& step, const State& after) const {
  const std::string number = std::to_string(step.number + 1);
  if (step.actor == 'w') return "writer " + number + " " + writer_step(before, step, after);
  if (step.actor == 'c') return "collector " + number + " " + collector_step(step, after);
  switch (step.did) {
    case Did::purge:
      return "m0 is purged";
    case Did::purge_waits:
      return "nobody builds on m0";
    default:
      return "m0's manifest is removed";
  }
}

}  // namespace holdfast::model
