#include "vault/format/map_reader.h"

#include <algorithm>

#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr size_t kDepthMax = 32;
constexpr int kTopLevel = 256;  // a root may be of any level

Error damaged(std::string context) {
  return Error{Errc::damaged, std::move(context)};
}

}  // namespace

std::string LostEntries::text() const {
  return "entries from /" + first + (end ? " up to /" + *end : " to the end") +
         " cannot be read: " + reason.message();
}

Status PathCursor::load_leaf(const ChunkId& id, const Node& node, const std::string* first_key,
                             const std::optional<std::string>& end_key) {
  auto leaf = std::make_shared<Leaf>();
  leaf->id = id;
  TRY(leaf->entries, decode_path_leaf(node.payload, node.edges));
  if (leaf->entries.empty()) return damaged("empty path page " + id.hex());
  const bool begins_right = first_key == nullptr || leaf->entries.front().key == *first_key;
  const bool ends_right = !end_key || compare_keys(leaf->entries.back().key, *end_key) < 0;
  if (!begins_right || !ends_right) return damaged("path page in the wrong place " + id.hex());
  leaf_ = std::move(leaf);
  return {};
}

std::optional<std::string> PathCursor::end_of_child(size_t depth) const {
  for (size_t i = depth; i > 0; --i) {
    const InnerPosition& inner = path_[i - 1];
    if (inner.index + 1 < inner.page->children.size()) {
      return inner.page->children[inner.index + 1].first_key;
    }
  }
  return std::nullopt;
}

// To the leaf where `key` belongs (to the first leaf without a key).
Status PathCursor::descend(const ChunkId& id, const std::string* key, const std::string* first_key,
                           std::optional<std::string> end_key) {
  ChunkId at = id;
  std::optional<std::string> expected_first;
  if (first_key != nullptr) expected_first = *first_key;
  int level_above = path_.empty() ? kTopLevel : path_.back().page->level;
  for (;;) {
    if (path_.size() > kDepthMax) return damaged("path map is too deep");
    TRY(const auto node, source_->load_node(at));
    TRY(const NodeType type, node_type(node->payload));
    if (type == NodeType::path_leaf) {
      if (level_above != kTopLevel && level_above != 1)
        return damaged("path page at the wrong level");
      TRYV(load_leaf(at, *node, expected_first ? &*expected_first : nullptr, end_key));
      leaf_index_ = 0;
      if (key != nullptr) {
        const auto& entries = leaf_->entries;
        leaf_index_ =
            static_cast<size_t>(std::lower_bound(entries.begin(), entries.end(), *key,
                                                 [](const PathEntry& e, const std::string& k) {
                                                   return compare_keys(e.key, k) < 0;
                                                 }) -
                                entries.begin());
      }
      at_end_ = false;
      return {};
    }
    if (type != NodeType::path_inner) return damaged("page of another map " + at.hex());
    TRY(PathInner page, decode_path_inner(node->payload, node->edges));
    if (level_above != kTopLevel && page.level + 1 != level_above) {
      return damaged("path page at the wrong level");
    }
    if (expected_first && page.children.front().first_key != *expected_first) {
      return damaged("path page in the wrong place " + at.hex());
    }
    level_above = page.level;
    size_t index = 0;
    if (key != nullptr) {
      // The last child whose first key is not behind `key`.
      const auto it = std::upper_bound(page.children.begin(), page.children.end(), *key,
                                       [](const std::string& k, const PathChild& c) {
                                         return compare_keys(k, c.first_key) < 0;
                                       });
      index = it == page.children.begin() ? 0 : static_cast<size_t>(it - page.children.begin()) - 1;
    }
    const PathChild& child = page.children[index];
    expected_first = child.first_key;
    if (index + 1 < page.children.size()) end_key = page.children[index + 1].first_key;
    const ChunkId child_id = child.id;
    path_.push_back({at, std::make_shared<PathInner>(std::move(page)), index});
    at = child_id;
  }
}

// The entry after everything below path_[depth]'s current child; depth == path_.size() stands for
// the leaf.
Status PathCursor::advance_from(size_t depth) {
  while (depth > 0) {
    InnerPosition& inner = path_[depth - 1];
    if (inner.index + 1 < inner.page->children.size()) {
      ++inner.index;
      const PathChild child = inner.page->children[inner.index];
      path_.resize(depth);
      return descend(child.id, nullptr, &child.first_key, end_of_child(depth));
    }
    --depth;
  }
  path_.clear();
  leaf_.reset();
  at_end_ = true;
  return {};
}

Status PathCursor::pass_over(Status failed) {
  // descend() fails before it enters a page: the innermost position is the parent's.
  while (!failed.ok() && lost_ && is_verdict(failed.error()) && !path_.empty()) {
    const InnerPosition& parent = path_.back();
    lost_({parent.page->children[parent.index].first_key, end_of_child(path_.size()),
           failed.error()});
    failed = advance_from(path_.size());
  }
  return failed;
}

Status PathCursor::seek(std::string_view key) {
  path_.clear();
  leaf_.reset();
  at_end_ = true;
  const std::string wanted(key);
  TRYV(pass_over(descend(root_, &wanted, nullptr, std::nullopt)));
  if (at_end_ || leaf_index_ < leaf_->entries.size()) return {};
  return pass_over(advance_from(path_.size()));
}

Status PathCursor::next() {
  CHECK(!at_end_);
  if (++leaf_index_ < leaf_->entries.size()) return {};
  return pass_over(advance_from(path_.size()));
}

Status PathCursor::skip_subtree() {
  CHECK(!at_end_);
  if ((**this).entry.type != EntryType::directory) return next();
  const std::string directory = (**this).key;
  // Mostly the sub-tree is empty or ends in this leaf.
  while (leaf_index_ + 1 < leaf_->entries.size()) {
    ++leaf_index_;
    if (!is_within((**this).key, directory)) return {};
  }
  // "dir/" + the greatest byte is behind everything below dir and before any sibling: seek there.
  if (directory.empty()) {
    path_.clear();
    at_end_ = true;
    return {};
  }
  TRYV(seek(directory + "/\xff"));
  while (!at_end_ && is_within((**this).key, directory)) TRYV(next());
  return {};
}

std::vector<std::pair<ChunkId, uint8_t>> PathCursor::pages_beginning_here() const {
  std::vector<std::pair<ChunkId, uint8_t>> pages;
  if (at_end_ || leaf_index_ != 0) return pages;
  pages.emplace_back(leaf_->id, uint8_t{0});
  for (size_t i = path_.size(); i-- > 0 && path_[i].index == 0;) {
    pages.emplace_back(path_[i].id, path_[i].page->level);
  }
  std::reverse(pages.begin(), pages.end());
  return pages;
}

size_t PathCursor::siblings_in_common(const PathCursor& other, uint8_t level) const {
  if (level >= path_.size() || level >= other.path_.size()) return 0;
  const InnerPosition& ours = path_[path_.size() - level - 1];
  const InnerPosition& theirs = other.path_[other.path_.size() - level - 1];
  size_t n = 0;
  while (ours.index + n + 1 < ours.page->children.size() &&
         theirs.index + n + 1 < theirs.page->children.size() &&
         ours.page->children[ours.index + n + 1].id ==
             theirs.page->children[theirs.index + n + 1].id) {
    ++n;
  }
  return n;
}

Status PathCursor::skip_page(uint8_t level, size_t siblings) {
  CHECK(!at_end_ && level <= path_.size());
  const size_t depth = path_.size() - level;
  if (siblings > 0) path_[depth - 1].index += siblings;
  return pass_over(advance_from(depth));
}

Result<PathEntry> find_entry(NodeSource& source, const ChunkId& root, std::string_view key) {
  PathCursor cursor(source, root);
  TRYV(cursor.seek(key));
  if (cursor.at_end() || cursor->key != key) {
    return errno_error(ENOENT, "/" + std::string(key));
  }
  return *cursor;
}

Result<MapTotals> map_totals(NodeSource& source, const ChunkId& root) {
  TRY(const auto node, source.load_node(root));
  TRY(const NodeType type, node_type(node->payload));
  MapTotals totals;
  if (type == NodeType::path_inner) {
    TRY(const PathInner page, decode_path_inner(node->payload, node->edges));
    for (const PathChild& c : page.children) {
      totals.entries += c.entries;
      totals.bytes += c.bytes;
    }
    return totals;
  }
  TRY(const auto entries, decode_path_leaf(node->payload, node->edges));
  totals.entries = entries.size();
  for (const PathEntry& e : entries) totals.bytes += e.entry.size;
  return totals;
}

namespace {

// Moves both cursors behind the largest page that both begin with, if there is one.
Result<bool> skip_common_page(PathCursor& a, PathCursor& b) {
  const auto pages_a = a.pages_beginning_here();
  if (pages_a.empty()) return false;
  const auto pages_b = b.pages_beginning_here();
  for (const auto& [id, level] : pages_a) {
    for (const auto& [other_id, other_level] : pages_b) {
      if (id == other_id && level == other_level) {
        const size_t siblings = a.siblings_in_common(b, level);
        TRYV(a.skip_page(level, siblings));
        TRYV(b.skip_page(level, siblings));
        return true;
      }
    }
  }
  return false;
}

}  // namespace

Status diff_maps(NodeSource& before_source, const ChunkId& before, NodeSource& after_source,
                 const ChunkId& after, const DiffCallback& report) {
  if (before == after) return {};
  PathCursor a(before_source, before);
  PathCursor b(after_source, after);
  TRYV(a.seek_first());
  TRYV(b.seek_first());
  while (!a.at_end() || !b.at_end()) {
    if (!a.at_end() && !b.at_end()) {
      TRY(const bool skipped, skip_common_page(a, b));
      if (skipped) continue;
    }
    const int order = a.at_end() ? 1 : b.at_end() ? -1 : compare_keys(a->key, b->key);
    if (order < 0) {
      TRYV(report(&*a, nullptr));
    } else if (order > 0) {
      TRYV(report(nullptr, &*b));
    } else if (a->entry != b->entry) {
      TRYV(report(&*a, &*b));
    }
    if (order <= 0) TRYV(a.next());
    if (order >= 0) TRYV(b.next());
  }
  return {};
}

namespace {

struct Range {
  uint64_t begin;
  uint64_t end;
  bool overlaps(uint64_t offset, uint64_t bytes) const {
    return offset < end && offset + bytes > begin;
  }
};

Status walk_extents(NodeSource& source, const ChunkId& id, const Range& range, uint64_t& offset,
                    int level_above, uint64_t bytes_expected, const ExtentCallback& visit) {
  TRY(const auto node, source.load_node(id));
  TRY(const NodeType type, node_type(node->payload));
  const uint64_t begin = offset;
  const auto fits = [&](uint64_t bytes) { return bytes <= bytes_expected - (offset - begin); };
  if (type == NodeType::extents_leaf) {
    if (level_above != kTopLevel && level_above != 1)
      return damaged("extents page at the wrong level");
    TRY(const auto extents, decode_extents_leaf(node->payload, node->edges));
    for (const Extent& x : extents) {
      if (!fits(x.bytes)) return damaged("extents map does not add up " + id.hex());
      if (range.overlaps(offset, x.bytes)) TRYV(visit(offset, x));
      offset += x.bytes;
    }
  } else if (type == NodeType::extents_inner) {
    TRY(const ExtentsInner page, decode_extents_inner(node->payload, node->edges));
    if (level_above != kTopLevel && page.level + 1 != level_above) {
      return damaged("extents page at the wrong level");
    }
    for (const ExtentsChild& child : page.children) {
      if (!fits(child.bytes)) return damaged("extents map does not add up " + id.hex());
      if (range.overlaps(offset, child.bytes)) {
        TRYV(walk_extents(source, child.id, range, offset, page.level, child.bytes, visit));
      } else {
        offset += child.bytes;
      }
    }
  } else {
    return damaged("page of another map " + id.hex());
  }
  if (offset - begin != bytes_expected) return damaged("extents map does not add up " + id.hex());
  return {};
}

}  // namespace

Status for_each_extent(NodeSource& source, const Entry& entry, const ExtentCallback& visit) {
  return for_each_extent_in(source, entry, 0, entry.size, visit);
}

Status for_each_extent_in(NodeSource& source, const Entry& entry, uint64_t offset, uint64_t bytes,
                          const ExtentCallback& visit) {
  if (offset >= entry.size || bytes == 0) return {};
  const Range range{offset, offset + std::min(bytes, entry.size - offset)};
  uint64_t at = 0;
  if (entry.extents_root) {
    return walk_extents(source, *entry.extents_root, range, at, kTopLevel, entry.size, visit);
  }
  for (const Extent& x : entry.extents) {
    if (range.overlaps(at, x.bytes)) TRYV(visit(at, x));
    at += x.bytes;
  }
  return {};
}

}  // namespace holdfast::vault
