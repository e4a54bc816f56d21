// Maintenance in simulations: machines that collect, and whoever takes points out of the vault.
#pragma once

#include "tests/support/collecting.h"
#include "tests/support/sim_machine.h"
#include "tests/support/temp_directory.h"

namespace holdfast::testing {

// Collects again and again, is killed, goes on; takes other maintainers' runs for dead sooner than
// anybody should.
class CollectingMachine final : public Actor {
 public:
  CollectingMachine(const TestVault& vault, const vault::MaintainerKeys& keys, int calls);
  void run(SimStore& store) override;

  vault::CollectOptions options;
  // Between the machine and the store; for faults that only this one meets.
  std::function<std::unique_ptr<vault::Store>(SimStore&)> wrap;
  uint64_t runs_done = 0;
  uint64_t packs_deleted = 0;
  uint64_t packs_copied = 0;
  uint64_t given_up = 0;
  // Calls that failed for another reason than a killed machine or an injected error.
  std::vector<std::string> failures;

 private:
  const TestVault& vault_;
  const vault::MaintainerKeys keys_;
  const int calls_;
  TempDirectory directory_{TempDirectory::fast_place()};
};

// Purges reported points, but never an item's newest: the record first, then, when no open session
// builds on it, the manifest.
class Purger final : public Actor {
 public:
  Purger(const TestVault& vault, Ledger& ledger, int calls)
      : vault_(vault), ledger_(ledger), calls_(calls) {}
  void run(SimStore& store) override;

  bool waits_for_sessions = true;  // false: a mistake
  uint64_t purged = 0;
  uint64_t removed = 0;

 private:
  Status record(SimStore& store, Ledger::Point& point);
  Result<bool> is_base_of_open_session(SimStore& store, const Ledger::Point& point);
  Status remove_manifests(SimStore& store);

  const TestVault& vault_;
  Ledger& ledger_;
  const int calls_;
  std::vector<Ledger::Point> to_remove_;
};

}  // namespace holdfast::testing
