// Ten thousand directories inside one another: paths far beyond PATH_MAX, through backup, restore,
// verification and removal.

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

#include "base/io/fd.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

constexpr int kLevels = 10'000;

struct DeepTree : testing::AgentTest {
  DeepTree() : AgentTest(testing::TempDirectory::fast_place()) {}
  void SetUp() override {
    io::Fd at(::open(agent.source().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < kLevels; ++i) {
      ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
      at = io::Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      ASSERT_TRUE(static_cast<bool>(at));
      if (i % 2500 == 0 || i == kLevels - 1) put(at.get(), i);
    }
  }
  void TearDown() override {
    // std::filesystem opens every level at once.
    EXPECT_EQ(std::system(("rm -rf " + agent.source() + " " + agent.target()).c_str()), 0);
  }
  static void put(int directory, int level) {
    const io::Fd file(::openat(directory, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    const std::string text = "level " + std::to_string(level);
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static int levels_below(const std::string& root) {
    io::Fd at(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int levels = 0;
    for (;; ++levels) {
      io::Fd next(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!next) break;
      at = std::move(next);
    }
    char text[64]{};
    const io::Fd file(::openat(at.get(), "f", O_RDONLY | O_CLOEXEC));
    EXPECT_GT(::read(file.get(), text, sizeof text), 0);
    EXPECT_EQ(std::string(text), "level " + std::to_string(kLevels - 1));
    return levels;
  }
  static double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
};

TEST_F(DeepTree, BackupRestoreVerify) {
  const double backup_s = seconds_of([&] {
    ASSIGN(const BackupResult result, agent.backup());
    EXPECT_EQ(result.problem_count, 0u);
    EXPECT_GE(result.totals.directories, static_cast<uint64_t>(kLevels));
  });
  const double restore_s = seconds_of([&] {
    ASSIGN(const RestoreReport report, agent.restore());
    EXPECT_EQ(report.problem_count, 0u);
  });
  EXPECT_EQ(levels_below(agent.target()), kLevels);
  const double verify_s = seconds_of([&] {
    ASSIGN(const RestoreReport report, agent.verify());
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(report.files_verified, 5u);
  });
  RecordProperty("backup_ms", static_cast<int>(backup_s * 1000));
  RecordProperty("restore_ms", static_cast<int>(restore_s * 1000));
  RecordProperty("verify_ms", static_cast<int>(verify_s * 1000));
  std::printf("backup %.2f s, restore %.2f s, verify %.2f s\n", backup_s, restore_s, verify_s);
}

TEST_F(DeepTree, DeletedByARestoreThatDoesNotHaveIt) {
  ASSERT_EQ(::rename((agent.source() + "/d").c_str(), agent.path("aside").c_str()), 0);
  testing::write_file(agent.source("only"), "x");
  ASSERT_OK(agent.backup());
  ASSERT_OK(agent.restore());
  ASSERT_EQ(::rename(agent.path("aside").c_str(), agent.target("d").c_str()), 0);
  RestoreOptions options;
  options.delete_extra = true;
  ASSIGN(const RestoreReport report, agent.restore(options));
  for (const auto& p : report.problems) ADD_FAILURE() << p.reason;
  EXPECT_EQ(report.deleted, 1u);
  EXPECT_NE(::access(agent.target("d").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace holdfast::backup_agent
