// Trees that go through backup and restore and come back the same, down to the last detail.

#include <fcntl.h>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/io/fd.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct RoundTrip : testing::AgentTest {
  std::string at(const std::string& name) { return agent.source(name); }
};

TEST_F(RoundTrip, ContentOfEverySize) {
  // Around the borders of whole files, chunks and read buffers.
  for (const size_t size : {0, 1, 511, 512, 32'767, 32'768, 32'769, 262'143, 262'144, 262'145,
                            1'048'575, 1'048'576, 1'048'577, 3'000'001}) {
    write_file(at("f" + std::to_string(size)), random_bytes(size + 1, size));
  }
  expect_round_trip();
  expect_clean();
}

TEST_F(RoundTrip, ManySmallFilesInManyDirectories) {
  for (int d = 0; d < 40; ++d) {
    for (int f = 0; f < 25; ++f) {
      write_file(at("d" + std::to_string(d) + "/e/f" + std::to_string(f)),
                 random_bytes(static_cast<uint64_t>(d * 100 + f), static_cast<size_t>(f * 700)));
    }
  }
  expect_round_trip();
}

TEST_F(RoundTrip, NamesOfAnyBytes) {
  std::string all_bytes;
  for (int c = 1; c < 256; ++c) {
    if (c != '/') all_bytes.push_back(static_cast<char>(c));
    if (all_bytes.size() == 200) {
      write_file(at("n" + all_bytes), "x");
      all_bytes.clear();
    }
  }
  for (const char* name : {" ", "-rf", "...", ".. ", "a\nb", "\xff\xfe", "*", "[", "!x", "#x",
                           "a\\b", "\xe2\x80\xae", "CON", "a:b"}) {
    write_file(at(name), std::string("content of ") + name);
    testing::make_directory(at(std::string("dir-") + name));
    testing::make_symlink(name, at(std::string("link-") + name));
  }
  write_file(at(std::string(255, 'n')), "longest");
  // Keys are ordered by components: these three interleave otherwise with what is below "a".
  write_file(at("a/x"), "1");
  write_file(at("a-b"), "2");
  write_file(at("a.b"), "3");
  expect_round_trip();
}

TEST_F(RoundTrip, SymbolicLinks) {
  testing::make_symlink("nowhere", at("dangling"));
  testing::make_symlink("/etc/passwd", at("absolute"));
  testing::make_symlink("..", at("up"));
  testing::make_symlink("loop", at("loop"));
  testing::make_symlink(std::string(4000, 'x'), at("long"));
  testing::make_symlink(" \n\xff", at("strange"));
  testing::set_mtime(at("dangling"), 12345, 678);
  expect_round_trip();
}

TEST_F(RoundTrip, HardLinksAcrossSubTrees) {
  write_file(at("b/first"), random_bytes(1, 500'000));
  testing::make_hard_link(at("b/first"), at("a"));
  testing::make_directory(at("c/d"));
  testing::make_hard_link(at("b/first"), at("c/d/last"));
  write_file(at("b/pair"), "two names");
  testing::make_hard_link(at("b/pair"), at("z"));
  testing::make_symlink("x", at("soft"));
  testing::make_hard_link(at("soft"), at("soft-too"));
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0640), 0);
  testing::make_hard_link(at("pipe"), at("pipe-too"));
  expect_round_trip();
}

TEST_F(RoundTrip, ASecondNameOutsideTheTreeIsNoneOfOurs) {
  write_file(at("alone"), "one name inside");
  testing::make_hard_link(at("alone"), agent.path("outside"));
  ASSERT_OK(agent.backup());
  ASSIGN(const RestoreReport report, agent.restore());
  EXPECT_EQ(report.problem_count, 0u);
  EXPECT_EQ(testing::file_content(agent.target("alone")), testing::file_content(at("alone")));
}

TEST_F(RoundTrip, HardLinksStayWhenNothingElseChanged) {
  write_file(at("a"), "linked");
  testing::make_directory(at("d"));
  testing::make_hard_link(at("a"), at("d/b"));
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  testing::let_clock_tick();
  expect_round_trip();  // unchanged names come from the cache now
  EXPECT_EQ(agent.progress().files_unchanged, 2u);
  // The first name goes: another one has to carry the content.
  testing::remove_all(agent.target());
  testing::make_hard_link(at("a"), at("e"));
  ASSERT_EQ(::unlink(at("a").c_str()), 0);
  expect_round_trip();
}

TEST_F(RoundTrip, ModesAndOwners) {
  if (::geteuid() != 0) GTEST_SKIP() << "owners can be set by root only";
  int n = 0;
  for (const mode_t mode : {0000u, 0400u, 0777u, 04755u, 02755u, 06711u, 01777u, 07777u}) {
    const std::string name = at("m" + std::to_string(n++));
    write_file(name, "x");
    ASSERT_EQ(::chown(name.c_str(), 12345 + static_cast<uid_t>(n), 54321), 0);
    ASSERT_EQ(::chmod(name.c_str(), mode), 0);
    testing::make_directory(name + "d");
    ASSERT_EQ(::chown((name + "d").c_str(), 1, 4'000'000'000), 0);
    ASSERT_EQ(::chmod((name + "d").c_str(), mode), 0);
    testing::make_symlink("x", name + "l");
    ASSERT_EQ(::lchown((name + "l").c_str(), 77, 88), 0);
  }
  expect_round_trip();
}

TEST_F(RoundTrip, DevicesFifosAndSockets) {
  if (::geteuid() != 0) GTEST_SKIP() << "device nodes can be made by root only";
  ASSERT_EQ(::mknod(at("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod(at("disk").c_str(), S_IFBLK | 0660, makedev(259, 1'048'575)), 0);
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(at("socket").c_str(), S_IFSOCK | 0700, 0), 0);
  expect_round_trip();
}

TEST_F(RoundTrip, TimesBefore1970AndAfter2106) {
  // ext4 with 256-byte inodes reaches from 1901 to 2446; what the file system clamps is clamped on
  // both sides.
  int n = 0;
  for (const int64_t seconds :
       {int64_t{-2'000'000'000}, int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{2'147'483'647},
        int64_t{2'147'483'648}, int64_t{4'294'967'296}, int64_t{10'000'000'000}}) {
    for (const uint32_t ns : {0u, 1u, 999'999'999u}) {
      const std::string name = at("t" + std::to_string(n++));
      write_file(name, "x");
      testing::set_mtime(name, seconds, ns);
      testing::make_directory(name + "d/inner");
      testing::set_mtime(name + "d", seconds, ns);
    }
  }
  testing::set_mtime(agent.source(), -86'400, 5);
  expect_round_trip();
}

TEST_F(RoundTrip, SparseFiles) {
  const auto make = [&](const std::string& name, uint64_t size,
                        const std::vector<std::pair<uint64_t, size_t>>& data) {
    const io::Fd fd(::open(at(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    for (const auto& [offset, bytes] : data) {
      const Bytes content = random_bytes(offset + 7, bytes);
      ASSERT_EQ(::pwrite(fd.get(), content.data(), bytes, static_cast<off_t>(offset)),
                static_cast<ssize_t>(bytes));
    }
  };
  make("all-hole", 5'000'000, {});
  make("small-hole", 100'000, {});
  make("begins-with-data", 10'000'000, {{0, 4096}});
  make("ends-with-data", 10'000'000, {{9'999'000, 1000}});
  make("islands", 40'000'000,
       {{4096, 8192}, {1'000'000, 300'000}, {20'000'000, 1}, {33'333'333, 4097}});
  make("huge", uint64_t{1} << 40, {{uint64_t{1} << 39, 4096}});
  ASSERT_NO_FATAL_FAILURE();
  ASSERT_OK(agent.backup());
  EXPECT_LT(agent.bytes_read(), 1'000'000u) << "holes are not read";
  ASSIGN(const RestoreReport report, agent.restore());
  EXPECT_EQ(report.problem_count, 0u);
  for (const char* name :
       {"all-hole", "small-hole", "begins-with-data", "ends-with-data", "islands"}) {
    EXPECT_EQ(testing::file_content(at(name)), testing::file_content(agent.target(name))) << name;
    EXPECT_LE(testing::allocated_bytes(agent.target(name)),
              testing::allocated_bytes(at(name)) + 128 * 1024)
        << name << " is to stay sparse";
  }
  struct stat st {};
  ASSERT_EQ(::stat(agent.target("huge").c_str(), &st), 0);
  EXPECT_EQ(static_cast<uint64_t>(st.st_size), uint64_t{1} << 40);
  EXPECT_LT(testing::allocated_bytes(agent.target("huge")), 1'000'000u);
  ASSIGN(const testing::OpenPoint open, agent.open_point());
  ASSIGN(const vault::Entry huge, open.entry(at("huge")));
  EXPECT_LE(huge.extents.size(), 4u);
}

TEST_F(RoundTrip, ExtendedAttributes) {
  write_file(at("f"), "x");
  if (::setxattr(at("f").c_str(), "user.probe", "", 0, 0) != 0) {
    GTEST_SKIP() << "no user attributes on this file system";
  }
  const std::string binary("\0\xff\n", 3);
  ASSERT_EQ(::setxattr(at("f").c_str(), "user.binary", binary.data(), binary.size(), 0), 0);
  testing::make_directory(at("d"));
  const Bytes large = random_bytes(5, 3000);  // beyond what stands in the entry itself
  ASSERT_EQ(::setxattr(at("d").c_str(), "user.large", large.data(), large.size(), 0), 0);
  // POSIX ACL, as the kernel has it: version 2, then (tag, permissions, id) each.
  const uint8_t acl[] = {2,    0,    0,    0,    1,    0,    6,    0,    0xff, 0xff, 0xff,
                         0xff, 2,    0,    4,    0,    1,    0,    0,    0,    4,    0,
                         4,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,    4,    0,    0xff,
                         0xff, 0xff, 0xff, 0x20, 0,    0,    0,    0xff, 0xff, 0xff, 0xff};
  ASSERT_EQ(::setxattr(at("f").c_str(), "system.posix_acl_access", acl, sizeof acl, 0), 0);
  ASSERT_EQ(::setxattr(at("d").c_str(), "system.posix_acl_default", acl, sizeof acl, 0), 0);
  testing::make_symlink("f", at("l"));
  if (::geteuid() == 0) {
    ASSERT_EQ(::setxattr(at("f").c_str(), "trusted.t", "1", 1, 0), 0);
    ASSERT_EQ(::lsetxattr(at("l").c_str(), "trusted.on-link", "2", 1, 0), 0);
    // Capabilities, version 2: cap_net_raw+ep.
    const uint8_t capability[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    ASSERT_EQ(::setxattr(at("f").c_str(), "security.capability", capability, sizeof capability, 0),
              0);
  }
  expect_round_trip();
}

TEST_F(RoundTrip, AttributesOf64KiBInTotal) {
  // ext4 holds one block of them; tmpfs on kernels from 6.6 on has room.
  std::string place = "/dev/shm/holdfast-test-" + std::to_string(::getpid());
  testing::make_directory(place);
  const std::string file = place + "/f";
  write_file(file, "x");
  size_t total = 0;
  for (int i = 0; i < 16 && total < 65'536; ++i) {
    const Bytes value = random_bytes(static_cast<uint64_t>(i), 4096);
    if (::setxattr(file.c_str(), ("user.x" + std::to_string(i)).c_str(), value.data(), value.size(),
                   0) == 0) {
      total += value.size();
    }
  }
  if (total < 65'536) {
    testing::remove_all(place);
    GTEST_SKIP() << "no file system at hand with room for 64 KiB of attributes";
  }
  BackupOptions options = agent.options();
  options.paths = {place};
  ASSERT_OK(agent.backup(options));
  RestoreOptions restore;
  restore.subpath = place.substr(1);
  restore.target = place + "/target";
  ASSIGN(const RestoreReport report, agent.restore(restore));
  EXPECT_TRUE(report.refused.empty());
  EXPECT_EQ(testing::describe_tree(restore.target)["f"], testing::describe_tree(place)["f"]);
  testing::remove_all(place);
}

TEST_F(RoundTrip, InodeFlags) {
  const auto set = [&](const std::string& name, int flags) {
    const io::Fd fd(::open(at(name).c_str(), O_RDONLY | O_CLOEXEC));
    int now = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &now) != 0) return false;
    flags |= now;
    return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
  };
  write_file(at("nodump"), "x");
  write_file(at("immutable"), random_bytes(3, 300'000));
  write_file(at("append"), "x");
  testing::make_directory(at("d"));
  write_file(at("d/inside"), "x");
  testing::make_directory(at("frozen"));
  write_file(at("frozen/inside"), "x");
  if (!set("nodump", FS_NODUMP_FL)) GTEST_SKIP() << "no inode flags on this file system";
  EXPECT_TRUE(set("d", FS_NOATIME_FL));
  testing::make_hard_link(at("immutable"), at("immutable-too"));
  const bool protects = set("immutable", FS_IMMUTABLE_FL) && set("append", FS_APPEND_FL) &&
                        set("frozen", FS_IMMUTABLE_FL);
  expect_round_trip();
  // Once more over what is protected there now.
  expect_round_trip();
  if (protects) {
    for (const std::string& root : {agent.source(), agent.target()}) {
      for (const char* name : {"immutable", "append", "frozen"}) {
        const io::Fd fd(::open((root + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
        int flags = 0;
        EXPECT_EQ(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags), 0);
        flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
        EXPECT_EQ(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), 0);
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::backup_agent
