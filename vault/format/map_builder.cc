#include "vault/format/map_builder.h"

#include <utility>

namespace holdfast::vault {

PathMapBuilder::PathMapBuilder(const crypto::SipKey& key, NodeSink& sink,
                               PathMapParameters parameters)
    : key_(key), sink_(sink), parameters_(parameters) {}

bool PathMapBuilder::is_boundary(std::string_view key, size_t level, uint32_t one_in) const {
  // Each level asks another hash, or every boundary of a level would be one of the next.
  crypto::SipKey k = key_;
  k.k1 ^= level;
  return crypto::siphash24(k, as_bytes(key)) % one_in == 0;
}

Status PathMapBuilder::add(std::string_view key, const Entry& entry) {
  leaf_.add(key, entry);
  ++entries_;
  if (entry.type == EntryType::file) leaf_file_bytes_ += entry.size;
  const size_t bytes = leaf_.approximate_bytes();
  if (bytes >= parameters_.leaf_bytes_max ||
      (bytes >= parameters_.leaf_bytes_min &&
       is_boundary(key, 0, parameters_.leaf_boundary_one_in))) {
    return close_leaf();
  }
  return {};
}

Status PathMapBuilder::close_leaf() {
  PathChild child;
  child.first_key = leaf_.first_key();
  child.entries = leaf_.entry_count();
  child.bytes = std::exchange(leaf_file_bytes_, 0);
  const Bytes payload = leaf_.finish();
  TRY(child.id, sink_.put_path_leaf(leaf_.edges(), payload, child.entries));
  return add_child(0, std::move(child));
}

Status PathMapBuilder::add_child(size_t level_index, PathChild child) {
  if (level_index == levels_.size()) {
    levels_.emplace_back();
    levels_.back().page.level = static_cast<uint8_t>(level_index + 1);
  }
  Level& level = levels_[level_index];
  level.bytes += child.first_key.size() + ChunkId::kSize + 8;
  const bool boundary =
      level.bytes >= parameters_.inner_bytes_max ||
      (level.bytes >= parameters_.inner_bytes_min &&
       is_boundary(child.first_key, level_index + 1, parameters_.inner_boundary_one_in));
  level.page.children.push_back(std::move(child));
  // A page needs two children at least, or a tree over one huge key would never end.
  if (boundary && level.page.children.size() >= 2) return close_inner(level_index);
  return {};
}

Status PathMapBuilder::close_inner(size_t level_index) {
  Level& level = levels_[level_index];
  std::vector<ChunkId> edges;
  PathChild parent;
  parent.first_key = level.page.children.front().first_key;
  for (const PathChild& c : level.page.children) {
    edges.push_back(c.id);
    parent.entries += c.entries;
    parent.bytes += c.bytes;
  }
  TRY(parent.id, sink_.put_node(edges, encode_path_inner(level.page)));
  level.page.children.clear();
  level.bytes = 0;
  return add_child(level_index + 1, std::move(parent));
}

Result<ChunkId> PathMapBuilder::finish() {
  if (leaf_.entry_count() > 0) TRYV(close_leaf());
  CHECK(!levels_.empty());
  for (size_t i = 0;; ++i) {
    const bool is_top = i + 1 == levels_.size();
    const auto& children = levels_[i].page.children;
    if (is_top && children.size() == 1) return children.front().id;
    if (!children.empty()) TRYV(close_inner(i));
  }
}

Status ExtentsMapBuilder::add(const Extent& extent) {
  leaf_.push_back(extent);
  const bool boundary = extent.chunk && extent.chunk->bytes[0] % kExtentsFanOut == 0;
  if (leaf_.size() >= kExtentsFanOutMax || (boundary && leaf_.size() >= kExtentsFanOutMin)) {
    return close_leaf();
  }
  return {};
}

Status ExtentsMapBuilder::close_leaf() {
  ExtentsChild child;
  for (const Extent& x : leaf_) child.bytes += x.bytes;
  EdgeWriter edges;
  const Bytes payload = encode_extents_leaf(leaf_, edges);
  TRY(child.id, sink_.put_node(edges.edges(), payload));
  leaf_.clear();
  return add_child(0, child);
}

Status ExtentsMapBuilder::add_child(size_t level_index, const ExtentsChild& child) {
  if (level_index == levels_.size()) {
    levels_.emplace_back();
    levels_.back().level = static_cast<uint8_t>(level_index + 1);
  }
  auto& children = levels_[level_index].children;
  children.push_back(child);
  const bool boundary = child.id.bytes[0] % kExtentsFanOut == 0;
  if (children.size() >= kExtentsFanOutMax || (boundary && children.size() >= kExtentsFanOutMin)) {
    return close_inner(level_index);
  }
  return {};
}

Status ExtentsMapBuilder::close_inner(size_t level_index) {
  ExtentsInner& page = levels_[level_index];
  ExtentsChild parent;
  for (const ExtentsChild& c : page.children) parent.bytes += c.bytes;
  EdgeWriter edges;
  const Bytes payload = encode_extents_inner(page, edges);
  TRY(parent.id, sink_.put_node(edges.edges(), payload));
  page.children.clear();
  return add_child(level_index + 1, parent);
}

Result<ChunkId> ExtentsMapBuilder::finish() {
  if (!leaf_.empty()) TRYV(close_leaf());
  CHECK(!levels_.empty());
  for (size_t i = 0;; ++i) {
    const bool is_top = i + 1 == levels_.size();
    const auto& children = levels_[i].children;
    if (is_top && children.size() == 1) return children.front().id;
    if (!children.empty()) TRYV(close_inner(i));
  }
}

}  // namespace holdfast::vault
