// Each kind of difference between a restored tree and its point is found, and only there.

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/io/fd.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::write_file;

struct VerifyKinds : testing::AgentTest {
  void SetUp() override {
    write_file(agent.source("a"), "content of a");
    write_file(agent.source("d/b"), "content of b");
    testing::make_hard_link(agent.source("a"), agent.source("d/a-again"));
    testing::make_symlink("a", agent.source("link"));
    const io::Fd fd(::open(agent.source("sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(fd.get(), 6'000'000), 0);
    ASSERT_EQ(::pwrite(fd.get(), "data", 4, 4'000'000), 4);
  }
  void back_up_and_restore() {
    ASSERT_OK(agent.backup());
    ASSERT_OK(agent.restore());
    expect_only("", "");
  }
  // The one thing that verification tells is of `name` and has `words`; empty: it tells nothing.
  void expect_only(const std::string& name, const std::string& words) {
    ASSIGN(const RestoreReport report, agent.verify());
    for (const auto& p : report.problems) SCOPED_TRACE(p.path + ": " + p.reason);
    ASSERT_EQ(report.problems.size(), words.empty() ? 0u : 1u);
    if (words.empty()) return;
    EXPECT_EQ(report.problems[0].path, agent.target(name));
    EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr(words));
  }
  // Changes content only.
  void poke(const std::string& name, off_t at, const std::string& bytes) {
    struct stat st {};
    ASSERT_EQ(::stat(agent.target(name).c_str(), &st), 0);
    {
      const io::Fd fd(::open(agent.target(name).c_str(), O_WRONLY | O_CLOEXEC));
      ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), at),
                static_cast<ssize_t>(bytes.size()));
    }
    testing::set_mtime(agent.target(name), st.st_mtim.tv_sec,
                       static_cast<uint32_t>(st.st_mtim.tv_nsec));
  }
  bool set_attribute(const std::string& path, const char* name, const std::string& value) {
    return ::setxattr(path.c_str(), name, value.data(), value.size(), 0) == 0;
  }
};

TEST_F(VerifyKinds, DataWhereThePointHasAHole) {
  back_up_and_restore();
  poke("sparse", 2'000'000, std::string(1, '\0'));
  expect_only("", "");  // zeros are what a hole reads as
  poke("sparse", 2'000'001, "x");
  expect_only("sparse", "content differs at byte 2000001");
}

TEST_F(VerifyKinds, ABrokenHardLink) {
  back_up_and_restore();
  const Bytes content = testing::file_content(agent.target("a"));
  struct stat st {};
  struct stat above {};
  ASSERT_EQ(::stat(agent.target("a").c_str(), &st), 0);
  ASSERT_EQ(::stat(agent.target("d").c_str(), &above), 0);
  ASSERT_EQ(::unlink(agent.target("d/a-again").c_str()), 0);
  write_file(agent.target("d/a-again"), content);
  ASSERT_EQ(::chmod(agent.target("d/a-again").c_str(), st.st_mode & 07777), 0);
  testing::set_mtime(agent.target("d/a-again"), st.st_mtim.tv_sec,
                     static_cast<uint32_t>(st.st_mtim.tv_nsec));
  testing::set_mtime(agent.target("d"), above.st_mtim.tv_sec,
                     static_cast<uint32_t>(above.st_mtim.tv_nsec));
  expect_only("d/a-again", "hard links");
}

// Below the link lies what the point has, and something else: neither is looked at.
TEST_F(VerifyKinds, ADirectoryReplacedByALinkIsNotEntered) {
  write_file(agent.source("d/below/c"), "content of c");
  back_up_and_restore();
  ASSIGN(const RestoreReport before, agent.verify());
  for (const auto& [name, lost] : {std::pair("d/below", 1u), std::pair("d", 3u)}) {
    SCOPED_TRACE(name);
    const std::string moved = agent.path("moved");
    testing::remove_all(moved);
    struct stat above {};
    const std::string parent = std::filesystem::path(agent.target(name)).parent_path();
    ASSERT_EQ(::stat(parent.c_str(), &above), 0);
    ASSERT_EQ(::rename(agent.target(name).c_str(), moved.c_str()), 0);
    write_file(moved + "/c", "other");
    testing::make_symlink(moved, agent.target(name));
    testing::set_mtime(parent, above.st_mtim.tv_sec, static_cast<uint32_t>(above.st_mtim.tv_nsec));
    expect_only(name, "type");
    ASSIGN(const RestoreReport after, agent.verify());
    EXPECT_EQ(after.files_verified, before.files_verified - lost);
  }
}

TEST_F(VerifyKinds, ExtendedAttributes) {
  for (const char* name : {"a", "d"}) {
    if (!set_attribute(agent.source(name), "user.kept", "value")) {
      GTEST_SKIP() << "no user attributes here";
    }
  }
  back_up_and_restore();
  for (const char* name : {"a", "d"}) {
    SCOPED_TRACE(name);
    const std::string path = agent.target(name);
    // "a" has another name, but is compared under its first only once; both names show it.
    const auto expect = [&](const std::string& words) {
      ASSIGN(const RestoreReport report, agent.verify());
      ASSERT_FALSE(report.problems.empty());
      for (const auto& p : report.problems) {
        EXPECT_THAT(p.reason, ::testing::HasSubstr(words)) << p.path;
      }
    };
    ASSERT_TRUE(set_attribute(path, "user.kept", "other"));
    expect("user.kept");
    ASSERT_EQ(::removexattr(path.c_str(), "user.kept"), 0);
    expect("user.kept");
    ASSERT_TRUE(set_attribute(path, "user.kept", "value"));
    ASSERT_TRUE(set_attribute(path, "user.more", ""));
    expect("user.more");
    ASSERT_EQ(::removexattr(path.c_str(), "user.more"), 0);
    expect_only("", "");
  }
}

TEST_F(VerifyKinds, AttributesOfALink) {
  const std::string source = agent.source("link");
  if (::lsetxattr(source.c_str(), "trusted.kept", "1", 1, 0) != 0) {
    GTEST_SKIP() << "no trusted attributes here";
  }
  back_up_and_restore();
  ASSERT_EQ(::lremovexattr(agent.target("link").c_str(), "trusted.kept"), 0);
  expect_only("link", "trusted.kept");
}

TEST_F(VerifyKinds, InodeFlags) {
  const auto set_flags = [](const std::string& path, int flags) {
    const io::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    int now = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &now) != 0) return false;
    now = (now & ~FS_NODUMP_FL) | flags;
    return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &now) == 0;
  };
  if (!set_flags(agent.source("d/b"), FS_NODUMP_FL) ||
      !set_flags(agent.source("d"), FS_NODUMP_FL)) {
    GTEST_SKIP() << "no flags here";
  }
  back_up_and_restore();
  ASSERT_TRUE(set_flags(agent.target("d/b"), 0));
  expect_only("d/b", "inode flags");
  ASSERT_TRUE(set_flags(agent.target("d/b"), FS_NODUMP_FL));
  ASSERT_TRUE(set_flags(agent.target("d"), 0));
  expect_only("d", "inode flags");
}

}  // namespace
}  // namespace holdfast::backup_agent
