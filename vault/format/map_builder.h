// Builds maps bottom up from entries in key order, holding one open page per level.
//
// Page boundaries depend on keys (path maps) or chunk ids (extents maps) alone, through keyed
// hashes, so an unchanged region gives unchanged pages whatever changed before it, and a point
// costs what changed. See docs/formats/map.md for why the sizes are what they are.
#pragma once

#include "base/crypto/siphash.h"
#include "vault/format/extents_page.h"

namespace holdfast::vault {

// Takes finished pages and gives their ids.
class NodeSink {
 public:
  virtual ~NodeSink() = default;
  virtual Result<ChunkId> put_node(std::span<const ChunkId> edges, ByteView payload) = 0;
  // A leaf of a path map with `entries` entries; for writers that keep leaves (the agent's cache).
  virtual Result<ChunkId> put_path_leaf(std::span<const ChunkId> edges, ByteView payload,
                                        size_t entries) {
    (void)entries;
    return put_node(edges, payload);
  }
};

struct PathMapParameters {
  size_t leaf_bytes_min = 1024;
  size_t leaf_bytes_max = 16 * 1024;
  uint32_t leaf_boundary_one_in = 24;  // expected entries of a leaf once past the minimum
  size_t inner_bytes_min = 512;
  size_t inner_bytes_max = 16 * 1024;
  uint32_t inner_boundary_one_in = 16;
};

class PathMapBuilder {
 public:
  PathMapBuilder(const crypto::SipKey& key, NodeSink& sink, PathMapParameters parameters = {});

  // Keys must rise.
  Status add(std::string_view key, const Entry& entry);
  // Closes all pages. Returns the root. At least one entry must have been added.
  Result<ChunkId> finish();

  uint64_t entries() const { return entries_; }

 private:
  struct Level {
    PathInner page;
    size_t bytes = 0;
  };

  Status close_leaf();
  Status close_inner(size_t level_index);
  Status add_child(size_t level_index, PathChild child);
  bool is_boundary(std::string_view key, size_t level, uint32_t one_in) const;

  const crypto::SipKey key_;
  NodeSink& sink_;
  const PathMapParameters parameters_;
  PathLeafEncoder leaf_;
  uint64_t leaf_file_bytes_ = 0;
  std::vector<Level> levels_;  // levels_[i] has level i + 1
  uint64_t entries_ = 0;
};

// Expected, least and greatest number of entries in a page of an extents map.
inline constexpr size_t kExtentsFanOut = 64;
inline constexpr size_t kExtentsFanOutMin = 16;
inline constexpr size_t kExtentsFanOutMax = 256;

class ExtentsMapBuilder {
 public:
  explicit ExtentsMapBuilder(NodeSink& sink) : sink_(sink) {}

  Status add(const Extent& extent);
  Result<ChunkId> finish();

 private:
  Status close_leaf();
  Status close_inner(size_t level_index);
  Status add_child(size_t level_index, const ExtentsChild& child);

  NodeSink& sink_;
  std::vector<Extent> leaf_;
  std::vector<ExtentsInner> levels_;
};

}  // namespace holdfast::vault
