// Sessions and collection in every order of steps. Goal: the rules of docs/formats/session.md lose
// no point that was reported, and each mistake in them is found. Method: the model of model.h, in
// several small worlds, as one with everything in it would be too large.
//
// The mistakes print the shortest way to a loss. HOLDFAST_MODEL=large also visits the large worlds.

#include "tests/vault/model/model.h"

#include <cstdlib>
#include <iostream>

#include <gtest/gtest.h>

#include "tests/vault/model/explorer.h"

namespace holdfast::model {
namespace {

constexpr uint64_t kStatesMax = 8'000'000;
constexpr uint64_t kStatesMaxLarge = 400'000'000;

Config world(const std::string& name, int writers, int collectors) {
  Config c;
  c.name = name;
  c.writers = writers;
  c.collectors = collectors;
  return c;
}

// A long session, a writer that may be killed, one collector.
Config small() {
  Config c = world("small", 1, 1);
  c.advances = 1;
  c.restarts = true;
  return c;
}
Config two_writers() {
  Config c = world("two_writers", 2, 1);
  c.advances = 1;
  return c;
}
Config two_collectors() {
  Config c = world("two_collectors", 1, 2);
  c.advances = 1;
  return c;
}
// One begins a run, two others take it for dead.
Config three_collectors() {
  Config c = world("three_collectors", 1, 3);
  c.runs = 1;
  return c;
}
// The second writer builds on the first one's point, whatever became of its session.
Config based_on_unfinished() {
  Config c = world("based_on_unfinished", 2, 1);
  c.base[1] = 1;
  c.base_chunks[1] = 1;
  return c;
}
// The first writer takes one chunk from m0 without looking, and another from wherever it finds it.
Config purge() {
  Config c = world("purge", 1, 1);
  c.initial_point = c.purges = true;
  c.base[0] = 0;
  c.base_chunks[0] = 1;
  c.needs[0] = 3;
  c.advances = 1;
  c.restarts = true;
  return c;
}
Config purge_beside_a_stranger() {
  Config c = purge();
  c.name = "purge_beside_a_stranger";
  c.writers = 2;
  c.needs[0] = 1;
  c.initial_needs = 1;
  c.restarts = false;
  return c;
}
// With something else to collect, so that a run may be under way before the purge.
Config purge_between_runs() {
  Config c = purge();
  c.name = "purge_between_runs";
  c.collectors = 2;
  c.needs[0] = c.initial_needs = 1;
  c.garbage = true;
  c.advances = 0;
  c.restarts = c.ends_dead_runs = false;
  return c;
}
Config purge_and_advance() {
  Config c = purge_between_runs();
  c.name = "purge_and_advance";
  c.advances = 1;
  return c;
}
Config repack() {
  Config c = world("repack", 1, 2);
  c.initial_point = c.repacks = c.drops_copies = true;
  c.initial_needs = 1;
  return c;
}
Config repack_beside_garbage() {
  Config c = repack();
  c.name = "repack_beside_garbage";
  c.garbage = true;
  return c;
}
// Two copies of one chunk: one of them is enough, but not none.
Config copies() {
  Config c = world("copies", 1, 2);
  c.second_copy = c.drops_copies = true;
  return c;
}
Config bogus_copy() {
  Config c = world("bogus_copy", 1, 1);
  c.initial_point = c.drops_copies = c.second_copy = true;
  c.second_copy_is_bogus = c.second_copy_is_newer = true;
  c.initial_needs = 1;
  return c;
}

std::vector<Config> worlds() {
  return {small(),
          two_writers(),
          two_collectors(),
          three_collectors(),
          purge(),
          based_on_unfinished(),
          purge_between_runs(),
          purge_beside_a_stranger(),
          bogus_copy(),
          repack_beside_garbage(),
          repack(),
          copies(),
          purge_and_advance()};
}

std::vector<Config> large_worlds() {
  Config two_and_two = world("two_and_two", 2, 2);
  Config everybody = two_collectors();
  everybody.name = "two_collectors_and_restarts";
  everybody.restarts = true;
  Config writers = two_writers();
  writers.name = "two_writers_and_restarts";
  writers.restarts = true;
  Config three_runs = three_collectors();
  three_runs.name = "three_runs";
  three_runs.runs = 3;
  Config purge_ends = purge_between_runs();
  purge_ends.name = "purge_and_dead_runs";
  purge_ends.ends_dead_runs = true;
  purge_ends.advances = 1;
  Config bogus = bogus_copy();
  bogus.name = "bogus_copy_and_purge";
  bogus.collectors = 2;
  bogus.purges = true;
  Config repack_purge = repack();
  repack_purge.name = "repack_and_purge";
  repack_purge.purges = true;
  repack_purge.base[0] = 0;
  repack_purge.base_chunks[0] = 1;
  Config repack_two = repack();
  repack_two.name = "repack_and_advance";
  repack_two.advances = 1;
  repack_two.garbage = true;
  return {everybody, writers, purge_ends, bogus, repack_purge, repack_two, three_runs, two_and_two};
}

std::string figures(const Config& c, const Exploration& e) {
  return c.name + ": " + std::to_string(e.states) + " states, " + std::to_string(e.steps) +
         " steps, " + std::to_string(e.depth) + " deep\n";
}

[[maybe_unused]] void PrintTo(const Config& c, std::ostream* out) {
  *out << c.name;
}
std::string name_of(const ::testing::TestParamInfo<Config>& info) {
  return info.param.name;
}

void expect_nothing_lost(const Config& c, uint64_t states_max) {
  const Exploration e = explore(Model(c), states_max);
  std::cout << figures(c, e);
  EXPECT_EQ(e.violation, "");
  EXPECT_TRUE(e.complete || !e.violation.empty()) << "too many states";
  // That nothing is lost means nothing if nothing is possible.
  EXPECT_TRUE(e.happened(Did::report));
  EXPECT_TRUE(e.happened(Did::condemn));
  EXPECT_TRUE(e.happened(Did::tombstone));
  EXPECT_TRUE(e.happened(Did::remove));
  EXPECT_TRUE(e.happened(Did::freed));
  EXPECT_TRUE(e.happened(Did::tombstone_seen));
  EXPECT_TRUE(e.happened(Did::carry_on));
  EXPECT_EQ(e.happened(Did::epoch), c.advances > 0);
  EXPECT_EQ(e.happened(Did::copy_put), true);
  EXPECT_EQ(e.happened(Did::killed), c.restarts);
  const bool dead_runs = c.collectors > 1 && c.ends_dead_runs;
  EXPECT_EQ(e.happened(Did::abort_seen), dead_runs);
  EXPECT_EQ(e.happened(Did::complete_other), dead_runs);
  EXPECT_EQ(e.happened(Did::free_other), dead_runs);
  EXPECT_EQ(e.happened(Did::remove_for_other), dead_runs);
  EXPECT_EQ(e.happened(Did::remove_manifest), c.purges);
  EXPECT_EQ(e.happened(Did::vouch), c.repacks);
}

class SessionModel : public ::testing::TestWithParam<Config> {};
TEST_P(SessionModel, LosesNothing) {
  expect_nothing_lost(GetParam(), kStatesMax);
}
INSTANTIATE_TEST_SUITE_P(Worlds, SessionModel, ::testing::ValuesIn(worlds()), name_of);

class LargeSessionModel : public ::testing::TestWithParam<Config> {};
TEST_P(LargeSessionModel, LosesNothing) {
  const char* size = std::getenv("HOLDFAST_MODEL");
  if (size == nullptr || std::string(size) != "large") GTEST_SKIP() << "HOLDFAST_MODEL=large";
  expect_nothing_lost(GetParam(), kStatesMaxLarge);
}
INSTANTIATE_TEST_SUITE_P(Worlds, LargeSessionModel, ::testing::ValuesIn(large_worlds()), name_of);

struct Deviation {
  const char* name;
  Rule rule;
  Config world;
};
// For the name that a failure shows.
[[maybe_unused]] void PrintTo(const Deviation& d, std::ostream* out) {
  *out << d.name;
}
std::string deviation_name(const ::testing::TestParamInfo<Deviation>& info) {
  return info.param.name;
}
#define DEVIATION(rule, world) \
  Deviation {                  \
#rule, Rule::rule, world() \
  }

class SessionModelMistake : public ::testing::TestWithParam<Deviation> {};
TEST_P(SessionModelMistake, IsFound) {
  Config c = GetParam().world;
  c.rule = GetParam().rule;
  const Exploration e = explore(Model(c), kStatesMax);
  std::cout << figures(c, e) << e.violation;
  EXPECT_NE(e.violation, "");
}
INSTANTIATE_TEST_SUITE_P(
    Rules, SessionModelMistake,
    ::testing::Values(
        DEVIATION(condemned_read_before_begin, small), DEVIATION(no_look_for_tombstone, small),
        DEVIATION(no_second_mark, small), DEVIATION(no_look_for_abort, two_collectors),
        DEVIATION(wait_for_older_only, small),
        // Those were the five that the design names.
        DEVIATION(condemned_not_minded, small), DEVIATION(base_checked_before_begin, purge),
        DEVIATION(base_presence_is_enough, purge),
        DEVIATION(base_of_undecided_session, based_on_unfinished),
        DEVIATION(base_lost_is_ignored, purge_between_runs),
        DEVIATION(continues_without_presence, small), DEVIATION(continues_without_copying, small),
        DEVIATION(relies_without_presence, small), DEVIATION(epoch_without_copies, small),
        DEVIATION(epoch_names_unread_runs, small), DEVIATION(any_epoch_ends_the_wait, small),
        DEVIATION(sessions_listed_before_condemned, small),
        DEVIATION(second_mark_before_tombstones, small),
        DEVIATION(bases_not_marked, purge_and_advance),
        DEVIATION(sessions_listed_first_and_bases_once, purge_and_advance),
        DEVIATION(sessions_listed_first_and_never_again, purge_and_advance),
        DEVIATION(sessions_listed_first_again_if_ended, purge_and_advance),
        DEVIATION(packs_of_open_sessions_condemned, two_collectors),
        DEVIATION(undecided_manifests_not_marked, two_collectors),
        DEVIATION(closing_names_nothing, small), DEVIATION(freed_before_deletion, small),
        DEVIATION(dead_run_freed_without_verdict, two_collectors),
        DEVIATION(dead_run_ended_by_two, three_collectors),
        DEVIATION(given_up_sessions_tidied, small), DEVIATION(newest_copy_wins, bogus_copy),
        DEVIATION(copy_condemned_by_others_counts, copies),
        DEVIATION(condemned_read_after_packs, copies),
        DEVIATION(source_condemned_before_voucher, repack),
        DEVIATION(base_removed_under_session, purge), DEVIATION(undecided_is_no_point, small)),
    deviation_name);

// Orders that one might think matter, and do not: whoever changes them need not worry.
class SessionModelLiberty : public ::testing::TestWithParam<Deviation> {};
TEST_P(SessionModelLiberty, LosesNothing) {
  Config c = GetParam().world;
  c.rule = GetParam().rule;
  const Exploration e = explore(Model(c), kStatesMax);
  std::cout << figures(c, e);
  EXPECT_EQ(e.violation, "");
  EXPECT_TRUE(e.complete);
}
INSTANTIATE_TEST_SUITE_P(
    Rules, SessionModelLiberty,
    ::testing::Values(
        // A pack that is vouched for and not there is not relied on: writers look.
        DEVIATION(harmless_voucher_before_pack, repack),
        // A marker between the look for an abort and the first deletion lets any number of
        // collectors end one run, also where put-if-absent is not enforced.
        DEVIATION(harmless_deletion_marker, three_collectors),
        // A session that another run gave up need not be given up again.
        DEVIATION(harmless_any_tombstone_ends_the_wait, two_collectors),
        // As long as the first mark saw them, and read the record of purges before.
        DEVIATION(harmless_second_mark_without_bases, purge_and_advance),
        // As long as both marks look at bases, and begin again if one is gone and its session is
        // over, by an end or by a tombstone.
        DEVIATION(harmless_sessions_listed_first, purge_and_advance),
        // It may cost the backup, whose copies may come too late, but no point.
        DEVIATION(harmless_epoch_before_copies, small)),
    deviation_name);

}  // namespace
}  // namespace holdfast::model
