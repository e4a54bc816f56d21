// Pages of maps, and extended attributes. A page's edges are part of the input: they stand in the
// pack in the clear. Layout: u8 kind | u8 count of edges | edges | payload.
#include <cstring>

#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/format/extents_page.h"
#include "vault/format/path_page.h"

namespace holdfast::fuzz {

using vault::ChunkId;

void run(ByteView input) {
  if (input.size() < 2) return;
  const size_t count = input[1];
  if (input.size() < 2 + count * ChunkId::kSize) return;
  std::vector<ChunkId> edges;
  for (size_t i = 0; i < count; ++i) {
    ChunkId id;
    std::memcpy(id.bytes.data(), input.data() + 2 + i * ChunkId::kSize, ChunkId::kSize);
    edges.push_back(id);
  }
  const ByteView payload = input.subspan(2 + count * ChunkId::kSize);
  (void)vault::node_type(payload);
  switch (input[0] % 5) {
    case 0: {
      const auto entries = vault::decode_path_leaf(payload, edges);
      if (!entries.ok() || entries->empty()) break;
      vault::PathLeafEncoder again;
      for (const vault::PathEntry& e : *entries) again.add(e.key, e.entry);
      // Prefixes, base times and edges may be chosen otherwise; what is read must be the same.
      const Bytes encoded = again.finish();
      const auto reread = vault::decode_path_leaf(encoded, again.edges());
      CHECK(reread.ok() && *reread == *entries);
      break;
    }
    case 1: {
      const auto page = vault::decode_path_inner(payload, edges);
      if (!page.ok()) break;
      std::vector<ChunkId> ids;
      for (const vault::PathChild& child : page->children) ids.push_back(child.id);
      const auto reread = vault::decode_path_inner(vault::encode_path_inner(*page), ids);
      CHECK(reread.ok() && reread->children == page->children);
      break;
    }
    case 2: {
      const auto extents = vault::decode_extents_leaf(payload, edges);
      vault::EdgeWriter again;
      if (extents.ok()) {
        const Bytes encoded = vault::encode_extents_leaf(*extents, again);
        const auto reread = vault::decode_extents_leaf(encoded, again.edges());
        CHECK(reread.ok() && *reread == *extents);
      }
      break;
    }
    case 3: {
      const auto page = vault::decode_extents_inner(payload, edges);
      vault::EdgeWriter again;
      if (page.ok()) {
        const Bytes encoded = vault::encode_extents_inner(*page, again);
        const auto reread = vault::decode_extents_inner(encoded, again.edges());
        CHECK(reread.ok() && reread->children == page->children);
      }
      break;
    }
    default: {
      const auto xattrs = vault::decode_xattrs(payload);
      if (xattrs.ok()) CHECK(equal(vault::encode_xattrs(*xattrs), payload));
    }
  }
}

std::vector<Bytes> seeds(const Vectors& vectors) {
  std::vector<Bytes> out;
  const std::pair<const char*, uint8_t> pages[] = {{"leaf1", 0},    {"leaf2", 0},
                                                   {"root", 1},     {"extents1", 2},
                                                   {"extents2", 2}, {"extents_root", 3}};
  for (const char* map : {"map.", "map2."}) {
    for (const auto& [page, kind] : pages) {
      const auto bytes = vectors.find(std::string(map) + page + ".bytes");
      const auto edges = vectors.find(std::string(map) + page + ".edges");
      if (bytes == vectors.end() || edges == vectors.end()) continue;
      Bytes seed{kind, static_cast<uint8_t>(edges->second.size() / ChunkId::kSize)};
      seed.insert(seed.end(), edges->second.begin(), edges->second.end());
      seed.insert(seed.end(), bytes->second.begin(), bytes->second.end());
      out.push_back(std::move(seed));
    }
  }
  if (const auto it = vectors.find("chunk.attributes.bytes"); it != vectors.end()) {
    Bytes seed{4, 0};
    seed.insert(seed.end(), it->second.begin(), it->second.end());
    out.push_back(std::move(seed));
  }
  return out;
}

}  // namespace holdfast::fuzz
