// Actors of simulations: machines that back up, and the ledger that knows what must be restorable.
//
// A machine does with vault::Session what the agent does: it remembers its last point and the packs
// of sessions that were interrupted, builds on the one and adopts the others, advances in long
// sessions, is killed and goes on. Its files take few different contents, so that what was purged
// is often wanted again, and machines share chunks.
#pragma once

#include <deque>

#include "tests/support/sim_store.h"
#include "tests/support/test_vault.h"

namespace holdfast::testing {

// What was reported. Every point must be restorable, byte for byte, until it is purged.
class Ledger {
 public:
  struct Point {
    vault::ItemId item;
    vault::CommittedPoint committed;
    vault::ChunkId root;
    std::vector<TestFile> files;
    bool purged = false;
  };
  explicit Ledger(const TestVault& vault) : vault_(vault) {}

  void report(Point point) { points_.push_back(std::move(point)); }
  // References to points stay good when others are added.
  std::deque<Point>& points() { return points_; }
  size_t kept() const;
  // Reads every point that was not purged, through a store that nobody else uses meanwhile. What is
  // wrong, in words; empty: nothing.
  std::string check(vault::Store& store) const;

 private:
  const TestVault& vault_;
  std::deque<Point> points_;
};

struct Actor {
  virtual ~Actor() = default;
  virtual void run(SimStore& store) = 0;
};

class Machine final : public Actor {
 public:
  Machine(const TestVault& vault, Ledger& ledger, const std::string& item, int backups)
      : vault_(vault),
        ledger_(ledger),
        name_(item),
        item_(vault.keys.item_id(item)),
        backups_(backups) {}

  void run(SimStore& store) override;
  // Between two runs, what another process of this machine knows too.
  void forget_base() { memory_.base.reset(); }
  const vault::ItemId& item() const { return item_; }
  uint64_t reported() const { return reported_; }
  // Between the machine and the store; for faults that only this one meets.
  std::function<std::unique_ptr<vault::Store>(SimStore&)> wrap;
  // Calls that failed for another reason than a killed machine or an injected error.
  std::vector<std::string> failures;

 private:
  static constexpr size_t kFiles = 5;
  using Variants = std::array<uint8_t, kFiles>;
  struct Base {
    vault::BasePoint point;
    Variants variants{};
  };
  // On the machine's disk.
  struct Memory {
    std::optional<Base> base;
    std::optional<vault::BasePoint> head;
    std::vector<vault::AdoptedSession> interrupted;
  };

  Status back_up(SimStore& sim, vault::Store& store);
  Result<vault::ChunkId> store_tree(SimStore& sim, vault::Session& session,
                                    const Variants& variants);

  const TestVault& vault_;
  Ledger& ledger_;
  const std::string name_;
  const vault::ItemId item_;
  const int backups_;
  Memory memory_;
  uint64_t reported_ = 0;
};

}  // namespace holdfast::testing
