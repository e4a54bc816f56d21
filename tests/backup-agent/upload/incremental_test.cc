// The second backup and those after it: what is remembered saves work and is never trusted too far.

#include <algorithm>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/faulty_store.h"
#include "tests/support/test_agent.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

constexpr uint64_t kTreeBytes = 2'000'000 + 100 * 1000 + 6;

struct Incremental : testing::AgentTest {
  void SetUp() override {
    write_file(agent.source("large"), random_bytes(1, 2'000'000));
    for (int i = 0; i < 100; ++i) {
      write_file(agent.source("d" + std::to_string(i % 7) + "/" + std::to_string(i)),
                 random_bytes(static_cast<uint64_t>(i) + 10, 1000));
    }
    write_file(agent.source("linked"), "linked");
    testing::make_hard_link(agent.source("linked"), agent.source("d1/linked"));
    testing::let_clock_tick();
  }
  void expect_restored() {
    testing::remove_all(agent.target());
    ASSIGN(const RestoreReport report, agent.restore());
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(testing::describe_tree(agent.source()), testing::describe_tree(agent.target()));
  }
  // Of directories above the source, which others use too.
  static std::vector<int64_t> times_above(std::string path) {
    std::vector<int64_t> times;
    while (path != "/") {
      path = io::parent_path(path);
      struct stat st {};
      EXPECT_EQ(::stat(path.c_str(), &st), 0);
      times.push_back(st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec);
    }
    return times;
  }
};

TEST_F(Incremental, AnUnchangedTreeIsNotReadAndNothingIsStored) {
  auto before_last = times_above(agent.source());
  ASSIGN(const BackupResult first, agent.backup());
  EXPECT_EQ(agent.bytes_read(), kTreeBytes);
  EXPECT_EQ(first.point.stats.bytes_new, kTreeBytes);
  EXPECT_FALSE(first.used_base);
  for (int i = 0; i < 3; ++i) {
    auto before_this = times_above(agent.source());
    testing::FaultyStore spy(store);
    ASSIGN(const BackupResult next, agent.backup(&spy));
    EXPECT_EQ(agent.bytes_read(), 0u);
    EXPECT_EQ(agent.progress().files_unchanged, 103u);
    EXPECT_TRUE(next.used_base);
    EXPECT_EQ(next.point.stats.bytes_new, 0u);
    EXPECT_EQ(next.point.stats.data_bytes, 0u);
    EXPECT_LE(next.point.stats.chunks_new, 4u);
    // Directories above the source belong to everybody; the pages that hold them may change.
    if (before_last == times_above(agent.source())) {
      EXPECT_EQ(spy.counts()["get_range"], 0u) << "no index, no packs are read";
      if (i > 0) {
        EXPECT_EQ(next.point.stats.packs, 0u);
      }
    }
    before_last = std::move(before_this);
  }
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, OnlyWhatChangedIsRead) {
  ASSERT_OK(agent.backup());
  write_file(agent.source("d1/1"), random_bytes(999, 1500));
  write_file(agent.source("d1/new"), random_bytes(998, 700));
  testing::remove_all(agent.source("d2"));
  ASSERT_EQ(::rename(agent.source("d3").c_str(), agent.source("d3-renamed").c_str()), 0);
  testing::let_clock_tick();
  ASSIGN(const BackupResult second, agent.backup());
  EXPECT_EQ(second.point.stats.bytes_new, 2200u);
  // Renaming a directory changes the keys below it, not their content.
  EXPECT_LE(agent.bytes_read(), 2200u + 15 * 1000);
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, MetadataAloneChanges) {
  ASSERT_OK(agent.backup());
  ASSERT_EQ(::chmod(agent.source("large").c_str(), 0600), 0);
  testing::set_mtime(agent.source("d1/1"), 1'000'000'000);
  testing::let_clock_tick();
  ASSIGN(const BackupResult second, agent.backup());
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
  expect_restored();
}

TEST_F(Incremental, ContentChangedUnderTheSameSizeAndModificationTime) {
  ASSERT_OK(agent.backup());
  struct stat st {};
  ASSERT_EQ(::stat(agent.source("d1/1").c_str(), &st), 0);
  write_file(agent.source("d1/1"), random_bytes(12345, 1000));
  testing::set_mtime(agent.source("d1/1"), st.st_mtim.tv_sec,
                     static_cast<uint32_t>(st.st_mtim.tv_nsec));
  ASSERT_OK(agent.backup());
  EXPECT_EQ(agent.bytes_read(), 1000u);  // ctime tells
  expect_restored();
}

TEST_F(Incremental, AFileReplacedByAnotherWithTheSameTimes) {
  ASSERT_OK(agent.backup());
  struct stat st {};
  ASSERT_EQ(::stat(agent.source("d1/1").c_str(), &st), 0);
  write_file(agent.path("other"), random_bytes(4321, 1000));
  testing::set_mtime(agent.path("other"), st.st_mtim.tv_sec,
                     static_cast<uint32_t>(st.st_mtim.tv_nsec));
  ASSERT_EQ(::rename(agent.path("other").c_str(), agent.source("d1/1").c_str()), 0);
  ASSERT_OK(agent.backup());
  EXPECT_GE(agent.bytes_read(), 1000u);
  expect_restored();
}

TEST_F(Incremental, WhatWasWrittenAMomentBeforeIsNotTrusted) {
  // Written in the very tick in which it is looked at: the next change might leave the same ctime.
  const std::string fresh = agent.source("fresh");
  write_file(fresh, "one");
  {
    const SystemCalls calls(fresh, [&](const std::string& call, const std::string&) {
      if (call == "openat") write_file(fresh, "one");
      return 0;
    });
    ASSERT_OK(agent.backup());
  }
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  EXPECT_EQ(agent.bytes_read(), 3u);
  ASSERT_OK(agent.backup());
  EXPECT_EQ(agent.bytes_read(), 0u);
}

TEST_F(Incremental, ForceReadReadsEverythingAndStoresNothing) {
  ASSERT_OK(agent.backup());
  BackupOptions options = agent.options();
  options.force_read = true;
  ASSIGN(const BackupResult second, agent.backup(options));
  EXPECT_EQ(agent.bytes_read(), kTreeBytes);
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
  EXPECT_EQ(second.point.stats.data_bytes, 0u);
  ASSERT_OK(agent.backup());
  EXPECT_EQ(agent.bytes_read(), 0u) << "the cache was written anew";
  expect_restored();
}

TEST_F(Incremental, ADailyShareOfUnchangedFilesIsReadAnyway) {
  ASSERT_OK(agent.backup());
  BackupOptions options = agent.options();
  options.audit_one_in = 1;
  // The day's share was read by the first backup of the day: not again.
  ASSERT_OK(agent.backup(options));
  EXPECT_EQ(agent.bytes_read(), 0u);
}

TEST_F(Incremental, ADeletedCacheCostsReadingOnly) {
  ASSERT_OK(agent.backup());
  testing::remove_all(agent.cache());
  ASSIGN(const BackupResult second, agent.backup());
  EXPECT_EQ(agent.bytes_read(), kTreeBytes);
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
  EXPECT_EQ(second.point.sequence, 2u);
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, DeletedStateAndCacheToo) {
  ASSERT_OK(agent.backup());
  ASSERT_OK(agent.backup());
  testing::remove_all(agent.cache());
  testing::remove_all(agent.state());
  testing::make_directory(agent.state());
  ASSIGN(const BackupResult third, agent.backup());
  EXPECT_EQ(third.point.sequence, 3u);
  EXPECT_EQ(third.point.stats.bytes_new, 0u);
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, ABasePointThatIsGoneIsAHintOnly) {
  ASSIGN(const BackupResult first, agent.backup());
  ASSERT_OK(store.remove(vault::point_name(vault.item, first.point.sequence)));
  ASSIGN(const BackupResult second, agent.backup());
  EXPECT_FALSE(second.used_base);
  EXPECT_EQ(agent.bytes_read(), 0u) << "every chunk was looked up and found";
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
  expect_restored();
}

TEST_F(Incremental, ABasePointThatIsGoneWithItsPacks) {
  ASSIGN(const BackupResult first, agent.backup());
  ASSERT_OK(store.remove(vault::point_name(vault.item, first.point.sequence)));
  const auto packs = store.list(std::string(vault::kPacksPrefix));
  for (const vault::ObjectInfo& o : *packs) ASSERT_OK(store.remove(o.name));
  ASSIGN(const BackupResult second, agent.backup());
  EXPECT_EQ(second.point.stats.bytes_new, kTreeBytes);
  expect_restored();
}

// The content is still there, in the packs of the first point; the attributes went with the second.
TEST_F(Incremental, ABasePointThatIsGoneWithTheAttributesOfALargeFile) {
  write_file(agent.source("large"), random_bytes(1, 20'000'000));
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  const auto packs = store.list(std::string(vault::kPacksPrefix));
  const std::string value(2000, 'x');
  if (::setxattr(agent.source("large").c_str(), "user.long", value.data(), value.size(), 0) != 0) {
    GTEST_SKIP() << "needs a file system with extended attributes";
  }
  testing::let_clock_tick();
  ASSIGN(const BackupResult second, agent.backup());
  ASSIGN(const testing::OpenPoint open, agent.open_point());
  ASSIGN(const vault::Entry entry, open.entry(agent.source("large")));
  ASSERT_TRUE(entry.extents_root.has_value());
  ASSERT_FALSE(entry.xattr_chunks.empty());
  ASSERT_OK(store.remove(vault::point_name(vault.item, second.point.sequence)));
  const auto all_packs = store.list(std::string(vault::kPacksPrefix));
  for (const vault::ObjectInfo& o : *all_packs) {
    const bool is_first =
        std::any_of(packs->begin(), packs->end(), [&](const auto& p) { return p.name == o.name; });
    if (!is_first) {
      ASSERT_OK(store.remove(o.name));
    }
  }
  ASSERT_OK(agent.backup());
  EXPECT_EQ(agent.bytes_read(), 20'000'000u);
  expect_restored();
}

TEST_F(Incremental, AVaultPutBackToAnOlderStateIsNoticedAndFilledAgain) {
  ASSERT_OK(agent.backup());
  const auto older = store.copy();
  write_file(agent.source("second"), random_bytes(77, 50'000));
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  ASSIGN(const BackupResult third, agent.backup(older.get()));
  EXPECT_FALSE(third.used_base);
  ASSERT_FALSE(third.warnings.empty());
  EXPECT_THAT(third.warnings[0], ::testing::HasSubstr("older than this machine remembers"));
  EXPECT_EQ(third.point.sequence, 3u) << "the gap stays visible";
  EXPECT_EQ(third.point.stats.bytes_new, 50'000u);
  testing::OpenPoint open;
  ASSIGN(open.reader, vault::VaultReader::open(*older, vault.description, vault.secret));
  ASSIGN(const vault::PointList points, open.reader->points());
  RestoreOptions options;
  options.target = agent.target();
  options.subpath = agent.key();
  RestoreProgress progress;
  ASSERT_OK(run_restore(*open.reader, points.points.back(), options, progress, {}, {}));
  EXPECT_EQ(testing::describe_tree(agent.source()), testing::describe_tree(agent.target()));
  ASSIGN(const BackupResult fourth, agent.backup(older.get()));
  EXPECT_TRUE(fourth.used_base);
  EXPECT_TRUE(fourth.warnings.empty()) << fourth.warnings[0];
}

TEST_F(Incremental, AMachinePutBackToAnOlderState) {
  ASSERT_OK(agent.backup());
  agent.save_memory("older");
  write_file(agent.source("second"), random_bytes(77, 50'000));
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  agent.load_memory("older");
  write_file(agent.source("third"), random_bytes(78, 60'000));
  testing::let_clock_tick();
  ASSIGN(const BackupResult third, agent.backup());
  EXPECT_EQ(third.point.sequence, 3u);
  ASSERT_FALSE(third.warnings.empty());
  EXPECT_THAT(third.warnings[0], ::testing::HasSubstr("does not remember writing"));
  EXPECT_EQ(third.point.stats.bytes_new, 60'000u);
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, AClonedMachineThatCommitsAtTheSameMomentIsFound) {
  ASSERT_OK(agent.backup());
  testing::TestAgent clone(store, vault);
  write_file(clone.source("x"), "of the clone");
  testing::FaultyStore racing(store);
  bool done = false;
  racing.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind != "put_if_absent" || !name.starts_with(vault::kPointsPrefix) || done) return;
    done = true;
    EXPECT_OK(clone.backup());
  };
  EXPECT_ERROR(vault::Errc::identity_cloned, agent.backup(&racing));
  EXPECT_TRUE(done);
  expect_clean();
  ASSIGN(const BackupResult next, agent.backup());
  EXPECT_EQ(next.point.sequence, 3u);
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, AnotherSetOfPathsUsesWhatIsThere) {
  ASSERT_OK(agent.backup());
  BackupOptions options = agent.options();
  options.paths = {agent.source("d1"), agent.source("d2"), agent.source("large")};
  ASSIGN(const BackupResult second, agent.backup(options));
  EXPECT_EQ(agent.bytes_read(), 0u);
  EXPECT_EQ(second.point.stats.bytes_new, 0u);
  ASSERT_OK(agent.backup());
  expect_restored();
  expect_clean();
}

TEST_F(Incremental, TwoBackupsOfOneItemDoNotRunAtOnce) {
  const CacheOwner owner{vault.keys.vault, vault.item, vault.keys.domain.id};
  ASSIGN(const auto held, ItemCache::open(agent.cache(), owner));
  EXPECT_ERROR(std::errc::device_or_resource_busy, agent.backup());
}

TEST_F(Incremental, AStopLeavesWorkForTheNextRun) {
  std::stop_source stop;
  testing::FaultyStore stopping(store);
  stopping.on_operation = [&](const std::string& kind, const std::string&) {
    if (kind == "put") stop.request_stop();
  };
  EXPECT_ERROR(Errc::interrupted, agent.backup(agent.options(), &stopping, stop.get_token()));
  expect_clean();
  ASSERT_OK(agent.backup());
  expect_restored();
  expect_clean();
  for (const auto& [id, copies] : testing::stored_chunks(store, vault.keys.vault)) {
    EXPECT_EQ(copies, 1);
  }
}

}  // namespace
}  // namespace holdfast::backup_agent
