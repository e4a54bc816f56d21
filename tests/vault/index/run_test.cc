// Goal: a run finds every chunk put into it and hardly any other; and no damage makes it crash or
// read outside itself. What a damaged run claims is confirmed elsewhere (see session_test).

#include "vault/index/run.h"

#include <filesystem>
#include <random>

#include "tests/support/expect.h"
#include "tests/support/faulty_store.h"
#include "tests/support/seeds.h"
#include "tests/support/temp_directory.h"
#include "vault/index/chunk_index.h"
#include "vault/store/local_store.h"
#include "vault/store/memory_store.h"

namespace holdfast::vault {
namespace {

PackFooter footer_of(std::mt19937_64& random, size_t segments, size_t chunks_each) {
  PackFooter f;
  f.sessions.resize(1);
  for (size_t s = 0; s < segments; ++s) {
    PackSegment segment;
    segment.chunk_first = static_cast<uint32_t>(f.chunk_ids.size());
    segment.chunk_count = static_cast<uint32_t>(chunks_each);
    f.segments.push_back(segment);
    for (size_t c = 0; c < chunks_each; ++c) {
      ChunkId id;
      for (uint8_t& b : id.bytes) b = static_cast<uint8_t>(random());
      f.chunk_ids.push_back(id);
    }
  }
  return f;
}

IndexedPack pack_named(uint8_t n) {
  IndexedPack p;
  p.id.footer_sha256[0] = n;
  p.pack_bytes = 1'000'000;
  p.footer_bytes = 1000;
  return p;
}

struct Built {
  std::vector<PackFooter> footers;
  Bytes bytes;
};

Built build(uint64_t seed, size_t packs, size_t segments, size_t chunks_each) {
  std::mt19937_64 random(seed);
  IndexRunBuilder builder(VaultId{}, DomainId{});
  Built out;
  for (size_t p = 0; p < packs; ++p) {
    out.footers.push_back(footer_of(random, segments, chunks_each));
    builder.add_pack(pack_named(static_cast<uint8_t>(p)), out.footers.back());
  }
  out.bytes = builder.finish();
  return out;
}

TEST(IndexRun, FindsEveryChunkAndFewOthers) {
  for (const size_t chunks : {1, 3, 40, 500}) {
    const Built built = build(chunks, 5, 10, chunks);
    ASSIGN(const IndexRun run, IndexRun::parse(built.bytes));
    EXPECT_EQ(run.entry_count(), 50 * chunks);
    EXPECT_OK(run.check_entries());
    for (size_t p = 0; p < built.footers.size(); ++p) {
      const PackFooter& f = built.footers[p];
      for (size_t i = 0; i < f.chunk_ids.size(); ++i) {
        std::vector<ChunkLocation> found;
        run.find(f.chunk_ids[i], found);
        ASSERT_EQ(found.size(), 1u);
        EXPECT_EQ(found[0],
                  (ChunkLocation{static_cast<uint32_t>(p), static_cast<uint16_t>(i / chunks),
                                 static_cast<uint16_t>(i % chunks)}));
      }
    }
    for (int i = 0; i < 1000; ++i) {
      std::vector<ChunkLocation> found;
      run.find(ChunkId::random(), found);
      EXPECT_TRUE(found.empty());
    }
  }
}

TEST(IndexRun, StaysBelow24BytesAChunk) {
  const Built built = build(1, 20, 100, 50);
  const size_t chunks = 20 * 100 * 50;
  EXPECT_LE(built.bytes.size(), chunks * 24);
}

TEST(IndexRun, FindsAllCopiesOfAChunk) {
  std::mt19937_64 random(1);
  const PackFooter f = footer_of(random, 1, 10);
  IndexRunBuilder builder(VaultId{}, DomainId{});
  builder.add_pack(pack_named(1), f);
  builder.add_pack(pack_named(2), f);
  const Bytes bytes = builder.finish();
  ASSIGN(const IndexRun run, IndexRun::parse(bytes));
  std::vector<ChunkLocation> found;
  run.find(f.chunk_ids[3], found);
  EXPECT_EQ(found.size(), 2u);
}

TEST(IndexRun, RefusesEveryTruncation) {
  const Built built = build(1, 2, 2, 5);
  for (size_t n = 0; n < built.bytes.size(); ++n) {
    EXPECT_FALSE(IndexRun::parse(ByteView(built.bytes).first(n)).ok()) << n;
  }
}

TEST(IndexRun, DamageNeverReadsOutside) {
  const Built built = build(1, 3, 3, 20);
  FOR_EACH_SEED(seed, 3000) {
    std::mt19937_64 random(seed);
    Bytes changed = built.bytes;
    for (int i = 0; i < 3; ++i) changed[random() % changed.size()] = static_cast<uint8_t>(random());
    // In memory of exactly its size, so that a sanitizer sees a step outside.
    const auto exact = std::make_unique<uint8_t[]>(changed.size());
    std::copy(changed.begin(), changed.end(), exact.get());
    const auto run = IndexRun::parse({exact.get(), changed.size()});
    if (!run.ok()) continue;
    std::vector<ChunkLocation> found;
    for (const PackFooter& f : built.footers) {
      for (const ChunkId& id : f.chunk_ids) run->find(id, found);
    }
    for (const ChunkLocation& at : found) EXPECT_LT(at.pack, run->packs().size());
    (void)run->check_entries();
  }
}

TEST(ChunkIndex, LeavesOutRunsThatAreUnusableAndNamesThem) {
  MemoryStore store;
  const Built good = build(1, 1, 1, 10);
  const Built bad = build(2, 1, 1, 10);
  const std::string prefix = "index/" + DomainId{}.hex() + "/";
  ASSERT_OK(store.put(prefix + std::string(64, 'a'), good.bytes));
  ASSERT_OK(store.put(prefix + std::string(64, 'b'), ByteView(bad.bytes).first(100)));
  ChunkIndex index(VaultId{}, DomainId{});
  std::vector<UnusableRun> unusable;
  ASSERT_OK(index.load(store, unusable));
  ASSERT_EQ(unusable.size(), 1u);
  EXPECT_EQ(unusable[0].name, prefix + std::string(64, 'b'));
  EXPECT_EQ(index.find(good.footers[0].chunk_ids[4]).size(), 1u);
  EXPECT_TRUE(index.find(bad.footers[0].chunk_ids[4]).empty());
  EXPECT_TRUE(index.covers(pack_named(0).id));
}

// A descriptor or a network that is missing now says nothing about a run: whoever decides by the
// index what to store must not go on without it.
TEST(ChunkIndex, ARunThatCannotBeReadNowIsAnErrorUnlessAskedOtherwise) {
  MemoryStore behind;
  const Built good = build(1, 1, 1, 10);
  const std::string name = "index/" + DomainId{}.hex() + "/" + std::string(64, 'a');
  ASSERT_OK(behind.put(name, good.bytes));
  for (const std::errc code : {std::errc::too_many_files_open, std::errc::permission_denied}) {
    testing::FaultyStore store(behind);
    store.fail_operation(1, {code, false});
    std::vector<UnusableRun> unusable;
    EXPECT_ERROR(code, ChunkIndex(VaultId{}, DomainId{}).load(store, unusable));
    EXPECT_TRUE(unusable.empty());
    store.fail_operation(3, {code, false});
    EXPECT_OK(
        ChunkIndex(VaultId{}, DomainId{}).load(store, unusable, ChunkIndex::Unreadable::unusable));
    ASSERT_EQ(unusable.size(), 1u);
    EXPECT_EQ(unusable[0].name, name);
  }
}

TEST(ChunkIndex, MappedRunsHoldNoDescriptors) {
  const testing::TempDirectory directory(testing::TempDirectory::fast_place());
  auto store = LocalStore::create(io::posix_file_system(), directory / "vault").value();
  constexpr uint64_t kRuns = 300;
  const std::string prefix = "index/" + DomainId{}.hex() + "/";
  for (uint64_t i = 0; i < kRuns; ++i) {
    const std::string number = std::to_string(1000 + i);
    ASSERT_OK(store->put(prefix + std::string(60, '0') + number, build(i, 1, 1, 1).bytes));
  }
  const auto open_files = [] {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return std::distance(begin(files), end(files));
  };
  const auto before = open_files();
  ChunkIndex index(VaultId{}, DomainId{});
  std::vector<UnusableRun> unusable;
  ASSERT_OK(index.load(*store, unusable));
  EXPECT_TRUE(unusable.empty());
  EXPECT_EQ(index.run_count(), kRuns);
  EXPECT_EQ(open_files(), before);
}

}  // namespace
}  // namespace holdfast::vault
