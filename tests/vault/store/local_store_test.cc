// The directory store's own promises: durability at every point where the power may go, errors that
// stay errors, and nothing left lying about.

#include "vault/store/local_store.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/support/expect.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_directory.h"

namespace holdfast::vault {
namespace {

TEST(LocalStore, RefusesADirectoryThatHoldsSomething) {
  const testing::TempDirectory directory;
  ASSERT_OK(io::write_file(io::posix_file_system(), directory / "precious", as_bytes("x")));
  EXPECT_ERROR(std::errc::directory_not_empty,
               LocalStore::create(io::posix_file_system(), directory.path()));
  EXPECT_ERROR(std::errc::not_a_directory,
               LocalStore::open(io::posix_file_system(), directory / "precious"));
}

// Cuts the power before every single operation of two puts, with several outcomes each: what was
// reported as put is there and whole; what was not is there whole or not at all.
TEST(LocalStore, ReportedMeansDurableAtEveryPowerCut) {
  const Bytes first(10'000, 'a');
  const Bytes second(20'000, 'b');
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; ++cut) {
    bool ran_through = false;
    for (uint64_t outcome = 0; outcome < 8; ++outcome) {
      testing::SimDisk disk;
      auto store = LocalStore::create(disk, "/vault").value();
      disk.cut_power_at(disk.operations() + cut);
      const bool first_reported = store->put("packs/s/1", first).ok();
      const bool second_reported =
          first_reported && store->put_if_absent("points/i/1", second).ok();
      ran_through = disk.has_power();
      disk.reboot(outcome);
      ++cuts;
      auto again = LocalStore::open(disk, "/vault");
      ASSERT_TRUE(again.ok() || !first_reported);
      if (!again.ok()) continue;
      const auto check = [&](const std::string& name, const Bytes& content, bool reported) {
        const auto got = (*again)->get(name, 1 << 20);
        if (reported) {
          ASSERT_OK(got);
        }
        if (got.ok()) {
          EXPECT_EQ(*got, content) << name << " cut " << cut << " outcome " << outcome;
        }
      };
      check("packs/s/1", first, first_reported);
      check("points/i/1", second, second_reported);
    }
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 100u);
}

// Every operation of a put fails once, before or after its effect, with every error that disks
// give. A put that reports success has put; one that does not has left no temporary and no half
// object.
TEST(LocalStore, EveryErrorIsReportedAndLeavesNoTrace) {
  const Bytes content(5'000, 'c');
  for (const std::errc code : {std::errc::io_error, std::errc::no_space_on_device,
                               std::errc::permission_denied, std::errc::too_many_files_open}) {
    for (const bool after : {false, true}) {
      for (uint64_t n = 0;; ++n) {
        testing::SimDisk disk;
        auto store = LocalStore::create(disk, "/vault").value();
        const uint64_t start = disk.operations();
        disk.fail_operation(start + n, code, after);
        const Status put = store->put("packs/s/1", content);
        if (disk.operations() <= start + n) {
          ASSERT_OK(put);
          break;
        }
        if (put.ok()) {
          ASSIGN(const Bytes got, store->get("packs/s/1", 1 << 20));
          EXPECT_EQ(got, content);
          // A success in spite of an I/O error means that the object was written again: also the
          // new one must be durable.
          disk.reboot(7);
          ASSIGN(const Bytes kept,
                 LocalStore::open(disk, "/vault").value()->get("packs/s/1", 1 << 20));
          EXPECT_EQ(kept, content);
        } else {
          const auto got = store->get("packs/s/1", 1 << 20);
          if (got.ok()) {
            EXPECT_EQ(*got, content) << "half an object under its name";
          }
        }
      }
    }
  }
}

TEST(LocalStore, AFailedSyncIsNotRetriedOnTheSameFile) {
  testing::SimDisk disk;
  auto store = LocalStore::create(disk, "/vault").value();
  ASSERT_OK(store->put("a/warm", as_bytes("x")));  // directories are there
  const uint64_t start = disk.operations();
  ASSERT_OK(store->put("a/probe", as_bytes("y")));
  uint64_t sync_at = 0;
  const auto log = disk.log();
  for (uint64_t i = start; i < log.size(); ++i) {
    if (log[i].starts_with("sync /vault/tmp/")) sync_at = i - start;
  }
  ASSERT_GT(sync_at, 0u);
  disk.fail_operation(disk.operations() + sync_at, std::errc::io_error);
  const Bytes content(10'000, 'z');
  ASSERT_OK(store->put("a/b", content));
  std::set<std::string> synced;
  for (const std::string& line : disk.log()) {
    if (line.starts_with("sync /vault/tmp/")) {
      EXPECT_TRUE(synced.insert(line).second) << "the same file was synced again: " << line;
    }
  }
  for (uint64_t outcome = 0; outcome < 8; ++outcome) disk.reboot(outcome);
  EXPECT_EQ(*disk.peek("/vault/a/b"), content);
}

TEST(LocalStore, OldTemporariesOfKilledWritersGo) {
  testing::TempDirectory directory;
  const std::string root = directory / "vault";
  ASSERT_OK(LocalStore::create(io::posix_file_system(), root));
  std::filesystem::create_directories(root + "/tmp");
  const auto leave = [&](const std::string& name, std::chrono::hours age) {
    std::ofstream(root + "/tmp/" + name) << "half an object";
    std::filesystem::last_write_time(root + "/tmp/" + name,
                                     std::filesystem::file_time_type::clock::now() - age);
  };
  leave("00112233445566ff", std::chrono::hours(25));
  leave("00112233445566fe", std::chrono::hours(23));
  ASSIGN(const auto store, LocalStore::open(io::posix_file_system(), root));
  EXPECT_TRUE(std::filesystem::exists(root + "/tmp/00112233445566ff")) << "reading changes nothing";
  ASSERT_OK(store->put("points/a", as_bytes("object")));
  EXPECT_FALSE(std::filesystem::exists(root + "/tmp/00112233445566ff"));
  EXPECT_TRUE(std::filesystem::exists(root + "/tmp/00112233445566fe")) << "it may have a writer";
}

TEST(LocalStore, AFullDiskIsSaidAndLeavesRoomForNothingHalf) {
  testing::SimDisk disk;
  auto store = LocalStore::create(disk, "/vault").value();
  disk.set_capacity(10'000);
  EXPECT_ERROR(std::errc::no_space_on_device, store->put("packs/s/1", Bytes(20'000)));
  EXPECT_TRUE(disk.all_files().empty()) << "a temporary was left";
  EXPECT_OK(store->put("packs/s/2", Bytes(5'000)));
}

TEST(LocalStore, AReadOnlyDiskIsSaid) {
  testing::SimDisk disk;
  auto store = LocalStore::create(disk, "/vault").value();
  ASSERT_OK(store->put("a/b", as_bytes("x")));
  disk.set_read_only(true);
  EXPECT_ERROR(std::errc::read_only_file_system, store->put("a/c", as_bytes("y")));
  EXPECT_OK(store->get("a/b", 10));
}

// A listing that fails half way must not pass for a shorter one.
TEST(LocalStore, AFailedListingIsAnErrorNotALessFullVault) {
  for (uint64_t n = 0;; ++n) {
    testing::SimDisk disk;
    auto store = LocalStore::create(disk, "/vault").value();
    for (const char* name : {"p/a/1", "p/a/2", "p/b/3"}) ASSERT_OK(store->put(name, as_bytes("x")));
    const uint64_t start = disk.operations();
    disk.fail_operation(start + n, std::errc::io_error);
    const auto listed = store->list("p/");
    if (disk.operations() <= start + n) {
      ASSERT_EQ(listed->size(), 3u);
      break;
    }
    EXPECT_FALSE(listed.ok()) << n;
  }
}

}  // namespace
}  // namespace holdfast::vault
