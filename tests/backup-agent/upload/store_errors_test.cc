// A store that fails: one operation at a time with EIO or ENOSPC, before or after its effect; a
// disk that is full from some byte on; a disk that loses power. No point is lost, the error says
// what happened, and the next backup goes through.

#include "tests/support/faulty_store.h"
#include "tests/support/sim_disk.h"
#include "tests/support/test_agent.h"
#include "vault/store/local_store.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;
using Tree = std::map<std::string, std::string>;

// One agent over stores of the test's making.
struct StoreErrors : ::testing::Test {
  vault::MemoryStore store;
  testing::TestVault vault{store};
  testing::TestAgent agent{store, vault, testing::TempDirectory::fast_place()};
  Tree first_tree;
  Tree second_tree;

  void make_first_tree() {
    write_file(agent.source("a"), random_bytes(1, 400'000));
    for (int i = 0; i < 20; ++i) {
      write_file(agent.source("d/" + std::to_string(i)), random_bytes(i + 2u, 2000));
    }
    testing::let_clock_tick();
    first_tree = testing::describe_tree(agent.source());
  }
  void change_tree() {
    write_file(agent.source("b"), random_bytes(100, 300'000));
    write_file(agent.source("d/7"), "changed");
    testing::let_clock_tick();
    second_tree = testing::describe_tree(agent.source());
  }
  void expect_point(vault::Store& in, const testing::TestVault& of, uint64_t sequence,
                    const Tree& tree) {
    testing::remove_all(agent.target());
    ASSIGN(const auto reader, vault::VaultReader::open(in, of.description, of.secret));
    ASSIGN(const vault::PointList points, reader->points());
    EXPECT_TRUE(points.defects.empty());
    for (const vault::RecoveryPoint& p : points.points) {
      if (p.manifest.sequence != sequence) continue;
      RestoreOptions options;
      options.target = agent.target();
      options.subpath = agent.key();
      RestoreProgress progress;
      ASSIGN(const RestoreReport report, run_restore(*reader, p, options, progress, {}, {}));
      EXPECT_EQ(report.problem_count, 0u);
      EXPECT_EQ(testing::describe_tree(agent.target()), tree);
      return;
    }
    ADD_FAILURE() << "no point " << sequence;
  }
  void expect_clean(vault::Store& in, const testing::TestVault& of) {
    ASSIGN(const vault::CheckReport check, testing::full_check(in, of));
    for (const auto& f : check.damage) ADD_FAILURE() << f.object << ": " << f.what;
    EXPECT_TRUE(check.points.empty());
  }
};

TEST_F(StoreErrors, OnceAtEveryOperation) {
  make_first_tree();
  ASSERT_OK(agent.backup());
  change_tree();
  agent.save_memory("start");
  const auto start = store.copy();
  int faults = 0;
  bool ran_through = false;
  for (uint64_t n = 0; !ran_through; ++n) {
    for (const std::errc error : {std::errc::io_error, std::errc::no_space_on_device}) {
      for (const bool after_effect : {false, true}) {
        SCOPED_TRACE("operation " + std::to_string(n) + (after_effect ? " after" : " before"));
        const auto here = start->copy();
        agent.load_memory("start");
        testing::FaultyStore faulty(*here);
        faulty.fail_operation(n, {error, after_effect});
        const auto result = agent.backup(&faulty);
        if (faulty.operations() <= n) {
          EXPECT_OK(result);
          ran_through = true;
          break;
        }
        ++faults;
        if (!result.ok()) {
          EXPECT_TRUE(result.error().code == error) << result.error().message();
          EXPECT_NE(result.error().message().find("injected: "), std::string::npos)
              << "names the object: " << result.error().message();
        } else {
          expect_point(*here, vault, result->point.sequence, second_tree);
        }
        expect_point(*here, vault, 1, first_tree);
        const auto retry = agent.backup(here.get());
        ASSERT_OK(retry);
        expect_point(*here, vault, retry->point.sequence, second_tree);
        expect_clean(*here, vault);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_GE(faults, 80);
  RecordProperty("faults", faults);
}

TEST_F(StoreErrors, ADiskThatIsFullFromSomeByteOn) {
  make_first_tree();
  int full = 0;
  for (uint64_t room = 0;; room += 41'000) {
    SCOPED_TRACE("room for " + std::to_string(room) + " bytes");
    testing::SimDisk disk;
    const auto local = vault::LocalStore::create(disk, "/vault").value();
    const testing::TestVault there(*local);
    testing::TestAgent writer(*local, there);
    uint64_t used = 0;
    for (const std::string& f : disk.all_files()) used += disk.peek(f)->size();
    disk.set_capacity(used + room);
    BackupOptions options = writer.options();
    options.paths = {agent.source()};
    const auto result = writer.backup(options);
    disk.set_capacity(UINT64_MAX);
    if (result.ok()) break;
    ++full;
    EXPECT_TRUE(result.error().code == std::errc::no_space_on_device) << result.error().message();
    const auto retry = writer.backup(options);
    ASSERT_OK(retry);
    expect_point(*local, there, retry->point.sequence, first_tree);
    expect_clean(*local, there);
  }
  EXPECT_GE(full, 8);
  RecordProperty("full_disks", full);
}

// The disk of the vault loses power before every single operation; what was not synced is gone. The
// agent's own disk is another one: it remembers what the store reported as durable.
TEST_F(StoreErrors, PowerCutAtEveryDiskOperation) {
  make_first_tree();
  Tree tree = first_tree;
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    testing::SimDisk disk;
    auto local = vault::LocalStore::create(disk, "/vault").value();
    const testing::TestVault there(*local);
    testing::TestAgent writer(*local, there);
    BackupOptions options = writer.options();
    options.paths = {agent.source()};
    ASSERT_OK(writer.backup(options));
    write_file(agent.source("d/5"), random_bytes(cut + 1000, 2500));
    write_file(agent.source("c"), random_bytes(cut + 5000, 100'000));
    testing::let_clock_tick();
    second_tree = testing::describe_tree(agent.source());

    disk.cut_power_at(disk.operations() + cut);
    const auto second = writer.backup(options);
    const bool ran_through = disk.has_power();
    disk.reboot(cut * 10 + 1);
    ++cuts;

    const auto again = vault::LocalStore::open(disk, "/vault").value();
    expect_point(*again, there, 1, tree);
    if (second.ok()) expect_point(*again, there, second->point.sequence, second_tree);
    const auto third = writer.backup(options, again.get());
    ASSERT_OK(third);
    expect_point(*again, there, third->point.sequence, second_tree);
    expect_clean(*again, there);
    ASSERT_FALSE(HasFailure());
    tree = second_tree;
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 40u);
  RecordProperty("cuts", static_cast<int>(cuts));
}

}  // namespace
}  // namespace holdfast::backup_agent
