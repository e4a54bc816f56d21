// A second agent that turned: it writes straight to the store, with its own keys and whatever it
// knows of the domain, in a domain of its own or in the honest agent's. It only puts what was not
// there: who may replace or delete is a store owner (docs/threat-model.md). After each attack
// everything that the honest agent committed restores byte for byte, its next backups, with and
// without a base, restore too, and a check says what there is to see.

#include <limits>

#include "tests/support/test_vault.h"
#include "vault/engine/segment_writer.h"
#include "vault/errc.h"
#include "vault/format/map_builder.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

enum class Domain { own, shared };

class CompromisedAgentTest : public ::testing::TestWithParam<Domain> {
 protected:
  MemoryStore store;
  testing::TestVault vault{store};
  AgentKeys rogue =
      vault.add_agent(store, "rogue", GetParam() == Domain::shared ? &vault.keys.domain : nullptr);
  const bool shares_domain = GetParam() == Domain::shared;
  const ItemId honest_item = vault.keys.item_id("item");
  std::vector<TestFile> files{{"a", random_bytes(1, 100'000)},
                              {"b", random_bytes(2, 1'500'000)},
                              {"c", Bytes(300'000, 'c')}};
  struct Past {
    testing::WrittenPoint point;
    std::vector<TestFile> files;
  };
  std::vector<Past> past;

  void SetUp() override { back_up(false); }

  std::optional<BasePoint> last() const {
    if (past.empty()) return std::nullopt;
    const CommittedPoint& p = past.back().point.point;
    return BasePoint{p.sequence, p.sha256};
  }
  void back_up(bool with_base) {
    SessionRequest request;
    request.remembered_head = last();
    if (with_base) request.base = last();
    ASSIGN(const auto session, testing::begin_session_as(store, vault, vault.keys, request));
    EXPECT_EQ(session->base_is_valid(), with_base);
    ASSIGN(const auto written, testing::write_files(*session, files));
    past.push_back({written, files});
  }
  void expect_past_restores() {
    for (const Past& p : past) {
      EXPECT_OK(testing::expect_files(store, vault, p.point.root, vault.keys.domain.id, p.files));
    }
    ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
    ASSIGN(const PointList list, reader->points());
    for (const Past& p : past) {
      bool listed = false;
      for (const RecoveryPoint& point : list.points) {
        listed = listed || (point.sha256 == p.point.point.sha256 && point.body);
      }
      EXPECT_TRUE(listed) << "number " << p.point.point.sequence << " is gone from the list";
    }
  }
  // What is promised after every attack.
  void expect_life_goes_on() {
    expect_past_restores();
    files[1].content[700'000] ^= 1;
    files.push_back({"d" + std::to_string(past.size()), random_bytes(past.size() + 40, 50'000)});
    back_up(true);
    files.push_back({"d" + std::to_string(past.size()), random_bytes(past.size() + 40, 50'000)});
    back_up(false);
    expect_past_restores();
  }
  CheckReport check() {
    auto report = testing::full_check(store, vault);
    EXPECT_OK(report);
    return report.ok() ? std::move(*report) : CheckReport{};
  }
  static std::string text(const CheckReport& report) {
    std::string out;
    for (const auto* list : {&report.damage, &report.remarks}) {
      for (const CheckFinding& f : *list) out += f.object + ": " + f.what + "\n";
    }
    return out;
  }
  void expect_clean() {
    const CheckReport report = check();
    EXPECT_TRUE(report.damage.empty()) << text(report);
    EXPECT_TRUE(report.points.empty());
  }
  // No damaged point is the honest agent's.
  void expect_honest_points_whole(const CheckReport& report) {
    for (const DamagedPoint& p : report.points) EXPECT_NE(p.item, honest_item) << text(report);
  }
  static bool names(const CheckReport& report, std::string_view what) {
    return text(report).find(what) != std::string::npos;
  }

  Manifest rogue_manifest(const KeyWrap& wrap, uint64_t sequence) {
    Manifest m;
    m.vault = rogue.vault;
    m.domain = rogue.domain.id;
    m.wrap = wrap;
    m.sequence = sequence;
    m.time_ns = 1;
    m.roots = {ChunkId(crypto::random_array<32>())};
    return m;
  }
  // A wrap of the rogue's for any item and session.
  KeyWrap wrap_for(const ItemId& item, const SessionId& session,
                   std::optional<SessionKey>* key = nullptr) {
    KeyWrap wrap;
    auto made = SessionKey::create(rogue, {rogue.vault, rogue.domain.id, item, session}, wrap);
    CHECK(made.ok());
    if (key != nullptr) key->emplace(std::move(*made));
    return wrap;
  }

  struct Plant {
    PackId pack;
    PackFooter footer;
    IndexedPack indexed;
  };
  // A pack below `session` that claims the ids with content of the rogue's, right in every way that
  // needs no key.
  Plant plant_shadow(const SessionId& session, const DomainId& domain,
                     const std::vector<ChunkId>& ids) {
    std::optional<SessionKey> key;
    const KeyWrap wrap = wrap_for(rogue.item_id("item"), session, &key);
    SegmentSealer sealer;
    std::vector<ChunkRef> refs;
    for (const ChunkId& id : ids) refs.push_back({id, ChunkKind::data, {}});
    const std::vector<uint32_t> lengths(ids.size(), 6);
    Bytes plain;
    for (size_t i = 0; i < ids.size(); ++i) append(plain, as_bytes("shadow"));
    auto sealed = sealer.seal(*key, 0, refs, lengths, plain, {1});
    CHECK(sealed.ok());
    Plant plant;
    PackFooter& f = plant.footer;
    f.vault = rogue.vault;
    f.domain = domain;
    f.sessions = {wrap};
    PackSegment s;
    s.offset = kPackHeaderBytes;
    s.stored_bytes = static_cast<uint32_t>(sealed->stored.size());
    s.codec = sealed->codec;
    s.chunk_count = static_cast<uint32_t>(ids.size());
    s.sha256 = sealed->sha256;
    f.segments = {s};
    f.chunk_ids = ids;
    const Bytes footer = f.encode();
    Bytes pack = to_bytes(as_bytes(kPackMagic));
    append(pack, sealed->stored.view());
    append(pack, footer);
    plant.pack = {session, crypto::sha256(footer)};
    plant.indexed = {plant.pack, pack.size(), static_cast<uint32_t>(footer.size()), PackKind::data};
    CHECK(store.put(pack_name(plant.pack), pack).ok());
    IndexRunBuilder run(rogue.vault, domain);
    run.add_pack(plant.indexed, f);
    const Bytes bytes = run.finish();
    CHECK(store.put(index_name(domain, crypto::sha256(bytes)), bytes).ok());
    return plant;
  }
  void put_end(const SessionId& session, const std::string& name, SessionOutcome outcome,
               const std::vector<crypto::Digest>& packs) {
    SessionEnd end;
    end.vault = rogue.vault;
    end.session = session;
    end.domain = vault.keys.domain.id;
    end.agent = rogue.agent;
    end.outcome = outcome;
    end.sequence = 1;
    end.packs = packs;
    CHECK(store.put(name, end.encode(rogue.signing_seed)).ok());
  }
  std::vector<ChunkId> honest_chunks() {
    std::vector<ChunkId> ids;
    for (const ObjectInfo& o : *store.list(std::string(kPacksPrefix))) {
      IndexedPack pack;
      pack.id = *parse_pack_name(o.name);
      const auto footer = read_footer(store, vault.description.vault, pack);
      if (footer->kind == PackKind::data) {
        ids.insert(ids.end(), footer->chunk_ids.begin(), footer->chunk_ids.end());
      }
    }
    return ids;
  }
  SessionId honest_session() {
    return VaultReader::open(store, vault.description, vault.secret)
        .value()
        ->points()
        .value()
        .points.at(0)
        .manifest.session();
  }
};

// --- Shadows ---

TEST_P(CompromisedAgentTest, ShadowsOfChunksInASessionOfItsOwn) {
  const SessionId session = SessionId::random();
  const Plant plant = plant_shadow(session, vault.keys.domain.id, honest_chunks());
  put_end(session, session_end_name(session), SessionOutcome::committed,
          {plant.pack.footer_sha256});
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, pack_name(plant.pack))) << text(report);
}

TEST_P(CompromisedAgentTest, ShadowsUnderTheHonestSessionsName) {
  const Plant plant = plant_shadow(honest_session(), vault.keys.domain.id, honest_chunks());
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, pack_name(plant.pack))) << text(report);
}

// An heir counts only where the end vouches for nothing.
TEST_P(CompromisedAgentTest, AnHeirOfTheHonestSession) {
  const SessionId session = honest_session();
  const Plant plant = plant_shadow(session, vault.keys.domain.id, honest_chunks());
  put_end(session, session_heir_name(session), SessionOutcome::taken_over,
          {plant.pack.footer_sha256});
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, pack_name(plant.pack))) << text(report);
}

// Of content that the honest agent is about to store. In a domain of its own the rogue does not
// even know the ids, here it is told. In a shared one it can vouch: what was stored before stands,
// what relies on the plant is broken, and the check says which point and file.
TEST_P(CompromisedAgentTest, ShadowsOfWhatIsStoredNext) {
  const TestFile next{"cnext", random_bytes(77, 90'000)};
  const crypto::HmacSha256 id_key(vault.keys.domain.id_key.view());
  const SessionId session = SessionId::random();
  const Plant plant = plant_shadow(session, vault.keys.domain.id,
                                   {chunk_id(id_key, ChunkKind::data, {}, next.content)});
  put_end(session, session_end_name(session), SessionOutcome::committed,
          {plant.pack.footer_sha256});
  if (!shares_domain) {
    files.push_back(next);
    expect_life_goes_on();
    return;
  }
  std::vector<TestFile> more = files;
  more.push_back(next);
  ASSIGN(const auto begun, testing::begin_session_as(store, vault, vault.keys, {}));
  ASSERT_OK(testing::write_files(*begun, more));
  expect_past_restores();
  const CheckReport report = check();
  ASSERT_EQ(report.points.size(), 1u) << text(report);
  EXPECT_EQ(report.points[0].sequence, 2u);
  EXPECT_EQ(report.points[0].files, std::vector<std::string>{"/cnext"});
  EXPECT_TRUE(names(report, pack_name(plant.pack))) << text(report);
}

// --- Floods, times, sessions without end ---

TEST_P(CompromisedAgentTest, AFloodOfPoints) {
  for (uint64_t i = 0; i < 120; ++i) {
    ASSIGN(const auto session, testing::begin_session_as(store, vault, rogue, {}));
    ASSERT_OK(testing::write_files(*session, {{"junk", random_bytes(1000 + i, 100)}}));
  }
  expect_life_goes_on();
  expect_clean();
}

TEST_P(CompromisedAgentTest, FalseTimes) {
  constexpr int64_t kTimes[] = {std::numeric_limits<int64_t>::min(), -1, 0,
                                std::numeric_limits<int64_t>::max()};
  for (const int64_t time : kTimes) {
    ASSIGN(const auto session, testing::begin_session_as(store, vault, rogue, {}));
    ASSIGN(const ChunkId root, testing::store_files(*session, {{"x", random_bytes(9, 100)}}));
    ManifestDraft draft;
    draft.time_ns = time;
    draft.roots = {root};
    draft.body.item_name = "item";  // the honest one's name, for all to see
    draft.body.started_ns = time;
    ASSERT_OK(session->commit(std::move(draft)));
  }
  expect_life_goes_on();
  expect_clean();
}

TEST_P(CompromisedAgentTest, SessionsThatNeverEnd) {
  std::vector<std::unique_ptr<Session>> open;
  for (uint64_t i = 0; i < 60; ++i) {
    ASSIGN(auto session, testing::begin_session_as(store, vault, rogue, {}));
    ASSIGN(const ChunkId root, testing::store_files(*session, {{"x", random_bytes(i, 2000)}}));
    (void)root;
    ASSERT_OK(session->advance());
    open.push_back(std::move(session));
  }
  expect_life_goes_on();
  open.clear();
  expect_clean();
}

// --- Edges ---

// Pages that refer to the honest agent's chunks, as roots of points of its own.
TEST_P(CompromisedAgentTest, EdgesIntoADomainThatIsNotItsOwn) {
  ASSIGN(const auto session, testing::begin_session_as(store, vault, rogue, {}));
  EdgeWriter edges;
  const Bytes payload = encode_extents_leaf(std::vector<Extent>{{6, honest_chunks()[0]}}, edges);
  const ChunkId page = session->chunk_id(ChunkKind::node, edges.edges(), payload);
  SegmentWriter writer(*session, PackKind::metadata);
  ASSIGN(const bool is_new, session->claim(page));
  EXPECT_TRUE(is_new);
  ASSERT_OK(writer.add({page, ChunkKind::node, edges.edges()}, payload));
  ASSERT_OK(writer.flush());
  ManifestDraft draft;
  draft.roots = {page};
  draft.body.item_name = "item";
  ASSERT_OK(session->commit(std::move(draft)));
  for (const ChunkId& root : {page, past[0].point.root}) {
    ASSIGN(const auto next, testing::begin_session_as(store, vault, rogue, {}));
    ManifestDraft more;
    more.roots = {root};
    more.body.item_name = "item";
    ASSERT_OK(next->commit(std::move(more)));
  }
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  // Nothing of another domain is found from there.
  if (!shares_domain) {
    EXPECT_EQ(report.points.size(), 3u) << text(report);
    ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
    ASSIGN(DomainReader * domain, reader->domain(rogue.domain.id));
    EXPECT_ERROR(Errc::missing, domain->find(honest_chunks()[0]));
  }
}

// --- Forged names ---

TEST_P(CompromisedAgentTest, SessionsInTheHonestAgentsName) {
  for (int i = 0; i < 5; ++i) {
    SessionBegin begin;
    begin.vault = rogue.vault;
    begin.domain = vault.keys.domain.id;
    begin.wrap = wrap_for(honest_item, SessionId::random());
    begin.wrap.agent = vault.keys.agent;
    begin.adopts = {honest_session()};
    ASSERT_OK(store.put(session_begin_name(begin.wrap.session), begin.encode(rogue.signing_seed)));
  }
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_EQ(report.damage.size(), 5u) << text(report);
}

TEST_P(CompromisedAgentTest, ManifestsInTheHonestAgentsName) {
  for (uint64_t n = 2; n < 6; ++n) {
    Manifest m = rogue_manifest(wrap_for(honest_item, SessionId::random()), n);
    m.domain = vault.keys.domain.id;
    m.wrap.agent = vault.keys.agent;
    ASSERT_OK(store.put(point_name(honest_item, n), m.encode(rogue.signing_seed)));
  }
  expect_life_goes_on();
  EXPECT_EQ(past[1].point.point.sequence, 6u);
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, point_name(honest_item, 2))) << text(report);
}

// Signed as itself: counts without the passphrase, and is found out with it.
TEST_P(CompromisedAgentTest, ManifestsUnderTheHonestAgentsItem) {
  for (const uint64_t n : {uint64_t{2}, uint64_t{3}, uint64_t{9'000'000'000}}) {
    std::optional<SessionKey> key;
    Manifest m = rogue_manifest(wrap_for(honest_item, SessionId::random(), &key), n);
    m.roots = {past[0].point.root};
    PointBody body;
    body.item_name = "item";
    m.sealed_body = key->seal_body(m, body.encode());
    ASSERT_OK(store.put(point_name(honest_item, n), m.encode(rogue.signing_seed)));
  }
  expect_life_goes_on();
  EXPECT_EQ(past[1].point.point.sequence, 4u) << "only the numbers are taken";
  ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
  ASSIGN(const PointList list, reader->points());
  size_t found_out = 0;
  for (const PointDefect& d : list.defects) {
    found_out += d.reason.find("not its agent's") != std::string::npos;
  }
  EXPECT_EQ(found_out, 3u);
}

TEST_P(CompromisedAgentTest, JunkAtEveryNumberToCome) {
  for (uint64_t n = 2; n <= 1500; ++n) {
    ASSERT_OK(store.put(point_name(honest_item, n), as_bytes("junk")));
  }
  ASSERT_OK(store.put(point_name(honest_item, 9'999'999'999'999'999'999ull), as_bytes("junk")));
  expect_life_goes_on();
  EXPECT_EQ(past[1].point.point.sequence, 1501u);
  EXPECT_GE(check().damage.size(), 1499u);
}

// --- Alarms and hints ---

// It may cry wolf: a head that nobody wrote is told as a missing tail. Nothing else comes of it.
TEST_P(CompromisedAgentTest, HeadsThatNobodyWrote) {
  Manifest m = rogue_manifest(wrap_for(rogue.item_id("item"), SessionId::random()), 1);
  m.heads = {{honest_item, 1000}, {ItemId::random(), 5}};
  ASSERT_OK(store.put(point_name(m.item(), 1), m.encode(rogue.signing_seed)));
  expect_life_goes_on();
  EXPECT_EQ(past[1].point.point.sequence, 2u);
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, point_name(honest_item, 1000))) << text(report);
}

TEST_P(CompromisedAgentTest, IndexRunsThatLie) {
  const DomainId& domain = vault.keys.domain.id;
  const Bytes junk = random_bytes(3, 5000);
  ASSERT_OK(store.put(index_name(domain, crypto::sha256(junk)), junk));
  // All of the honest agent's chunks in a pack that does not exist, and in the wrong places.
  PackFooter f;
  f.vault = rogue.vault;
  f.domain = domain;
  f.chunk_ids = honest_chunks();
  std::reverse(f.chunk_ids.begin(), f.chunk_ids.end());
  PackSegment s;
  s.chunk_count = static_cast<uint32_t>(f.chunk_ids.size());
  f.segments = {s};
  const auto real = *parse_pack_name(store.list(std::string(kPacksPrefix))->front().name);
  for (const PackId& pack : {PackId{SessionId::random(), crypto::sha256(junk)}, real}) {
    IndexRunBuilder run(rogue.vault, domain);
    run.add_pack({pack, 12345, 678, PackKind::data}, f);
    const Bytes bytes = run.finish();
    ASSERT_OK(store.put(index_name(domain, crypto::sha256(bytes)), bytes));
  }
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_GE(report.damage.size() + report.remarks.size(), 2u) << text(report);
}

TEST_P(CompromisedAgentTest, ARosterOfItsOwn) {
  ASSIGN(const OpenRoster open, open_roster(store, vault.description, vault.secret));
  Roster forged = open.clear;
  forged.sequence += 5;
  std::erase_if(forged.agents, [&](const RosterAgent& a) { return a.id == vault.keys.agent; });
  ASSERT_OK(store.put(roster_name(forged.sequence), forged.encode(rogue.signing_seed)));
  expect_life_goes_on();
  const CheckReport report = check();
  expect_honest_points_whole(report);
  EXPECT_TRUE(names(report, roster_name(forged.sequence))) << text(report);
}

INSTANTIATE_TEST_SUITE_P(Domains, CompromisedAgentTest,
                         ::testing::Values(Domain::own, Domain::shared), [](const auto& tested) {
                           return tested.param == Domain::own ? "OwnDomain" : "SharedDomain";
                         });

}  // namespace
}  // namespace holdfast::vault
