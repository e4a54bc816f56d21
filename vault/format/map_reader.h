// Reads maps: finding one entry, walking all in order, skipping sub-trees, comparing two maps by
// looking only where their pages differ.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "vault/format/extents_page.h"

namespace holdfast::vault {

// A page as it came from the vault, its id already checked.
struct Node {
  std::vector<ChunkId> edges;
  Bytes payload;
};

class NodeSource {
 public:
  virtual ~NodeSource() = default;
  virtual Result<std::shared_ptr<const Node>> load_node(const ChunkId& id) = 0;
};

// Entries that a page holds which cannot be read: their keys are not before `first`, and before
// `end` (none: up to the end of the map).
struct LostEntries {
  std::string first;
  std::optional<std::string> end;
  Error reason;

  bool may_include(std::string_view key) const {
    return compare_keys(first, key) <= 0 && (!end || compare_keys(key, *end) < 0);
  }
  // Whether an entry at or below `key` may be among them.
  bool may_touch(std::string_view key) const { return is_within(first, key) || may_include(key); }
  // "entries from /a up to /b cannot be read: why"
  std::string text() const;
};
using LostCallback = std::function<void(const LostEntries&)>;

// A position in a path map. Moving costs one page load per level at most. The source must outlive
// it. After an error the cursor is at an unspecified position; seek() makes it usable again.
class PathCursor {
 public:
  PathCursor(NodeSource& source, const ChunkId& root) : source_(&source), root_(root) {}

  // From now on pages that are damaged or missing end no walk: `lost` is told, and the cursor goes
  // on behind them. Of a damaged root nothing is left: that stays an error, and so does what is of
  // the moment (is_verdict).
  void pass_over_damage(LostCallback lost) { lost_ = std::move(lost); }

  // To the first entry whose key is not before `key`.
  Status seek(std::string_view key);
  Status seek_first() { return seek(""); }
  bool at_end() const { return at_end_; }
  const PathEntry& operator*() const { return leaf_->entries[leaf_index_]; }
  const PathEntry* operator->() const { return &leaf_->entries[leaf_index_]; }
  Status next();
  // To the first entry that is neither the current one nor below it.
  Status skip_subtree();

  // The pages that the cursor stands at the very beginning of, largest first: (id, level).
  std::vector<std::pair<ChunkId, uint8_t>> pages_beginning_here() const;
  // How many pages right behind the one at `level` (0: the leaf) are the same in both cursors, as
  // far as the page above them tells.
  size_t siblings_in_common(const PathCursor& other, uint8_t level) const;
  // Leaves the page at `level` that the cursor is in, and the `siblings` behind it without reading
  // them, to the first entry behind.
  Status skip_page(uint8_t level, size_t siblings);

 private:
  struct InnerPosition {
    ChunkId id;
    std::shared_ptr<const PathInner> page;
    size_t index = 0;
  };
  struct Leaf {
    ChunkId id;
    std::vector<PathEntry> entries;
  };

  // Goes down from a page whose entries must begin with `first_key` and end before `end_key`, as
  // far as its parents told (null: unknown).
  Status descend(const ChunkId& id, const std::string* key, const std::string* first_key,
                 std::optional<std::string> end_key);
  // Where the entries of path_[depth - 1]'s current child must end.
  std::optional<std::string> end_of_child(size_t depth) const;
  Status advance_from(size_t depth);
  // Goes on behind the page that `failed` is about, if the caller wants that, until one can be
  // read.
  Status pass_over(Status failed);
  Status load_leaf(const ChunkId& id, const Node& node, const std::string* first_key,
                   const std::optional<std::string>& end_key);

  NodeSource* source_;
  ChunkId root_;
  LostCallback lost_;
  std::vector<InnerPosition> path_;  // from the root down
  std::shared_ptr<const Leaf> leaf_;
  size_t leaf_index_ = 0;
  bool at_end_ = true;
};

// The entry with exactly this key. Errors: std::errc::no_such_file_or_directory; the source's.
Result<PathEntry> find_entry(NodeSource& source, const ChunkId& root, std::string_view key);

struct MapTotals {
  uint64_t entries = 0;
  uint64_t bytes = 0;
};
// From the root page alone.
Result<MapTotals> map_totals(NodeSource& source, const ChunkId& root);

// Walks two maps side by side and reports every key whose entries differ; `before` or `after` is
// null where the map lacks the key. Identical pages are not read. The callback's error ends the
// walk.
using DiffCallback = std::function<Status(const PathEntry* before, const PathEntry* after)>;
Status diff_maps(NodeSource& before_source, const ChunkId& before, NodeSource& after_source,
                 const ChunkId& after, const DiffCallback& report);

// All extents of a file in order, whether they stand in the entry or in a map of their own.
using ExtentCallback = std::function<Status(uint64_t offset, const Extent& extent)>;
Status for_each_extent(NodeSource& source, const Entry& entry, const ExtentCallback& visit);
// Those that overlap [offset, offset + bytes).
Status for_each_extent_in(NodeSource& source, const Entry& entry, uint64_t offset, uint64_t bytes,
                          const ExtentCallback& visit);

}  // namespace holdfast::vault
