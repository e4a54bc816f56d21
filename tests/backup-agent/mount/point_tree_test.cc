// What a mount shows, asked for without FUSE.

#include "backup-agent/mount/point_tree.h"

#include "tests/support/test_agent.h"
#include "tests/support/time_zone.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct PointTreeTest : testing::AgentTest {
  PointTreeTest() : AgentTest(testing::TempDirectory::fast_place()) {}
  Bytes content = random_bytes(1, 3'000'000);

  void SetUp() override {
    write_file(agent.source("a"), "first");
    write_file(agent.source("d/large"), content);
    for (int i = 0; i < 500; ++i) write_file(agent.source("many/" + std::to_string(i)), "x");
    testing::make_hard_link(agent.source("a"), agent.source("d/linked"));
    testing::make_symlink("a", agent.source("link"));
    ASSERT_OK(agent.backup());
    write_file(agent.source("a"), "second");
    ASSERT_OK(agent.backup());
    reader = vault::VaultReader::open(store, vault.description, vault.secret).value();
    points = reader->points().value();
    tree = PointTree::create(*reader, points).value();
  }
  Result<TreeNodePtr> walk(TreeNodePtr from, const std::string& path) {
    for (size_t begin = 0; begin < path.size();) {
      const size_t end = std::min(path.find('/', begin), path.size());
      TRY(from, tree->lookup(*from, path.substr(begin, end - begin)));
      begin = end + 1;
    }
    return from;
  }
  Result<TreeNodePtr> at(const std::string& path) { return walk(tree->find(kRootNode), path); }
  std::vector<std::string> names(const TreeNodePtr& directory) {
    std::vector<std::string> out;
    const auto stream = tree->open_directory(directory);
    for (uint64_t i = 0;; ++i) {
      const auto item = stream->at(i);
      EXPECT_OK(item);
      if (!item.ok() || !*item) return out;
      out.push_back((*item)->name);
    }
  }
  std::string source_of(size_t point) {
    return "by-id/" + points.points[point].id().substr(0, 12) + "/" + agent.key();
  }
  std::string text(const TreeNodePtr& file) {
    Bytes out(100);
    const auto n = tree->read(*file, 0, out);
    EXPECT_OK(n);
    return std::string(as_text(ByteView(out).first(*n)));
  }

  std::unique_ptr<vault::VaultReader> reader;
  vault::PointList points;
  std::unique_ptr<PointTree> tree;
};

TEST_F(PointTreeTest, PointsByIdByTimeAndLatest) {
  EXPECT_EQ(names(tree->find(kRootNode)), (std::vector<std::string>{"by-id", "by-time", "latest"}));
  ASSIGN(const TreeNodePtr ids, at("by-id"));
  EXPECT_EQ(names(ids).size(), 2u);
  ASSIGN(const TreeNodePtr item, at("by-time/item"));
  const auto times = names(item);
  ASSERT_EQ(times.size(), 2u) << "also within one second";
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  ASSIGN(const TreeNodePtr latest, at("latest/item"));
  EXPECT_EQ(latest->entry.entry.symlink_target, "../by-time/item/" + times.back());
  ASSIGN(const TreeNodePtr newest, at("by-time/item/" + times.back() + "/" + agent.key("a")));
  EXPECT_EQ(text(newest), "second");
  ASSIGN(const TreeNodePtr old, at(source_of(0) + "/a"));
  EXPECT_EQ(text(old), "first");
}

// The older point is the one whose name sorts last: 2:50 of summer time, 2:10 of winter time.
TEST_F(PointTreeTest, LatestThroughTheEndOfSummerTime) {
  const testing::TimeZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  for (const int64_t time_s : {1'761'439'800, 1'761'441'000}) {
    vault::SessionRequest request;
    request.item = vault.keys.item_id("autumn");
    ASSIGN(const auto session, testing::begin_session(store, vault, request));
    vault::ManifestDraft draft;
    ASSIGN(const auto root, testing::store_files(*session, {{"f", random_bytes(7, 10)}}));
    draft.time_ns = time_s * 1'000'000'000;
    draft.roots = {root};
    draft.body.item_name = "autumn";
    ASSERT_OK(session->commit(std::move(draft)));
  }
  points = reader->points().value();
  tree = PointTree::create(*reader, points).value();
  ASSIGN(const TreeNodePtr item, at("by-time/autumn"));
  EXPECT_EQ(names(item), (std::vector<std::string>{"2025-10-26T02-50-00", "2025-10-26T02-10-00"}));
  ASSIGN(const TreeNodePtr latest, at("latest/autumn"));
  EXPECT_EQ(latest->entry.entry.symlink_target, "../by-time/autumn/2025-10-26T02-10-00");
}

TEST_F(PointTreeTest, ItemsOfOneNameAreKeptApart) {
  std::map<std::string, std::string> roots;
  for (const auto& [id, name] :
       std::map<std::string, std::string>{{"one", "a/b"}, {"two", "a_b"}}) {
    vault::SessionRequest request;
    request.item = vault.keys.item_id(name);
    ASSIGN(const auto session, testing::begin_session(store, vault, request));
    vault::ManifestDraft draft;
    ASSIGN(const auto root, testing::store_files(*session, {{id, random_bytes(7, 10)}}));
    draft.roots = {root};
    draft.body.item_name = name;
    ASSERT_OK(session->commit(std::move(draft)));
    roots[id] = "a_b-" + request.item.hex().substr(0, 12);
  }
  points = reader->points().value();
  tree = PointTree::create(*reader, points).value();
  for (const auto& [file, directory] : roots) {
    ASSIGN(const TreeNodePtr item, at("by-time/" + directory));
    ASSERT_EQ(names(item).size(), 1u);
    ASSERT_OK(at("by-time/" + directory + "/" + names(item)[0] + "/" + file));
    ASSERT_OK(at("latest/" + directory));
  }
  EXPECT_FALSE(at("latest/a_b").ok());
  ASSERT_OK(at("latest/item"));
}

TEST_F(PointTreeTest, DirectoriesFromAnyPosition) {
  ASSIGN(const TreeNodePtr source, at(source_of(1)));
  EXPECT_EQ(names(source), (std::vector<std::string>{"a", "d", "link", "many"}));
  ASSIGN(const TreeNodePtr many, at(source_of(1) + "/many"));
  const auto all = names(many);
  EXPECT_EQ(all.size(), 500u);
  const auto stream = tree->open_directory(many);
  for (const uint64_t i : {uint64_t{499}, uint64_t{0}, uint64_t{250}, uint64_t{249}}) {
    ASSIGN(const auto item, stream->at(i));
    ASSERT_TRUE(item.has_value());
    EXPECT_EQ(item->name, all[i]);
  }
  ASSIGN(const auto end, stream->at(500));
  EXPECT_FALSE(end.has_value());
}

TEST_F(PointTreeTest, ReadsAtAnyOffset) {
  ASSIGN(const TreeNodePtr large, at(source_of(0) + "/d/large"));
  for (const uint64_t offset :
       {0u, 1u, 131'071u, 262'144u, 1'500'000u, 2'999'999u, 3'000'000u, 3'000'001u}) {
    for (const size_t size : {size_t{1}, size_t{4096}, size_t{400'000}}) {
      Bytes out(size, 0xee);
      ASSIGN(const size_t n, tree->read(*large, offset, out));
      const size_t expected =
          offset >= content.size() ? 0 : std::min<size_t>(size, content.size() - offset);
      ASSERT_EQ(n, expected);
      EXPECT_TRUE(std::equal(
          out.begin(), out.begin() + static_cast<ptrdiff_t>(n),
          content.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(offset, content.size()))));
    }
  }
}

TEST_F(PointTreeTest, WhatIsNotThere) {
  for (const char* name : {"none", "..", ".", "a/b", "", "by-id/x"}) {
    SCOPED_TRACE(name);
    EXPECT_ERROR(std::errc::no_such_file_or_directory, tree->lookup(*tree->find(kRootNode), name));
    ASSIGN(const TreeNodePtr source, at(source_of(0)));
    EXPECT_ERROR(std::errc::no_such_file_or_directory, tree->lookup(*source, name));
  }
  EXPECT_EQ(tree->find(123456), nullptr);
}

TEST_F(PointTreeTest, NumbersLiveAsLongAsTheyAreUsed) {
  ASSIGN(const TreeNodePtr once, at(source_of(0) + "/a"));
  ASSIGN(const TreeNodePtr twice, at(source_of(0) + "/a"));
  EXPECT_EQ(once->id, twice->id);
  ASSIGN(const TreeNodePtr linked, at(source_of(0) + "/d/linked"));
  EXPECT_EQ(linked->inode, once->inode);
  EXPECT_NE(linked->id, once->id);
  ASSIGN(const TreeNodePtr other_point, at(source_of(1) + "/a"));
  EXPECT_NE(other_point->inode, once->inode);
  tree->forget(once->id, 1);
  EXPECT_NE(tree->find(once->id), nullptr);
  tree->forget(once->id, 1);
  EXPECT_EQ(tree->find(once->id), nullptr);
  tree->forget(kRootNode, UINT64_MAX);
  EXPECT_NE(tree->find(kRootNode), nullptr);
  ASSIGN(const TreeNodePtr again, at(source_of(0) + "/a"));
  EXPECT_EQ(text(again), "first");
}

}  // namespace
}  // namespace holdfast::backup_agent
