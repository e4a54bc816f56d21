// Copies between vaults with different keys: what arrives is what was there, a second run finds
// nothing to do, a small change reads and sends little, and whatever happens on the way, the target
// shows only whole points and the next run ends the work.

#include "vault/client/copy.h"

#include "tests/support/faulty_store.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"
#include "vault/client/copy_journal.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

struct CopyTest : ::testing::Test {
  MemoryStore source;
  MemoryStore target;
  testing::TestVault from{source};
  testing::TestVault to{target};
  testing::TempDirectory machine{testing::TempDirectory::fast_place()};
  CopyProgress* progress = nullptr;  // of the last run
  std::unique_ptr<CopyProgress> progress_;
  std::vector<CopiedPoint> told;
  std::vector<TestFile> files = make_files();
  std::map<std::string, std::vector<TestFile>> content;  // by label of the copy

  // Enough small files for several leaves, and one with a map of its extents.
  static std::vector<TestFile> make_files() {
    std::vector<TestFile> out;
    out.push_back({"big", random_bytes(1, 6'000'000)});
    for (int i = 100; i < 500; ++i) {
      out.push_back({"f" + std::to_string(i), random_bytes(static_cast<uint64_t>(i), 700)});
    }
    return out;
  }
  // A point of the source's one agent, or of another.
  void write(const AgentKeys* keys = nullptr, const std::string& host = "web1") {
    const AgentKeys& agent = keys != nullptr ? *keys : from.keys;
    ASSIGN(const auto session, testing::begin_session_as(source, from, agent, {}));
    ASSIGN(const ChunkId root, testing::store_files(*session, files));
    ManifestDraft draft;
    draft.time_ns = ++time_;
    draft.entries = files.size();
    draft.roots = {root};
    draft.labels = {"blue"};
    draft.incomplete = true;
    draft.body.item_name = "item";
    draft.body.host = host;
    draft.body.paths = {"/data"};
    draft.body.source = "files";
    draft.body.started_ns = time_;
    draft.body.problem_count = 1;
    draft.body.problems = {{"/data/x", "not readable"}};
    ASSIGN(const CommittedPoint point, session->commit(std::move(draft)));
    content[copy_label(to.keys, from.description.vault, point.sha256)] = files;
  }
  Result<CopyReport> copy(Store* through = nullptr, CopyOptions options = {}) {
    Store& store = through != nullptr ? *through : target;
    TRY(const auto vault, Vault::open(std::make_unique<testing::FaultyStore>(store),
                                      StateDirectory(io::posix_file_system(), machine / "state")));
    TRY(const auto reader, VaultReader::open(source, from.description, from.secret));
    TRY(const PointList list, reader->points());
    std::vector<const RecoveryPoint*> all;
    for (const RecoveryPoint& p : list.points) all.push_back(&p);
    options.workers = 1;
    options.cache_directory = machine / "cache";
    progress_ = std::make_unique<CopyProgress>();
    progress = progress_.get();
    told.clear();
    return copy_points(*reader, list, all, *vault, to.keys, options, *progress,
                       [&](const CopiedPoint& p) { told.push_back(p); }, {});
  }
  PointList points() {
    return VaultReader::open(target, to.description, to.secret).value()->points().value();
  }
  // Every point of the target is one of the source's, whole. Gives their number.
  size_t expect_whole() {
    const PointList list = points();
    for (const PointDefect& d : list.defects) ADD_FAILURE() << d.name << ": " << d.reason;
    for (const RecoveryPoint& p : list.points) {
      for (const std::string& label : p.manifest.labels) {
        if (!is_copy_label(label)) continue;
        EXPECT_OK(testing::expect_files(target, to, p.manifest.roots[0], p.manifest.domain,
                                        content.at(label)));
      }
    }
    return list.points.size();
  }
  void expect_clean() {
    ASSIGN(const CheckReport report, testing::full_check(target, to));
    for (const CheckFinding& f : report.damage) ADD_FAILURE() << f.object << ": " << f.what;
  }

 private:
  int64_t time_ = 1'700'000'000'000'000'000;
};

TEST_F(CopyTest, CarriesEverythingOver) {
  write();
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(expect_whole(), 1u);
  expect_clean();
  ASSIGN(const auto reader, VaultReader::open(source, from.description, from.secret));
  const RecoveryPoint before = reader->points().value().points.at(0);
  const RecoveryPoint after = points().points.at(0);
  EXPECT_EQ(after.manifest.time_ns, before.manifest.time_ns);
  EXPECT_EQ(after.manifest.incomplete, true);
  EXPECT_EQ(after.manifest.entries, before.manifest.entries);
  EXPECT_EQ(after.manifest.labels.at(0), "blue");
  EXPECT_EQ(after.body->item_name, "item");
  EXPECT_EQ(after.body->host, "web1");
  EXPECT_EQ(after.body->paths, before.body->paths);
  EXPECT_EQ(after.body->started_ns, before.body->started_ns);
  EXPECT_EQ(after.body->problems.at(0).reason, "not readable");
  EXPECT_EQ(after.body->source,
            "files, copy of " + from.description.vault.hex() + "/" + before.id());
  // Nothing of one vault can be told from the other's ids.
  EXPECT_NE(after.manifest.roots[0], before.manifest.roots[0]);
}

TEST_F(CopyTest, ASecondRunReadsAndSendsNothing) {
  write();
  ASSERT_OK(copy());
  const auto objects = target.list("")->size();
  ASSIGN(const CopyReport again, copy());
  EXPECT_EQ(again.present, 1u);
  EXPECT_EQ(again.copied, 0u);
  EXPECT_EQ(progress->counters.pages_read, 0u);
  EXPECT_EQ(target.list("")->size(), objects);
  // Nothing but the vaults themselves is needed to know that.
  std::filesystem::remove_all(machine / "state");
  std::filesystem::remove_all(machine / "cache");
  ASSIGN(const CopyReport forgotten, copy());
  EXPECT_EQ(forgotten.present, 1u);
}

TEST_F(CopyTest, ASmallChangeReadsAndSendsLittle) {
  write();
  ASSERT_OK(copy());
  const uint64_t all_chunks = progress->counters.chunks_read;
  EXPECT_GT(all_chunks, 400u);
  files[0].content[3'000'000] ^= 1;
  files[50].content[5] ^= 1;
  write();
  // Also on a machine that remembers nothing.
  std::filesystem::remove_all(machine / "cache");
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(progress->counters.chunks_read, 2u);
  EXPECT_LT(report.bytes_stored, 300'000u);
  EXPECT_EQ(expect_whole(), 2u);
  expect_clean();
}

TEST_F(CopyTest, ContentThatTheTargetHasFromElsewhereIsNotSent) {
  ASSERT_OK(testing::write_point(target, to, files));
  write();
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
  EXPECT_LT(report.bytes_stored, 200'000u) << "pages only";
}

TEST_F(CopyTest, ADryRunWritesNothing) {
  write();
  const auto objects = target.list("")->size();
  CopyOptions options;
  options.dry_run = true;
  ASSIGN(const CopyReport report, copy(nullptr, options));
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(target.list("")->size(), objects);
}

// Killed at each operation on the target, before and after its effect.
TEST_F(CopyTest, GoesOnWhereverItWasKilled) {
  files.resize(60);
  files[0].content.resize(2'500'000);
  write();
  files[0].content[1'000'000] ^= 1;
  files[30].content[5] ^= 1;
  write();
  const auto empty = target.copy();
  size_t kills = 0;
  for (uint64_t n = 1;; ++n) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE("operation " + std::to_string(n));
      for (const ObjectInfo& o : *target.list("")) ASSERT_OK(target.remove(o.name));
      for (const ObjectInfo& o : *empty->list("")) {
        ASSERT_OK(target.put(o.name, *empty->get(o.name, 1 << 30)));
      }
      std::filesystem::remove_all(machine / "cache");
      std::filesystem::remove_all(machine / "state");
      testing::FaultyStore faulty(target);
      faulty.kill_at(n, after);
      const auto done = copy(&faulty);
      expect_whole();
      ASSERT_OK(copy());
      ASSERT_EQ(expect_whole(), 2u);
      if (done.ok() && !faulty.is_dead()) {
        EXPECT_GT(kills, 50u);
        expect_clean();
        return;
      }
      ++kills;
    }
  }
}

// What an interrupted run brought is neither read nor stored again.
TEST_F(CopyTest, AnInterruptedPointIsResumed) {
  for (int i = 0; i < 160; ++i) {
    files.push_back(
        {"g" + std::to_string(1000 + i), random_bytes(static_cast<uint64_t>(i) + 9000, 250'000)});
  }
  write();
  testing::FaultyStore faulty(target);
  // All but the last packs, then no more.
  std::atomic<size_t> packs = 0;
  faulty.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind == "put" && name.starts_with(kPacksPrefix) && ++packs == 2) {
      faulty.kill_at(faulty.operations(), false);
    }
  };
  EXPECT_FALSE(copy(&faulty).ok());
  const uint64_t first = progress->counters.chunks_read;
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(expect_whole(), 1u);
  expect_clean();
  // Some 46 MB, of which 32 were there.
  EXPECT_LT(report.bytes_stored, 20'000'000u);
  EXPECT_LE(progress->counters.chunks_read, first);
}

TEST_F(CopyTest, ADamagedPointIsNamedAndLeftOut) {
  write();
  const auto packs_before = source.list(std::string(kPacksPrefix)).value();
  std::set<std::string> old;
  for (const ObjectInfo& o : packs_before) old.insert(o.name);
  files[77].content = random_bytes(99, 5000);
  write();
  for (const ObjectInfo& o : *source.list(std::string(kPacksPrefix))) {
    IndexedPack pack;
    pack.id = *parse_pack_name(o.name);
    if (!old.contains(o.name) &&
        read_footer(source, from.description.vault, pack)->kind == PackKind::data) {
      Bytes bytes = *source.get(o.name, 1 << 30);
      bytes[50] ^= 1;
      source.tamper(o.name, bytes);
    }
  }
  files[77].content = random_bytes(100, 5000);
  write();
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 2u);
  EXPECT_EQ(report.damaged, 1u);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[1].outcome, CopyOutcome::damaged);
  EXPECT_NE(told[1].reason.find("/" + files[77].key), std::string::npos) << told[1].reason;
  EXPECT_EQ(expect_whole(), 2u);
}

TEST_F(CopyTest, TwoItemsOfOneNameStayTwo) {
  const AgentKeys other = from.add_agent(source, "other");
  write();
  files[3].content[0] ^= 1;
  write(&other, "web2");
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 2u);
  EXPECT_EQ(report.warnings.size(), 1u);
  files[3].content[1] ^= 1;
  write(&other, "web2");
  write();
  ASSERT_OK(copy());
  std::map<std::string, int> names;
  for (const RecoveryPoint& p : points().points) ++names[p.body->item_name + " of " + p.body->host];
  ASSERT_EQ(names.size(), 2u);
  for (const auto& [name, n] : names) EXPECT_EQ(n, 2) << name;
  EXPECT_EQ(expect_whole(), 4u);
}

TEST_F(CopyTest, AnItemOfThisMachineInTheTargetIsNotMixedWithCopies) {
  ASSERT_OK(testing::write_point(target, to, {{"own", random_bytes(5, 10)}}));
  write();
  ASSERT_OK(copy());
  std::set<std::string> names;
  for (const RecoveryPoint& p : points().points) names.insert(p.body->item_name);
  EXPECT_EQ(names, (std::set<std::string>{"item", "item@web1"}));
}

TEST_F(CopyTest, ACopyThatWasRemovedIsMadeAgain) {
  write();
  files[9].content[0] ^= 1;
  write();
  ASSERT_OK(copy());
  ASSERT_OK(target.remove(point_name(points().points.back().manifest.item(), 2)));
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(points().points.size(), 2u);
}

// The base goes, with its packs: what an earlier copy told is then no longer true of the target.
TEST_F(CopyTest, WhatWentAwayInTheTargetIsSentAgain) {
  write();
  ASSERT_OK(copy());
  for (const std::string_view prefix : {kPointsPrefix, kPacksPrefix, kIndexPrefix}) {
    for (const ObjectInfo& o : *target.list(std::string(prefix))) ASSERT_OK(target.remove(o.name));
  }
  files[9].content[0] ^= 1;
  write();
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 2u);
  for (const RecoveryPoint& p : points().points) {
    EXPECT_OK(testing::expect_files(target, to, p.manifest.roots[0], p.manifest.domain,
                                    content.at(p.manifest.labels[1])));
  }
}

// Packs that claim the copied pages with their edges exchanged, in every way right that needs no
// key, and the first that a look into the index finds.
TEST_F(CopyTest, EdgesThatLieAboutAnEarlierCopyAreNotBelieved) {
  write();
  ASSERT_OK(copy());
  size_t planted = 0;
  for (const ObjectInfo& o : *target.list(std::string(kPacksPrefix))) {
    IndexedPack pack;
    pack.id = *parse_pack_name(o.name);
    ASSIGN(PackFooter footer, read_footer(target, to.description.vault, pack));
    if (footer.kind != PackKind::metadata) continue;
    Bytes bytes = *target.get(o.name, 1 << 30);
    bytes.resize(footer.edges_offset() + footer.edges_bytes());
    uint8_t* edges = bytes.data() + footer.edges_offset();
    uint8_t* at = edges;
    for (const uint32_t count : footer.edge_counts) {
      if (count >= 2) std::swap_ranges(at, at + 32, at + 32);
      at += size_t{count} * 32;
    }
    footer.edges_sha256 = crypto::sha256(ByteView(edges, footer.edges_bytes()));
    const Bytes encoded = footer.encode();
    append(bytes, encoded);
    pack.id = {SessionId::random(), crypto::sha256(encoded)};
    ASSERT_OK(target.put(pack_name(pack.id), bytes));
    IndexRunBuilder run(to.description.vault, to.keys.domain.id);
    run.add_pack(pack, footer);
    const Bytes index = run.finish();
    ASSERT_OK(target.put(index_name(to.keys.domain.id, crypto::sha256(index)), index));
    ++planted;
  }
  EXPECT_GT(planted, 0u);
  files[0].content[3'000'000] ^= 1;
  files[50].content[5] ^= 1;
  write();
  ASSERT_OK(copy());
  EXPECT_EQ(progress->counters.chunks_read, 2u) << "the true edges are found behind the others";
  EXPECT_EQ(expect_whole(), 2u);
}

TEST_F(CopyTest, ALabelByAnotherAgentIsNotBelieved) {
  write();
  const AgentKeys rogue = to.add_agent(target, "rogue");
  ASSIGN(const auto session, testing::begin_session_as(target, to, rogue, {}));
  ASSIGN(const ChunkId root, testing::store_files(*session, {{"x", random_bytes(5, 10)}}));
  ManifestDraft draft;
  draft.roots = {root};
  draft.labels = {content.begin()->first};
  draft.body.item_name = "item";
  ASSERT_OK(session->commit(std::move(draft)));
  ASSIGN(const CopyReport report, copy());
  EXPECT_EQ(report.copied, 1u);
}

TEST_F(CopyTest, ALabelIsForNobodyElseToRead) {
  const crypto::Digest point = crypto::sha256(as_bytes("x"));
  const std::string label = copy_label(to.keys, from.description.vault, point);
  EXPECT_TRUE(is_copy_label(label));
  EXPECT_NE(label, copy_label(from.keys, from.description.vault, point));
  EXPECT_NE(label, copy_label(to.keys, to.description.vault, point));
  EXPECT_FALSE(is_copy_label("copy-of-me"));
  EXPECT_FALSE(is_copy_label(label + "0"));
}

TEST(CopyJournal, BelievesOnlyWhatThisAgentWrote) {
  const testing::TempDirectory dir(testing::TempDirectory::fast_place());
  MemoryStore store;
  const testing::TestVault vault(store);
  const VaultId source = VaultId::random();
  const ChunkId a{crypto::random_array<32>()};
  const ChunkId b{crypto::random_array<32>()};
  const SessionId session = SessionId::random();
  {
    ASSIGN(const auto journal, CopyJournal::open(dir.path(), source, vault.keys));
    EXPECT_ERROR(std::errc::device_or_resource_busy,
                 CopyJournal::open(dir.path(), source, vault.keys));
    ASSERT_OK(journal->session(session));
    ASSERT_OK(journal->page(a, b));
    ASSERT_OK(journal->pack({session, crypto::sha256(as_bytes("p"))}));
  }
  const std::string path = dir.path() + "/copies/" + vault.keys.vault.hex() + "/" + source.hex();
  {
    ASSIGN(const auto journal, CopyJournal::open(dir.path(), source, vault.keys));
    ASSERT_EQ(journal->records().pages.size(), 1u);
    EXPECT_EQ(journal->records().pages[0].target, b);
    ASSERT_EQ(journal->records().sessions.size(), 1u);
    EXPECT_EQ(journal->records().sessions[0].packs.size(), 1u);
    // Going on keeps what was there.
    ASSERT_OK(journal->page(b, a));
  }
  ASSIGN(const Bytes file, io::read_file(io::posix_file_system(), path, 1 << 20));
  for (size_t i = 0; i < file.size(); ++i) {
    Bytes changed = file;
    changed[i] ^= 1;
    ASSERT_OK(io::write_file(io::posix_file_system(), path, changed));
    ASSIGN(const auto journal, CopyJournal::open(dir.path(), source, vault.keys));
    EXPECT_LT(journal->records().pages.size() + journal->records().sessions.size(), 3u) << i;
    for (const CopiedPage& p : journal->records().pages) {
      EXPECT_TRUE((p.source == a && p.target == b) || (p.source == b && p.target == a));
    }
  }
  AgentKeys other = vault.keys;
  other.item_secret = crypto::random_secret<32>();
  ASSERT_OK(io::write_file(io::posix_file_system(), path, file));
  ASSIGN(const auto foreign, CopyJournal::open(dir.path(), source, other));
  EXPECT_TRUE(foreign->records().pages.empty());
}

}  // namespace
}  // namespace holdfast::vault
