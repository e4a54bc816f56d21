// Goal: maps keep every entry exactly, change only where entries change, and their readers believe
// nothing that contradicts the format. Method: random maps against std::map, seeds printed.

#include <map>
#include <random>

#include "tests/support/expect.h"
#include "tests/support/seeds.h"
#include "vault/errc.h"
#include "vault/format/map_builder.h"
#include "vault/format/map_reader.h"

namespace holdfast::vault {
namespace {

const crypto::HmacSha256 kIdKey(Bytes(32, 7));
const crypto::SipKey kPageKey{1, 2};

// Keeps pages in memory; counts what is asked for.
class Pages final : public NodeSink, public NodeSource {
 public:
  Result<ChunkId> put_node(std::span<const ChunkId> edges, ByteView payload) override {
    const ChunkId id = chunk_id(kIdKey, ChunkKind::node, edges, payload);
    if (!nodes_.contains(id)) {
      nodes_[id] = std::make_shared<Node>(Node{{edges.begin(), edges.end()}, to_bytes(payload)});
      ++added;
      added_bytes += payload.size() + edges.size() * ChunkId::kSize;
    }
    return id;
  }
  Result<std::shared_ptr<const Node>> load_node(const ChunkId& id) override {
    if (loads++ >= fail_from && load_error) return Error{*load_error, id.hex()};
    const auto it = nodes_.find(id);
    if (it == nodes_.end()) return Error{Errc::missing, id.hex()};
    return std::shared_ptr<const Node>(it->second);
  }
  size_t added = 0;
  size_t added_bytes = 0;
  size_t loads = 0;
  std::optional<std::error_code> load_error;  // of every load from this one on
  size_t fail_from = 0;
  std::map<ChunkId, std::shared_ptr<Node>> nodes_;
};

struct KeyLess {
  bool operator()(const std::string& a, const std::string& b) const {
    return compare_keys(a, b) < 0;
  }
};
using Model = std::map<std::string, Entry, KeyLess>;

std::string random_name(std::mt19937_64& random) {
  std::string name;
  const size_t n = 1 + random() % 12;
  for (size_t i = 0; i < n; ++i) {
    char c;
    do {
      c = static_cast<char>(random() % 4 == 0 ? random() % 255 + 1 : 'a' + random() % 6);
    } while (c == '/' || c == '\0');
    name.push_back(c);
  }
  return name == "." || name == ".." ? "dot" : name;
}

ChunkId random_id(std::mt19937_64& random) {
  ChunkId id;
  for (uint8_t& b : id.bytes) b = static_cast<uint8_t>(random());
  return id;
}

Entry random_entry(std::mt19937_64& random, const std::string& key) {
  Entry e;
  e.type = static_cast<EntryType>(1 + random() % 7);
  e.mode = random() & 07777;
  e.uid = random() % 3;
  e.gid = static_cast<uint32_t>(random());
  e.user = random() % 2 ? "root" : "";
  e.group = std::string(random() % 20, 'g');
  e.mtime_s = static_cast<int64_t>(random());  // any 64 bits
  e.mtime_ns = random() % 1'000'000'000;
  if (random() % 8 == 0) e.attributes = static_cast<uint32_t>(random());
  e.inconsistent = random() % 16 == 0;
  e.has_links = random() % 16 == 0;
  if (random() % 8 == 0) e.xattrs.push_back({"user.x", Bytes(random() % 100, 1)});
  if (e.xattrs.empty() && random() % 32 == 0)
    e.xattr_chunks = {random_id(random), random_id(random)};
  if (random() % 16 == 0 && !key.empty()) e.link_to = "";
  switch (e.type) {
    case EntryType::file: {
      const size_t n = random() % 6;
      if (n == 5) {
        e.size = 1 + random() % 1'000'000'000;
        e.extents_root = random_id(random);
      } else {
        for (size_t i = 0; i < n; ++i) {
          Extent x{1 + random() % 100'000, std::nullopt};
          if (random() % 4) x.chunk = random_id(random);
          e.size += x.bytes;
          e.extents.push_back(x);
        }
      }
      break;
    }
    case EntryType::symlink:
      e.symlink_target = random_name(random);
      break;
    case EntryType::char_device:
    case EntryType::block_device:
      e.device_major = static_cast<uint32_t>(random());
      e.device_minor = static_cast<uint32_t>(random());
      break;
    default:
      break;
  }
  return e;
}

Model random_model(std::mt19937_64& random, size_t n) {
  Model model;
  std::vector<std::string> keys{""};
  while (model.size() < n) {
    const std::string& parent = keys[random() % keys.size()];
    const std::string key =
        parent.empty() ? random_name(random) : parent + "/" + random_name(random);
    if (key.size() < 200) keys.push_back(key);
    model[key] = random_entry(random, key);
  }
  return model;
}

ChunkId build(Pages& pages, const Model& model) {
  PathMapBuilder builder(kPageKey, pages);
  for (const auto& [key, entry] : model) EXPECT_OK(builder.add(key, entry));
  auto root = builder.finish();
  EXPECT_OK(root);
  return *root;
}

TEST(CompareKeys, PutsSubTreesTogether) {
  const char* sorted[] = {"", "a", "a/b", "a/b/c", "a/c", "a b", "a.b", "ab", "b"};
  for (size_t i = 0; i < std::size(sorted); ++i) {
    for (size_t j = 0; j < std::size(sorted); ++j) {
      const int order = compare_keys(sorted[i], sorted[j]);
      EXPECT_EQ(order < 0, i < j) << sorted[i] << " " << sorted[j];
      EXPECT_EQ(order == 0, i == j);
    }
  }
}

TEST(ValidKey, RefusesWhatCouldLeaveATree) {
  for (const char* good : {"", "a", "a/b", "...", "a/.b", "\xff/\n"})
    EXPECT_TRUE(is_valid_key(good));
  for (const char* bad : {"/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b"}) {
    EXPECT_FALSE(is_valid_key(bad)) << bad;
  }
  EXPECT_FALSE(is_valid_key(std::string_view("a\0b", 3)));
}

TEST(PathMap, KeepsEveryEntryAndFindsIt) {
  FOR_EACH_SEED(seed, 12) {
    std::mt19937_64 random(seed);
    const Model model = random_model(random, 1 + random() % 3000);
    Pages pages;
    const ChunkId root = build(pages, model);
    PathCursor cursor(pages, root);
    ASSERT_OK(cursor.seek_first());
    for (const auto& [key, entry] : model) {
      ASSERT_FALSE(cursor.at_end());
      ASSERT_EQ(cursor->key, key);
      ASSERT_TRUE(cursor->entry == entry) << key;
      ASSERT_OK(cursor.next());
    }
    EXPECT_TRUE(cursor.at_end());
    ASSIGN(const MapTotals totals, map_totals(pages, root));
    EXPECT_EQ(totals.entries, model.size());
    for (int i = 0; i < 50; ++i) {
      auto it = model.begin();
      std::advance(it, random() % model.size());
      ASSIGN(const PathEntry found, find_entry(pages, root, it->first));
      EXPECT_TRUE(found.entry == it->second);
      const std::string absent = it->first + "/" + random_name(random) + "?";
      if (!model.contains(absent)) {
        EXPECT_ERROR(std::errc::no_such_file_or_directory, find_entry(pages, root, absent));
      }
    }
  }
}

TEST(PathMap, SeekAndSkipAgreeWithTheModel) {
  FOR_EACH_SEED(seed, 12) {
    std::mt19937_64 random(seed);
    Model model = random_model(random, 1000);
    Pages pages;
    const ChunkId root = build(pages, model);
    PathCursor cursor(pages, root);
    for (int i = 0; i < 100; ++i) {
      auto it = model.begin();
      std::advance(it, random() % model.size());
      const std::string wanted = random() % 2 ? it->first : it->first + "~";
      ASSERT_OK(cursor.seek(wanted));
      auto expected = model.lower_bound(wanted);
      ASSERT_EQ(cursor.at_end(), expected == model.end());
      if (cursor.at_end()) continue;
      ASSERT_EQ(cursor->key, expected->first);
      const bool directory = cursor->entry.type == EntryType::directory;
      const std::string from = cursor->key;
      ASSERT_OK(cursor.skip_subtree());
      ++expected;
      while (directory && expected != model.end() && is_within(expected->first, from)) ++expected;
      ASSERT_EQ(cursor.at_end(), expected == model.end());
      if (!cursor.at_end()) {
        EXPECT_EQ(cursor->key, expected->first);
      }
    }
  }
}

// Every entry is either found, or told to be lost; no more is lost than the pages that are gone
// held.
TEST(PathCursor, PassesOverLostPages) {
  FOR_EACH_SEED(seed, 30) {
    std::mt19937_64 random(seed);
    const Model model = random_model(random, 200 + random() % 5000);
    Pages pages;
    const ChunkId root = build(pages, model);
    size_t lost_entries = 0;
    for (auto it = pages.nodes_.begin(); it != pages.nodes_.end();) {
      const bool is_leaf = *node_type(it->second->payload) == NodeType::path_leaf;
      if (it->first == root || random() % (is_leaf ? 8 : 20) != 0) {
        ++it;
        continue;
      }
      if (is_leaf) lost_entries += decode_path_leaf(it->second->payload, it->second->edges)->size();
      it = random() % 2 ? pages.nodes_.erase(it) : (it->second = std::make_shared<Node>(), ++it);
    }
    std::vector<LostEntries> lost;
    const auto is_lost = [&](const std::string& key) {
      return std::count_if(lost.begin(), lost.end(),
                           [&](const LostEntries& l) { return l.may_include(key); });
    };
    PathCursor cursor(pages, root);
    cursor.pass_over_damage([&](const LostEntries& l) { lost.push_back(l); });
    std::map<std::string, Entry> found;
    ASSERT_OK(cursor.seek_first());
    while (!cursor.at_end()) {
      found[cursor->key] = cursor->entry;
      ASSERT_OK(cursor.next());
    }
    for (const auto& [key, entry] : model) {
      const auto it = found.find(key);
      EXPECT_EQ(is_lost(key), it == found.end() ? 1 : 0) << key;
      if (it != found.end()) {
        EXPECT_TRUE(it->second == entry) << key;
      }
    }
    EXPECT_LE(found.size() + lost_entries, model.size());
    EXPECT_EQ(lost.empty(), found.size() == model.size());
    // A seek into what is lost comes out behind it.
    for (const LostEntries& l : std::vector<LostEntries>(lost)) {
      ASSERT_OK(cursor.seek(l.first));
      if (!cursor.at_end()) {
        EXPECT_FALSE(l.may_include(cursor->key));
        EXPECT_TRUE(found.contains(cursor->key));
      }
    }
    // Without a callback, and with errors of the moment, it stays an error.
    PathCursor strict(pages, root);
    if (lost.empty()) continue;
    EXPECT_FALSE(strict.seek(lost.front().first).ok());
  }
}

TEST(PathCursor, ErrorsOfTheMomentPassOverNothing) {
  std::mt19937_64 random(1);
  const Model model = random_model(random, 3000);
  Pages pages;
  const ChunkId root = build(pages, model);
  pages.load_error = std::make_error_code(std::errc::io_error);
  PathCursor cursor(pages, root);
  cursor.pass_over_damage([&](const LostEntries& l) { ADD_FAILURE() << l.text(); });
  EXPECT_ERROR(std::errc::io_error, cursor.seek_first());
  pages.fail_from = 4;
  pages.loads = 0;
  ASSERT_OK(cursor.seek_first());
  Status moved;
  while (moved.ok() && !cursor.at_end()) moved = cursor.next();
  EXPECT_ERROR(std::errc::io_error, moved);
}

TEST(PathMap, AChangeCostsFewPages) {
  std::mt19937_64 random(1);
  Model model;
  for (int i = 0; i < 50'000; ++i) {
    const std::string key = "dir" + std::to_string(i / 100) + "/file" + std::to_string(i);
    Entry e;
    e.size = 1000;
    e.extents = {{1000, random_id(random)}};
    model[key] = e;
  }
  Pages pages;
  build(pages, model);
  const size_t all = pages.added;
  for (int changes : {1, 10}) {
    pages.added = 0;
    pages.added_bytes = 0;
    for (int i = 0; i < changes; ++i) {
      auto it = model.begin();
      std::advance(it, random() % model.size());
      it->second.extents = {{1000, random_id(random)}};
    }
    build(pages, model);
    // Height times changes at most; inserting or removing costs the same.
    EXPECT_LE(pages.added, static_cast<size_t>(changes) * 6);
    EXPECT_GT(pages.added, 0u);
  }
  pages.added = 0;
  model.erase(std::next(model.begin(), 20'000));
  model["dir77/aaa new"] = Entry{};
  build(pages, model);
  EXPECT_LE(pages.added, 14u);
  EXPECT_GT(all, 300u);
}

TEST(PathMap, LongKeysDoNotBreakPages) {
  Model model;
  std::string deep;
  for (int i = 0; i < 3000; ++i) {
    deep += (deep.empty() ? "" : "/") + std::string(i % 7 == 0 ? 255 : 3, 'd');
    model[deep].type = EntryType::directory;
  }
  Pages pages;
  const ChunkId root = build(pages, model);
  ASSIGN(const PathEntry last, find_entry(pages, root, deep));
  EXPECT_EQ(last.key, deep);
}

TEST(DiffMaps, ReportsExactlyTheDifferencesAndSkipsTheRest) {
  FOR_EACH_SEED(seed, 12) {
    std::mt19937_64 random(seed);
    const Model before = random_model(random, 3000);
    Model after = before;
    std::set<std::string> expected;
    for (int i = 0; i < 5; ++i) {
      auto it = after.begin();
      std::advance(it, random() % after.size());
      expected.insert(it->first);
      switch (random() % 3) {
        case 0:
          it->second.mode ^= 1;
          break;
        case 1:
          after.erase(it);
          break;
        default: {
          const std::string added = it->first + "+";
          expected.erase(it->first);
          expected.insert(added);
          after[added] = random_entry(random, added);
        }
      }
    }
    Pages pages;
    const ChunkId a = build(pages, before);
    const ChunkId b = build(pages, after);
    std::set<std::string> seen;
    ASSERT_OK(diff_maps(pages, a, pages, b, [&](const PathEntry* x, const PathEntry* y) -> Status {
      seen.insert(x != nullptr ? x->key : y->key);
      return {};
    }));
    for (const std::string& key : seen) {
      EXPECT_TRUE(expected.contains(key) || before.contains(key) != after.contains(key)) << key;
    }
    for (const std::string& key : expected) {
      const auto x = before.find(key);
      const auto y = after.find(key);
      const bool differs = (x == before.end()) != (y == after.end()) ||
                           (x != before.end() && !(x->second == y->second));
      EXPECT_EQ(seen.contains(key), differs) << key;
    }
  }
}

TEST(DiffMaps, DoesNotReadWhatIsTheSame) {
  std::mt19937_64 random(7);
  const Model before = random_model(random, 30'000);
  Model after = before;
  std::next(after.begin(), 10'000)->second.mode ^= 1;
  std::next(after.begin(), 20'000)->second.mode ^= 1;
  Pages pages;
  const ChunkId a = build(pages, before);
  const ChunkId b = build(pages, after);
  pages.loads = 0;
  int differences = 0;
  ASSERT_OK(diff_maps(pages, a, pages, b, [&](const PathEntry*, const PathEntry*) -> Status {
    ++differences;
    return {};
  }));
  EXPECT_EQ(differences, 2);
  EXPECT_LT(pages.loads, pages.nodes_.size() / 10);
}

TEST(ExtentsMap, KeepsExtentsAndFindsRanges) {
  FOR_EACH_SEED(seed, 12) {
    std::mt19937_64 random(seed);
    Pages pages;
    ExtentsMapBuilder builder(pages);
    std::vector<std::pair<uint64_t, Extent>> all;
    uint64_t at = 0;
    const size_t n = 1 + random() % 20'000;
    for (size_t i = 0; i < n; ++i) {
      Extent x{1 + random() % 200'000, std::nullopt};
      if (random() % 5) x.chunk = random_id(random);
      ASSERT_OK(builder.add(x));
      all.emplace_back(at, x);
      at += x.bytes;
    }
    Entry file;
    file.size = at;
    ASSIGN(file.extents_root, builder.finish());
    size_t next = 0;
    ASSERT_OK(for_each_extent(pages, file, [&](uint64_t offset, const Extent& x) -> Status {
      EXPECT_EQ(offset, all[next].first);
      EXPECT_EQ(x, all[next].second);
      ++next;
      return {};
    }));
    EXPECT_EQ(next, all.size());
    for (int i = 0; i < 20; ++i) {
      const uint64_t begin = random() % at;
      const uint64_t bytes = 1 + random() % 1'000'000;
      std::vector<uint64_t> expected;
      for (const auto& [offset, x] : all) {
        if (offset < begin + bytes && offset + x.bytes > begin) expected.push_back(offset);
      }
      std::vector<uint64_t> seen;
      ASSERT_OK(for_each_extent_in(pages, file, begin, bytes,
                                   [&](uint64_t offset, const Extent&) -> Status {
                                     seen.push_back(offset);
                                     return {};
                                   }));
      EXPECT_EQ(seen, expected);
    }
    // A file that claims another size than its map has is refused.
    file.size = at + 1;
    EXPECT_ERROR(Errc::damaged,
                 for_each_extent(pages, file, [](uint64_t, const Extent&) { return Status(); }));
  }
}

TEST(ExtentsMap, AnInsertionNearTheStartChangesFewPages) {
  std::mt19937_64 random(3);
  std::vector<Extent> extents;
  for (int i = 0; i < 50'000; ++i) extents.push_back({100'000, random_id(random)});
  Pages pages;
  const auto build_all = [&] {
    ExtentsMapBuilder builder(pages);
    for (const Extent& x : extents) EXPECT_OK(builder.add(x));
    EXPECT_OK(builder.finish());
  };
  build_all();
  pages.added = 0;
  extents.insert(extents.begin() + 10, {777, random_id(random)});
  build_all();
  EXPECT_LE(pages.added, 8u);
}

// Every byte of a page changed in every bit: the decoder must refuse or give something else, never
// crash, and never give the same entries back as if nothing had happened.
TEST(PathLeaf, SurvivesEveryBitFlip) {
  std::mt19937_64 random(5);
  const Model model = random_model(random, 12);
  PathLeafEncoder encoder;
  std::vector<PathEntry> entries;
  for (const auto& [key, entry] : model) {
    encoder.add(key, entry);
    entries.push_back({key, entry});
  }
  const Bytes payload = encoder.finish();
  const std::vector<ChunkId> edges = encoder.edges();
  ASSIGN(const auto back, decode_path_leaf(payload, edges));
  ASSERT_EQ(back, entries);
  for (size_t bit = 0; bit < payload.size() * 8; ++bit) {
    Bytes changed = payload;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const auto decoded = decode_path_leaf(changed, edges);
    if (decoded.ok()) {
      EXPECT_FALSE(*decoded == entries) << "bit " << bit;
    }
  }
  for (size_t n = 0; n < payload.size(); ++n) {
    EXPECT_FALSE(decode_path_leaf(ByteView(payload).first(n), edges).ok());
  }
  if (!edges.empty()) {
    EXPECT_FALSE(decode_path_leaf(payload, std::span(edges).first(edges.size() - 1)).ok());
    std::vector<ChunkId> more = edges;
    more.push_back(ChunkId::random());
    EXPECT_FALSE(decode_path_leaf(payload, more).ok()) << "an edge that nothing refers to";
  }
}

TEST(PathCursor, RefusesPagesThatLieAboutTheirLevel) {
  Pages pages;
  Entry e;
  PathLeafEncoder leaf;
  leaf.add("a", e);
  const Bytes payload = leaf.finish();
  const ChunkId leaf_id = *pages.put_node({}, payload);
  PathInner inner;
  inner.level = 3;  // its child is a leaf
  inner.children.push_back({"a", leaf_id, 1, 0});
  const ChunkId root = *pages.put_node({&leaf_id, 1}, encode_path_inner(inner));
  PathCursor cursor(pages, root);
  EXPECT_ERROR(Errc::damaged, cursor.seek_first());
}

}  // namespace
}  // namespace holdfast::vault
