// Many clients, one seed: real sessions, collectors and a purge beside one another, killed,
// stalled, with errors, late puts and a clock that jumps. Goal: what was reported can be restored,
// and what breaks a store or a rule is found. Method: tests/support/sim_store.h; the ledger of
// tests/support/sim_machine.h restores every reported point now and then, and at the end.
//
// TEST_SEED=n replays one seed exactly, TEST_SEEDS=n runs so many; HOLDFAST_TRACE=1 prints what
// happened up to the first thing that was wrong.

#include <cstdlib>
#include <iostream>

#include "tests/support/seeds.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_faults.h"
#include "tests/support/sim_maintenance.h"
#include "tests/support/sim_random.h"
#include "vault/store/local_store.h"

namespace holdfast::testing {
namespace {

// A vault, two machines that back up, two that collect, and somebody who purges.
struct Cast {
  explicit Cast(uint64_t seed) : simulation(seed), randomness(seed) {}
  Simulation simulation;
  SeededRandomness randomness;
  TestVault vault{simulation.objects()};
  Ledger ledger{vault};
  vault::MaintainerKeys other = vault.add_maintainer(simulation.objects());
  Machine a{vault, ledger, "a", 12};
  Machine b{vault, ledger, "b", 12};
  CollectingMachine c{vault, vault.maintainer, 40};
  CollectingMachine d{vault, other, 40};
  Purger purger{vault, ledger, 14};
  std::string wrong;  // what the ledger found first

  void look() {
    if (!wrong.empty()) return;
    wrong = ledger.check(simulation.objects());
    if (!wrong.empty() && std::getenv("HOLDFAST_TRACE")) std::cout << simulation.trace();
  }
  void play(SimFaults faults) {
    simulation.add("a", faults, [&](SimStore& s) { a.run(s); });
    simulation.add("b", faults, [&](SimStore& s) { b.run(s); });
    simulation.add("c", faults, [&](SimStore& s) { c.run(s); });
    simulation.add("d", faults, [&](SimStore& s) { d.run(s); });
    simulation.add("purger", faults, [&](SimStore& s) { purger.run(s); });
    simulation.run([&] { look(); });
    look();
  }
};

constexpr SimFaults kUsual{20, 20, 20, 2};

TEST(Simulation, ASeedReplaysExactly) {
  const auto fingerprint = [](uint64_t seed) {
    Cast cast(seed);
    cast.play(kUsual);
    return cast.simulation.fingerprint();
  };
  const uint64_t first = fingerprint(7);
  EXPECT_EQ(fingerprint(7), first);
  EXPECT_NE(fingerprint(8), first);
}

TEST(Simulation, SessionsBesideOneAnotherLoseNothing) {
  uint64_t reported = 0;
  FOR_EACH_SEED(seed, 30) {
    Cast cast(seed);
    const SimFaults faults{50, 50, 50, 5};
    cast.simulation.add("a", faults, [&](SimStore& s) { cast.a.run(s); });
    cast.simulation.add("b", faults, [&](SimStore& s) { cast.b.run(s); });
    cast.simulation.run([&] { cast.look(); });
    cast.look();
    ASSERT_EQ(cast.wrong, "");
    reported += cast.a.reported() + cast.b.reported();
  }
  EXPECT_GT(reported, 0u);
}

TEST(Simulation, CollectionBesideBackupsLosesNothing) {
  uint64_t reported = 0;
  uint64_t deleted = 0;
  uint64_t copied = 0;
  uint64_t given_up = 0;
  uint64_t removed = 0;
  FOR_EACH_SEED(seed, 12) {
    Cast cast(seed);
    cast.play(kUsual);
    ASSERT_EQ(cast.wrong, "");
    // When all is quiet both can collect to the end, and nothing is left that a check minds.
    for (int i = 0; i < 4; ++i) {
      cast.simulation.pass(30 * kDay);
      const auto calm = run_collect(cast.simulation.objects(), cast.vault, cast.c.options,
                                    i % 2 == 0 ? nullptr : &cast.other);
      ASSERT_OK(calm);
    }
    cast.look();
    ASSERT_EQ(cast.wrong, "");
    const auto check = full_check(cast.simulation.objects(), cast.vault);
    ASSERT_OK(check);
    EXPECT_TRUE(check->points.empty());
    reported += cast.a.reported() + cast.b.reported();
    deleted += cast.c.packs_deleted + cast.d.packs_deleted;
    copied += cast.c.packs_copied + cast.d.packs_copied;
    given_up += cast.c.given_up + cast.d.given_up;
    removed += cast.purger.removed;
  }
  std::cout << reported << " points reported, " << removed << " purged, " << deleted
            << " packs deleted, " << copied << " rewritten, " << given_up << " sessions given up\n";
  // That nothing is lost means nothing if nothing happens.
  EXPECT_GT(reported, 0u);
  EXPECT_GT(removed, 0u);
  if (std::getenv("TEST_SEED") == nullptr) {
    EXPECT_GT(deleted, 0u);
    EXPECT_GT(copied, 0u);
    EXPECT_GT(given_up, 0u);
  }
}

// --- A disk that loses what was not synced ---

// Skips the named kinds of sync.
class HastyFiles final : public io::FileSystem {
 public:
  HastyFiles(io::FileSystem& behind, bool skips) : behind_(behind), skips_(skips) {}
  Result<std::unique_ptr<io::WritableFile>> create(const std::string& path) override {
    TRY(auto file, behind_.create(path));
    if (!skips_) return file;
    return std::unique_ptr<io::WritableFile>(new HastyFile(std::move(file)));
  }
  Result<std::unique_ptr<io::ReadableFile>> open(const std::string& path) override {
    return behind_.open(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return behind_.rename(from, to);
  }
  Status rename_new(const std::string& from, const std::string& to) override {
    return behind_.rename_new(from, to);
  }
  Status remove(const std::string& path) override { return behind_.remove(path); }
  Status make_directory(const std::string& path) override { return behind_.make_directory(path); }
  Status sync_directory(const std::string& path) override {
    return skips_ ? Status() : behind_.sync_directory(path);
  }
  Result<io::FileInfo> info(const std::string& path) override { return behind_.info(path); }
  Result<std::vector<io::DirectoryEntry>> list(const std::string& path) override {
    return behind_.list(path);
  }
  Result<bool> is_network(const std::string& path) override { return behind_.is_network(path); }
  Result<io::Space> space(const std::string& path) override { return behind_.space(path); }
  io::TimeNs now_ns() override { return behind_.now_ns(); }

 private:
  class HastyFile final : public io::WritableFile {
   public:
    explicit HastyFile(std::unique_ptr<io::WritableFile> file) : file_(std::move(file)) {}
    Status write(ByteView bytes) override { return file_->write(bytes); }
    Status sync() override { return {}; }
    Status close() override { return file_->close(); }

   private:
    std::unique_ptr<io::WritableFile> file_;
  };
  io::FileSystem& behind_;
  const bool skips_;
};

// Machines back up into a directory until the power goes; what was reported before must be there.
std::string lose_power(uint64_t seed, bool skips_syncs) {
  Simulation simulation(seed);
  const SeededRandomness randomness(seed);
  SimDisk disk(seed);
  // The vault itself is old and safe.
  const auto safe = vault::LocalStore::create(disk, "/vault").value();
  const TestVault vault(*safe);
  HastyFiles files(disk, skips_syncs);
  const auto store = vault::LocalStore::open(files, "/vault").value();
  simulation.use(*store);
  Ledger ledger(vault);
  Machine a(vault, ledger, "a", 5);
  Machine b(vault, ledger, "b", 5);
  disk.cut_power_at(disk.operations() + 50 + simulation.random()() % 1500);
  simulation.add("a", {}, [&](SimStore& s) { a.run(s); });
  simulation.add("b", {}, [&](SimStore& s) { b.run(s); });
  simulation.run();
  if (disk.has_power()) disk.cut_power_at(disk.operations());
  const auto ignored = disk.list("/vault");
  disk.reboot(seed);
  const auto after = vault::LocalStore::open(disk, "/vault").value();
  return ledger.check(*after);
}

TEST(Simulation, PowerLossLosesNothingReported) {
  FOR_EACH_SEED(seed, 30) {
    ASSERT_EQ(lose_power(seed, false), "");
  }
}

TEST(Simulation, SyncsThatAreLeftOutAreFound) {
  int found = 0;
  FOR_EACH_SEED(seed, 5) found += lose_power(seed, true).empty() ? 0 : 1;
  EXPECT_GT(found, 0);
}

// --- Planted ---

struct Plant {
  const char* name;
  void (*in)(Cast&);
  SimFaults faults = kUsual;
  uint64_t first_seed = 1;  // one that finds it as the code is, so that CI need not search
};
[[maybe_unused]] void PrintTo(const Plant& p, std::ostream* out) {
  *out << p.name;
}

using Layer = std::function<std::unique_ptr<vault::Store>(SimStore&)>;
template <class L, class... More>
Layer layer(More... more) {
  return [=](SimStore& s) { return std::unique_ptr<vault::Store>(new L(s, more...)); };
}
void both_machines(Cast& cast, const Layer& layer) {
  cast.a.wrap = cast.b.wrap = layer;
}
void both_collectors(Cast& cast, const Layer& layer) {
  cast.c.wrap = cast.d.wrap = layer;
}

const Plant kPlants[] = {
    {"ManifestIsNotPut",
     [](Cast& cast) {
       both_machines(cast, [](SimStore& s) {
         return std::unique_ptr<vault::Store>(new LosesPuts(s, "points/", 4, s));
       });
     }},
    {"FailedListsAreEmpty", [](Cast& cast) { both_collectors(cast, layer<EmptyForErrors>()); }},
    {"CollectorSeesNoSessions",
     [](Cast& cast) { both_collectors(cast, layer<BlindTo>(std::string("sessions/"))); }, kUsual,
     19},
    {"CollectorMissesPoints",
     [](Cast& cast) { both_collectors(cast, layer<BlindTo>(std::string("/0000000005"))); }, kUsual,
     19},
};

class SimulationPlant : public ::testing::TestWithParam<Plant> {};
TEST_P(SimulationPlant, IsFound) {
  constexpr uint64_t kSeedsMax = 120;
  for (uint64_t n = 0; n < kSeedsMax; ++n) {
    const uint64_t seed = GetParam().first_seed + n;
    Cast cast(seed);
    GetParam().in(cast);
    cast.play(GetParam().faults);
    if (cast.wrong.empty()) continue;
    std::cout << "seed " << seed << ": " << cast.wrong;
    return;
  }
  FAIL() << "not found in " << kSeedsMax << " seeds";
}
std::string plant_name(const ::testing::TestParamInfo<Plant>& plant) {
  return plant.param.name;
}
INSTANTIATE_TEST_SUITE_P(Families, SimulationPlant, ::testing::ValuesIn(kPlants), plant_name);

}  // namespace
}  // namespace holdfast::testing
