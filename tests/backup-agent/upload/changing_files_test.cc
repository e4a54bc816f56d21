// Files that change while they are backed up, at chosen moments: before they are opened, between
// two reads, behind the last. What cannot be had as it was is named and marks the point incomplete;
// what was not touched is right; nothing hangs.

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct ChangingFiles : testing::AgentTest {
  const std::string file = agent.source("m/victim");

  void SetUp() override {
    write_file(agent.source("a"), "stays");
    write_file(agent.source("z/z"), random_bytes(9, 400'000));
  }
  // Backs up; `act` runs before call number `number` (from 0) of `name` on the victim.
  Result<BackupResult> backup(const std::string& name, int number, std::function<void()> act) {
    int seen = 0;
    const SystemCalls calls(agent.source(), [&](const std::string& call, const std::string& path) {
      if (call == name && path.starts_with(file) && seen++ == number) act();
      return 0;
    });
    auto result = agent.backup();
    EXPECT_GT(seen, number) << "the moment never came";
    return result;
  }
  void expect_only_problem(const BackupResult& result, const std::string& path,
                           const std::string& reason) {
    ASSERT_EQ(result.problems.size(), 1u);
    EXPECT_EQ(result.problems[0].path, path);
    EXPECT_THAT(result.problems[0].reason, ::testing::HasSubstr(reason));
    ASSIGN(const testing::OpenPoint open, agent.open_point());
    EXPECT_TRUE(open.point.manifest.incomplete);
    EXPECT_EQ(open.point.body->problem_count, 1u);
    expect_others_are_right();
  }
  void expect_others_are_right() {
    testing::remove_all(agent.target());
    ASSIGN(const RestoreReport report, agent.restore());
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(testing::file_content(agent.target("a")), testing::file_content(agent.source("a")));
    EXPECT_EQ(testing::file_content(agent.target("z/z")),
              testing::file_content(agent.source("z/z")));
    expect_clean();
  }
  // Later backups find it again, read it again, and are complete.
  void expect_next_backup_right() {
    testing::let_clock_tick();
    ASSIGN(const BackupResult next, agent.backup());
    EXPECT_EQ(next.problem_count, 0u);
    testing::remove_all(agent.target());
    ASSERT_OK(agent.restore());
    EXPECT_EQ(testing::describe_tree(agent.source()), testing::describe_tree(agent.target()));
  }
};

TEST_F(ChangingFiles, ASmallOneIsReadAgainUntilItIsStill) {
  write_file(file, "before");
  ASSIGN(const BackupResult result,
         backup("pread", 0, [&] { write_file(file, "after, and longer"); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
  EXPECT_EQ(testing::file_content(agent.target("m/victim")), testing::file_content(file));
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ASmallOneThatNeverIsStillIsNamed) {
  write_file(file, "0");
  int turn = 0;
  const auto with_changes = [&]() -> Result<BackupResult> {
    const SystemCalls calls(file, [&](const std::string& call, const std::string&) {
      if (call == "pread") write_file(file, std::string(static_cast<size_t>(++turn % 7 + 1), 'x'));
      return 0;
    });
    return agent.backup();
  };
  ASSIGN(const BackupResult result, with_changes());
  expect_only_problem(result, file, "changed while it was read");
  ASSIGN(const testing::OpenPoint open, agent.open_point());
  ASSIGN(const vault::Entry entry, open.entry(file));
  EXPECT_TRUE(entry.inconsistent);
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ASmallOneThatShrinks) {
  write_file(file, random_bytes(1, 100'000));
  ASSIGN(const BackupResult result,
         backup("pread", 0, [&] { ASSERT_EQ(::truncate(file.c_str(), 10), 0); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
  EXPECT_EQ(testing::file_content(agent.target("m/victim")).size(), 10u);
}

TEST_F(ChangingFiles, ASmallOneThatBecomesLarge) {
  write_file(file, "small");
  const Bytes large = random_bytes(2, 2'000'000);
  ASSIGN(const BackupResult result, backup("pread", 0, [&] { write_file(file, large); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
  EXPECT_EQ(testing::file_content(agent.target("m/victim")), large);
}

TEST_F(ChangingFiles, ALargeOneThatShrinksBetweenReads) {
  const Bytes before = random_bytes(3, 5'000'000);
  for (const off_t size : {off_t{0}, off_t{1}, off_t{1'048'576}, off_t{1'500'000}}) {
    write_file(file, before);
    ASSIGN(const BackupResult result,
           backup("pread", 2, [&] { ASSERT_EQ(::truncate(file.c_str(), size), 0); }));
    expect_only_problem(result, file, "changed while it was read");
    const Bytes got = testing::file_content(agent.target("m/victim"));
    EXPECT_LT(got.size(), before.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), before.begin())) << "a prefix of what it was";
  }
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ALargeOneThatGrows) {
  write_file(file, random_bytes(4, 3'000'000));
  ASSIGN(const BackupResult result,
         backup("pread", 1, [&] { testing::append_to_file(file, std::string(500'000, 'g')); }));
  expect_only_problem(result, file, "changed while it was read");
  EXPECT_EQ(testing::file_content(agent.target("m/victim")).size(), 3'000'000u);
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ALargeOneRewrittenInPlace) {
  write_file(file, random_bytes(5, 3'000'000));
  ASSIGN(const BackupResult result,
         backup("pread", 2, [&] { write_file(file, random_bytes(6, 3'000'000)); }));
  expect_only_problem(result, file, "changed while it was read");
  expect_next_backup_right();
}

TEST_F(ChangingFiles, OneThatVanishesIsLeftOutWithoutAWord) {
  write_file(file, "soon gone");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] { testing::remove_all(file); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
  EXPECT_FALSE(std::filesystem::exists(agent.target("m/victim")));
  EXPECT_TRUE(std::filesystem::exists(agent.target("m")));
}

TEST_F(ChangingFiles, OneThatVanishesWhileItIsReadIsTakenWhole) {
  const Bytes content = random_bytes(7, 2'000'000);
  write_file(file, content);
  ASSIGN(const BackupResult result, backup("pread", 1, [&] { testing::remove_all(file); }));
  // Its times changed with the unlinking: it may be told, but what was read is there.
  expect_others_are_right();
  EXPECT_EQ(testing::file_content(agent.target("m/victim")), content);
}

TEST_F(ChangingFiles, OneThatBecomesAFifoDoesNotHangTheBackup) {
  write_file(file, "file");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] {
           testing::remove_all(file);
           ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
         }));
  expect_only_problem(result, file, "changed its type");
  expect_next_backup_right();
}

TEST_F(ChangingFiles, OneThatBecomesALinkIsNotFollowed) {
  write_file(file, "file");
  write_file(agent.path("secret"), "secret");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] {
           testing::remove_all(file);
           testing::make_symlink(agent.path("secret"), file);
         }));
  expect_only_problem(result, file, "cannot open");
  EXPECT_FALSE(std::filesystem::exists(agent.target("m/victim")));
  expect_next_backup_right();
}

TEST_F(ChangingFiles, OneThatBecomesADirectory) {
  write_file(file, "file");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] {
           testing::remove_all(file);
           write_file(file + "/inside", "x");
         }));
  expect_only_problem(result, file, "changed its type");
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ADirectoryThatBecomesALinkIsNotFollowed) {
  write_file(file + "/inside", "x");
  write_file(agent.path("elsewhere/inside"), "secret");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] {
           testing::remove_all(file);
           testing::make_symlink(agent.path("elsewhere"), file);
         }));
  EXPECT_EQ(result.problem_count, 1u);
  expect_others_are_right();
  EXPECT_FALSE(std::filesystem::exists(agent.target("m/victim/inside")));
  expect_next_backup_right();
}

TEST_F(ChangingFiles, ADirectoryThatVanishesIsLeftOut) {
  write_file(file + "/inside", "x");
  ASSIGN(const BackupResult result, backup("openat", 0, [&] { testing::remove_all(file); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
}

// The first file is held until more directories were opened than stay open, so that the others are
// opened a second time when they are read.
TEST_F(ChangingFiles, ADirectoryThatCannotBeOpenedAgainStaysWithWhatIsBelow) {
  constexpr int kDirectories = 300;
  const auto name = [](int i) { return "m/" + std::to_string(100 + i); };
  for (int i = 0; i < kDirectories; ++i) write_file(agent.source(name(i) + "/x"), "below");
  const std::string victim = agent.source(name(0));
  const std::string last = agent.source(name(kDirectories - 1));
  for (const int error : {EMFILE, EACCES, ESTALE, ENOENT}) {
    testing::remove_all(agent.cache());
    testing::remove_all(agent.target());
    std::atomic<int> opened = 0;
    std::atomic<bool> all_listed = false;
    const auto backup = [&] {
      const SystemCalls calls(agent.source(),
                              [&](const std::string& call, const std::string& path) {
                                if (call == "pread" && path == agent.source("a")) {
                                  for (int i = 0; i < 10'000 && !all_listed; ++i) ::usleep(1000);
                                }
                                if (call != "openat") return 0;
                                if (path == last) all_listed = true;
                                return path == victim && ++opened == 2 ? error : 0;
                              });
      return agent.backup();
    };
    ASSIGN(const BackupResult result, backup());
    EXPECT_GE(opened, 2) << "it stayed open";
    ASSERT_EQ(result.problems.size(), 1u);
    EXPECT_EQ(result.problems[0].path, victim);
    EXPECT_THAT(result.problems[0].reason, ::testing::HasSubstr("cannot open it again"));
    ASSIGN(const RestoreReport report, agent.restore());
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(testing::describe_tree(agent.source()), testing::describe_tree(agent.target()));
  }
  expect_next_backup_right();
}

TEST_F(ChangingFiles, AHardLinkWhoseFirstNameVanishesIsNotLostSilently) {
  write_file(file, "linked");
  testing::make_hard_link(file, agent.source("y"));
  ASSIGN(const BackupResult result, backup("openat", 0, [&] { testing::remove_all(file); }));
  testing::remove_all(agent.target());
  ASSERT_OK(agent.restore());
  if (!std::filesystem::exists(agent.target("y"))) {
    ASSERT_EQ(result.problems.size(), 1u);
    EXPECT_EQ(result.problems[0].path, agent.source("y"));
  }
  expect_next_backup_right();
}

TEST_F(ChangingFiles, AHardLinkWhoseFirstNameIsReplacedDoesNotGetTheOtherContent) {
  struct Case {
    std::string call;
    std::function<void(const std::string& path, const std::string& text)> make;
  };
  const std::vector<Case> cases{
      {"openat", [](const auto& path, const auto& text) { write_file(path, text); }},
      {"readlinkat", [](const auto& path, const auto& text) { testing::make_symlink(text, path); }},
  };
  for (const Case& c : cases) {
    testing::remove_all(agent.cache());
    for (const std::string& path : {file, agent.source("y")}) testing::remove_all(path);
    c.make(file, "linked");
    testing::make_hard_link(file, agent.source("y"));
    c.make(agent.path("other"), "of the other");
    ASSIGN(const BackupResult result,
           backup(c.call, 0, [&] { std::filesystem::rename(agent.path("other"), file); }));
    ASSERT_EQ(result.problems.size(), 2u) << c.call;
    EXPECT_EQ(result.problems[0].path, file);
    EXPECT_THAT(result.problems[0].reason, ::testing::HasSubstr("was replaced"));
    EXPECT_EQ(result.problems[1].path, agent.source("y"));
    expect_others_are_right();
    EXPECT_FALSE(std::filesystem::is_symlink(agent.target("y")));
    EXPECT_FALSE(std::filesystem::exists(agent.target("y")));
    expect_next_backup_right();
  }
}

TEST_F(ChangingFiles, AFileWithOneNameThatIsReplacedIsTakenAsTheNewOne) {
  write_file(file, "old");
  write_file(agent.path("other"), "new and longer");
  testing::set_mtime(agent.path("other"), 1'000'000'000);
  ASSIGN(const BackupResult result,
         backup("openat", 0, [&] { std::filesystem::rename(agent.path("other"), file); }));
  EXPECT_EQ(result.problem_count, 0u);
  expect_others_are_right();
  EXPECT_EQ(testing::describe_tree(agent.target("m"), {.directory_times = false}),
            testing::describe_tree(agent.source("m"), {.directory_times = false}));
  expect_next_backup_right();
}

}  // namespace
}  // namespace holdfast::backup_agent
