// Collection against the real session code: what is freed, what never is, and who is waited for.
// The interleavings of session and collector are explored by the model and the simulator
// (tests/support/sim_store.h); here each rule is met once, by hand.

#include "vault/engine/collect.h"

#include "tests/support/collecting.h"
#include "tests/support/faulty_store.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

constexpr int64_t kHour = int64_t{3600} * 1'000'000'000;

struct CollectTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};
  testing::TempDirectory directory;
  std::vector<std::pair<testing::WrittenPoint, std::vector<TestFile>>> points;

  CollectOptions options() {
    CollectOptions o;
    o.directory = directory.path();
    o.memory_bytes = 1;  // every sorter spills
    return o;
  }
  Result<CollectReport> try_collect(CollectOptions o, Store* through = nullptr) {
    return testing::run_collect(through != nullptr ? *through : store, vault, std::move(o));
  }
  CollectReport collect_now(std::optional<CollectOptions> o = {}) {
    auto report = try_collect(o ? *o : options());
    EXPECT_OK(report);
    return report.ok() ? *report : CollectReport();
  }

  testing::WrittenPoint write(std::vector<TestFile> files) {
    SessionRequest r;
    r.item = vault.item;
    if (!points.empty()) {
      r.base = BasePoint{points.back().first.point.sequence, points.back().first.point.sha256};
    }
    auto p = testing::write_point(store, vault, files, std::move(r));
    EXPECT_OK(p);
    points.emplace_back(*p, std::move(files));
    return *p;
  }
  // Takes a point out of the vault as a purge would, record included.
  void purge(size_t i) {
    const CommittedPoint& p = points[i].first.point;
    testing::purge_point(store, vault, vault.item, p.sequence, p.sha256);
    points.erase(points.begin() + static_cast<std::ptrdiff_t>(i));
  }
  void expect_all_there() {
    for (const auto& [p, files] : points) {
      EXPECT_OK(testing::expect_files(store, vault, p.root, vault.keys.domain.id, files));
    }
    const auto report = testing::full_check(store, vault);
    ASSERT_OK(report);
    for (const auto& f : report->damage) ADD_FAILURE() << f.object << ": " << f.what;
    EXPECT_TRUE(report->points.empty());
  }
  size_t count(const std::string& prefix) { return store.list(prefix)->size(); }
  uint64_t stored(const std::string& prefix) {
    uint64_t bytes = 0;
    const auto objects = store.list(prefix);
    for (const ObjectInfo& o : *objects) bytes += o.size_bytes;
    return bytes;
  }

  static std::vector<TestFile> files(uint64_t seed, size_t n = 4, size_t size = 400'000) {
    std::vector<TestFile> out;
    for (size_t i = 0; i < n; ++i) {
      out.push_back({"f" + std::to_string(i), random_bytes(seed * 100 + i, size)});
    }
    return out;
  }
};

TEST_F(CollectTest, AVaultOfLivePointsLosesNothing) {
  write(files(1));
  write(files(2));
  const size_t packs = count("packs/");
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  EXPECT_EQ(r.packs_deleted, 0u);
  EXPECT_EQ(count("packs/"), packs);
  expect_all_there();
}

TEST_F(CollectTest, WhatOnlyAPurgedPointNeededIsFreed) {
  write(files(1));
  write(files(2));
  const uint64_t before = stored("packs/");
  purge(0);
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  EXPECT_GT(r.packs_deleted, 0u);
  EXPECT_LT(stored("packs/"), before * 6 / 10);
  expect_all_there();
}

TEST_F(CollectTest, AnEmptyVaultAndANewOneAreNothingToCollect) {
  EXPECT_TRUE(collect_now().done);
  write(files(1));
  purge(0);
  collect_now();
  EXPECT_EQ(count("packs/"), 0u);
  write(files(3));
  expect_all_there();
}

TEST_F(CollectTest, ADryRunChangesNothing) {
  write(files(1));
  write(files(2));
  purge(0);
  CollectOptions o = options();
  o.dry_run = true;
  const auto before = store.list("");
  const CollectReport r = collect_now(o);
  EXPECT_GT(r.packs_condemned, 0u);
  EXPECT_GT(r.bytes_freed, 0u);
  EXPECT_EQ(store.list("")->size(), before->size());
}

TEST_F(CollectTest, PartlyDeadPacksAreRewrittenWithoutAKey) {
  // One pack of each kind for all of this; then three of four files go.
  std::vector<TestFile> all = files(1, 8, 700'000);
  write(all);
  write({all[0], all[7]});
  purge(0);
  const uint64_t before = stored("packs/");
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  EXPECT_GT(r.packs_copied, 0u);
  EXPECT_LT(stored("packs/"), before * 7 / 10);
  expect_all_there();
  // The next backup may rely on the copies.
  const uint64_t kept = stored("packs/");
  write({all[0], all[7], {"new", random_bytes(9, 1000)}});
  EXPECT_LT(stored("packs/"), kept + 100'000);
  expect_all_there();
  // And so may the next run, whose copies are copies of copies.
  write({all[7]});
  purge(0);
  purge(0);
  collect_now();
  expect_all_there();
  EXPECT_LE(stored("packs/"), kept + 100'000);
}

TEST_F(CollectTest, AReaderThatIsOpenFindsWhatWasMoved) {
  const std::vector<TestFile> all = files(1, 8, 700'000);
  write(all);
  write({all[0], all[7]});
  ASSIGN(const auto reader,
         VaultReader::open(store, vault.description, vault.secret, {.segment_cache_bytes = 1}));
  ASSIGN(DomainReader * domain, reader->domain(vault.keys.domain.id));
  const ChunkId id = chunk_id(crypto::HmacSha256(vault.keys.domain.id_key.view()), ChunkKind::data,
                              {}, ByteView(all[7].content).first(256 * 1024));
  ASSERT_OK(domain->read_chunk(id, ChunkKind::data));  // its footer is remembered now
  purge(0);
  const CollectReport r = collect_now();
  EXPECT_GT(r.packs_deleted, 0u);
  EXPECT_OK(domain->read_chunk(id, ChunkKind::data));
  // And again, once everything was moved a second time.
  write({all[7]});
  purge(0);
  EXPECT_GT(collect_now().packs_deleted, 0u);
  EXPECT_OK(domain->read_chunk(id, ChunkKind::data));
}

TEST_F(CollectTest, SmallPacksAreMerged) {
  for (uint64_t i = 0; i < 20; ++i) write(files(i, 1, 20'000));
  const size_t before = count("packs/");
  EXPECT_EQ(before, 40u);
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  EXPECT_EQ(count("packs/"), 2u);
  EXPECT_EQ(r.index_runs, 1u);
  EXPECT_EQ(count("index/"), 1u);
  expect_all_there();
  purge(3);
  collect_now();
  expect_all_there();
}

TEST_F(CollectTest, WaitsForABackupThatBeganBefore) {
  const auto all = files(1);
  write(all);
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto session, testing::begin_session(store, vault, std::move(request)));
  ASSIGN(const ChunkId root, testing::store_files(*session, all));  // relies on what is there
  purge(0);
  const size_t packs = count("packs/");
  CollectReport r = collect_now();
  EXPECT_FALSE(r.done);
  ASSERT_EQ(r.waits_for.size(), 1u);
  EXPECT_EQ(r.waits_for[0], session->id());
  EXPECT_EQ(count("packs/"), packs);
  ManifestDraft draft;
  draft.roots = {root};
  draft.body.item_name = "item";
  ASSIGN(const CommittedPoint p, session->commit(std::move(draft)));
  points.emplace_back(testing::WrittenPoint{p, root}, all);
  // The same run goes on; its second mark sees the point.
  r = collect_now();
  EXPECT_TRUE(r.done);
  EXPECT_EQ(r.packs_deleted, 0u);
  expect_all_there();
}

TEST_F(CollectTest, ASessionThatTookNoteIsNotWaitedFor) {
  const auto all = files(1);
  write(all);
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto session, testing::begin_session(store, vault, std::move(request)));
  ASSIGN(const ChunkId root, testing::store_files(*session, all));
  purge(0);
  EXPECT_FALSE(collect_now().done);
  ASSERT_OK(session->advance());
  EXPECT_TRUE(collect_now().done);
  ManifestDraft draft;
  draft.roots = {root};
  draft.body.item_name = "item";
  ASSIGN(const CommittedPoint p, session->commit(std::move(draft)));
  points.emplace_back(testing::WrittenPoint{p, root}, all);
  expect_all_there();
}

TEST_F(CollectTest, LaterSessionsDoNotHoldARunBack) {
  write(files(1));
  purge(0);
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto old, testing::begin_session(store, vault, request));
  EXPECT_FALSE(collect_now().done);
  ASSIGN(const auto later, testing::begin_session(store, vault, request));
  ASSERT_OK(old->give_up());
  EXPECT_TRUE(collect_now().done);
  ASSERT_OK(later->give_up());
}

TEST_F(CollectTest, ASilentSessionIsGivenUpAndLosesNothing) {
  const auto all = files(1);
  write(all);
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto session, testing::begin_session(store, vault, std::move(request)));
  ASSIGN(const ChunkId root, testing::store_files(*session, all));
  purge(0);
  EXPECT_FALSE(collect_now().done);
  store.advance_clock(25 * kHour);
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  ASSERT_EQ(r.given_up.size(), 1u);
  EXPECT_GT(r.packs_deleted, 0u);
  // It wakes up, finds the tombstone, and what it relied on gone: the caller starts over.
  ManifestDraft draft;
  draft.roots = {root};
  draft.body.item_name = "item";
  const auto committed = session->commit(std::move(draft));
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, Errc::missing);
  EXPECT_TRUE(testing::full_check(store, vault)->points.empty());
  write(all);
  expect_all_there();
}

TEST_F(CollectTest, AManifestPutBeforeTheTombstoneStands) {
  const auto all = files(1);
  // The commit succeeds, but nothing can be put after the manifest: no end.
  testing::FaultyStore faulty(store);
  bool manifest_put = false;
  faulty.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind == "put_if_absent" && name.starts_with(kPointsPrefix)) manifest_put = true;
    if (kind == "put" && manifest_put) faulty.kill_at(0, false);
  };
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto p, testing::write_point(faulty, vault, all, std::move(request)));
  points.emplace_back(p, all);
  store.advance_clock(25 * kHour);
  const CollectReport r = collect_now();
  EXPECT_TRUE(r.done);
  // Nothing was condemned, so nobody had to be given up; with garbage there is.
  write(files(2));
  purge(1);
  store.advance_clock(25 * kHour);
  const CollectReport second = collect_now();
  EXPECT_TRUE(second.done);
  EXPECT_EQ(second.given_up.size(), 1u);
  EXPECT_GT(second.packs_deleted, 0u);
  expect_all_there();
}

TEST_F(CollectTest, PacksOfAnInterruptedBackupAreKeptForAWeek) {
  SessionRequest request;
  request.item = vault.item;
  {
    ASSIGN(const auto session, testing::begin_session(store, vault, request));
    ASSERT_OK(testing::store_files(*session, files(1)));
    ASSERT_OK(session->give_up());
  }
  const size_t packs = count("packs/");
  ASSERT_GT(packs, 0u);
  EXPECT_TRUE(collect_now().done);
  EXPECT_EQ(count("packs/"), packs);
  store.advance_clock(8 * 24 * kHour);
  EXPECT_TRUE(collect_now().done);
  EXPECT_EQ(count("packs/"), 0u);
  EXPECT_EQ(count("sessions/"), 0u);
}

TEST_F(CollectTest, NothingIsFreedWhileAPointIsDamaged) {
  write(files(1));
  write(files(2));
  purge(0);
  // A pack that the remaining point needs, gone.
  const auto reader = VaultReader::open(store, vault.description, vault.secret);
  ASSERT_OK(reader);
  ASSIGN(DomainReader * domain, (*reader)->domain(vault.keys.domain.id));
  ASSIGN(const auto places, domain->find(points[0].first.root));
  const std::string name = pack_name(places[0].pack.id);
  ASSERT_OK(store.remove(name));
  const size_t packs = count("packs/");
  const auto refused = try_collect(options());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::damaged);
  EXPECT_EQ(count("packs/"), packs);
  CollectOptions o = options();
  o.despite_damage = true;
  const CollectReport r = collect_now(o);
  EXPECT_TRUE(r.done);
  EXPECT_FALSE(r.warnings.empty());
}

TEST_F(CollectTest, NothingIsFreedWhileAPointIsMissingWithoutRecord) {
  write(files(1));
  write(files(2));
  write(files(3));
  ASSERT_OK(store.remove(point_name(vault.item, 2)));
  const auto refused = try_collect(options());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::damaged);
}

TEST_F(CollectTest, AForgedListBindsNobodyAndAForgedTombstoneHidesNothing) {
  write(files(1));
  // Somebody who may put objects, with a key of their own.
  const crypto::Key256 seed(crypto::random_array<32>());
  CondemnedList list;
  list.header.vault = vault.description.vault;
  list.header.run = RunId::random();
  list.header.maintainer = vault.maintainer.id;
  const auto packs = store.list("packs/");
  for (const ObjectInfo& o : *packs) list.packs.push_back(*parse_pack_name(o.name));
  ASSERT_OK(store.put(collection_name(list.header.run, kStepCondemned), list.encode(seed)));
  const auto manifest = decode_manifest(*store.get(point_name(vault.item, 1), 1 << 20));
  Tombstone t;
  t.vault = vault.description.vault;
  t.session = manifest->session();
  t.run = list.header.run;
  t.maintainer = vault.maintainer.id;
  ASSERT_OK(store.put(tombstone_name(t.session, t.run), t.encode(seed)));
  const uint64_t before = stored("packs/");
  write(points[0].second);
  EXPECT_LT(stored("packs/"), before + 10'000) << "everything was stored again";
  for (const auto& [p, files] : points) {
    EXPECT_OK(testing::expect_files(store, vault, p.root, vault.keys.domain.id, files));
  }
  collect_now();
  EXPECT_EQ(testing::full_check(store, vault)->points_checked, 2u);
}

// Every store operation of a run fails once, for good or for a moment; then the run is called
// again.
TEST_F(CollectTest, InterruptedAnywhereItGoesOnAndLosesNothing) {
  std::vector<TestFile> all = files(1, 8, 700'000);
  write(all);
  write({all[0], all[7]});
  write(files(2));
  purge(0);
  uint64_t operations = 0;
  {
    const auto copy = store.copy();
    testing::FaultyStore counting(*copy);
    ASSERT_OK(try_collect(options(), &counting));
    operations = counting.operations();
  }
  ASSERT_GT(operations, 30u);
  for (uint64_t n = 0; n < operations; ++n) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE("killed at operation " + std::to_string(n));
      const auto copy = store.copy();
      testing::FaultyStore faulty(*copy);
      faulty.kill_at(n, after);
      const auto killed = try_collect(options(), &faulty);
      EXPECT_FALSE(killed.ok());
      for (const auto& [p, files] : points) {
        ASSERT_OK(testing::expect_files(*copy, vault, p.root, vault.keys.domain.id, files));
      }
      ASSERT_OK(try_collect(options(), copy.get()));
      copy->advance_clock(8 * 24 * kHour);
      const auto again = try_collect(options(), copy.get());
      ASSERT_OK(again);
      EXPECT_TRUE(again->done);
      for (const auto& [p, files] : points) {
        ASSERT_OK(testing::expect_files(*copy, vault, p.root, vault.keys.domain.id, files));
      }
      // Nothing is left over but what the points need.
      EXPECT_LE(copy->list("packs/")->size(), 6u);
    }
  }
}

TEST_F(CollectTest, AnotherMaintainersRunIsLeftAloneUntilItIsDead) {
  write(files(1));
  purge(0);
  SessionRequest request;
  request.item = vault.item;
  ASSIGN(const auto session, testing::begin_session(store, vault, request));
  EXPECT_FALSE(collect_now().done);  // ours waits
  const auto other = vault.add_maintainer(store);
  auto report = testing::run_collect(store, vault, options(), &other);
  ASSERT_OK(report);
  EXPECT_FALSE(report->other_run.empty());
  EXPECT_FALSE(report->done);
  store.advance_clock(73 * kHour);
  report = testing::run_collect(store, vault, options(), &other);
  ASSERT_OK(report);
  EXPECT_TRUE(report->other_run.empty());
  EXPECT_TRUE(report->done);
  // Ours wakes up, finds itself ended, and frees nothing twice.
  EXPECT_TRUE(collect_now().done);
  ASSERT_OK(session->give_up());
  write(files(5));
  expect_all_there();
}

}  // namespace
}  // namespace holdfast::vault
