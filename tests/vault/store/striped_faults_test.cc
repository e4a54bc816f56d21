// A store over several directories while writers race, operations fail, and the power goes: what
// was reported is there, one of two writers wins, and a full directory is said.

#include <algorithm>
#include <random>
#include <thread>

#include "tests/support/seeds.h"
#include "tests/vault/store/striped_stores.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

using testing::hide;
using testing::make;
using testing::random_bytes;
using testing::reopen;
using testing::show;
using testing::SimDisk;

// Two writers that see different directories: one wins, and everybody agrees which.
TEST(StripedStore, PutIfAbsentHasOneWinnerWhateverEachWriterSees) {
  FOR_EACH_SEED(seed, 300) {
    std::mt19937_64 random(seed);
    const unsigned k = 2 + random() % 3;
    const unsigned m = 1 + random() % 2;
    SimDisk disk;
    make(disk, k, m);
    const auto blind = [&] {
      std::vector<std::string> hidden;
      for (unsigned i = 0; i < m; ++i) {
        const std::string root = "/" + std::to_string(random() % (k + m));
        if (std::find(hidden.begin(), hidden.end(), root) == hidden.end()) hidden.push_back(root);
      }
      for (const std::string& root : hidden) hide(disk, root);
      std::string from = "/0";
      while (std::find(hidden.begin(), hidden.end(), from) != hidden.end()) {
        from = "/" + std::to_string(random() % (k + m));
      }
      auto store = reopen(disk, from).value();
      for (const std::string& root : hidden) show(disk, root);
      return store;
    };
    const auto a = blind();
    const auto b = blind();
    std::atomic<int> won{0};
    const auto write = [&](StripedStore& store, const char* text) {
      if (store.put_if_absent("points/x", as_bytes(text)).ok()) ++won;
    };
    std::thread other([&] { write(*b, "b"); });
    write(*a, "a");
    other.join();
    EXPECT_LE(won, 1);
    if (k > m) {
      EXPECT_EQ(won, 1);
    }
    if (won == 0) continue;  // where k is at most m, k directories may be too few
    const auto all = reopen(disk).value();
    ASSIGN(const Bytes got, all->get("points/x", 10));
    ASSIGN(const Bytes seen_by_a, a->get("points/x", 10));
    ASSIGN(const Bytes seen_by_b, b->get("points/x", 10));
    EXPECT_EQ(seen_by_a, got);
    EXPECT_EQ(seen_by_b, got);
    // The other took its copies back.
    ASSIGN(const PartsReport parts, all->verify_parts("points/x", {}));
    EXPECT_TRUE(parts.whole()) << (parts.faults.empty() ? "" : parts.faults[0]);
  }
}

// --- Errors and power cuts at every operation ---

TEST(StripedStore, ReportedMeansDurableAtEveryPowerCut) {
  const Bytes pack = random_bytes(1, 150'000);
  const Bytes point = random_bytes(2, 300);
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; ++cut) {
    bool ran_through = false;
    for (uint64_t outcome = 0; outcome < 6; ++outcome) {
      SimDisk disk;
      auto store = make(disk, 2, 1);
      disk.cut_power_at(disk.operations() + cut);
      // What only some disks have got when the power goes is reported to nobody.
      const bool pack_put = store->put("packs/s/1", pack).ok() && disk.has_power();
      const bool point_put =
          pack_put && store->put_if_absent("points/i/1", point).ok() && disk.has_power();
      const bool removed = point_put && store->remove("packs/s/1").ok() && disk.has_power();
      ran_through = disk.has_power();
      disk.reboot(outcome * 7919 + cut);
      ++cuts;
      // Also with one directory less.
      for (int lost = -1; lost < 3; ++lost) {
        if (lost >= 0) hide(disk, "/" + std::to_string(lost));
        const auto again = reopen(disk, lost == 0 ? "/1" : "/0").value();
        ASSIGN(const auto listed, again->list(""));
        for (const auto& [name, content, put] :
             {std::tuple{"packs/s/1", pack, pack_put && !point_put},
              std::tuple{"points/i/1", point, point_put}}) {
          const auto got = again->get(name, 1 << 20);
          if (put) {
            ASSERT_TRUE(got.ok()) << name << " cut " << cut << " lost " << lost;
          }
          if (got.ok()) {
            EXPECT_EQ(*got, content);
          } else if (lost < 0) {
            EXPECT_TRUE(is_absent(got.error())) << got.error().message();
          } else {
            // Shards of a put that did not end: the missing directory could have the rest.
            EXPECT_TRUE(is_absent(got.error()) || !is_verdict(got.error()));
          }
          const bool is_listed = std::any_of(listed.begin(), listed.end(),
                                             [&, n = name](auto& i) { return i.name == n; });
          EXPECT_EQ(is_listed, got.ok() || !is_absent(got.error()))
              << name << " cut " << cut << " lost " << lost;
        }
        if (removed) {
          EXPECT_FALSE(again->head("packs/s/1").ok());
        }
        if (lost >= 0) show(disk, "/" + std::to_string(lost));
      }
      // The next one works, and repair makes all of it whole.
      const auto again = reopen(disk).value();
      ASSERT_OK(again->put("packs/s/2", pack));
      (void)again->put_if_absent("points/i/1", point);
      ASSERT_OK(again->head("points/i/1"));
      ASSIGN(const auto names, again->part_names());
      for (const std::string& name : names) ASSERT_OK(again->repair_parts(name, false, {}));
      ASSERT_OK(again->finish_repair());
      for (const std::string& name : names) {
        ASSIGN(const PartsReport report, again->verify_parts(name, {}));
        EXPECT_TRUE(report.whole() || !report.is_object) << name;
      }
    }
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 200u);
  RecordProperty("cuts", static_cast<int>(cuts));
}

TEST(StripedStore, EveryErrorIsReportedOrSurvived) {
  const Bytes pack = random_bytes(1, 150'000);
  const Bytes point = random_bytes(2, 300);
  uint64_t faults = 0;
  for (const std::errc code :
       {std::errc::io_error, std::errc::no_space_on_device, std::errc::read_only_file_system}) {
    for (const bool after : {false, true}) {
      for (uint64_t n = 0;; ++n) {
        SimDisk disk;
        auto store = make(disk, 3, 2);
        ASSERT_OK(store->put("packs/s/0", pack));
        const uint64_t start = disk.operations();
        disk.fail_operation(start + n, code, after);
        const bool pack_put = store->put("packs/s/1", pack).ok();
        const bool point_put = store->put_if_absent("points/i/1", point).ok();
        const auto old = store->get("packs/s/0", 1 << 20);
        const auto listed = store->list("");
        const bool removed = store->remove("packs/s/0").ok();
        if (disk.operations() <= start + n) break;
        ++faults;
        ASSERT_OK(old);
        EXPECT_EQ(*old, pack);
        ASSERT_OK(listed);
        disk.reboot(n);
        store = reopen(disk).value();
        for (const auto& [name, content, put] : {std::tuple{"packs/s/1", pack, pack_put},
                                                 std::tuple{"points/i/1", point, point_put}}) {
          const auto got = store->get(name, 1 << 20);
          if (put) {
            ASSERT_TRUE(got.ok()) << name << " " << n;
          }
          if (got.ok()) {
            EXPECT_EQ(*got, content);
          }
        }
        if (removed) {
          EXPECT_FALSE(store->head("packs/s/0").ok()) << n;
        }
      }
    }
  }
  EXPECT_GT(faults, 200u);
  RecordProperty("faults", static_cast<int>(faults));
}

// --- Reserved space ---

TEST(StripedStore, TheReserveIsSpaceThatCanBeHad) {
  SimDisk disk;
  auto store = make(disk, 2, 1);
  ASSERT_OK(store->set_reserve(1 << 20));
  EXPECT_TRUE(store->list("")->empty()) << "it is no object";
  disk.set_capacity(2'000'000);
  const Bytes pack = random_bytes(1, 400'000);
  EXPECT_ERROR(std::errc::no_space_on_device, store->put("packs/a/b", pack));
  ASSIGN(const uint64_t freed, store->release_reserve());
  EXPECT_EQ(freed, uint64_t{3} << 19);
  ASSERT_OK(store->put("packs/a/b", pack));
  EXPECT_ERROR(std::errc::no_space_on_device, store->restore_reserve());
  ASSERT_OK(store->remove("packs/a/b"));
  ASSERT_OK(store->restore_reserve());
  EXPECT_EQ(*store->release_reserve(), freed);
}

}  // namespace
}  // namespace holdfast::vault
