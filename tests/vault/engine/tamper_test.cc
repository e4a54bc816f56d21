// An adversary with the store in hand: flips bits, cuts, removes, swaps and retypes objects and
// parts of packs, with every hash that needs no key made right again. Nothing wrong may ever be
// read; what is damaged is named, and nothing else is affected.

#include <map>
#include <random>

#include "tests/support/seeds.h"
#include "tests/support/test_vault.h"
#include "vault/engine/pack_catalog.h"
#include "vault/engine/segment_writer.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

struct TamperTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};
  std::vector<TestFile> files{{"a", random_bytes(1, 100'000)},
                              {"b", random_bytes(2, 2'500'000)},
                              {"c", Bytes(300'000, 'c')}};
  testing::WrittenPoint point = testing::write_point(store, vault, files).value();

  std::vector<std::string> names(std::string_view prefix) {
    std::vector<std::string> out;
    for (const ObjectInfo& o : *store.list(std::string(prefix))) out.push_back(o.name);
    return out;
  }
  Bytes get(MemoryStore& s, const std::string& name) { return *s.get(name, 1 << 30); }

  // All files as they were, or an error; never anything else.
  Status read_all(Store& s) {
    return testing::expect_files(s, vault, point.root, vault.keys.domain.id, files);
  }
  std::pair<std::string, PackFooter> pack_of_kind(PackKind kind) {
    for (const std::string& name : names(kPacksPrefix)) {
      IndexedPack p;
      p.id = *parse_pack_name(name);
      auto footer = read_footer(store, vault.description.vault, p);
      if (footer->kind == kind) return {name, std::move(*footer)};
    }
    CHECK(false);
  }
  // Puts a pack again with another footer and body, named right; removes the old one and the index.
  static void replace_pack(MemoryStore& s, const std::string& old_name, const PackFooter& footer,
                           ByteView before_footer) {
    const Bytes encoded = footer.encode();
    Bytes pack = to_bytes(before_footer);
    append(pack, encoded);
    PackId id = *parse_pack_name(old_name);
    id.footer_sha256 = crypto::sha256(encoded);
    ASSERT_OK(s.remove(old_name));
    const auto runs = s.list(std::string(kIndexPrefix));
    for (const ObjectInfo& o : *runs) ASSERT_OK(s.remove(o.name));
    ASSERT_OK(s.put(pack_name(id), pack));
  }
};

// Every object: every byte of the small ones, sampled bytes of the large ones.
TEST_F(TamperTest, AnyChangedByteIsFoundByTheCheckAndNeverReadAsRight) {
  uint64_t faults = 0;
  for (const std::string& name : names("")) {
    const Bytes original = get(store, name);
    const size_t step = original.size() < 2000 ? 1 : original.size() / 300 + 1;
    for (size_t i = 0; i < original.size(); i += step) {
      // The middle of a small object is checked byte by byte with a cheaper test below.
      if (original.size() < 2000 && i % 7 != 0) continue;
      const auto copy = store.copy();
      Bytes changed = original;
      changed[i] ^= 0x41;
      copy->tamper(name, changed);
      ++faults;
      SCOPED_TRACE(name + " byte " + std::to_string(i));
      // Reading gives an error or exactly the right content (index and session objects are not
      // needed for that, and packs have copies of nothing here).
      const Status read = read_all(*copy);
      if (!read.ok()) {
        EXPECT_TRUE(read.error().code == Errc::damaged || read.error().code == Errc::missing ||
                    read.error().code == Errc::key_not_trusted)
            << read.error().message();
      }
      const auto report = testing::full_check(*copy, vault);
      if (!report.ok()) {
        // Roster or description: nothing can be opened at all, and that is said.
        EXPECT_TRUE(name.starts_with(kRosterPrefix)) << report.error().message();
        continue;
      }
      EXPECT_FALSE(report->damage.empty());
      bool named = false;
      for (const CheckFinding& f : report->damage) named = named || f.object == name;
      EXPECT_TRUE(named) << "the check found something, but did not name the object";
    }
  }
  EXPECT_GT(faults, 300u);
  RecordProperty("faults", static_cast<int>(faults));
}

TEST_F(TamperTest, AnyTruncationIsFound) {
  for (const std::string& name : names("")) {
    const Bytes original = get(store, name);
    for (const size_t n : {size_t{0}, size_t{1}, original.size() / 2, original.size() - 1}) {
      const auto copy = store.copy();
      Bytes cut(original.begin(), original.begin() + static_cast<ptrdiff_t>(n));
      copy->tamper(name, cut);
      SCOPED_TRACE(name + " cut to " + std::to_string(n));
      (void)read_all(*copy);
      const auto report = testing::full_check(*copy, vault);
      if (report.ok()) {
        EXPECT_FALSE(report->damage.empty());
      }
    }
  }
}

TEST_F(TamperTest, AMissingPackIsNamedWithTheFilesItTakesAlong) {
  const auto [name, footer] = pack_of_kind(PackKind::data);
  ASSERT_OK(store.remove(name));
  ASSIGN(const CheckReport report, testing::full_check(store, vault));
  ASSERT_EQ(report.points.size(), 1u);
  EXPECT_EQ(report.points[0].files.size(), 3u);
  bool named = false;
  for (const CheckFinding& f : report.remarks) named = named || f.object == name;
  EXPECT_TRUE(named);
}

TEST_F(TamperTest, DamageInOneSegmentLeavesOtherFilesAlone) {
  const auto [name, footer] = pack_of_kind(PackKind::data);
  // The segment that holds "c", the last file.
  const PackSegment& last = footer.segments.back();
  Bytes changed = get(store, name);
  changed[last.offset + 5] ^= 1;
  store.tamper(name, changed);
  ASSIGN(const CheckReport report, testing::full_check(store, vault));
  ASSERT_EQ(report.points.size(), 1u);
  ASSERT_FALSE(report.points[0].files.empty());
  EXPECT_EQ(report.points[0].files.back(), "/c");
  for (const std::string& f : report.points[0].files) EXPECT_NE(f, "/a");
}

TEST_F(TamperTest, SwappedEdgesAreRefused) {
  auto [name, footer] = pack_of_kind(PackKind::metadata);
  Bytes pack = get(store, name);
  uint8_t* edges = pack.data() + footer.edges_offset();
  ASSERT_GE(footer.edge_total(), 2u);
  std::swap_ranges(edges, edges + 32, edges + 32);
  const ByteView body(pack.data(), footer.edges_offset() + footer.edges_bytes());
  footer.edges_sha256 = crypto::sha256(body.last(footer.edges_bytes()));
  replace_pack(store, name, footer, body);
  EXPECT_ERROR(Errc::damaged, read_all(store));
}

TEST_F(TamperTest, RetypedChunksAreRefused) {
  auto [name, footer] = pack_of_kind(PackKind::metadata);
  const Bytes pack = get(store, name);
  const ByteView body(pack.data(), footer.edges_offset() + footer.edges_bytes());
  for (size_t i = 0; i < footer.chunk_kinds.size(); ++i) {
    if (footer.edge_counts[i] != 0) continue;
    footer.chunk_kinds[i] = ChunkKind::attributes;
  }
  footer.chunk_kinds[0] = ChunkKind::node;
  // Give a page's edges to its neighbour.
  if (footer.edge_counts.size() > 1) std::swap(footer.edge_counts[0], footer.edge_counts[1]);
  replace_pack(store, name, footer, body);
  EXPECT_FALSE(read_all(store).ok());
}

TEST_F(TamperTest, RenamedChunksAreRefused) {
  auto [name, footer] = pack_of_kind(PackKind::data);
  const Bytes pack = get(store, name);
  const ByteView body(pack.data(), footer.edges_offset());
  ASSERT_GE(footer.chunk_ids.size(), 2u);
  std::swap(footer.chunk_ids[0], footer.chunk_ids[1]);
  replace_pack(store, name, footer, body);
  EXPECT_FALSE(read_all(store).ok());
}

TEST_F(TamperTest, ReorderedSegmentsAreStillRightOrRefused) {
  auto [name, footer] = pack_of_kind(PackKind::data);
  const Bytes pack = get(store, name);
  ASSERT_GE(footer.segments.size(), 2u);
  // Moves the first segment behind the others, with a footer that says so: nothing depends on
  // place.
  Bytes body = to_bytes(as_bytes(kPackMagic));
  PackFooter moved = footer;
  std::rotate(moved.segments.begin(), moved.segments.begin() + 1, moved.segments.end());
  moved.chunk_ids.clear();
  for (const PackSegment& s : moved.segments) {
    append(body, ByteView(pack).subspan(s.offset, s.stored_bytes));
    for (uint32_t c = 0; c < s.chunk_count; ++c) {
      moved.chunk_ids.push_back(footer.chunk_ids[s.chunk_first + c]);
    }
  }
  replace_pack(store, name, moved, body);
  EXPECT_OK(read_all(store));
  // Swapping what two segments claim to be is refused.
  auto [again, second] = pack_of_kind(PackKind::data);
  const Bytes pack2 = get(store, again);
  std::swap(second.segments[0].counter, second.segments[1].counter);
  replace_pack(store, again, second, ByteView(pack2).first(second.edges_offset()));
  EXPECT_ERROR(Errc::damaged, read_all(store));
}

TEST_F(TamperTest, APackOfAnotherVaultOrDomainIsRefused) {
  auto [name, footer] = pack_of_kind(PackKind::data);
  const Bytes pack = get(store, name);
  footer.vault = VaultId::random();
  replace_pack(store, name, footer, ByteView(pack).first(footer.edges_offset()));
  EXPECT_ERROR(Errc::missing, read_all(store));
}

// A session that somebody without the agent's secret made up, sealing content of their own for ids
// that exist, in packs that verify in every way that needs no key.
TEST_F(TamperTest, AForgedSessionIsRefused) {
  AgentKeys forger = vault.keys;
  forger.agent_secret = crypto::random_secret<32>();
  auto [name, footer] = pack_of_kind(PackKind::data);
  const SessionContext context{vault.keys.vault, vault.keys.domain.id, vault.item,
                               footer.sessions[0].session};
  KeyWrap wrap;
  ASSIGN(const SessionKey key, SessionKey::create(forger, context, wrap));
  SegmentSealer sealer;
  PackFooter forged = footer;
  forged.sessions[0] = wrap;
  Bytes body = to_bytes(as_bytes(kPackMagic));
  uint64_t offset = kPackHeaderBytes;
  for (PackSegment& s : forged.segments) {
    std::vector<ChunkRef> refs(s.chunk_count);
    std::vector<uint32_t> lengths(s.chunk_count, 5);
    for (uint32_t c = 0; c < s.chunk_count; ++c) refs[c].id = footer.chunk_ids[s.chunk_first + c];
    ASSIGN(const SealedSegment sealed,
           sealer.seal(key, s.counter, refs, lengths, Bytes(5 * s.chunk_count, 'X'), {1}));
    s.offset = offset;
    s.stored_bytes = static_cast<uint32_t>(sealed.stored.size());
    s.codec = sealed.codec;
    s.sha256 = sealed.sha256;
    offset += s.stored_bytes;
    append(body, sealed.stored.view());
  }
  replace_pack(store, name, forged, body);
  EXPECT_ERROR(Errc::damaged, read_all(store));
}

// A compromised agent of the same domain can add a pack that claims ids of old chunks; the id
// tells.
TEST_F(TamperTest, APoisonedCopyIsPassedOver) {
  SessionRequest request;
  request.item = vault.item;
  SessionOptions options;
  options.uploads = 0;
  ASSIGN(const auto session, testing::begin_session(store, vault, request, options));
  SegmentWriter writer(*session, PackKind::data);
  const auto [name, footer] = pack_of_kind(PackKind::data);
  for (const ChunkId& id : footer.chunk_ids) {
    ASSERT_OK(writer.add({id, ChunkKind::data, {}}, as_bytes("poison")));
  }
  ASSERT_OK(writer.flush());
  ManifestDraft draft;
  draft.roots = {point.root};
  ASSERT_OK(session->commit(std::move(draft)));
  EXPECT_OK(read_all(store));
}

TEST_F(TamperTest, AManifestUnderAnotherNameIsRefused) {
  const Bytes manifest = get(store, point_name(vault.item, 1));
  ASSERT_OK(store.put(point_name(vault.item, 2), manifest));
  ASSERT_OK(store.put(point_name(ItemId::random(), 1), manifest));
  ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
  ASSIGN(const PointList list, reader->points());
  EXPECT_EQ(list.points.size(), 1u);
  EXPECT_EQ(list.defects.size(), 2u);
}

TEST_F(TamperTest, AManifestBySomebodyElseIsRefused) {
  ASSIGN(Manifest m, decode_manifest(get(store, point_name(vault.item, 1))));
  m.sequence = 2;
  ASSERT_OK(store.put(point_name(vault.item, 2), m.encode(crypto::random_secret<32>())));
  ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
  ASSIGN(const PointList list, reader->points());
  EXPECT_EQ(list.points.size(), 1u);
  ASSERT_EQ(list.defects.size(), 1u);
  EXPECT_NE(list.defects[0].reason.find("signature"), std::string::npos);
}

// Even the agent itself cannot link a body to a session that is not its own.
TEST_F(TamperTest, ABodyOfAnotherSessionDoesNotOpen) {
  ASSIGN(Manifest m, decode_manifest(get(store, point_name(vault.item, 1))));
  KeyWrap wrap;
  const SessionContext context{m.vault, m.domain, m.item(), SessionId::random()};
  ASSERT_OK(SessionKey::create(vault.keys, context, wrap));
  m.wrap = wrap;
  m.sequence = 2;
  ASSERT_OK(store.put(point_name(vault.item, 2), m.encode(vault.keys.signing_seed)));
  ASSIGN(const auto reader, VaultReader::open(store, vault.description, vault.secret));
  ASSIGN(const PointList list, reader->points());
  ASSERT_EQ(list.defects.size(), 1u);
  EXPECT_EQ(list.defects[0].name, point_name(vault.item, 2));
}

}  // namespace
}  // namespace holdfast::vault
