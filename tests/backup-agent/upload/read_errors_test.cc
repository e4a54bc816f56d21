// Every system call that a backup makes on the source fails once with EIO. The backup ends, names
// what it could not take, and everything else comes back as it is.

#include <cerrno>
#include <filesystem>

#include <gmock/gmock.h>
#include <sys/xattr.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct ReadErrors : testing::AgentTest {
  ReadErrors() : AgentTest(testing::TempDirectory::fast_place()) {}
  void SetUp() override {
    write_file(agent.source("a"), "first");
    write_file(agent.source("b/large"), random_bytes(1, 3'000'000));
    write_file(agent.source("b/small"), random_bytes(2, 1000));
    write_file(agent.source("c/d/e"), "deep");
    testing::make_hard_link(agent.source("a"), agent.source("c/linked"));
    testing::make_symlink("target", agent.source("link"));
    (void)::setxattr(agent.source("c").c_str(), "user.a", "1", 1, 0);
    (void)::setxattr(agent.source("b/small").c_str(), "user.a", "1", 1, 0);
    expected = describe(agent.source());
  }
  // One name of a linked file may be missing: the others are no links then.
  static std::map<std::string, std::string> describe(const std::string& root) {
    auto tree = testing::describe_tree(root, {.directory_times = false});
    for (auto& [name, text] : tree) text = text.substr(0, text.find(" same as "));
    return tree;
  }

  // Whether a problem names `path`, or something above it, or it is another name of such.
  static bool is_named(const BackupResult& result, const std::string& path) {
    return std::any_of(result.problems.begin(), result.problems.end(), [&](const auto& p) {
      return path == p.path || path.starts_with(p.path + "/");
    });
  }

  // Loops a fault over all calls; returns how many were hit.
  uint64_t run(int error, const std::vector<std::string>& calls) {
    for (uint64_t n = 0;; ++n) {
      testing::remove_all(agent.cache());
      testing::remove_all(agent.target());
      std::optional<Result<BackupResult>> result;
      std::string what;
      {
        const FailingCall fault(agent.source(), n, error, calls);
        result = agent.backup();
        if (!fault.has_failed()) return n;
        what = fault.what();
      }
      SCOPED_TRACE("call " + std::to_string(n) + ": " + what);
      if (!result->ok()) {
        EXPECT_FALSE((*result).error().message().empty());
        continue;
      }
      const auto restore = agent.restore();
      if (!restore.ok()) {
        EXPECT_TRUE(is_named(**result, agent.source())) << restore.error().message();
        continue;
      }
      auto restored = describe(agent.target());
      for (const auto& [name, description] : expected) {
        if (restored[name] == description) continue;
        EXPECT_TRUE(is_named(**result, agent.source() + (name.empty() ? "" : "/" + name)))
            << name << " is " << restored[name] << ", not " << description;
      }
    }
  }

  std::map<std::string, std::string> expected;
};

TEST_F(ReadErrors, ReadingContent) {
  EXPECT_GE(run(EIO, {"pread"}), 5u);
}

TEST_F(ReadErrors, OpeningAndListing) {
  EXPECT_GE(run(EACCES, {"openat"}), 7u);
}

TEST_F(ReadErrors, EveryCall) {
  const uint64_t faults = run(EIO, {});
  EXPECT_GE(faults, 30u);
  RecordProperty("faults", static_cast<int>(faults));
}

TEST_F(ReadErrors, AFailedReadIsTriedAgainByTheNextBackup) {
  {
    const FailingCall fault(agent.source("b/small"), 0, EIO, {"pread"});
    ASSIGN(const BackupResult result, agent.backup());
    ASSERT_TRUE(fault.has_failed());
    ASSERT_EQ(result.problems.size(), 1u);
    EXPECT_EQ(result.problems[0].path, agent.source("b/small"));
    EXPECT_THAT(result.problems[0].reason, ::testing::HasSubstr("Input/output error"));
  }
  expect_round_trip();
}

TEST_F(ReadErrors, ExtendedAttributesThatCannotBeReadAreNamedAndReadByTheNextBackup) {
  for (const auto& [path, call] :
       std::vector<std::pair<std::string, std::string>>{{agent.source("b/small"), "flistxattr"},
                                                        {agent.source("c"), "flistxattr"},
                                                        {agent.source("link"), "llistxattr"}}) {
    testing::remove_all(agent.cache());
    testing::remove_all(agent.target());
    testing::let_clock_tick();
    {
      const FailingCall fault(path, 0, EIO, {call});
      ASSIGN(const BackupResult result, agent.backup());
      ASSERT_TRUE(fault.has_failed()) << path;
      ASSERT_EQ(result.problems.size(), 1u) << path;
      EXPECT_EQ(result.problems[0].path, path);
      EXPECT_THAT(result.problems[0].reason, ::testing::HasSubstr("extended attributes"));
    }
    expect_round_trip();
  }
}

}  // namespace
}  // namespace holdfast::backup_agent
