// The cache of a point: a round trip; then every truncation and every flipped bit. Invariant: it
// may forget, it never says anything that was not written.

#include "backup-agent/scan/file_cache.h"

#include <thread>

#include "backup-agent/upload/cache_set.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"

namespace holdfast::backup_agent {
namespace {

struct FileCache : ::testing::Test {
  testing::SimDisk disk;
  CacheOwner owner{vault::VaultId::random(), vault::ItemId::random(), vault::DomainId::random()};
  vault::SessionId session = vault::SessionId::random();
  std::map<std::string, CacheEntry> written;
  size_t parts = 0;  // that read() met

  static vault::ChunkId id_of(int n) {
    vault::ChunkId id;
    id.bytes[0] = static_cast<uint8_t>(n);
    id.bytes[1] = static_cast<uint8_t>(n >> 8);
    id.bytes[5] = 7;
    return id;
  }

  Bytes write(int entries) {
    const auto writer = CacheWriter::create(disk, "cache", owner, session).value();
    struct Sink final : vault::NodeSink {
      CacheWriter& writer;
      std::vector<CachedStat> stats;
      int nodes = 1000;
      explicit Sink(CacheWriter& w) : writer(w) {}
      Result<vault::ChunkId> put_node(std::span<const vault::ChunkId>, ByteView) override {
        const auto id = id_of(++nodes);
        TRYV(writer.inner_node(id));
        return id;
      }
      Result<vault::ChunkId> put_path_leaf(std::span<const vault::ChunkId> edges, ByteView payload,
                                           size_t n) override {
        const auto id = id_of(++nodes);
        TRYV(writer.leaf(id, edges, payload, std::span(stats).first(n)));
        stats.erase(stats.begin(), stats.begin() + static_cast<ptrdiff_t>(n));
        return id;
      }
    } sink(*writer);
    vault::PathMapBuilder map({1, 2}, sink);
    for (int i = 0; i < entries; ++i) {
      CacheEntry e;
      char name[32];
      std::snprintf(name, sizeof name, "dir/%05d", i);
      e.entry.key = name;
      e.entry.entry.mode = 0644;
      e.entry.entry.size = 100;
      e.entry.entry.mtime_s = i;
      e.entry.entry.extents = {{100, id_of(i)}};
      e.stat = {static_cast<uint64_t>(i) << 33, -i, static_cast<uint32_t>(i),
                writer->file_system(i % 2 == 0 ? "ext4:one" : "xfs:two"), i % 3 != 0};
      sink.stats.push_back(e.stat);
      EXPECT_OK(map.add(e.entry.key, e.entry.entry));
      written[e.entry.key] = e;
    }
    EXPECT_OK(map.finish());
    EXPECT_OK(
        writer->file_part("dir/large", {}, 0, std::vector<vault::Extent>{{5, id_of(1)}, {6, {}}}));
    EXPECT_OK(writer->pack({session, {}}));
    EXPECT_OK(writer->finish());
    return *disk.peek("cache");
  }
  // Asks for everything; counts what is found, which must be as written.
  size_t read(CacheReader& reader) {
    size_t found = 0;
    for (const auto& [key, expected] : written) {
      const CacheEntry* e = reader.find(key);
      if (e == nullptr) continue;
      ++found;
      EXPECT_EQ(e->entry.key, key);
      EXPECT_TRUE(e->entry.entry == expected.entry.entry);
      EXPECT_EQ(e->stat.inode, expected.stat.inode);
      EXPECT_EQ(e->stat.ctime_s, expected.stat.ctime_s);
      EXPECT_EQ(e->stat.ctime_ns, expected.stat.ctime_ns);
      EXPECT_EQ(e->stat.trusted, expected.stat.trusted);
      EXPECT_EQ(reader.identity(e->stat.file_system),
                expected.stat.file_system == 0 ? "ext4:one" : "xfs:two");
      EXPECT_EQ(reader.find(key + "x"), nullptr);
    }
    reader.drain();
    parts = 0;
    for (const CachedPart& p : reader.take_parts()) {
      ++parts;
      EXPECT_EQ(p.key, "dir/large");
      EXPECT_EQ(p.extents.size(), 2u);
    }
    for (const vault::PackId& p : reader.packs()) EXPECT_EQ(p.session, session);
    return found;
  }
};

TEST_F(FileCache, RoundTrip) {
  write(5000);
  const auto reader = CacheReader::open(disk, "cache", owner, CacheReader::Parts::keep);
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->session(), session);
  EXPECT_EQ(read(*reader), 5000u);
  EXPECT_EQ(parts, 1u);
  EXPECT_EQ(reader->packs().size(), 1u);
  EXPECT_TRUE(reader->has_node(id_of(1001)));
  EXPECT_FALSE(reader->has_node(id_of(999)));
}

TEST_F(FileCache, OfAnotherOwnerIsNotUsed) {
  write(3);
  for (int i = 0; i < 3; ++i) {
    CacheOwner other = owner;
    if (i == 0) other.vault = vault::VaultId::random();
    if (i == 1) other.item = vault::ItemId::random();
    if (i == 2) other.domain = vault::DomainId::random();
    EXPECT_EQ(CacheReader::open(disk, "cache", other), nullptr);
  }
  EXPECT_EQ(CacheReader::open(disk, "none", owner), nullptr);
}

TEST_F(FileCache, TruncatedAnywhere) {
  const Bytes whole = write(60);
  size_t best = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    disk.poke("cache", Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)));
    const auto reader = CacheReader::open(disk, "cache", owner);
    if (reader) best = std::max(best, read(*reader));
    ASSERT_FALSE(HasFailure()) << "at " << size;
  }
  EXPECT_GT(best, 0u) << "what is left is used";
}

TEST_F(FileCache, AnyBitFlipped) {
  const Bytes whole = write(40);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Bytes bytes = whole;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    disk.poke("cache", bytes);
    const auto reader = CacheReader::open(disk, "cache", owner);
    if (!reader) continue;
    // The session's id only names the file; a wrong one makes packs that nobody has.
    const bool in_session_id = bit / 8 >= 56 && bit / 8 < 72;
    if (!in_session_id) {
      EXPECT_EQ(reader->session(), session);
    }
    read(*reader);
    ASSERT_FALSE(HasFailure()) << "bit " << bit;
  }
}

TEST(CacheSet, IsUnchanged) {
  FileStat st;
  st.mode = 0100644;
  st.inode = 5;
  st.size = 7;
  st.mtime_s = 10;
  st.mtime_ns = 11;
  st.ctime_s = 12;
  st.ctime_ns = 13;
  st.device = 1;
  CacheEntry cached;
  cached.entry.entry.type = vault::EntryType::file;
  cached.entry.entry.size = 7;
  cached.entry.entry.mtime_s = 10;
  cached.entry.entry.mtime_ns = 11;
  cached.stat = {5, 12, 13, 0, true};
  const auto same = [&] { return is_unchanged(cached, st, "ext4:x", "ext4:x"); };
  EXPECT_TRUE(same());
  st.device = 99;  // another number after a reboot means nothing
  st.mount_id = 77;
  EXPECT_TRUE(same());
  EXPECT_FALSE(is_unchanged(cached, st, "ext4:x", "ext4:y"));
  EXPECT_FALSE(is_unchanged(cached, st, "", ""));
  const FileStat good = st;
  for (const auto& spoil : std::vector<std::function<void()>>{
           [&] { ++st.inode; }, [&] { ++st.size; }, [&] { ++st.mtime_s; }, [&] { ++st.mtime_ns; },
           [&] { ++st.ctime_s; }, [&] { ++st.ctime_ns; }, [&] { st.mode = 0040755; }}) {
    st = good;
    spoil();
    EXPECT_FALSE(same());
  }
  st = good;
  cached.stat.trusted = false;
  EXPECT_FALSE(same());
}

TEST(CacheSet, TimesThatProveNothing) {
  FileStat st;
  st.ctime_s = 1000;
  st.ctime_ns = 500;
  const io::TimeNs changed = 1000'000'000'500;
  EXPECT_FALSE(times_can_be_trusted(st, changed));
  EXPECT_FALSE(times_can_be_trusted(st, changed - 1'000'000'000)) << "a clock set back";
  EXPECT_FALSE(times_can_be_trusted(st, changed + 20'000'000));
  EXPECT_TRUE(times_can_be_trusted(st, changed + 20'000'001));
  st.ctime_ns = 0;  // perhaps a file system of whole seconds
  EXPECT_FALSE(times_can_be_trusted(st, 1000'000'000'000 + 2'000'000'000));
  EXPECT_TRUE(times_can_be_trusted(st, 1000'000'000'000 + 3'000'000'001));
}

// Two interruptions: the second goes on where the first ended, and both parts count.
TEST(CacheSet, PartsOfSeveralInterruptedBackups) {
  testing::TempDirectory directory(testing::TempDirectory::fast_place());
  const CacheOwner owner{vault::VaultId::random(), vault::ItemId::random(),
                         vault::DomainId::random()};
  FileStat st;
  st.inode = 9;
  st.size = 1000;
  uint64_t at = 0;
  for (int i = 0; i < 3; ++i) {
    const auto cache = ItemCache::open(directory.path(), owner).value();
    const auto writer = cache->start(vault::SessionId::random()).value();
    ASSERT_OK(writer->file_part("f", st, at, std::vector<vault::Extent>{{100, {}}}));
    at += 100;
    std::this_thread::sleep_for(std::chrono::milliseconds(12));  // files are told by their times
  }
  {
    const auto cache = ItemCache::open(directory.path(), owner).value();
    ASSERT_EQ(cache->interrupted().size(), 3u);
    CacheSet set(*cache);
    EXPECT_TRUE(set.take_parts("g", st).empty());
    EXPECT_EQ(set.take_parts("f", st).size(), 3u);
    EXPECT_TRUE(set.take_parts("f", st).empty()) << "they were given away";
  }
  const auto cache = ItemCache::open(directory.path(), owner).value();
  st.size = 1001;
  EXPECT_TRUE(CacheSet(*cache).take_parts("f", st).empty());
}

}  // namespace
}  // namespace holdfast::backup_agent
