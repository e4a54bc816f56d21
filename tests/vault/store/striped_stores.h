// What the tests of stores over several directories share: such stores on a simulated disk, and
// what to do to their directories.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/expect.h"
#include "tests/support/sim_disk.h"
#include "tests/support/test_vault.h"
#include "vault/store/striped_store.h"

namespace holdfast::testing {

using vault::kStripeBlockBytes;
using vault::ObjectInfo;
using vault::PartsReport;
using vault::Store;
using vault::StripedStore;

inline std::vector<std::string> places(unsigned n) {
  std::vector<std::string> out;
  for (unsigned i = 0; i < n; ++i) out.push_back("/" + std::to_string(i));
  return out;
}

inline std::unique_ptr<StripedStore> make(SimDisk& disk, unsigned k, unsigned m) {
  return StripedStore::create(disk, k, m, places(k + m), {.parallel = false, .hints = {}}).value();
}
inline Result<std::unique_ptr<StripedStore>> reopen(SimDisk& disk, const std::string& at = "/0",
                                                    std::vector<std::string> hints = {}) {
  return StripedStore::open(disk, at, {.parallel = false, .hints = std::move(hints)});
}

// Removes everything in a directory.
inline void wipe(SimDisk& disk, const std::string& root) {
  ASSIGN(const auto entries, disk.list(root));
  for (const io::DirectoryEntry& e : entries) {
    if (e.is_directory) wipe(disk, root + "/" + e.name);
    ASSERT_OK(disk.remove(root + "/" + e.name));
  }
}
inline void hide(SimDisk& disk, const std::string& root) {
  ASSERT_OK(disk.rename(root + "/stripe", root + "/stripe-hidden"));
}
inline void show(SimDisk& disk, const std::string& root) {
  ASSERT_OK(disk.rename(root + "/stripe-hidden", root + "/stripe"));
}

using Objects = std::map<std::string, Bytes>;

// Packs around every edge of shards and blocks, and small objects of both kinds.
inline Objects fill(Store& store, unsigned k) {
  Objects objects;
  uint64_t seed = 1;
  for (const uint64_t size :
       {uint64_t{kStripeBlockBytes}, uint64_t{kStripeBlockBytes} + 1,
        uint64_t{kStripeBlockBytes} * k, uint64_t{kStripeBlockBytes} * k + k - 1, uint64_t{300'000},
        uint64_t{1'000'003}}) {
    objects["packs/aa/" + std::to_string(seed)] = random_bytes(seed, size);
    ++seed;
  }
  for (const size_t size : {0, 1, 200, 65'536, 65'537, 200'000}) {
    objects["index/bb/" + std::to_string(seed)] = random_bytes(seed, size);
    ++seed;
  }
  for (const auto& [name, content] : objects) EXPECT_OK(store.put(name, content));
  for (unsigned i = 1; i < 8; ++i) {
    const std::string name = "points/cc/" + std::to_string(i);
    objects[name] = random_bytes(100 + i, 500 * i);
    EXPECT_OK(store.put_if_absent(name, objects[name]));
  }
  return objects;
}

inline void expect_all(Store& store, const Objects& objects, const std::string& where) {
  SCOPED_TRACE(where);
  ASSIGN(const auto listed, store.list(""));
  std::vector<std::string> names;
  for (const ObjectInfo& info : listed) {
    names.push_back(info.name);
    const auto it = objects.find(info.name);
    ASSERT_NE(it, objects.end()) << info.name;
    EXPECT_EQ(info.size_bytes, it->second.size()) << info.name;
    EXPECT_GT(info.stored_ns, 0);
  }
  EXPECT_EQ(names.size(), objects.size());
  for (const auto& [name, content] : objects) {
    ASSIGN(const Bytes got, store.get(name, 1 << 26));
    ASSERT_EQ(got, content) << name;
    ASSIGN(const auto view, store.view(name));
    ASSERT_TRUE(equal(view->bytes(), content)) << name;
    if (content.size() < 3) continue;
    Bytes middle(content.size() / 3);
    ASSERT_OK(store.get_range(name, content.size() / 3, middle));
    ASSERT_TRUE(equal(middle, ByteView(content).subspan(content.size() / 3, middle.size())));
    ASSIGN(const ObjectInfo info, store.head(name));
    EXPECT_EQ(info.size_bytes, content.size());
  }
}

// Every object's every part whole.
inline void expect_whole(StripedStore& store) {
  ASSIGN(const auto names, store.part_names());
  for (const std::string& name : names) {
    ASSIGN(const PartsReport report, store.verify_parts(name, {}));
    EXPECT_TRUE(report.whole()) << name << ": " << report.parts_good << " of "
                                << report.parts_wanted
                                << (report.faults.empty() ? "" : ", " + report.faults[0]);
  }
}

inline void repair_all(StripedStore& store) {
  ASSIGN(const auto names, store.part_names());
  for (const std::string& name : names) {
    ASSIGN(const PartsReport report, store.repair_parts(name, false, {}));
    EXPECT_TRUE(report.readable) << name;
    EXPECT_EQ(report.parts_good + report.parts_rebuilt, report.parts_wanted) << name;
  }
  ASSERT_OK(store.finish_repair());
}

template <class Work>
void for_each_subset(unsigned n, unsigned size, const Work& work) {
  for (unsigned bits = 0; bits < (1u << n); ++bits) {
    if (static_cast<unsigned>(__builtin_popcount(bits)) != size) continue;
    std::vector<unsigned> chosen;
    for (unsigned i = 0; i < n; ++i) {
      if ((bits >> i & 1) != 0) chosen.push_back(i);
    }
    work(chosen);
  }
}

}  // namespace holdfast::testing
