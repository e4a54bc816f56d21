// Sessions as design-vault.md, section 5 lays them down, with the collector's side played by hand:
// objects put at chosen moments.

#include "vault/engine/session.h"

#include "tests/support/faulty_store.h"
#include "tests/support/test_vault.h"
#include "vault/engine/segment_writer.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

struct SessionTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};

  SessionRequest request(std::optional<BasePoint> base = {}) {
    SessionRequest r;
    r.item = vault.item;
    r.base = base;
    return r;
  }
  static SessionOptions options() {
    SessionOptions o;
    o.uploads = 0;
    return o;
  }
  std::unique_ptr<Session> begin(SessionRequest r) {
    auto session = testing::begin_session(store, vault, std::move(r), options());
    EXPECT_OK(session);
    return std::move(*session);
  }
  static BasePoint base_of(const testing::WrittenPoint& p) {
    return {p.point.sequence, p.point.sha256};
  }
  // What a collector puts: everything there is, condemned.
  RunId condemn_all() {
    CondemnedList list;
    list.header = header(RunId::random());
    auto packs = store.list(std::string(kPacksPrefix));
    for (const ObjectInfo& o : *packs) list.packs.push_back(*parse_pack_name(o.name));
    EXPECT_OK(store.put(collection_name(list.header.run, kStepCondemned),
                        list.encode(vault.maintainer.signing_seed)));
    EXPECT_OK(
        store.put(collection_name(list.header.run, kStepBegin),
                  encode_run_mark(kRunBeginMagic, list.header, vault.maintainer.signing_seed)));
    return list.header.run;
  }
  RunHeader header(const RunId& run) const {
    return {vault.description.vault, run, vault.maintainer.id, 0};
  }
  void put_tombstone(const SessionId& session, const RunId& run) {
    Tombstone t;
    t.vault = vault.description.vault;
    t.session = session;
    t.run = run;
    t.maintainer = vault.maintainer.id;
    EXPECT_OK(store.put(tombstone_name(session, run), t.encode(vault.maintainer.signing_seed)));
  }
  std::vector<PackId> packs_of(const SessionId& session) {
    std::vector<PackId> packs;
    const auto objects = store.list(pack_prefix(session));
    for (const ObjectInfo& o : *objects) packs.push_back(*parse_pack_name(o.name));
    return packs;
  }
  PointList points() {
    auto roster = open_roster(store, vault.description, vault.secret);
    auto list = list_points(store, vault.description, roster->clear);
    EXPECT_OK(list);
    return std::move(*list);
  }
  void expect_readable(const testing::WrittenPoint& p, const std::vector<TestFile>& expected) {
    EXPECT_OK(testing::expect_files(store, vault, p.root, vault.keys.domain.id, expected));
  }
  void expect_clean() {
    const auto report = testing::full_check(store, vault);
    ASSERT_OK(report);
    for (const auto& f : report->damage) ADD_FAILURE() << f.object << ": " << f.what;
    EXPECT_TRUE(report->points.empty());
  }

  std::vector<TestFile> files{{"a", random_bytes(1, 100'000)},
                              {"b", random_bytes(2, 3'000'000)},
                              {"c/d", to_bytes(as_bytes("small"))}};
};

TEST_F(SessionTest, WhatIsCommittedReadsBack) {
  ASSIGN(const auto p, testing::write_point(store, vault, files));
  EXPECT_EQ(p.point.sequence, 1u);
  expect_readable(p, files);
  expect_clean();
  ASSERT_EQ(points().points.size(), 1u);
}

TEST_F(SessionTest, TheSecondPointStoresOnlyWhatIsNew) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  std::vector<TestFile> more = files;
  more.push_back({"e", random_bytes(3, 50'000)});
  ASSIGN(const auto second, testing::write_point(store, vault, more, request(base_of(first))));
  EXPECT_EQ(second.point.stats.bytes_new, 50'000u);
  EXPECT_EQ(second.point.sequence, 2u);
  expect_readable(second, more);
  expect_readable(first, files);
  expect_clean();
}

TEST_F(SessionTest, BeginsBeforeItLooksAtTheCondemnedList) {
  testing::FaultyStore spy(store);
  std::vector<std::string> order;
  spy.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind == "put" && name.ends_with("/begin")) order.push_back("begin");
    if (kind == "list" && name == kCollectionsPrefix) order.push_back("condemned");
    if (kind == "get" && name.starts_with(kPointsPrefix)) order.push_back("base");
    if (kind == "put" && name.starts_with(kPacksPrefix)) order.push_back("pack");
    if (kind == "put" && name.starts_with(kIndexPrefix)) order.push_back("index");
    if (kind == "put_if_absent" && name.starts_with(kPointsPrefix)) order.push_back("manifest");
    if (kind == "list" && name.starts_with(kSessionsPrefix)) order.push_back("tombstones");
    if (kind == "put" && name.ends_with("/end")) order.push_back("end");
  };
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  std::vector<TestFile> more{{"x", random_bytes(9, 1000)}};
  ASSERT_OK(testing::write_point(spy, vault, more, request(base_of(first))));
  // Consecutive duplicates aside.
  order.erase(std::unique(order.begin(), order.end()), order.end());
  const std::vector<std::string> expected{"begin", "condemned", "base",       "tombstones", "pack",
                                          "index", "manifest",  "tombstones", "end"};
  // look_at_points and check_base both read the previous manifest; the base's own tombstones are
  // looked for before anything is stored.
  EXPECT_EQ(order, expected);
}

TEST_F(SessionTest, AChunkWhoseOnlyCopyIsCondemnedIsStoredAgain) {
  ASSERT_OK(testing::write_point(store, vault, files));
  condemn_all();
  const auto session = begin(request());
  ASSIGN(const auto second, testing::write_files(*session, files));
  EXPECT_EQ(second.point.stats.bytes_new, 3'100'005u);
  // The collector now deletes everything condemned: the new point must not need it.
  const auto packs = store.list(std::string(kPacksPrefix));
  for (const ObjectInfo& o : *packs) {
    if (!o.name.starts_with(pack_prefix(session->id()))) ASSERT_OK(store.remove(o.name));
  }
  expect_readable(second, files);
}

TEST_F(SessionTest, AFinishedCollectionCondemnsNothing) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const RunId run = condemn_all();
  ASSERT_OK(store.put(collection_name(run, kStepFreed),
                      encode_run_mark(kFreedMagic, header(run), vault.maintainer.signing_seed)));
  ASSIGN(const auto second, testing::write_point(store, vault, files));
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
}

TEST_F(SessionTest, ACondemnedListThatCannotBeReadEndsTheSession) {
  const RunId run = condemn_all();
  store.tamper(collection_name(run, kStepCondemned), Bytes(100));
  EXPECT_ERROR(Errc::damaged, testing::begin_session(store, vault, request(), options()));
}

TEST_F(SessionTest, AdvanceStoresAgainWhatWasCondemnedSince) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const auto session = begin(request());
  ASSIGN(const ChunkId root, testing::store_files(*session, files));  // relies on the first point
  EXPECT_EQ(session->stats().bytes_new, 0u);
  condemn_all();
  ASSERT_OK(session->advance());
  ManifestDraft draft;
  draft.roots = {root};
  ASSIGN(const CommittedPoint point, session->commit(std::move(draft)));
  const auto packs = store.list(std::string(kPacksPrefix));
  for (const ObjectInfo& o : *packs) {
    if (!o.name.starts_with(pack_prefix(session->id()))) ASSERT_OK(store.remove(o.name));
  }
  expect_readable({point, root}, files);
}

TEST_F(SessionTest, ATombstoneAtCommitLeadsToASuccessorThatHoldsEverything) {
  ASSERT_OK(testing::write_point(store, vault, files));
  std::vector<TestFile> more = files;
  more.push_back({"e", random_bytes(3, 700'000)});
  const auto session = begin(request());
  ASSIGN(const ChunkId root, testing::store_files(*session, more));
  // The collector condemned what the session relies on after the session looked, waited in vain,
  // and gave it up.
  const SessionId old = session->id();
  const RunId run = condemn_all();
  put_tombstone(old, run);
  ManifestDraft draft;
  draft.roots = {root};
  ASSIGN(const CommittedPoint point, session->commit(std::move(draft)));
  EXPECT_NE(session->id(), old);
  // Deletes what was condemned; packs of the session given up are left alone for a week.
  const auto packs = store.list(std::string(kPacksPrefix));
  for (const ObjectInfo& o : *packs) {
    if (!o.name.starts_with(pack_prefix(session->id())) && !o.name.starts_with(pack_prefix(old))) {
      ASSERT_OK(store.remove(o.name));
    }
  }
  expect_readable({point, root}, more);
  // The manifest of the tombstoned session does not count, and its number is no gap.
  ClosingList closing;
  closing.header = header(run);
  ASSERT_OK(
      store.put(collection_name(run, kStepClosing), closing.encode(vault.maintainer.signing_seed)));
  const PointList list = points();
  EXPECT_TRUE(list.defects.empty()) << list.defects[0].name << list.defects[0].reason;
  ASSERT_EQ(list.points.size(), 2u);
  EXPECT_EQ(list.points[1].manifest.session(), session->id());
  ASSERT_EQ(list.points[1].manifest.adopts.size(), 1u);
  EXPECT_EQ(list.points[1].manifest.adopts[0], old);
}

TEST_F(SessionTest, AManifestSeenByTheClosingListCountsInSpiteOfTheTombstone) {
  ASSIGN(const auto p, testing::write_point(store, vault, files));
  const SessionId session = points().points[0].manifest.session();
  const RunId run = RunId::random();
  const auto close = [&](const RunId& by, std::vector<SeenManifest> manifests) {
    ClosingList closing;
    closing.header = header(by);
    closing.manifests = std::move(manifests);
    return store.put(collection_name(by, kStepClosing),
                     closing.encode(vault.maintainer.signing_seed));
  };
  put_tombstone(session, run);
  // It may have been reported: until the run has decided, or if it died before, it is a point.
  EXPECT_EQ(points().points.size(), 1u);
  EXPECT_FALSE(begin(request(base_of(p)))->base_is_valid());
  ASSERT_OK(close(run, {{vault.item, p.point.sequence, p.point.sha256}}));
  EXPECT_EQ(points().points.size(), 1u);
  EXPECT_TRUE(begin(request(base_of(p)))->base_is_valid());
  const RunId second = RunId::random();
  put_tombstone(session, second);
  EXPECT_EQ(points().points.size(), 1u);
  EXPECT_FALSE(begin(request(base_of(p)))->base_is_valid());
  // A second collector that did not see it takes it back.
  ASSERT_OK(close(second, {}));
  EXPECT_TRUE(points().points.empty());
}

TEST_F(SessionTest, WhatASessionReliedOnAndIsGoneFailsTheCommit) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const auto session = begin(request());
  ASSIGN(const ChunkId root, testing::store_files(*session, files));
  put_tombstone(session->id(), RunId::random());
  const auto packs = store.list(std::string(kPacksPrefix));
  for (const ObjectInfo& o : *packs) ASSERT_OK(store.remove(o.name));
  ManifestDraft draft;
  draft.roots = {root};
  EXPECT_ERROR(Errc::missing, session->commit(std::move(draft)));
}

TEST_F(SessionTest, ABaseThatIsGoneIsOnlyAHint) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  ASSERT_OK(store.remove(point_name(vault.item, 1)));
  const auto session = begin(request(base_of(first)));
  EXPECT_FALSE(session->base_is_valid());
}

TEST_F(SessionTest, ABaseThatWasExchangedIsNone) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  BasePoint other = base_of(first);
  other.sha256[0] ^= 1;
  EXPECT_FALSE(begin(request(other))->base_is_valid());
  EXPECT_TRUE(begin(request(base_of(first)))->base_is_valid());
}

TEST_F(SessionTest, ABaseOfATombstonedSessionIsNone) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  put_tombstone(points().points[0].manifest.session(), RunId::random());
  EXPECT_FALSE(begin(request(base_of(first)))->base_is_valid());
}

// A pack of a session that has not committed may vanish with it.
TEST_F(SessionTest, ReliesOnNothingThatIsNotCommittedUnlessItAdoptsIt) {
  const auto unfinished = begin(request());
  ASSIGN(const ChunkId root, testing::store_files(*unfinished, files));
  (void)root;
  ASSERT_OK(unfinished->give_up());
  {
    const auto other = begin(request());
    ASSERT_OK(testing::store_files(*other, files));
    EXPECT_EQ(other->stats().bytes_new, 3'100'005u);
  }
  SessionRequest adopting = request();
  adopting.adopts = {{unfinished->id(), packs_of(unfinished->id())}};
  const auto heir = begin(adopting);
  ASSIGN(const auto point, testing::write_files(*heir, files));
  EXPECT_EQ(point.point.stats.bytes_new, 0u);
  expect_readable(point, files);
  EXPECT_EQ(points().points[0].manifest.adopts, std::vector<SessionId>{unfinished->id()});
  // From now on the heir vouches for what it took over.
  const auto third = begin(request());
  ASSERT_OK(testing::write_files(*third, files));
  EXPECT_EQ(third->stats().bytes_new, 0u);
  expect_clean();
}

// Somebody with access to the store, but no agent's key, copies packs under another session's name.
TEST_F(SessionTest, ReliesOnNoPackThatWasPlantedUnderACommittedSession) {
  const auto unfinished = begin(request());
  ASSERT_OK(testing::store_files(*unfinished, files));
  ASSERT_OK(unfinished->give_up());
  ASSERT_OK(testing::write_point(store, vault, {{"x", random_bytes(9, 1000)}}));
  const SessionId committed = points().points[0].manifest.session();
  for (const PackId& pack : packs_of(unfinished->id())) {
    ASSIGN(const Bytes bytes, store.get(pack_name(pack), 1u << 26));
    ASSERT_OK(store.put(pack_name({committed, pack.footer_sha256}), bytes));
    ASSERT_OK(store.remove(pack_name(pack)));
  }
  // An index that leads to the plants.
  IndexRunBuilder index(vault.description.vault, vault.keys.domain.id);
  for (const PackId& id : packs_of(committed)) {
    IndexedPack pack;
    pack.id = id;
    ASSIGN(const PackFooter footer, read_footer(store, vault.description.vault, pack));
    index.add_pack(pack, footer);
  }
  const Bytes run = index.finish();
  ASSERT_OK(store.put(index_name(vault.keys.domain.id, crypto::sha256(run)), run));
  ASSIGN(const auto point, testing::write_point(store, vault, files));
  EXPECT_EQ(point.point.stats.bytes_new, 3'100'005u);
}

// Only agents of the domain vouch: an end that another key signed, or that was made for another
// session, is as none.
TEST_F(SessionTest, AnEndThatNoAgentSignedVouchesForNothing) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const SessionId session = points().points[0].manifest.session();
  const std::string name = session_end_name(session);
  ASSIGN(const Bytes object, store.get(name, kObjectBytesMax));
  ASSIGN(const SessionEnd good, decode_session_end(object));
  const auto bytes_stored_again = [&](const Bytes& end) {
    const auto copy = store.copy();
    copy->tamper(name, end);
    const auto session_on_copy = testing::begin_session(*copy, vault, request(), options());
    EXPECT_OK(testing::store_files(**session_on_copy, files));
    return (*session_on_copy)->stats().bytes_new;
  };
  EXPECT_EQ(bytes_stored_again(object), 0u);
  EXPECT_EQ(bytes_stored_again(good.encode(vault.keys.signing_seed)), 0u);
  EXPECT_EQ(bytes_stored_again(good.encode(crypto::random_secret<32>())), 3'100'005u);
  SessionEnd other = good;
  other.session = SessionId::random();
  EXPECT_EQ(bytes_stored_again(other.encode(vault.keys.signing_seed)), 3'100'005u);
  other = good;
  other.domain = DomainId::random();
  EXPECT_EQ(bytes_stored_again(other.encode(vault.keys.signing_seed)), 3'100'005u);
  other = good;
  other.outcome = SessionOutcome::given_up;
  EXPECT_EQ(bytes_stored_again(other.encode(vault.keys.signing_seed)), 3'100'005u);
  other = good;
  other.packs.clear();
  EXPECT_EQ(bytes_stored_again(other.encode(vault.keys.signing_seed)), 3'100'005u);
}

TEST_F(SessionTest, AnEpochNamesTheCollectionsThatItHasReadFor) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const auto session = begin(request());
  const RunId run = condemn_all();
  ASSERT_OK(session->advance());
  ASSIGN(const Bytes object, store.get(session_epoch_name(session->id(), 1), kObjectBytesMax));
  ASSIGN(const SessionEpoch epoch, decode_session_epoch(object));
  EXPECT_EQ(epoch.runs, std::vector<RunId>{run});
  EXPECT_EQ(epoch.session, session->id());
  EXPECT_OK(verify_object(object, crypto::ed25519_public(vault.keys.signing_seed), "epoch"));
}

TEST_F(SessionTest, ARescueThatFailsIsTriedAgain) {
  ASSERT_OK(testing::write_point(store, vault, files));
  testing::FaultyStore faulty(store);
  ASSIGN(const auto session, testing::begin_session(faulty, vault, request(), options()));
  ASSIGN(const ChunkId root, testing::store_files(*session, files));
  condemn_all();
  bool fail = true;
  faulty.on_operation = [&](const std::string& kind, const std::string&) {
    if (fail && kind == "get_range") {
      faulty.fail_operation(faulty.operations(), {});
    }
  };
  const Status first = session->advance();
  ASSERT_FALSE(first.ok());
  EXPECT_TRUE(first.error().code == std::errc::io_error) << first.error().message();
  fail = false;
  faulty.on_operation = nullptr;
  ASSERT_OK(session->advance());
  ManifestDraft draft;
  draft.roots = {root};
  ASSIGN(const CommittedPoint point, session->commit(std::move(draft)));
  for (const ObjectInfo& o : *store.list(std::string(kPacksPrefix))) {
    if (!o.name.starts_with(pack_prefix(session->id()))) ASSERT_OK(store.remove(o.name));
  }
  expect_readable({point, root}, files);
}

// Somebody who may write to the store puts an object where the item's next manifest belongs.
TEST_F(SessionTest, AForeignManifestOnlyTakesANumber) {
  ASSERT_OK(testing::write_point(store, vault, files));
  ASSIGN(const Bytes first, store.get(point_name(vault.item, 1), kObjectBytesMax));
  ASSERT_OK(store.put(point_name(vault.item, 2), first));
  ASSERT_OK(store.put(point_name(vault.item, 3), as_bytes("no manifest at all")));
  ASSIGN(const auto next, testing::write_point(store, vault, files));
  EXPECT_EQ(next.point.sequence, 4u);
  expect_readable(next, files);
  const PointList list = points();
  EXPECT_EQ(list.points.size(), 2u);
  EXPECT_EQ(list.defects.size(), 2u);
}

// However high the planted number: the next one is the item's own next.
TEST_F(SessionTest, APlantedNumberCannotEndTheNumbers) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const std::string prefix = point_name(vault.item, 1).substr(0, kPointsPrefix.size() + 33);
  ASSERT_OK(store.put(prefix + "9999999999999999999", as_bytes("junk")));
  ASSERT_OK(store.put(point_name(vault.item, 2), Bytes(kObjectBytesMax + 1)));
  ASSIGN(const auto next, testing::write_point(store, vault, files));
  EXPECT_EQ(next.point.sequence, 3u);
  expect_readable(next, files);
  const PointList list = points();
  EXPECT_EQ(list.points.size(), 2u);
  EXPECT_EQ(list.defects.size(), 2u);
}

// Between the look at the condemned lists and the note that a pack is relied on, a new list comes
// in and the session's epoch names it.
TEST_F(SessionTest, APackCondemnedWhileItIsLookedUpIsNotReliedOn) {
  ASSERT_OK(testing::write_point(store, vault, files));
  testing::FaultyStore faulty(store);
  ASSIGN(const auto session, testing::begin_session(faulty, vault, request(), options()));
  bool condemned = false;
  faulty.on_operation = [&](const std::string& kind, const std::string& name) {
    if (condemned || kind != "get_range" || !name.starts_with(kPacksPrefix)) return;
    condemned = true;
    condemn_all();
    EXPECT_OK(session->advance());
  };
  ASSIGN(const ChunkId root, testing::store_files(*session, files));
  EXPECT_TRUE(condemned);
  faulty.on_operation = nullptr;
  ManifestDraft draft;
  draft.roots = {root};
  ASSIGN(const CommittedPoint point, session->commit(std::move(draft)));
  for (const ObjectInfo& o : *store.list(std::string(kPacksPrefix))) {
    if (!o.name.starts_with(pack_prefix(session->id()))) ASSERT_OK(store.remove(o.name));
  }
  expect_readable({point, root}, files);
}

TEST_F(SessionTest, ASecondManifestForOneNumberIsACloneAndRefused) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const auto one = begin(request());
  const auto clone = begin(request());
  ASSERT_OK(testing::write_files(*one, files));
  const auto refused = testing::write_files(*clone, {{"z", random_bytes(8, 10)}});
  EXPECT_ERROR(Errc::identity_cloned, refused);
  EXPECT_EQ(points().points.size(), 2u);
}

TEST_F(SessionTest, NoticesAVaultThatIsOlderThanRemembered) {
  ASSERT_OK(testing::write_point(store, vault, files));
  ASSIGN(const auto second, testing::write_point(store, vault, {{"x", random_bytes(4, 10)}}));
  ASSERT_OK(store.remove(point_name(vault.item, 2)));
  SessionRequest r = request(base_of(second));
  r.remembered_head = base_of(second);
  r.remembered_heads = {{vault.item, 2}};
  const auto session = begin(r);
  EXPECT_FALSE(session->base_is_valid());
  ASSERT_FALSE(session->warnings().empty());
  EXPECT_NE(session->warnings()[0].find("older"), std::string::npos);
  ASSIGN(const auto third, testing::write_files(*session, files));
  EXPECT_EQ(third.point.sequence, 3u) << "the gap stays visible";
  const PointList list = points();
  ASSERT_EQ(list.defects.size(), 1u);
  EXPECT_EQ(list.defects[0].name, point_name(vault.item, 2));
}

TEST_F(SessionTest, NoticesThatAnotherItemLostItsTail) {
  const ItemId other = vault.keys.item_id("other");
  SessionRequest r = request();
  r.item = other;
  ASSERT_OK(testing::write_point(store, vault, files, r));
  ASSERT_OK(testing::write_point(store, vault, {{"x", random_bytes(4, 10)}}));
  ASSERT_OK(store.remove(point_name(other, 1)));
  const PointList list = points();
  ASSERT_EQ(list.defects.size(), 1u);
  EXPECT_EQ(list.defects[0].name, point_name(other, 1));
  r = request();
  r.remembered_heads = {{other, 1}};
  EXPECT_FALSE(begin(r)->warnings().empty());
}

TEST_F(SessionTest, NoticesPointsThatItDoesNotRemember) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  ASSERT_OK(testing::write_point(store, vault, {{"x", random_bytes(4, 10)}}));
  SessionRequest r = request(base_of(first));
  r.remembered_head = base_of(first);
  const auto session = begin(r);
  EXPECT_TRUE(session->base_is_valid()) << "an older base is as good as a newer one";
  ASSERT_FALSE(session->warnings().empty());
  ASSIGN(const auto third, testing::write_files(*session, files));
  EXPECT_EQ(third.point.sequence, 3u);
}

TEST_F(SessionTest, AnIndexThatLiesCostsSpaceNotCorrectness) {
  ASSERT_OK(testing::write_point(store, vault, files));
  const auto runs = store.list(std::string(kIndexPrefix));
  ASSERT_EQ(runs->size(), 1u);
  // Every entry now points to another segment and chunk.
  Bytes bytes = *store.get((*runs)[0].name, 1 << 20);
  for (size_t at = bytes.size() - 20; at > bytes.size() - 20 * 10; at -= 20) bytes[at + 18] ^= 1;
  store.tamper((*runs)[0].name, bytes);
  ASSIGN(const auto second, testing::write_point(store, vault, files));
  EXPECT_GT(second.point.stats.bytes_new, 0u);
  expect_readable(second, files);
}

TEST_F(SessionTest, WithoutAnyIndexEverythingIsStillReadable) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  const auto runs = store.list(std::string(kIndexPrefix));
  for (const ObjectInfo& o : *runs) ASSERT_OK(store.remove(o.name));
  expect_readable(first, files);
}

TEST_F(SessionTest, ManyChunksSpillTheirIndexAndAreStillFoundOnce) {
  SessionOptions small = options();
  small.index_entries_max = 50;
  std::vector<TestFile> many;
  for (int i = 0; i < 400; ++i) {
    many.push_back(
        {"f" + std::to_string(1000 + i), random_bytes(static_cast<uint64_t>(i % 300), 5000)});
  }
  ASSIGN(auto session, testing::begin_session(store, vault, request(), small));
  // Packs close by size; force them to close early by storing in several rounds.
  SegmentWriter writer(*session, PackKind::data);
  size_t stored = 0;
  for (const TestFile& f : many) {
    const ChunkId id = session->chunk_id(ChunkKind::data, {}, f.content);
    ASSIGN(const bool is_new, session->claim(id));
    if (!is_new) continue;
    ++stored;
    ASSERT_OK(writer.add({id, ChunkKind::data, {}}, f.content));
    ASSERT_OK(writer.flush());
  }
  EXPECT_EQ(stored, 300u);
  ASSIGN(const auto point, testing::write_files(*session, many));
  expect_readable(point, many);
  expect_clean();
}

// The store fails at every operation of a session in turn, before or after the effect. An error
// that is reported leaves earlier points whole; a success is one; and the next session works.
TEST_F(SessionTest, EveryStoreOperationMayFail) {
  ASSIGN(const auto first, testing::write_point(store, vault, files));
  std::vector<TestFile> more = files;
  more.push_back({"e", random_bytes(100, 3000)});
  uint64_t faults = 0;
  for (const bool killed : {false, true}) {
    for (const bool after : {false, true}) {
      for (uint64_t n = 0;; ++n) {
        const auto copy = store.copy();
        testing::FaultyStore faulty(*copy);
        if (killed) {
          faulty.kill_at(n, after);
        } else {
          faulty.fail_operation(n, {std::errc::io_error, after});
        }
        const auto written = testing::write_point(faulty, vault, more, request(base_of(first)));
        if (faulty.operations() <= n) {
          ASSERT_OK(written);
          break;
        }
        ++faults;
        SCOPED_TRACE((killed ? "killed at " : "failed at ") + std::to_string(n) +
                     (after ? " after its effect" : ""));
        const auto readable = [&](const testing::WrittenPoint& p,
                                  const std::vector<TestFile>& all) {
          EXPECT_OK(testing::expect_files(*copy, vault, p.root, vault.keys.domain.id, all));
        };
        if (written.ok()) readable(*written, more);
        readable(first, files);
        ASSIGN(const auto next, testing::write_point(*copy, vault, more, request(base_of(first))));
        readable(next, more);
        ASSIGN(const CheckReport report, testing::full_check(*copy, vault));
        EXPECT_TRUE(report.clean()) << report.damage[0].object << report.damage[0].what;
      }
    }
  }
  EXPECT_GT(faults, 60u);
  RecordProperty("faults", static_cast<int>(faults));
}

}  // namespace
}  // namespace holdfast::vault
