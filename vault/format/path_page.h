// Pages of the path map: leaves with entries, inner pages with the first key of each child.
// docs/formats/map.md has the bytes. A page is a chunk of kind node; what it refers to are its
// edges, and inside it references are ordinals of edges.
#pragma once

#include <map>
#include <vector>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/entry.h"

namespace holdfast::vault {

enum class NodeType : uint8_t {
  path_leaf = 1,
  path_inner = 2,
  extents_leaf = 3,
  extents_inner = 4,
};

// Edges in the order of first use. A reference is written as 0 for the next edge that no earlier
// reference named, or as 1 + ordinal for one that was: mostly zeros, which cost nothing compressed.
class EdgeWriter {
 public:
  void put(wire::Encoder& out, const ChunkId& id);
  const std::vector<ChunkId>& edges() const { return edges_; }
  void clear();

 private:
  std::vector<ChunkId> edges_;
  std::map<ChunkId, size_t> ordinal_;
};

class EdgeReader {
 public:
  explicit EdgeReader(std::span<const ChunkId> edges) : edges_(edges) {}
  // A zero id, and `in` failed, for a reference to an edge that is not there.
  ChunkId get(wire::Decoder& in);
  bool all_used() const { return next_ == edges_.size(); }

 private:
  std::span<const ChunkId> edges_;
  size_t next_ = 0;
};

class PathLeafEncoder {
 public:
  // Keys must rise. The entry's ids become edges.
  void add(std::string_view key, const Entry& entry);

  size_t entry_count() const { return count_; }
  // Close to what finish() will give; without the first key, which may be very long.
  size_t approximate_bytes() const { return body_.size() - first_key_bytes_; }
  const std::string& first_key() const { return first_key_; }
  const std::vector<ChunkId>& edges() const { return edges_.edges(); }
  // The payload; the encoder then starts anew, but edges() stays valid until the next add().
  Bytes finish();

 private:
  size_t owner(std::vector<std::pair<uint32_t, std::string>>& table, uint32_t id,
               const std::string& name);

  wire::Encoder body_;
  EdgeWriter edges_;
  std::vector<std::pair<uint32_t, std::string>> users_;
  std::vector<std::pair<uint32_t, std::string>> groups_;
  std::string first_key_;
  std::string last_key_;
  size_t first_key_bytes_ = 0;
  size_t count_ = 0;
  int64_t base_time_s_ = 0;
};

struct PathEntry {
  std::string key;
  Entry entry;
  bool operator==(const PathEntry&) const = default;
};

// Errors: Errc::malformed: whatever contradicts the format, keys out of order or not valid,
// references outside the edges, edges that nothing refers to.
Result<std::vector<PathEntry>> decode_path_leaf(ByteView payload, std::span<const ChunkId> edges);

struct PathChild {
  std::string first_key;
  ChunkId id;
  uint64_t entries = 0;  // below this child
  uint64_t bytes = 0;    // logical size of the files among them
  bool operator==(const PathChild&) const = default;
};
struct PathInner {
  uint8_t level = 1;  // leaves are level 0
  std::vector<PathChild> children;
};
Bytes encode_path_inner(const PathInner& page);
Result<PathInner> decode_path_inner(ByteView payload, std::span<const ChunkId> edges);

// Errors: Errc::malformed for an empty payload or an unknown type.
Result<NodeType> node_type(ByteView payload);

}  // namespace holdfast::vault
