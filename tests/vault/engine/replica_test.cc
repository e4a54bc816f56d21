// Replicas: at every moment of a sync, and after every failure, each point that the replica shows
// is whole; nothing is lost by a primary that was put back, emptied or replaced; promotion parts
// the two.

#include "vault/engine/replica.h"

#include "tests/support/faulty_store.h"
#include "tests/support/test_vault.h"
#include "vault/engine/trust.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

struct ReplicaTest : ::testing::Test {
  MemoryStore primary;
  MemoryStore replica;
  testing::TestVault vault{primary};
  std::map<uint64_t, std::pair<ChunkId, std::vector<TestFile>>> written;  // by number

  void write(uint64_t seed) {
    std::vector<TestFile> files{{"a", random_bytes(seed, 200'000)}, {"b", random_bytes(7, 90'000)}};
    ASSIGN(const auto p, testing::write_point(primary, vault, files));
    written[p.point.sequence] = {p.root, files};
  }
  Result<SyncReport> sync(Store& from, Store& to, SyncOptions options = {}) {
    SyncProgress progress;
    options.workers = 1;
    return sync_replica(from, to, options, progress, {});
  }
  Result<SyncReport> sync(SyncOptions options = {}) { return sync(primary, replica, options); }
  void add() { ASSERT_OK(add_replica(primary, replica)); }

  // Every object but those of the replica itself is the primary's.
  void expect_equal() {
    for (const ObjectInfo& o : *primary.list("")) {
      EXPECT_EQ(*primary.get(o.name, 1 << 30), replica.get(o.name, 1 << 30).value()) << o.name;
    }
    for (const ObjectInfo& o : *replica.list("")) {
      if (!o.name.starts_with(kGeoPrefix)) EXPECT_OK(primary.head(o.name));
    }
  }
  // Whatever points it shows can be restored. Gives their number.
  size_t expect_whole(Store& store) {
    const auto d = load_description(store);
    if (!d.ok()) {
      EXPECT_EQ(d.error().code, Errc::not_a_vault) << d.error().message();
      return 0;
    }
    const auto reader = VaultReader::open(store, vault.description, vault.secret);
    EXPECT_OK(reader);
    if (!reader.ok()) return 0;
    const auto list = (*reader)->points();
    EXPECT_OK(list);
    for (const RecoveryPoint& p : list->points) {
      const auto& [root, files] = written.at(p.manifest.sequence);
      EXPECT_OK(testing::expect_files(store, vault, root, vault.keys.domain.id, files));
    }
    return list->points.size();
  }
};

TEST_F(ReplicaTest, ReceivesEverythingAndNothingTwice) {
  write(1);
  add();
  ASSIGN(const SyncReport first, sync());
  EXPECT_EQ(first.points, 1u);
  EXPECT_EQ(first.lag.points_behind, 0u);
  expect_equal();
  ASSIGN(const SyncReport again, sync());
  EXPECT_EQ(again.objects, 0u);
  write(2);
  ASSIGN(const ReplicaLag lag, measure_lag(primary, replica));
  EXPECT_EQ(lag.points_behind, 1u);
  EXPECT_GT(lag.bytes_behind, 100'000u);
  EXPECT_GT(lag.newest_primary_ns, lag.newest_replica_ns);
  ASSIGN(const SyncReport next, sync());
  EXPECT_EQ(next.points, 1u);
  EXPECT_EQ(next.lag.lag_ns, 0);
  expect_equal();
  EXPECT_EQ(expect_whole(replica), 2u);
  ASSIGN(const auto record, last_sync(replica, vault.description.vault));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->points, 2u);
  ASSIGN(const CheckReport report, testing::full_check(replica, vault));
  EXPECT_TRUE(report.damage.empty());
  EXPECT_TRUE(report.remarks.empty()) << report.remarks[0].object;
}

// A kill at each operation of the replica's store, before and after its effect.
TEST_F(ReplicaTest, IsWholeWhereverASyncIsKilled) {
  write(1);
  write(2);
  add();
  size_t kills = 0;
  for (uint64_t n = 1;; ++n) {
    for (const bool after : {false, true}) {
      const auto copy = replica.copy();
      testing::FaultyStore faulty(*copy);
      faulty.kill_at(n, after);
      const auto done = sync(primary, faulty);
      expect_whole(*copy);
      SCOPED_TRACE("operation " + std::to_string(n));
      ASSERT_OK(sync(primary, *copy));
      EXPECT_EQ(expect_whole(*copy), 2u);
      if (done.ok() && !faulty.is_dead()) {
        EXPECT_GT(kills, 20u);
        return;
      }
      ++kills;
    }
  }
}

// Seen from every put: a point comes after all that it needs.
TEST_F(ReplicaTest, NoPointComesBeforeWhatItNeeds) {
  for (uint64_t i = 0; i < 4; ++i) write(i);
  add();
  testing::FaultyStore watched(replica);
  std::optional<Error> wrong;
  size_t points = 0;
  watched.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind != "put" || !name.starts_with(kPointsPrefix)) return;
    ++points;
    // The point itself, put in a copy first.
    const auto copy = replica.copy();
    CHECK(copy->put(name, *primary.get(name, 1 << 30)).ok());
    expect_whole(*copy);
  };
  ASSERT_OK(sync(primary, watched));
  EXPECT_EQ(points, 4u);
}

TEST_F(ReplicaTest, PacksOfARunningSessionComeLast) {
  write(1);
  add();
  ASSIGN(const auto running, testing::begin_session(primary, vault, {}));
  ASSERT_OK(testing::store_files(*running, {{"x", random_bytes(50, 300'000)}}));
  ASSERT_OK(running->give_up());                               // all its packs are there...
  ASSERT_OK(primary.remove(session_end_name(running->id())));  // ...and nothing says that it ended
  testing::FaultyStore watched(replica);
  std::vector<std::string> order;
  watched.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind == "put") order.push_back(name);
  };
  ASSIGN(const SyncReport report, sync(primary, watched));
  EXPECT_GT(report.later, 0u);
  expect_equal();
  size_t point = 0;
  size_t first_of_running = order.size();
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i].starts_with(kPointsPrefix)) point = i;
    if (order[i].starts_with(pack_prefix(running->id())))
      first_of_running = std::min(first_of_running, i);
  }
  EXPECT_LT(point, first_of_running);
}

TEST_F(ReplicaTest, ErrorsOfTheMomentChangeNothingAndPass) {
  write(1);
  add();
  testing::FaultyStore faulty(primary);
  faulty.fail_operation(12, {});
  EXPECT_FALSE(sync(faulty, replica).ok());
  ASSIGN(const SyncReport report, sync(faulty, replica));
  EXPECT_TRUE(report.findings.empty());
  expect_equal();
}

// --- A primary that is not what it was ---

struct RolledBackTest : ReplicaTest {
  void SetUp() override {
    write(1);
    old_ = primary.copy();
    write(2);
    add();
    ASSERT_OK(sync());
  }
  void expect_refused(Store& from) {
    const auto before = replica.copy();
    const auto refused = sync(from, replica);
    EXPECT_ERROR(Errc::rolled_back, refused);
    const auto names = [](Store& s) {
      std::map<std::string, Bytes> out;
      for (const ObjectInfo& o : *s.list("")) out[o.name] = *s.get(o.name, 1 << 30);
      return out;
    };
    EXPECT_EQ(names(*before), names(replica)) << "nothing was touched";
    EXPECT_EQ(expect_whole(replica), 2u);
  }
  std::unique_ptr<MemoryStore> old_;
};

TEST_F(RolledBackTest, AnOlderCopyIsRefused) {
  expect_refused(*old_);
}

TEST_F(RolledBackTest, AnOlderCopyThatWentOnIsRefused) {
  // Without memory of number 2 it is written anew.
  ASSERT_OK(testing::write_point(*old_, vault, {{"z", random_bytes(9, 100)}}));
  expect_refused(*old_);
  ASSERT_OK(testing::write_point(*old_, vault, {{"z", random_bytes(10, 100)}}));
  expect_refused(*old_);
}

TEST_F(RolledBackTest, AnEmptiedPrimaryIsRefused) {
  for (const ObjectInfo& o : *primary.list("")) {
    if (o.name != kDescriptionName) ASSERT_OK(primary.remove(o.name));
  }
  expect_refused(primary);
}

TEST_F(RolledBackTest, AnOlderRosterIsRefused) {
  vault.add_agent(primary, "new");
  ASSERT_OK(sync());
  ASSERT_OK(primary.remove(roster_name(2)));
  expect_refused(primary);
}

TEST_F(RolledBackTest, AnotherVaultIsRefused) {
  MemoryStore other;
  const testing::TestVault stranger(other);
  const auto refused = sync(other, replica);
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(expect_whole(replica), 2u);
}

TEST_F(RolledBackTest, WhatThePrimaryLosesInTheMiddleIsKept) {
  ASSERT_OK(primary.remove(point_name(vault.item, 1)));
  for (const ObjectInfo& o : *primary.list(std::string(kPacksPrefix))) {
    ASSERT_OK(primary.remove(o.name));
  }
  ASSIGN(const SyncReport report, sync());
  EXPECT_GT(report.kept, 2u);
  EXPECT_EQ(expect_whole(replica), 2u);
}

TEST_F(RolledBackTest, DamageInThePrimaryIsNotCopied) {
  write(3);
  std::string fresh;
  for (const ObjectInfo& o : *primary.list(std::string(kPacksPrefix))) {
    if (!replica.head(o.name).ok()) fresh = o.name;
  }
  Bytes bytes = *primary.get(fresh, 1 << 30);
  bytes[100] ^= 1;
  primary.tamper(fresh, bytes);
  ASSIGN(const SyncReport report, sync());
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].object, fresh);
  EXPECT_FALSE(replica.head(fresh).ok());
}

TEST_F(RolledBackTest, DamageInTheReplicaIsFoundAndPutRight) {
  const std::string pack = replica.list(std::string(kPacksPrefix))->front().name;
  Bytes bytes = *replica.get(pack, 1 << 30);
  bytes[bytes.size() / 2] ^= 1;
  replica.tamper(pack, bytes);
  ASSIGN(const SyncReport quick, sync());
  EXPECT_EQ(quick.repaired, 0u);
  ASSIGN(const SyncReport report, sync({.verify = true}));
  EXPECT_EQ(report.repaired, 1u);
  EXPECT_GT(report.verified, 10u);
  EXPECT_EQ(expect_whole(replica), 2u);
  expect_equal();
}

// Whoever has the primary can put another manifest in place of an old one, and keep its time.
TEST_F(RolledBackTest, AReplacedPointNeverReplacesTheReplicas) {
  const std::string name = point_name(vault.item, 1);
  const Bytes good = *replica.get(name, 1 << 30);
  primary.tamper(name, to_bytes(as_bytes("something else")));
  const auto report = sync();
  if (report.ok()) {
    ASSERT_EQ(report->findings.size(), 1u);
    EXPECT_EQ(report->findings[0].object, name);
  }
  EXPECT_EQ(*replica.get(name, 1 << 30), good);
}

// --- Roles ---

TEST_F(RolledBackTest, IsReadOnlyUntilPromotedAndThenOnItsOwn) {
  const VaultId& id = vault.description.vault;
  EXPECT_OK(require_writable(primary, id));
  EXPECT_ERROR(std::errc::read_only_file_system, require_writable(replica, id));
  ASSERT_OK(promote_replica(replica));
  EXPECT_OK(require_writable(replica, id));
  EXPECT_ERROR(Errc::promoted, promote_replica(replica));
  write(3);
  EXPECT_ERROR(Errc::promoted, sync());
  EXPECT_EQ(expect_whole(replica), 2u);
  // It can have a replica of its own, and nothing of its past role comes along.
  MemoryStore third;
  ASSERT_OK(add_replica(replica, third));
  ASSERT_OK(sync(replica, third));
  EXPECT_ERROR(std::errc::read_only_file_system, require_writable(third, id));
  EXPECT_ERROR(Errc::not_a_vault, promote_replica(primary));
}

TEST_F(RolledBackTest, AReplicaIsNoPrimary) {
  MemoryStore third;
  EXPECT_ERROR(Errc::not_a_vault, add_replica(replica, third));
  EXPECT_ERROR(Errc::not_a_vault, sync(primary, third));
}

TEST_F(RolledBackTest, ADamagedMarkLetsNobodyWrite) {
  const VaultId& id = vault.description.vault;
  Bytes mark = *replica.get(std::string(kGeoReplicaName), 1 << 20);
  mark[20] ^= 1;
  replica.tamper(std::string(kGeoReplicaName), mark);
  EXPECT_ERROR(Errc::damaged, require_writable(replica, id));
}

TEST(GeoObjects, AreReadBackAsTheyWereWritten) {
  const GeoReplica replica{VaultId::random(), 5, "/srv/vault"};
  EXPECT_EQ(decode_geo_replica(replica.encode()).value(), replica);
  const GeoPromoted promoted{VaultId::random(), 6, 7};
  EXPECT_EQ(decode_geo_promoted(promoted.encode()).value(), promoted);
  const GeoSync sync{VaultId::random(), 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(decode_geo_sync(sync.encode()).value(), sync);
  for (const Bytes& object : {replica.encode(), promoted.encode(), sync.encode()}) {
    for (size_t i = 0; i < object.size(); ++i) {
      Bytes changed = object;
      changed[i] ^= 1;
      EXPECT_FALSE(decode_geo_replica(changed).ok());
      EXPECT_FALSE(decode_geo_promoted(changed).ok());
      EXPECT_FALSE(decode_geo_sync(changed).ok());
      const ByteView cut(object.data(), i);
      EXPECT_FALSE(decode_geo_replica(cut).ok());
      EXPECT_FALSE(decode_geo_promoted(cut).ok());
      EXPECT_FALSE(decode_geo_sync(cut).ok());
    }
  }
  EXPECT_EQ(parse_geo_sync_name(geo_sync_name(12)).value(), 12u);
  EXPECT_FALSE(parse_geo_sync_name("geo/sync-12").ok());
}

}  // namespace
}  // namespace holdfast::vault
