// Restores onto files and directories that are immutable or append-only.

#include <fcntl.h>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/io/fd.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

constexpr int kProtecting = FS_IMMUTABLE_FL | FS_APPEND_FL;

bool protect(const std::string& path, int flags) {
  const io::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int now = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &now) != 0) return false;
  now = (now & ~kProtecting) | flags;
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &now) == 0;
}

struct Protected : testing::AgentTest {
  void SetUp() override {
    write_file(agent.source("a"), "content of a");
    write_file(agent.source("d/b"), random_bytes(1, 700'000));
    ASSERT_OK(agent.backup());
    write_file(agent.path("probe"), "x");
    if (!protect(agent.path("probe"), FS_IMMUTABLE_FL)) GTEST_SKIP() << "no flags here";
    ASSERT_TRUE(protect(agent.path("probe"), 0));
  }
};

TEST_F(Protected, FilesAndDirectoriesMakeWay) {
  const auto tree = testing::describe_tree(agent.source());
  const std::vector<std::string> names = {"a", "d/b", "d/extra/deep", "d/extra", "d", ""};
  for (const int flag : {FS_IMMUTABLE_FL, FS_APPEND_FL}) {
    for (const bool delta : {false, true}) {
      SCOPED_TRACE(std::to_string(flag) + (delta ? ", delta" : ""));
      testing::remove_all(agent.target());
      write_file(agent.target("a"), "other content");
      write_file(agent.target("d/b"), random_bytes(2, 900'000));
      write_file(agent.target("d/extra/deep"), "x");
      for (const auto& name : names) ASSERT_TRUE(protect(agent.target(name), flag)) << name;
      RestoreOptions options;
      options.delta = delta;
      options.delete_extra = true;
      const auto report = agent.restore(options);
      const auto found = testing::describe_tree(agent.target());
      for (const auto& name : names) (void)protect(agent.target(name), 0);
      ASSERT_OK(report);
      for (const auto& p : report->problems) ADD_FAILURE() << p.path << ": " << p.reason;
      EXPECT_EQ(found, tree) << "with the flags of the point: none";
    }
  }
}

}  // namespace
}  // namespace holdfast::backup_agent
