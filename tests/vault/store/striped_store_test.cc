// A store over several directories: what is served, what is refused and what is repaired when
// directories vanish, come back stale or empty, and when parts are damaged. The drills take away
// every combination that the redundancy is for.

#include "vault/store/striped_store.h"

#include <algorithm>

#include "tests/vault/store/striped_stores.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

using testing::expect_all;
using testing::expect_whole;
using testing::fill;
using testing::for_each_subset;
using testing::hide;
using testing::make;
using testing::Objects;
using testing::random_bytes;
using testing::reopen;
using testing::repair_all;
using testing::show;
using testing::SimDisk;
using testing::wipe;

TEST(StripedStore, PacksAreStripesAndTheRestIsCopies) {
  SimDisk disk;
  const auto store = make(disk, 4, 2);
  const Bytes pack = random_bytes(1, 1'000'000);
  ASSERT_OK(store->put("packs/aa/x", pack));
  ASSERT_OK(store->put("index/aa/x", pack));
  uint64_t of_pack = 0;
  uint64_t of_index = 0;
  unsigned copies = 0;
  for (const std::string& file : disk.all_files()) {
    const uint64_t size = disk.peek("/" + file)->size();
    if (file.find("packs/") != std::string::npos) of_pack += size;
    if (file.find("index/") != std::string::npos) ++copies, of_index += size;
  }
  EXPECT_EQ(copies, 3u);
  EXPECT_LT(of_pack, pack.size() * 3 / 2 + 6000) << "six shards of a quarter each";
  EXPECT_LT(of_index, pack.size() * 3 + 6000);
}

// m directories vanish with everything in them: all is served, from any directory that is left;
// empty ones take their place and are filled; then m others vanish.
TEST(StripedStore, AnyDirectoriesThatItIsForMayVanishAndAreRepaired) {
  for (const auto& [k, m] : {std::pair{2u, 1u}, {4u, 2u}, {3u, 3u}, {1u, 1u}}) {
    for_each_subset(k + m, m, [&, k = k, m = m](const std::vector<unsigned>& lost) {
      SimDisk disk;
      const Objects objects = fill(*make(disk, k, m), k);
      for (const unsigned i : lost) wipe(disk, "/" + std::to_string(i));
      std::string survivor;
      for (unsigned i = 0; i < k + m; ++i) {
        if (std::find(lost.begin(), lost.end(), i) == lost.end())
          survivor = "/" + std::to_string(i);
      }
      {
        const auto store = reopen(disk, survivor);
        ASSERT_OK(store);
        EXPECT_EQ((*store)->take_warnings().size(), lost.size());
        expect_all(**store, objects, "degraded");
        // Half of them at their old place, half at a new one.
        for (const unsigned i : lost) {
          ASSERT_OK((*store)->replace_missing(i % 2 == 0 ? "/" + std::to_string(i)
                                                         : "/new-" + std::to_string(i)));
        }
        expect_all(**store, objects, "empty directories in the place of the lost");
        repair_all(**store);
        expect_whole(**store);
      }
      // As many others are lost now.
      std::vector<unsigned> next;
      for (unsigned i = 0; i < k + m && next.size() < m; ++i) {
        if ("/" + std::to_string(i) != survivor &&
            std::find(lost.begin(), lost.end(), i) == lost.end()) {
          next.push_back(i);
        }
      }
      for (const unsigned i : lost) {
        if (next.size() < m) next.push_back(i);
      }
      ASSIGN(const auto before, reopen(disk, survivor));
      std::vector<std::string> roots;
      for (const PlaceStatus& place : before->places()) {
        if (std::find(next.begin(), next.end(), place.number) != next.end()) {
          roots.push_back(place.path);
        }
      }
      for (const std::string& root : roots) wipe(disk, root);
      ASSIGN(const auto store, reopen(disk, survivor));
      expect_all(*store, objects, "others lost after the repair");
    });
  }
}

TEST(StripedStore, OneDirectoryTooManyIsSaidAndNothingIsCalledAbsent) {
  SimDisk disk;
  const Objects objects = fill(*make(disk, 3, 2), 3);
  auto store = reopen(disk).value();
  for (const char* root : {"/1", "/2", "/3"}) hide(disk, root);
  // The store that was open.
  EXPECT_FALSE(store->list("").ok());
  for (const auto& [name, content] : objects) {
    const auto got = store->head(name);
    if (!got.ok()) {
      EXPECT_FALSE(is_verdict(got.error())) << got.error().message();
    }
  }
  const auto none = store->head("points/none");
  ASSERT_FALSE(none.ok());
  EXPECT_FALSE(is_absent(none.error()));
  // One that is opened now.
  const auto again = reopen(disk);
  EXPECT_ERROR(std::errc::no_such_device, again);
  EXPECT_NE(again.error().context.find("/2"), std::string::npos);
  show(disk, "/2");
  expect_all(*reopen(disk).value(), objects, "one of them is back");
}

// Flips a bit in every block of m shards, in the header and in the table; also cuts files off and
// empties them. The same for copies: all but one.
TEST(StripedStore, AnyPartsThatItIsForMayBeDamagedAndAreRepaired) {
  constexpr unsigned k = 4;
  constexpr unsigned m = 2;
  for (int how = 0; how < 6; ++how) {
    for_each_subset(k + m, m, [&](const std::vector<unsigned>& bad) {
      SimDisk disk;
      auto store = make(disk, k, m);
      const Objects objects = fill(*store, k);
      uint64_t damaged = 0;
      for (const std::string& file : disk.all_files()) {
        const unsigned root = static_cast<unsigned>(file[0] - '0');
        if (file.ends_with("/stripe") || std::find(bad.begin(), bad.end(), root) == bad.end()) {
          continue;
        }
        Bytes bytes = *disk.peek("/" + file);
        switch (how) {
          case 0:
            for (size_t i = bytes.size() % 1000; i < bytes.size(); i += 30'000) bytes[i] ^= 1;
            break;
          case 1:
            bytes[40] ^= 4;  // the header
            break;
          case 2: {  // the table, where there is one
            const bool is_shard = file.find("packs/") != std::string::npos;
            bytes[std::min(bytes.size() - 1, kShardHeaderFixedBytes + 32u * (is_shard ? 7 : 2))] ^=
                4;
            break;
          }
          case 3:
            bytes.resize(bytes.size() / 2);
            break;
          case 4:
            bytes.clear();
            break;
          default:
            bytes.push_back(7);
        }
        disk.poke("/" + file, bytes);
        ++damaged;
      }
      EXPECT_GT(damaged, 10u);
      expect_all(*reopen(disk).value(), objects, "damaged " + std::to_string(how));
      store = reopen(disk).value();
      repair_all(*store);
      expect_whole(*store);
      expect_all(*store, objects, "repaired " + std::to_string(how));
    });
  }
}

// Every byte of one shard and one copy, one at a time.
TEST(StripedStore, AFlippedBitAnywhereIsReadAround) {
  SimDisk disk;
  auto store = make(disk, 2, 1);
  const Bytes pack = random_bytes(1, kStripeBlockBytes + 100);
  const Bytes small = random_bytes(2, 50);
  ASSERT_OK(store->put("packs/a/b", pack));
  ASSERT_OK(store->put_if_absent("points/a", small));
  for (const std::string& file : disk.all_files()) {
    if (file.ends_with("/stripe")) continue;
    const Bytes good = *disk.peek("/" + file);
    for (size_t i = 0; i < good.size(); i += i < 1000 ? 1 : 997) {
      Bytes bytes = good;
      bytes[i] ^= 0x20;
      disk.poke("/" + file, bytes);
      const auto again = reopen(disk).value();
      ASSERT_EQ(*again->get("packs/a/b", 1 << 20), pack) << file << " " << i;
      ASSERT_EQ(*again->get("points/a", 1 << 20), small) << file << " " << i;
      const std::string name = file.substr(2);
      ASSIGN(const PartsReport report, again->verify_parts(name, {}));
      EXPECT_TRUE(report.readable);
      EXPECT_FALSE(report.whole()) << file << " " << i;
    }
    disk.poke("/" + file, good);
  }
  // Different blocks of more shards than m: every row still has enough.
  const Bytes wide = random_bytes(3, 2 * 3 * kStripeBlockBytes);
  ASSERT_OK(store->put("packs/a/wide", wide));
  const auto layout = ShardHeader{.kind = ShardKind::shard,
                                  .data_shards = 2,
                                  .parity_shards = 1,
                                  .object_bytes = wide.size(),
                                  .tables = {{}, {}, {}}};
  for (unsigned i = 0; i < 3; ++i) {
    const std::string path = "/" + std::to_string(i) + "/packs/a/wide";
    Bytes bytes = *disk.peek(path);
    bytes[layout.data_offset() + i * kStripeBlockBytes] ^= 1;
    disk.poke(path, bytes);
  }
  const auto again = reopen(disk).value();
  ASSERT_EQ(*again->get("packs/a/wide", 1 << 20), wide);
  ASSIGN(const PartsReport repaired, again->repair_parts("packs/a/wide", false, {}));
  EXPECT_EQ(repaired.parts_rebuilt, 3u);
  expect_whole(*again);
}

TEST(StripedStore, TooMuchDamageIsDamageAndIsLeftAlone) {
  SimDisk disk;
  auto store = make(disk, 2, 1);
  ASSERT_OK(store->put("packs/a/b", random_bytes(1, 200'000)));
  ASSERT_OK(store->put("index/a", random_bytes(2, 500)));
  for (const std::string& file : disk.all_files()) {
    if (file.ends_with("/stripe")) continue;
    Bytes bytes = *disk.peek("/" + file);
    bytes.back() ^= 1;
    disk.poke("/" + file, bytes);
  }
  store = reopen(disk).value();
  const auto before = disk.all_files();
  for (const char* name : {"packs/a/b", "index/a"}) {
    EXPECT_ERROR(Errc::damaged, store->get(name, 1 << 20));
    EXPECT_OK(store->head(name));
    ASSIGN(const PartsReport report, store->repair_parts(name, false, {}));
    EXPECT_FALSE(report.readable);
    EXPECT_EQ(report.parts_rebuilt, 0u);
  }
  EXPECT_EQ(disk.all_files(), before);
}

// --- Directories that go away and come back ---

TEST(StripedStore, WritesGoOnWithoutADirectoryAndNothingIsMadeInItsPlace) {
  SimDisk disk;
  auto store = make(disk, 4, 2);
  const Bytes pack = random_bytes(1, 500'000);
  wipe(disk, "/1");  // as an unmounted disk: the mount point is there
  wipe(disk, "/4");
  for (int i = 0; i < 8; ++i) {
    EXPECT_ERROR(std::errc::no_such_device, store->put("packs/a/" + std::to_string(i), pack));
    ASSERT_OK(store->put_if_absent("points/a/" + std::to_string(i), as_bytes("x")));
  }
  ASSIGN(const PlaceStatus place, reopen(disk).value()->replace_missing("/1"));
  EXPECT_TRUE(place.filling);
  store = reopen(disk).value();
  for (int i = 0; i < 8; ++i) ASSERT_OK(store->put("packs/b/" + std::to_string(i), pack));
  for (const std::string& file : disk.all_files()) {
    EXPECT_FALSE(file.starts_with("4/")) << file;
  }
  EXPECT_FALSE(store->take_warnings().empty());
  for (int i = 0; i < 8; ++i) EXPECT_EQ(*store->get("packs/b/" + std::to_string(i), 1 << 20), pack);
}

TEST(StripedStore, WithOneParityShardWritesGoOnToo) {
  SimDisk disk;
  auto store = make(disk, 2, 1);
  hide(disk, "/2");
  ASSERT_OK(store->put("packs/a/b", random_bytes(1, 500'000)));
  ASSERT_OK(store->put_if_absent("points/a", as_bytes("x")));
  EXPECT_FALSE(store->take_warnings().empty());
  show(disk, "/2");
  store = reopen(disk).value();
  ASSIGN(const PartsReport before, store->verify_parts("packs/a/b", {}));
  EXPECT_EQ(before.parts_missing, 1u);
  repair_all(*store);
  expect_whole(*store);
}

// What was removed while a directory was away stays removed when it comes back, for everybody, and
// its name can be taken.
TEST(StripedStore, WhatWasRemovedDoesNotReappearWithADirectory) {
  for (const auto& [k, m] : {std::pair{2u, 1u}, {4u, 2u}, {2u, 2u}}) {
    SimDisk disk;
    auto store = make(disk, k, m);
    const Objects objects = fill(*store, k);
    const auto bystander = reopen(disk).value();  // never learns of it
    hide(disk, "/1");
    for (const auto& [name, content] : objects) ASSERT_OK(store->remove(name));
    show(disk, "/1");
    const auto fresh = reopen(disk).value();
    for (StripedStore* s : {store.get(), bystander.get(), fresh.get()}) {
      EXPECT_TRUE(s->list("")->empty());
      for (const auto& [name, content] : objects) {
        EXPECT_ERROR(std::errc::no_such_file_or_directory, s->head(name));
        EXPECT_ERROR(std::errc::no_such_file_or_directory, s->get(name, 1 << 26));
      }
    }
    ASSERT_OK(store->put_if_absent("points/cc/1", as_bytes("anew")));
    EXPECT_EQ(as_text(*bystander->get("points/cc/1", 100)), "anew");
    // Put again, the very same bytes.
    ASSERT_OK(store->put("index/bb/9", objects.at("index/bb/9")));
    EXPECT_EQ(*bystander->get("index/bb/9", 1 << 20), objects.at("index/bb/9"));
    store = reopen(disk).value();
    ASSERT_OK(store->finish_repair());
    for (const std::string& file : disk.all_files()) {
      EXPECT_EQ(file.find("removed/"), std::string::npos) << file;
      const bool expected = file.ends_with("/stripe") || file.ends_with("points/cc/1") ||
                            file.ends_with("index/bb/9") ||
                            // Too few shards to be anything; no record was needed.
                            (k > m && file.starts_with("1/packs/"));
      EXPECT_TRUE(expected) << file;
    }
    EXPECT_EQ(as_text(*store->get("points/cc/1", 100)), "anew");
    EXPECT_EQ(*store->get("index/bb/9", 1 << 20), objects.at("index/bb/9"));
  }
}

// An empty directory in the place of a lost one says nothing about what is absent.
TEST(StripedStore, ADirectoryThatIsBeingFilledHidesNothing) {
  SimDisk disk;
  const Objects objects = fill(*make(disk, 2, 1), 2);
  wipe(disk, "/1");
  {
    const auto store = reopen(disk).value();
    ASSERT_OK(store->replace_missing("/1"));
  }
  hide(disk, "/2");  // one more than the redundancy is for
  const auto store = reopen(disk).value();
  unsigned unknown = 0;
  for (const auto& [name, content] : objects) {
    const auto got = store->get(name, 1 << 26);
    if (got.ok()) {
      EXPECT_EQ(*got, content);
    } else {
      EXPECT_FALSE(is_verdict(got.error())) << got.error().message();
      ++unknown;
    }
  }
  EXPECT_GT(unknown, 0u);
  show(disk, "/2");
  expect_all(*reopen(disk).value(), objects, "back");
}

TEST(StripedStore, ADirectoryIsKnownByItsIdNotByItsPath) {
  SimDisk disk;
  const Objects objects = fill(*make(disk, 2, 2), 2);
  // All moved alike: found from any of them.
  ASSERT_OK(disk.make_directory("/media"));
  for (const char* root : {"/0", "/1", "/2", "/3"}) {
    ASSERT_OK(disk.rename(root, std::string("/media") + root));
  }
  auto store = reopen(disk, "/media/2").value();
  EXPECT_TRUE(store->take_warnings().empty());
  for (const PlaceStatus& place : store->places()) EXPECT_TRUE(place.moved);
  expect_all(*store, objects, "moved");
  ASSERT_OK(store->finish_repair());
  EXPECT_FALSE(reopen(disk, "/media/0").value()->places()[1].moved);
  // One moved: named. Two exchanged: told apart.
  ASSERT_OK(disk.rename("/media/1", "/elsewhere"));
  EXPECT_FALSE(reopen(disk, "/media/0").value()->places()[1].present);
  EXPECT_TRUE(reopen(disk, "/media/0", {"/elsewhere"}).value()->places()[1].present);
  ASSERT_OK(disk.rename("/media/3", "/media/1"));
  store = reopen(disk, "/media/0", {"/elsewhere", "/media/1"}).value();
  for (const PlaceStatus& place : store->places()) EXPECT_TRUE(place.present) << place.path;
  expect_all(*store, objects, "exchanged");
}

TEST(StripedStore, AReplacedDirectoryThatComesBackIsNotTakenForItsSuccessor) {
  SimDisk disk;
  const Objects objects = fill(*make(disk, 2, 1), 2);
  ASSERT_OK(disk.rename("/1", "/away"));
  {
    const auto store = reopen(disk).value();
    ASSERT_OK(store->replace_missing("/new"));
    repair_all(*store);
    ASSERT_OK(store->remove("points/cc/1"));
  }
  ASSERT_OK(disk.rename("/away", "/1"));
  for (const char* from : {"/0", "/1", "/2", "/new"}) {
    const auto store = reopen(disk, from).value();
    EXPECT_EQ(store->places()[1].path, "/new") << from;
    EXPECT_ERROR(std::errc::no_such_file_or_directory, store->head("points/cc/1"));
    EXPECT_EQ(store->list("")->size(), objects.size() - 1);
  }
}

TEST(StripedStore, OnlyEmptyDirectoriesReplaceOthers) {
  SimDisk disk;
  fill(*make(disk, 2, 1), 2);
  ASSERT_OK(disk.make_directory("/used"));
  ASSERT_OK(io::write_file(disk, "/used/precious", as_bytes("x")));
  EXPECT_ERROR(std::errc::invalid_argument, reopen(disk).value()->replace_missing("/new"));
  hide(disk, "/1");
  EXPECT_ERROR(std::errc::directory_not_empty, reopen(disk).value()->replace_missing("/used"));
  EXPECT_ERROR(std::errc::file_exists, reopen(disk).value()->replace_missing("/0"));
  EXPECT_ERROR(std::errc::directory_not_empty,
               StripedStore::create(disk, 1, 1, {"/fresh", "/used"}));
  EXPECT_ERROR(std::errc::invalid_argument, StripedStore::create(disk, 2, 1, {"/x", "/y"}));
  EXPECT_ERROR(std::errc::invalid_argument, StripedStore::create(disk, 1, 1, {"/x", "/x"}));
}

TEST(StripedStore, AFullDirectoryIsNotAMissingOne) {
  SimDisk disk;
  auto store = make(disk, 2, 1);
  const uint64_t used = 3000;
  disk.set_capacity(used + 150'000);
  EXPECT_ERROR(std::errc::no_space_on_device, store->put("packs/a/b", random_bytes(1, 200'000)));
  EXPECT_ERROR(std::errc::no_space_on_device, store->put("index/a", random_bytes(1, 100'000)));
  EXPECT_ERROR(std::errc::no_space_on_device,
               store->put_if_absent("points/a", random_bytes(1, 100'000)));
  EXPECT_TRUE(store->list("")->empty());
  EXPECT_EQ(disk.all_files().size(), 3u) << "parts were left";
  ASSERT_OK(store->put("packs/a/c", random_bytes(1, 70'000)));
}

// One of six, at any write to it: nothing is stored with less redundancy for it.
TEST(StripedStore, OneFullDirectoryFailsThePut) {
  const auto writes = [](SimDisk& disk, uint64_t from) {
    std::vector<uint64_t> out;
    const auto log = disk.log();
    for (uint64_t i = from; i < log.size(); ++i) {
      if (log[i].starts_with("write ")) out.push_back(i - from);
    }
    return out;
  };
  const auto run = [](StripedStore& store, int which) {
    if (which == 0) return store.put("packs/a/b", random_bytes(1, 200'000));
    if (which == 1) return store.put("index/a", random_bytes(1, 500));
    return store.put_if_absent("points/a", random_bytes(1, 500));
  };
  for (int which = 0; which < 3; ++which) {
    SimDisk undisturbed;
    auto store = make(undisturbed, 4, 2);
    const uint64_t from = undisturbed.operations();
    ASSERT_OK(run(*store, which));
    const auto at = writes(undisturbed, from);
    EXPECT_GE(at.size(), 3u);
    for (const uint64_t n : at) {
      SimDisk disk;
      store = make(disk, 4, 2);
      disk.fail_operation(disk.operations() + n, std::errc::no_space_on_device);
      EXPECT_ERROR(std::errc::no_space_on_device, run(*store, which));
      EXPECT_EQ(disk.all_files().size(), 6u);
    }
  }
}

}  // namespace
}  // namespace holdfast::vault
