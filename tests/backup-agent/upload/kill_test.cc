// The agent is killed at every single operation on the store, before and after the operation takes
// effect. Fault model: from that operation on nothing reaches the store; what the agent has on its
// own disk is either what it had at that moment (kill -9) or what it wrote while it gave up (the
// store was unreachable). Afterwards: every point that counts restores byte for byte, the check is
// clean, the next backup works and stores nothing that it knew to be stored.

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <sys/stat.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/faulty_store.h"
#include "tests/support/test_agent.h"
#include "vault/format/object_names.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;
using namespace std::chrono_literals;
using Tree = std::map<std::string, std::string>;

struct Killed : testing::AgentTest {
  Killed() : AgentTest(testing::TempDirectory::fast_place()) {}
  // What the tree was at each point; a point that no backup reported counts as the last.
  std::vector<Tree> trees;

  void make_first_tree() {
    write_file(agent.source("a"), random_bytes(1, 600'000));
    for (int i = 0; i < 30; ++i) {
      write_file(agent.source("d/" + std::to_string(i)),
                 random_bytes(static_cast<uint64_t>(i) + 2, 3000));
    }
    testing::make_hard_link(agent.source("d/3"), agent.source("e"));
    testing::let_clock_tick();
    trees.push_back(testing::describe_tree(agent.source()));
  }
  void change_tree() {
    write_file(agent.source("d/7"), random_bytes(100, 5000));
    write_file(agent.source("f/new"), random_bytes(101, 500'000));
    testing::remove_all(agent.source("d/8"));
    testing::let_clock_tick();
    trees.push_back(testing::describe_tree(agent.source()));
  }
  void expect_points_right(vault::Store& in) {
    ASSIGN(const auto reader, vault::VaultReader::open(in, vault.description, vault.secret));
    ASSIGN(const vault::PointList points, reader->points());
    EXPECT_TRUE(points.defects.empty()) << points.defects[0].name << points.defects[0].reason;
    for (const vault::RecoveryPoint& p : points.points) {
      testing::remove_all(agent.target());
      ASSIGN(const RestoreReport report, agent.restore({}, p.manifest.sequence, &in));
      EXPECT_EQ(report.problem_count, 0u);
      EXPECT_EQ(testing::describe_tree(agent.target()),
                trees[std::min<size_t>(p.manifest.sequence, trees.size()) - 1]);
    }
    ASSIGN(const vault::CheckReport check, testing::full_check(in, vault));
    for (const auto& f : check.damage) ADD_FAILURE() << f.object << ": " << f.what;
    EXPECT_TRUE(check.points.empty());
  }

  // Runs the backup from the state "start" until one runs through. Returns the number of kills.
  uint64_t kill_everywhere() {
    agent.save_memory("start");
    const auto start = store.copy();
    uint64_t kills = 0;
    for (uint64_t n = 0;; ++n) {
      for (const bool after_effect : {false, true}) {
        for (const bool hard : {false, true}) {
          SCOPED_TRACE("operation " + std::to_string(n) + (after_effect ? " after" : " before") +
                       (hard ? ", killed" : ", cut off"));
          const auto here = start->copy();
          agent.load_memory("start");
          testing::FaultyStore dying(*here);
          dying.kill_at(n, after_effect);
          uint64_t seen = 0;
          std::string struck;
          dying.on_operation = [&](const std::string&, const std::string& name) {
            if (seen++ != n) return;
            struck = name;
            agent.save_memory("moment");
          };
          const auto result = agent.backup(&dying);
          if (!dying.is_dead()) {
            EXPECT_OK(result);
            return kills;
          }
          ++kills;
          if (hard) agent.load_memory("moment");
          expect_points_right(*here);

          const auto next = agent.backup(here.get());
          EXPECT_OK(next);
          if (next.ok()) {
            EXPECT_EQ(next->problem_count, 0u);
          }
          expect_points_right(*here);
          // Of a pack whose success it never learned the agent knows nothing.
          const bool unknown_pack = after_effect && struck.starts_with(vault::kPacksPrefix);
          if (!unknown_pack) {
            for (const auto& [id, copies] : testing::stored_chunks(*here, vault.keys.vault)) {
              EXPECT_EQ(copies, 1) << "stored again: " << id.hex();
            }
          }
          if (HasFailure()) return kills;
        }
      }
    }
  }
};

TEST_F(Killed, AtEveryOperationOfTheFirstBackup) {
  make_first_tree();
  const uint64_t kills = kill_everywhere();
  EXPECT_GE(kills, 40u);
  RecordProperty("kills", static_cast<int>(kills));
}

TEST_F(Killed, AtEveryOperationOfALaterBackup) {
  make_first_tree();
  ASSERT_OK(agent.backup());
  change_tree();
  const uint64_t kills = kill_everywhere();
  EXPECT_GE(kills, 40u);
  RecordProperty("kills", static_cast<int>(kills));
}

TEST_F(Killed, AgainAndAgainBeforeOneRunsThrough) {
  make_first_tree();
  ASSERT_OK(agent.backup());
  change_tree();
  for (uint64_t n = 0;; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    testing::FaultyStore dying(store);
    dying.kill_at(n, n % 2 == 1);
    dying.on_operation = [&, seen = uint64_t{0}](const std::string&, const std::string&) mutable {
      if (seen++ == n) agent.save_memory("moment");
    };
    const auto result = agent.backup(&dying);
    if (!dying.is_dead()) {
      EXPECT_OK(result);
      break;
    }
    agent.load_memory("moment");
  }
  expect_points_right(store);
}

// 140 MB fill four packs. The fault strikes when the last of them is put, while the second is still
// on its way, by another thread: what lies between the first and the third is to be read again.
TEST_F(Killed, PacksOfALargeFileAreNeitherReadNorStoredAgain) {
  constexpr size_t kBytes = 140'000'000;
  write_file(agent.source("large"), random_bytes(1, kBytes));
  testing::let_clock_tick();
  trees.push_back(testing::describe_tree(agent.source()));
  testing::FaultyStore dying(store);
  std::mutex mutex;  // packs are put by several threads
  std::condition_variable struck;
  int packs = 0;
  dying.on_operation = [&](const std::string& kind, const std::string& name) {
    std::unique_lock lock(mutex);
    if (kind != "put" || !name.starts_with(vault::kPacksPrefix)) return;
    ++packs;
    if (packs == 2) {
      EXPECT_TRUE(struck.wait_for(lock, 5min, [&] { return packs == 4; }));
    }
    if (packs != 4) return;
    dying.kill_at(dying.operations(), false);
    agent.save_memory("moment");
    struck.notify_all();
  };
  BackupOptions options = agent.options();
  options.uploads = 2;
  ASSERT_FALSE(agent.backup(options, &dying).ok());
  ASSERT_TRUE(dying.is_dead());
  agent.load_memory("moment");
  ASSIGN(const BackupResult next, agent.backup());
  EXPECT_EQ(next.resumed_sessions, 1u);
  EXPECT_LT(next.point.stats.bytes_new, kBytes - 60'000'000);
  EXPECT_LT(agent.bytes_read(), kBytes - 60'000'000) << "what is stored need not be read";
  expect_points_right(store);
}

// Another write in the same tick would leave the same times, so nothing that was read before it can
// be told from what is there now.
TEST_F(Killed, PartsOfAFileThatChangedAMomentBeforeItWasOpenedAreReadAgain) {
  constexpr size_t kBytes = 80'000'000;
  const std::string file = agent.source("large");
  write_file(file, random_bytes(1, kBytes));
  testing::FaultyStore dying(store);
  std::atomic<int> packs = 0;
  dying.on_operation = [&](const std::string& kind, const std::string& name) {
    if (kind != "put" || !name.starts_with(vault::kPacksPrefix) || ++packs != 2) return;
    dying.kill_at(dying.operations(), false);
  };
  {
    const SystemCalls calls(file, [&](const std::string& call, const std::string&) {
      if (call == "openat") ::chmod(file.c_str(), 0600);
      return 0;
    });
    ASSERT_FALSE(agent.backup(&dying).ok());
  }
  ASSERT_TRUE(dying.is_dead());
  testing::let_clock_tick();
  trees.push_back(testing::describe_tree(agent.source()));
  ASSIGN(const BackupResult next, agent.backup());
  EXPECT_EQ(next.resumed_sessions, 1u);
  EXPECT_EQ(agent.bytes_read(), kBytes);
  expect_points_right(store);
}

}  // namespace
}  // namespace holdfast::backup_agent
