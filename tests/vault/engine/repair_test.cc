// Scrub and repair. The property: whatever is damaged, what restored before a repair restores after
// it, byte for byte, on a plain store and on one with redundancy; and what the redundancy is for is
// whole afterwards. A scrub finds every damage, remembers what was whole, and takes a transient
// error for nothing.

#include "vault/engine/repair.h"

#include <map>
#include <random>
#include <thread>

#include "tests/support/faulty_store.h"
#include "tests/support/seeds.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"
#include "vault/engine/scrub.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/store/striped_store.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::SimDisk;
using testing::TestFile;

struct Point {
  std::vector<TestFile> files;
  ChunkId root;
};

// Three points that share most of their content.
std::vector<Point> write_points(Store& store, const testing::TestVault& vault, uint64_t seed) {
  std::vector<Point> points;
  std::vector<TestFile> files;
  for (int p = 0; p < 3; ++p) {
    for (int i = 0; i < 4; ++i) {
      const std::string name = "p" + std::to_string(p) + "-" + std::to_string(i);
      files.push_back({name, random_bytes(seed * 100 + files.size(), 60'000u + 40'000u * i)});
    }
    const auto written = testing::write_point(store, vault, files);
    EXPECT_OK(written);
    points.push_back({files, written->root});
  }
  return points;
}

// The files of all points that can be read and are right, as "point/name".
std::set<std::string> restorable(Store& store, const testing::TestVault& vault,
                                 const std::vector<Point>& points) {
  std::set<std::string> out;
  const auto reader = VaultReader::open(store, vault.description, vault.secret);
  if (!reader.ok()) return out;
  const auto domain = (*reader)->domain(vault.keys.domain.id);
  if (!domain.ok()) return out;
  const auto listed = (*reader)->points();
  for (size_t p = 0; p < points.size(); ++p) {
    for (const TestFile& file : points[p].files) {
      PathCursor cursor(**domain, points[p].root);
      if (!cursor.seek(file.key).ok() || cursor.at_end() || cursor->key != file.key) continue;
      Bytes content;
      const Status read =
          for_each_extent(**domain, cursor->entry, [&](uint64_t, const Extent& x) -> Status {
            TRY(const Bytes bytes, (*domain)->read_chunk(*x.chunk, ChunkKind::data));
            append(content, bytes);
            return {};
          });
      if (read.ok() && content == file.content) out.insert(std::to_string(p) + "/" + file.key);
    }
  }
  if (listed.ok()) {
    for (const RecoveryPoint& point : listed->points) {
      out.insert("point " + std::to_string(point.manifest.sequence));
    }
  }
  return out;
}

Result<RepairReport> repair(Store& store, const testing::TestVault& vault, bool dry_run = false) {
  RepairOptions options;
  options.dry_run = dry_run;
  RepairProgress progress;
  return repair_vault(store, vault.description, options, progress, {});
}

Bytes damaged(Bytes bytes, std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      bytes.resize(bytes.size() / 2);
      break;
    case 1:
      bytes.clear();
      break;
    default:
      for (int i = 0; i < 3 && !bytes.empty(); ++i) bytes[random() % bytes.size()] ^= 0x11;
  }
  return bytes;
}

TEST(Repair, NeverMakesARestorableFileUnrestorableOnAPlainStore) {
  uint64_t lost = 0;
  uint64_t kept = 0;
  FOR_EACH_SEED(seed, 60) {
    std::mt19937_64 random(seed);
    MemoryStore store;
    const testing::TestVault vault(store);
    const auto points = write_points(store, vault, seed);
    const size_t all = restorable(store, vault, points).size();
    ASSIGN(const auto objects, store.list(""));
    const size_t damages = 1 + random() % 6;
    for (size_t i = 0; i < damages; ++i) {
      // Packs and index runs more than others.
      std::vector<std::string> names;
      for (const ObjectInfo& o : objects) {
        const bool is_bulk = o.name.starts_with(kPacksPrefix) || o.name.starts_with(kIndexPrefix);
        if (is_bulk || random() % 4 == 0) names.push_back(o.name);
      }
      const std::string& name = names[random() % names.size()];
      const auto bytes = store.get(name, 1 << 26);
      if (!bytes.ok()) continue;
      if (random() % 3 == 0) {
        ASSERT_OK(store.remove(name));
      } else {
        store.tamper(name, damaged(*bytes, random));
      }
    }
    const auto before = restorable(store, vault, points);
    const auto copy = store.copy();
    const auto dry = repair(store, vault, true);
    EXPECT_EQ(restorable(store, vault, points), before);
    const auto report = repair(store, vault);
    if (report.ok()) {
      ASSERT_OK(dry);
      EXPECT_EQ(dry->done.size(), report->done.size());
    }
    const auto after = restorable(store, vault, points);
    for (const std::string& file : before) EXPECT_TRUE(after.contains(file)) << file;
    lost += all - before.size();
    kept += before.size();
    // Only damaged index runs are gone.
    ASSIGN(const auto left, copy->list(""));
    for (const ObjectInfo& o : left) {
      if (o.name.starts_with(kIndexPrefix)) continue;
      EXPECT_EQ(*store.get(o.name, 1 << 26), *copy->get(o.name, 1 << 26)) << o.name;
    }
  }
  EXPECT_GT(lost, 100u) << "the damage did nothing";
  EXPECT_GT(kept, 100u);
}

TEST(Repair, NeverMakesARestorableFileUnrestorableWithRedundancy) {
  uint64_t lost = 0;
  uint64_t mended = 0;
  FOR_EACH_SEED(seed, 40) {
    std::mt19937_64 random(seed);
    const unsigned k = 2 + random() % 3;
    const unsigned m = 1 + random() % 2;
    std::vector<std::string> roots;
    for (unsigned i = 0; i < k + m; ++i) roots.push_back("/" + std::to_string(i));
    SimDisk disk;
    const StripedOptions options{.parallel = false, .hints = {}};
    auto store = StripedStore::create(disk, k, m, roots, options).value();
    const testing::TestVault vault(*store);
    const auto points = write_points(*store, vault, seed);
    const size_t all = restorable(*store, vault, points).size();
    // From a little to far too much.
    const unsigned one_in = 2 + static_cast<unsigned>(random() % 30);
    for (const std::string& file : disk.all_files()) {
      if (file.ends_with("/stripe") || random() % one_in != 0) continue;
      if (random() % 2 == 0) {
        ASSERT_OK(disk.remove("/" + file));
      } else {
        disk.poke("/" + file, damaged(*disk.peek("/" + file), random));
      }
    }
    store = StripedStore::open(disk, "/0", options).value();
    const auto before = restorable(*store, vault, points);
    const auto report = repair(*store, vault);
    ASSERT_OK(report);
    const auto after = restorable(*store, vault, points);
    for (const std::string& file : before) EXPECT_TRUE(after.contains(file)) << file;
    lost += all - before.size();
    mended += report->parts_rebuilt;
    // What could be read at all has its redundancy again: take m directories away.
    for (unsigned i = 1; i <= m; ++i) {
      ASSERT_OK(disk.rename("/" + std::to_string(i) + "/stripe", "/" + std::to_string(i) + "/s"));
    }
    store = StripedStore::open(disk, "/0", options).value();
    const auto degraded = restorable(*store, vault, points);
    for (const std::string& file : before) EXPECT_TRUE(degraded.contains(file)) << file;
  }
  EXPECT_GT(lost, 20u) << "the damage did nothing";
  EXPECT_GT(mended, 100u);
}

// Removes everything in a directory.
void wipe(SimDisk& disk, const std::string& root) {
  ASSIGN(const auto entries, disk.list(root));
  for (const io::DirectoryEntry& e : entries) {
    if (e.is_directory) wipe(disk, root + "/" + e.name);
    ASSERT_OK(disk.remove(root + "/" + e.name));
  }
  ASSERT_OK(disk.sync_directory(root));
}

// The power goes at any operation of a repair: nothing that restored is lost, and the next one ends
// it.
TEST(Repair, CanBeCutOffAnywhere) {
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; cut += 7) {
    SimDisk disk;
    const StripedOptions options{.parallel = false, .hints = {}};
    auto store = StripedStore::create(disk, 2, 1, {"/0", "/1", "/2"}, options).value();
    const testing::TestVault vault(*store);
    const auto points = write_points(*store, vault, 1);
    const size_t all = restorable(*store, vault, points).size();
    wipe(disk, "/1");
    store = StripedStore::open(disk, "/0", options).value();
    disk.cut_power_at(disk.operations() + cut);
    (void)store->replace_missing("/1");
    (void)repair(*store, vault);
    const bool ran_through = disk.has_power();
    disk.reboot(cut);
    ++cuts;
    store = StripedStore::open(disk, "/0", options).value();
    EXPECT_EQ(restorable(*store, vault, points).size(), all) << cut;
    if (!store->places()[1].present) {
      ASSERT_OK(store->replace_missing("/1"));
    }
    ASSIGN(const RepairReport report, repair(*store, vault));
    EXPECT_TRUE(report.complete()) << cut;
    ASSERT_OK(disk.rename("/2/stripe", "/2/s"));
    store = StripedStore::open(disk, "/0", options).value();
    EXPECT_EQ(restorable(*store, vault, points).size(), all) << cut;
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 30u);
}

// --- Scrub ---

struct ScrubFixture {
  MemoryStore store;
  testing::TestVault vault{store};
  testing::TempDirectory directory{testing::TempDirectory::fast_place()};
  std::string path = directory / "scrub";

  Result<ScrubReport> scrub(Store& where, ScrubOptions options = {}) {
    ScrubProgress progress;
    return scrub_vault(where, vault.description, vault.secret.vault_key(), vault.secret.generation,
                       io::posix_file_system(), path, options, progress, {});
  }
};

TEST(Scrub, FindsEveryDamagedObjectAndNothingElse) {
  ScrubFixture f;
  write_points(f.store, f.vault, 1);
  ASSIGN(const ScrubReport good, f.scrub(f.store));
  EXPECT_TRUE(good.clean());
  EXPECT_EQ(good.verified, good.objects);
  ASSIGN(const auto objects, f.store.list(""));
  uint64_t found = 0;
  for (const ObjectInfo& object : objects) {
    const Bytes bytes = *f.store.get(object.name, 1 << 26);
    for (const size_t at : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      Bytes flipped = bytes;
      flipped[at] ^= 1;
      f.store.tamper(object.name, flipped);
      const auto report = f.scrub(f.store);
      // Without its description, roster or successions a vault is not scrubbed at all.
      if (report.ok()) {
        EXPECT_FALSE(report->clean()) << object.name << " at " << at;
      } else {
        EXPECT_TRUE(is_verdict(report.error())) << object.name;
      }
      ++found;
    }
    f.store.tamper(object.name, bytes);
  }
  EXPECT_GT(found, 30u);
  ASSIGN(const ScrubReport again, f.scrub(f.store));
  EXPECT_TRUE(again.clean());
}

TEST(Scrub, ATransientErrorIsNoDamageAndIsNotRemembered) {
  uint64_t faults = 0;
  for (uint64_t n = 0;; ++n) {
    ScrubFixture f;
    write_points(f.store, f.vault, 1);
    testing::FaultyStore faulty(f.store);
    faulty.fail_operation(n, {std::errc::io_error, false});
    const auto report = f.scrub(faulty);
    if (faulty.operations() <= n) break;
    ++faults;
    if (!report.ok()) continue;
    EXPECT_TRUE(report->clean()) << n << " " << report->damage[0].what;
    EXPECT_LT(report->verified, report->objects) << n;
    ScrubOptions rest;
    rest.max_age_ns = int64_t{3600} * 1'000'000'000;
    ASSIGN(const ScrubReport next, f.scrub(f.store, rest));
    EXPECT_EQ(next.due, report->objects - report->verified);
    EXPECT_EQ(next.verified, next.due);
  }
  EXPECT_GT(faults, 20u);
}

TEST(Scrub, BeginsWithWhatWasNotLookedAtForLongest) {
  ScrubFixture f;
  write_points(f.store, f.vault, 1);
  ScrubOptions little;
  little.bytes_max = 1;
  std::set<uint64_t> seen;
  ASSIGN(const ScrubReport first, f.scrub(f.store, little));
  for (uint64_t i = 1; i < first.objects * 2; ++i) {
    ASSIGN(const ScrubReport report, f.scrub(f.store, little));
    EXPECT_TRUE(report.clean());
    if (report.oldest_ns != 0) seen.insert(static_cast<uint64_t>(report.oldest_ns));
  }
  // After one round each run makes another object the oldest.
  EXPECT_GE(seen.size(), first.objects / 2);
  // New objects come first.
  write_points(f.store, f.vault, 2);
  ScrubOptions young;
  young.max_age_ns = int64_t{3600} * 1'000'000'000;
  ASSIGN(const ScrubReport fresh, f.scrub(f.store, young));
  EXPECT_EQ(fresh.due, fresh.objects - first.objects);
}

TEST(Scrub, ADamagedMemoryIsAnEmptyOne) {
  ScrubFixture f;
  write_points(f.store, f.vault, 1);
  ASSERT_OK(f.scrub(f.store));
  io::FileSystem& fs = io::posix_file_system();
  ASSIGN(Bytes bytes, io::read_file(fs, f.path, 1 << 20));
  for (size_t i = 0; i < bytes.size(); i += 5) {
    Bytes flipped = bytes;
    flipped[i] ^= 1;
    EXPECT_FALSE(decode_scrub_memory(flipped).ok());
  }
  bytes.resize(bytes.size() / 2);
  ASSERT_OK(io::write_file(fs, f.path, bytes));
  ScrubOptions young;
  young.max_age_ns = int64_t{3600} * 1'000'000'000;
  ASSIGN(const ScrubReport report, f.scrub(f.store, young));
  EXPECT_EQ(report.due, report.objects);
}

// --- A vault over several directories, as a whole ---

// As PowerCut.AtEveryDiskOperationOfASession, over three directories of one disk, one of which is
// missing afterwards.
TEST(StripedVault, PowerCutsDuringASession) {
  const std::vector<TestFile> before{{"a", random_bytes(1, 20'000)},
                                     {"b", random_bytes(2, 300'000)}};
  std::vector<TestFile> after = before;
  after.push_back({"c", random_bytes(3, 140'000)});
  const StripedOptions options{.parallel = false, .hints = {}};
  uint64_t cuts = 0;
  for (uint64_t cut = 0;; cut += 3) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    SimDisk disk;
    auto store = StripedStore::create(disk, 2, 1, {"/0", "/1", "/2"}, options).value();
    const testing::TestVault vault(*store);
    ASSIGN(const auto first, testing::write_point(*store, vault, before));
    SessionRequest request;
    request.item = vault.item;
    request.base = BasePoint{first.point.sequence, first.point.sha256};
    disk.cut_power_at(disk.operations() + cut);
    const auto second = testing::write_point(*store, vault, after, request);
    const bool ran_through = disk.has_power();
    const bool reported = second.ok() && disk.has_power();
    disk.reboot(cut);
    ++cuts;
    const DomainId domain = vault.keys.domain.id;
    const std::string lost = "/" + std::to_string(cut % 3);
    ASSERT_OK(disk.rename(lost + "/stripe", lost + "/s"));
    store = StripedStore::open(disk, lost == "/0" ? "/1" : "/0", options).value();
    ASSERT_OK(testing::expect_files(*store, vault, first.root, domain, before));
    if (reported) {
      ASSERT_OK(testing::expect_files(*store, vault, second->root, domain, after));
    }
    ASSERT_OK(disk.rename(lost + "/s", lost + "/stripe"));
    store = StripedStore::open(disk, "/0", options).value();
    ASSIGN(const CheckReport report, testing::full_check(*store, vault));
    EXPECT_TRUE(report.points.empty());
    EXPECT_TRUE(report.damage.empty()) << report.damage[0].object << ": " << report.damage[0].what;
    ASSIGN(const RepairReport repaired, repair(*store, vault));
    EXPECT_TRUE(repaired.left.empty());
    ASSIGN(const auto third, testing::write_point(*store, vault, after, request));
    ASSERT_OK(testing::expect_files(*store, vault, third.root, domain, after));
    if (ran_through) break;
  }
  EXPECT_GT(cuts, 50u);
}

}  // namespace
}  // namespace holdfast::vault
