// Contract of FileSystem, on the kernel's and on the simulated one; then what only the simulation
// can show: that it loses what was not synced, and nothing else.

#include "base/io/file_system.h"

#include <cerrno>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/crypto/random.h"
#include "base/io/fd.h"
#include "tests/support/expect.h"
#include "tests/support/seeds.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_directory.h"

// How many of this thread's next syncs and closes a signal interrupts.
static thread_local int interrupted_syncs = 0;
static thread_local int interrupted_closes = 0;

// NOLINTBEGIN: the C library's names
#define INTERRUPTED(call, count, before)                                                 \
  extern "C" int call(int fd) {                                                          \
    static auto* const real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, #call)); \
    if (count == 0) return real(fd);                                                     \
    --count;                                                                             \
    before;                                                                              \
    errno = EINTR;                                                                       \
    return -1;                                                                           \
  }
INTERRUPTED(fdatasync, interrupted_syncs, (void)0)
INTERRUPTED(fsync, interrupted_syncs, (void)0)
INTERRUPTED(close, interrupted_closes, (void)real(fd))  // Linux closes it all the same
// Of writes that go past the page cache: the number-th from now is cut short, or refused.
static thread_local int direct_writes_until_short = 0;
static thread_local int direct_writes_until_refused = 0;
static thread_local int direct_writes = 0;

extern "C" ssize_t write(int fd, const void* bytes, size_t count) {
  static auto* const real =
      reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(::dlsym(RTLD_NEXT, "write"));
  if ((::fcntl(fd, F_GETFL) & O_DIRECT) == 0) return real(fd, bytes, count);
  ++direct_writes;
  if (direct_writes_until_refused > 0 && --direct_writes_until_refused == 0) {
    errno = EINVAL;
    return -1;
  }
  const bool cut = direct_writes_until_short > 0 && --direct_writes_until_short == 0;
  return real(fd, bytes, cut ? count / 4 : count);
}
// NOLINTEND

namespace holdfast::io {
namespace {

struct Posix {
  testing::TempDirectory directory;
  FileSystem& fs() { return posix_file_system(); }
  std::string root() { return directory.path(); }
};
struct Simulated {
  testing::SimDisk disk;
  FileSystem& fs() { return disk; }
  std::string root() {
    CHECK(disk.make_directory("/t").ok());
    return "/t";
  }
};

template <class Where>
class FileSystemContract : public ::testing::Test {
 protected:
  Where where_;
  FileSystem& fs_ = where_.fs();
  std::string root_ = where_.root();
  std::string at(const std::string& name) const { return join_path(root_, name); }
  void put(const std::string& name, std::string_view text) {
    ASSIGN(const auto file, fs_.create(at(name)));
    ASSERT_OK(file->write(as_bytes(text)));
    ASSERT_OK(file->sync());
    ASSERT_OK(file->close());
  }
  std::string text(const std::string& name) {
    const auto bytes = read_file(fs_, at(name), 1000);
    return bytes.ok() ? std::string(as_text(*bytes)) : "error: " + bytes.error().message();
  }
};
using Setups = ::testing::Types<Posix, Simulated>;
TYPED_TEST_SUITE(FileSystemContract, Setups);

TYPED_TEST(FileSystemContract, CreatesOnceAndReadsBack) {
  this->put("a", "hello");
  EXPECT_EQ(this->text("a"), "hello");
  EXPECT_ERROR(std::errc::file_exists, this->fs_.create(this->at("a")));
  ASSIGN(const auto file, this->fs_.open(this->at("a")));
  Bytes out(10);
  ASSIGN(const size_t n, file->read_at(3, out));
  EXPECT_EQ(n, 2u);
  ASSIGN(const size_t behind, file->read_at(100, out));
  EXPECT_EQ(behind, 0u);
}

TYPED_TEST(FileSystemContract, AMappedFileIsReadLikeAnyOther) {
  this->put("f", "0123456789");
  ASSIGN(const auto file, this->fs_.open(this->at("f")));
  ASSERT_OK(file->map());
  for (const auto& [offset, expected] :
       std::vector<std::pair<uint64_t, std::string>>{{0, "0123"}, {8, "89"}, {10, ""}, {99, ""}}) {
    Bytes out(4);
    ASSIGN(const size_t got, file->read_at(offset, out));
    EXPECT_EQ(as_text(ByteView(out).first(got)), expected) << offset;
  }
}

TYPED_TEST(FileSystemContract, TellsAbsenceFromOtherErrors) {
  EXPECT_ERROR(std::errc::no_such_file_or_directory, this->fs_.open(this->at("none")));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, this->fs_.info(this->at("none")));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, this->fs_.list(this->at("none")));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, this->fs_.remove(this->at("none")));
  EXPECT_ERROR(std::errc::is_a_directory, this->fs_.open(this->root_));
}

TYPED_TEST(FileSystemContract, RenamesReplaceOrRefuse) {
  this->put("a", "one");
  this->put("b", "two");
  EXPECT_ERROR(std::errc::file_exists, this->fs_.rename_new(this->at("a"), this->at("b")));
  EXPECT_EQ(this->text("b"), "two");
  ASSERT_OK(this->fs_.rename(this->at("a"), this->at("b")));
  EXPECT_EQ(this->text("b"), "one");
  ASSERT_OK(this->fs_.rename_new(this->at("b"), this->at("c")));
  EXPECT_EQ(this->text("c"), "one");
}

TYPED_TEST(FileSystemContract, ListsWhatIsThere) {
  ASSERT_OK(this->fs_.make_directory(this->at("d")));
  ASSERT_OK(this->fs_.make_directory(this->at("d")));  // already there is fine
  this->put("f", "x");
  ASSIGN(auto entries, this->fs_.list(this->root_));
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "d");
  EXPECT_TRUE(entries[0].is_directory);
  EXPECT_FALSE(entries[1].is_directory);
}

TYPED_TEST(FileSystemContract, WriteFileReplacesWhole) {
  const std::string path = this->at("deep/er/file");
  ASSERT_OK(make_directories(this->fs_, parent_path(path)));
  ASSERT_OK(write_file(this->fs_, path, as_bytes("first")));
  ASSERT_OK(write_file(this->fs_, path, as_bytes("second")));
  EXPECT_EQ(this->text("deep/er/file"), "second");
  ASSIGN(const auto entries, this->fs_.list(parent_path(path)));
  EXPECT_EQ(entries.size(), 1u) << "a temporary was left";
  EXPECT_ERROR(Errc::limit_exceeded, read_file(this->fs_, path, 3));
}

TEST(PathNames, JoinAndParent) {
  EXPECT_EQ(join_path("/a", "b"), "/a/b");
  EXPECT_EQ(join_path("/a/", "b"), "/a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(parent_path("/a/b"), "/a");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(parent_path("/a/b/"), "/a");
}

// --- The simulation itself ---

void write_unsynced(testing::SimDisk& disk, const std::string& path, std::string_view text) {
  auto file = disk.create(path);
  ASSERT_OK(file);
  ASSERT_OK((*file)->write(as_bytes(text)));
}

TEST(SimDisk, KeepsWhatWasSyncedThroughAPowerCut) {
  FOR_EACH_SEED(seed, 50) {
    testing::SimDisk disk;
    ASSERT_OK(disk.make_directory("/d"));
    ASSERT_OK(disk.sync_directory("/"));
    ASSIGN(const auto file, disk.create("/d/f"));
    ASSERT_OK(file->write(as_bytes("kept")));
    ASSERT_OK(file->sync());
    ASSERT_OK(disk.sync_directory("/d"));
    disk.cut_power_at(disk.operations());
    EXPECT_ERROR(std::errc::io_error, disk.info("/d/f"));
    disk.reboot(seed);
    ASSERT_TRUE(disk.peek("/d/f").has_value());
    EXPECT_EQ(as_text(*disk.peek("/d/f")), "kept");
  }
}

TEST(SimDisk, LosesWhatWasNotSyncedForSomeSeeds) {
  int missing = 0;
  int damaged = 0;
  int whole = 0;
  FOR_EACH_SEED(seed, 200) {
    testing::SimDisk disk;
    write_unsynced(disk, "/f", "precious");
    disk.reboot(seed);
    const auto left = disk.peek("/f");
    if (!left) {
      ++missing;
    } else if (as_text(*left) != "precious") {
      ++damaged;
    } else {
      ++whole;
    }
  }
  EXPECT_GT(missing, 0);
  EXPECT_GT(damaged, 0);
  EXPECT_GT(whole, 0);
}

TEST(SimDisk, RenameIsAtomicEvenIfUnsynced) {
  FOR_EACH_SEED(seed, 100) {
    testing::SimDisk disk;
    ASSERT_OK(write_file(disk, "/old", as_bytes("content")));
    ASSERT_OK(disk.rename("/old", "/new"));
    disk.reboot(seed);
    EXPECT_NE(disk.peek("/old").has_value(), disk.peek("/new").has_value());
  }
}

TEST(SimDisk, AFailedSyncLosesDataAndALaterOneLiesAboutIt) {
  testing::SimDisk disk;
  ASSIGN(const auto file, disk.create("/f"));
  ASSERT_OK(file->write(as_bytes("data")));
  disk.fail_operation(disk.operations(), std::errc::io_error);
  EXPECT_ERROR(std::errc::io_error, file->sync());
  EXPECT_OK(file->sync());
  ASSERT_OK(disk.sync_directory("/"));
  disk.reboot(1);  // seed 1 keeps nothing that is not safe
  EXPECT_NE(as_text(*disk.peek("/f")), "data");
}

// write_file keeps its promise at every operation: old or new content, never a mixture.
TEST(WriteFile, IsAtomicAtEveryPowerCut) {
  for (uint64_t cut = 0;; ++cut) {
    testing::SimDisk disk;
    ASSERT_OK(write_file(disk, "/f", as_bytes("old")));
    const uint64_t start = disk.operations();
    disk.cut_power_at(start + cut);
    const bool reported = write_file(disk, "/f", as_bytes("new content")).ok();
    const bool ran_through = disk.has_power();
    disk.reboot(cut);
    ASSERT_TRUE(disk.peek("/f").has_value());
    const std::string now(as_text(*disk.peek("/f")));
    EXPECT_TRUE(now == "old" || now == "new content") << now;
    if (reported) {
      EXPECT_EQ(now, "new content");
    }
    if (ran_through) break;
  }
}

TEST(PosixFileSystem, SignalsDoNotFailSyncsAndCloses) {
  const testing::TempDirectory directory;
  FileSystem& fs = posix_file_system();
  ASSIGN(const auto file, fs.create(directory / "x"));
  ASSERT_OK(file->write(as_bytes("x")));
  interrupted_syncs = 2;
  EXPECT_OK(file->sync());
  EXPECT_EQ(interrupted_syncs, 0);
  interrupted_closes = 1;
  EXPECT_OK(file->close());
  EXPECT_EQ(interrupted_closes, 0);
  interrupted_syncs = 2;
  EXPECT_OK(fs.sync_directory(directory.path()));
  EXPECT_EQ(interrupted_syncs, 0);
  interrupted_syncs = 0;
}

TEST(PosixFileSystem, LargePartsArriveHoweverTheyAreWritten) {
  const testing::TempDirectory directory;
  FileSystem& fs = posix_file_system();
  Bytes content(20'000'123);
  crypto::random_fill(content);
  const auto write_and_compare = [&](const std::string& name, std::string_view head) {
    std::vector<ByteView> parts;
    for (size_t at = 0, n = 1; at < content.size(); at += n, n = n * 3 % 1'500'007) {
      n = std::min(n, content.size() - at);
      parts.push_back(ByteView(content).subspan(at, n));
    }
    ASSIGN(const auto file, fs.create(directory / name));
    ASSERT_OK(file->write(as_bytes(head)));
    ASSERT_OK(file->write_parts(parts));
    ASSERT_OK(file->write(as_bytes(" tail")));
    ASSERT_OK(file->sync());
    ASSERT_OK(file->close());
    ASSIGN(const Bytes back, read_file(fs, directory / name, 100'000'000));
    ASSERT_EQ(back.size(), head.size() + content.size() + 5);
    EXPECT_TRUE(std::equal(head.begin(), head.end(), back.begin()));
    EXPECT_TRUE(std::equal(content.begin(), content.end(),
                           back.begin() + static_cast<ptrdiff_t>(head.size())));
    EXPECT_EQ(std::string(back.end() - 5, back.end()), " tail");
  };
  write_and_compare("plain", "");
  write_and_compare("unaligned", "head");
  for (int n = 1; n <= 3; ++n) {
    direct_writes_until_short = n;
    write_and_compare("short " + std::to_string(n), "");
    direct_writes_until_short = 0;
    direct_writes_until_refused = n;
    write_and_compare("refused " + std::to_string(n), "");
    direct_writes_until_refused = 0;
  }
}

TEST(PosixFileSystem, LargePartsGoPastThePageCacheWhereTheyCan) {
  const testing::TempDirectory directory;
  const Bytes content(20'000'123, 7);
  const Fd probe(::open((directory / "probe").c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600));
  if (!probe) GTEST_SKIP() << "no O_DIRECT here";
  ASSIGN(const auto file, posix_file_system().create(directory / "x"));
  direct_writes = 0;
  const std::vector<ByteView> parts{content};
  ASSERT_OK(file->write_parts(parts));
  EXPECT_EQ(direct_writes, 4);
}

}  // namespace
}  // namespace holdfast::io
