// A backup session on a directory store whose disk loses power: before every single operation, with
// several outcomes for what was not synced. What was reported as committed reads back byte for
// byte, the check is clean of it, and the next session works.

#include "tests/support/sim_disk.h"
#include "tests/support/test_vault.h"
#include "vault/store/local_store.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

TEST(PowerCut, AtEveryDiskOperationOfASession) {
  const std::vector<TestFile> before{{"a", random_bytes(1, 20'000)},
                                     {"b", random_bytes(2, 300'000)}};
  std::vector<TestFile> after = before;
  after.push_back({"c", random_bytes(3, 40'000)});
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; ++cut) {
    bool ran_through = false;
    for (uint64_t outcome = 0; outcome < 3; ++outcome) {
      SCOPED_TRACE("cut " + std::to_string(cut) + " outcome " + std::to_string(outcome));
      testing::SimDisk disk;
      auto store = LocalStore::create(disk, "/vault").value();
      const testing::TestVault vault(*store);
      ASSIGN(const auto first, testing::write_point(*store, vault, before));
      SessionRequest request;
      request.item = vault.item;
      request.base = BasePoint{first.point.sequence, first.point.sha256};

      disk.cut_power_at(disk.operations() + cut);
      const auto second = testing::write_point(*store, vault, after, request);
      ran_through = disk.has_power();
      disk.reboot(cut * 10 + outcome);
      ++cuts;

      auto again = LocalStore::open(disk, "/vault").value();
      const DomainId domain = vault.keys.domain.id;
      ASSERT_OK(testing::expect_files(*again, vault, first.root, domain, before));
      if (second.ok()) {
        ASSERT_OK(testing::expect_files(*again, vault, second->root, domain, after));
      }
      ASSIGN(const CheckReport report, testing::full_check(*again, vault));
      EXPECT_TRUE(report.points.empty());
      EXPECT_TRUE(report.damage.empty())
          << report.damage[0].object << ": " << report.damage[0].what;
      ASSIGN(const auto third, testing::write_point(*again, vault, after, request));
      ASSERT_OK(testing::expect_files(*again, vault, third.root, domain, after));
    }
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 150u);
  RecordProperty("cuts", static_cast<int>(cuts));
}

}  // namespace
}  // namespace holdfast::vault
