// Files under their temporary names: nobody takes away what somebody writes, and everybody what a
// killed run left. Runs are played by locks, and brought into a certain order by holding up calls.

#include "backup-agent/restore/temporary.h"

#include <chrono>
#include <condition_variable>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/file.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::write_file;

// Fails to make files without a name, as some file systems do.
int refuse_unnamed(const std::string& call, const std::string& path) {
  return call == "openat" && path.ends_with("/.") ? EOPNOTSUPP : 0;
}

struct Temporaries : testing::AgentTest {
  Temporaries() : AgentTest(testing::TempDirectory::fast_place()) {}
};

TEST_F(Temporaries, OneInUseIsLeftAloneAndALeftOverIsTakenAway) {
  write_file(agent.source("a"), "content of a");
  ASSERT_OK(agent.backup());
  const std::string temporary = agent.target(temporary_name("a"));
  for (const bool has_unnamed : {true, false}) {
    for (const bool delete_extra : {true, false}) {
      SCOPED_TRACE(std::string(has_unnamed ? "unnamed" : "named") +
                   (delete_extra ? ", delete" : ""));
      const SystemCalls calls(agent.target(),
                              [&](const std::string& call, const std::string& path) {
                                return has_unnamed ? 0 : refuse_unnamed(call, path);
                              });
      RestoreOptions options;
      options.delete_extra = delete_extra;
      for (const bool in_use : {true, false}) {
        write_file(agent.target("a"), "other");
        write_file(temporary, "of another run");
        const io::Fd writer(::open(temporary.c_str(), O_RDWR | O_CLOEXEC));
        if (in_use) {
          ASSERT_EQ(::flock(writer.get(), LOCK_EX), 0);
        }
        ASSIGN(const RestoreReport report, agent.restore(options));
        EXPECT_EQ(report.problem_count, 0u);
        EXPECT_EQ(report.deleted, 0u);
        EXPECT_EQ(as_text(testing::file_content(agent.target("a"))), "content of a");
        EXPECT_EQ(std::filesystem::exists(temporary), in_use);
        const auto entries = std::filesystem::directory_iterator(agent.target());
        EXPECT_EQ(std::distance(begin(entries), end(entries)), in_use ? 2 : 1);
      }
    }
  }
}

TEST_F(Temporaries, DeleteRemovesWhatNobodyWrites) {
  write_file(agent.source("a"), "content of a");
  ASSERT_OK(agent.backup());
  ASSERT_OK(agent.restore());
  write_file(agent.target(temporary_name("a")), "of a run that was killed");
  write_file(agent.target(temporary_name("b")), "of another");
  RestoreOptions options;
  options.delete_extra = true;
  ASSIGN(const RestoreReport report, agent.restore(options));
  EXPECT_EQ(report.deleted, 2u);
}

// The walk leaves a directory, and deletes what the point lacks there, while its files are written.
TEST_F(Temporaries, DeleteLeavesThoseOfThisRun) {
  constexpr int kFiles = 520;  // more than one window
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = "x/f" + std::to_string(i);
    write_file(agent.source(name), name);
    const io::Fd fd(::open(agent.source(name).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), "end", 3, 1'000'000), 3);
    write_file(agent.target(name), "other");
  }
  testing::make_directory(agent.source("x/z"));
  write_file(agent.source("y/f"), "y");
  testing::make_directory(agent.target("y"));
  ASSERT_OK(agent.backup());

  std::mutex mutex;
  std::condition_variable changed;
  bool is_writing = false;
  bool has_left_x = false;
  RestoreOptions options;
  options.delete_extra = true;
  {
    const SystemCalls calls(agent.target(), [&](const std::string& call, const std::string& path) {
      std::unique_lock lock(mutex);
      const auto wait_for = [&](const bool& event) {
        changed.notify_all();
        changed.wait_for(lock, std::chrono::seconds(20), [&] { return event; });
      };
      if (path == agent.target("y")) has_left_x = true;
      if (path == agent.target("x/z") && call == "mkdirat") wait_for(is_writing);
      if (path.starts_with(agent.target("x/.holdfast-")) && call == "pwrite") {
        is_writing = true;
        wait_for(has_left_x);
      }
      changed.notify_all();
      return refuse_unnamed(call, path);
    });
    ASSIGN(const RestoreReport report, agent.restore(options));
    for (const auto& p : report.problems) ADD_FAILURE() << p.path << ": " << p.reason;
    EXPECT_EQ(report.deleted, 0u);
  }
  EXPECT_TRUE(is_writing && has_left_x);
  EXPECT_EQ(testing::describe_tree(agent.target()), testing::describe_tree(agent.source()));
}

}  // namespace
}  // namespace holdfast::backup_agent
