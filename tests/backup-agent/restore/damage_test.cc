// Damage in the vault and differences on disk: what is wrong is named, everything else is right.

#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/support/test_agent.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct Damage : testing::AgentTest {
  Damage() : AgentTest(testing::TempDirectory::fast_place()) {}

  // Data packs, by name.
  std::set<std::string> data_packs() {
    vault::PackCatalog catalog(store, vault.keys.vault);
    std::set<std::string> out;
    const auto packs = store.list(std::string(vault::kPacksPrefix));
    for (const vault::ObjectInfo& o : *packs) {
      const auto pack = catalog.describe(*vault::parse_pack_name(o.name));
      if (pack->kind == vault::PackKind::data) out.insert(o.name);
    }
    return out;
  }
  // "old" in one pack, "new" in another.
  std::string back_up_twice() {
    write_file(agent.source("old/a"), random_bytes(1, 50'000));
    write_file(agent.source("old/b"), random_bytes(2, 900'000));
    EXPECT_OK(agent.backup());
    const auto first = data_packs();
    EXPECT_EQ(first.size(), 1u);
    write_file(agent.source("new/c"), random_bytes(3, 50'000));
    write_file(agent.source("new/d"), random_bytes(4, 900'000));
    EXPECT_OK(agent.backup());
    return *first.begin();
  }
  void expect_old_lost_new_right() {
    testing::remove_all(agent.target());
    ASSIGN(const RestoreReport report, agent.restore());
    std::set<std::string> named;
    for (const auto& p : report.problems) named.insert(p.path);
    EXPECT_EQ(named, (std::set<std::string>{agent.target("old/a"), agent.target("old/b")}));
    EXPECT_FALSE(std::filesystem::exists(agent.target("old/a"))) << "no half files";
    EXPECT_FALSE(std::filesystem::exists(agent.target("old/b")));
    for (const char* name : {"new/c", "new/d"}) {
      EXPECT_EQ(testing::file_content(agent.target(name)),
                testing::file_content(agent.source(name)));
    }
    for (const auto& e : std::filesystem::recursive_directory_iterator(agent.target())) {
      EXPECT_FALSE(e.path().filename().string().starts_with(".holdfast-")) << e.path();
    }
  }
};

TEST_F(Damage, AMissingPack) {
  ASSERT_OK(store.remove(back_up_twice()));
  expect_old_lost_new_right();
}

TEST_F(Damage, APackWithoutItsFooter) {
  const std::string pack = back_up_twice();
  ASSIGN(Bytes bytes, store.get(pack, 100'000'000));
  bytes.resize(bytes.size() - 1);
  store.tamper(pack, bytes);
  expect_old_lost_new_right();
}

TEST_F(Damage, AFlippedBitCostsItsSegmentOnly) {
  const std::string pack = back_up_twice();
  ASSIGN(const Bytes whole, store.get(pack, 100'000'000));
  for (size_t at = 100; at < whole.size() - 1000; at += whole.size() / 6) {
    Bytes bytes = whole;
    bytes[at] ^= 0x10;
    store.tamper(pack, bytes);
    testing::remove_all(agent.target());
    ASSIGN(const RestoreReport report, agent.restore());
    EXPECT_GE(report.problem_count, 1u);
    EXPECT_LE(report.problem_count, 2u);
    for (const char* name : {"old/a", "old/b", "new/c", "new/d"}) {
      if (!std::filesystem::exists(agent.target(name))) continue;
      EXPECT_EQ(testing::file_content(agent.target(name)),
                testing::file_content(agent.source(name)));
    }
    EXPECT_TRUE(std::filesystem::exists(agent.target("new/d")));
  }
}

TEST_F(Damage, WhatIsThereSurvivesAFailedReplacement) {
  const std::string pack = back_up_twice();
  write_file(agent.target("old/a"), "what was there");
  ASSERT_OK(store.remove(pack));
  ASSIGN(const RestoreReport report, agent.restore());
  EXPECT_EQ(report.problem_count, 2u);
  EXPECT_EQ(as_text(testing::file_content(agent.target("old/a"))), "what was there");
}

// The second backup stores the page of what changed, and the pages above it; all others are lost
// with the first backup's pack.
TEST_F(Damage, LostPagesOfTheMapCostTheirEntriesOnly) {
  const auto name = [](int d, int f) {
    return "top/d" + std::to_string(100 + d) + "/f" + std::to_string(100 + f);
  };
  for (int d = 0; d < 40; ++d) {
    for (int f = 0; f < 60; ++f) write_file(agent.source(name(d, f)), name(d, f));
  }
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  ASSIGN(const auto packs, store.list(std::string(vault::kPacksPrefix)));
  const std::set<std::string> data = data_packs();
  write_file(agent.source(name(20, 30)), "changed");
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  for (const vault::ObjectInfo& o : packs) {
    if (!data.contains(o.name)) {
      ASSERT_OK(store.remove(o.name));
    }
  }

  write_file(agent.target("top/extra"), "not in the point, or so it seems");
  RestoreOptions options;
  options.delete_extra = true;
  ASSIGN(const RestoreReport report, agent.restore(options));
  EXPECT_GE(report.problem_count, 3u);
  EXPECT_EQ(report.deleted, 0u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("top/extra")));
  size_t restored = 0;
  for (const auto& e : std::filesystem::recursive_directory_iterator(agent.target("top"))) {
    if (!e.is_regular_file() || e.path().filename() == "extra") continue;
    const std::string below = e.path().string().substr(agent.target().size() + 1);
    EXPECT_EQ(testing::file_content(e.path()), testing::file_content(agent.source(below)));
    ++restored;
  }
  EXPECT_EQ(as_text(testing::file_content(agent.target(name(20, 30)))), "changed");
  EXPECT_GT(restored, 5u);
  EXPECT_LT(restored, 1000u);

  // What lies in a page that is there restores without a word; what does not is damage, not
  // absence.
  testing::remove_all(agent.target());
  options.subpath = agent.key(name(20, 30));
  ASSIGN(const RestoreReport one, agent.restore(options));
  EXPECT_EQ(one.problem_count, 0u);
  EXPECT_EQ(one.files_written, 1u);
  options.subpath = agent.key(name(39, 59));
  EXPECT_ERROR(vault::Errc::missing, agent.restore(options));
}

struct Verify : testing::AgentTest {
  void SetUp() override {
    write_file(agent.source("a"), "content");
    write_file(agent.source("d/large"), random_bytes(1, 600'000));
    testing::make_symlink("a", agent.source("link"));
    ASSERT_EQ(::mkfifo(agent.source("pipe").c_str(), 0600), 0);
    ASSERT_OK(agent.backup());
  }
  // Restores, spoils, verifies: `name` must be the one thing named, for `reason`.
  void expect_found(const std::string& name, const std::string& reason,
                    const std::function<void(const std::string& path)>& spoil) {
    SCOPED_TRACE(name + ": " + reason);
    testing::remove_all(agent.target());
    ASSERT_OK(agent.restore());
    ASSIGN(const RestoreReport before, agent.verify());
    ASSERT_EQ(before.problem_count, 0u) << before.problems[0].path << before.problems[0].reason;
    const std::string path = name.empty() ? agent.target() : agent.target(name);
    struct stat above {};
    ASSERT_EQ(::stat(agent.target().c_str(), &above), 0);
    spoil(path);
    testing::set_mtime(agent.target(), above.st_mtim.tv_sec,
                       static_cast<uint32_t>(above.st_mtim.tv_nsec));
    ASSIGN(const RestoreReport after, agent.verify());
    ASSERT_GE(after.problems.size(), 1u);
    EXPECT_EQ(after.problems[0].path, path);
    EXPECT_THAT(after.problems[0].reason, ::testing::HasSubstr(reason));
  }
  static void keep_time(const std::string& path, const std::function<void()>& act) {
    struct stat st {};
    ASSERT_EQ(::lstat(path.c_str(), &st), 0);
    act();
    testing::set_mtime(path, st.st_mtim.tv_sec, static_cast<uint32_t>(st.st_mtim.tv_nsec));
  }
};

TEST_F(Verify, FindsEveryKindOfDifference) {
  const auto overwrite = [](const std::string& path) {
    keep_time(path, [&] { write_file(path, "CONTENT"); });
  };
  expect_found("a", "content differs", overwrite);
  expect_found("a", "time", [](const auto& p) { testing::set_mtime(p, 1, 1); });
  expect_found("a", "size",
               [](const auto& p) { keep_time(p, [&] { testing::append_to_file(p, "x"); }); });
  expect_found("a", "mode", [](const auto& p) { ASSERT_EQ(::chmod(p.c_str(), 0600), 0); });
  expect_found("d", "mode", [](const auto& p) { ASSERT_EQ(::chmod(p.c_str(), 0700), 0); });
  expect_found("d", "time", [](const auto& p) { testing::set_mtime(p, 1); });
  expect_found("a", "No such file", [](const auto& p) { testing::remove_all(p); });
  expect_found("a", "type", [](const auto& p) {
    testing::remove_all(p);
    testing::make_directory(p);
  });
  expect_found("link", "link target", [](const auto& p) {
    keep_time(p, [&] {
      testing::remove_all(p);
      testing::make_symlink("b", p);
    });
  });
  expect_found("d/large", "content differs at byte", [](const auto& p) {
    keep_time(p, [&] {
      Bytes bytes = testing::file_content(p);
      bytes[500'000] ^= 1;
      write_file(p, bytes);
    });
  });
  expect_found("pipe", "type", [](const auto& p) {
    testing::remove_all(p);
    write_file(p, "x");
  });
  if (::geteuid() == 0) {
    expect_found("a", "owner", [](const auto& p) { ASSERT_EQ(::chown(p.c_str(), 5, 6), 0); });
    expect_found("link", "owner", [](const auto& p) { ASSERT_EQ(::lchown(p.c_str(), 5, 6), 0); });
  }
}

}  // namespace
}  // namespace holdfast::backup_agent
