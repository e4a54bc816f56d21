#include "vault/engine/tree_copier.h"

#include <algorithm>
#include <thread>

#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr size_t kChunksMax = 1'000'000;  // remembered ids, some 100 bytes each
constexpr size_t kBatchChunks = 8192;
constexpr uint64_t kBatchBytes = 64 * 1024 * 1024;
constexpr size_t kBatchLeaves = 1024;
constexpr int kLevelMax = 255;

// 0 for leaves. Errors: Errc::malformed for a page of another map.
Result<int> path_level(const Node& node) {
  TRY(const NodeType type, node_type(node.payload));
  if (type == NodeType::path_leaf) return 0;
  if (type != NodeType::path_inner) {
    return Error{holdfast::Errc::malformed, "a page of another map"};
  }
  TRY(const PathInner page, decode_path_inner(node.payload, node.edges));
  return static_cast<int>(page.level);
}

}  // namespace

TreeCopier::TreeCopier(DomainReader& source, Store& target, const VaultId& target_vault,
                       Session& session, unsigned workers, CopyCounters& counters,
                       PageCopied page_copied, std::stop_token stop)
    : source_(source),
      target_(target),
      target_vault_(target_vault),
      session_(session),
      counters_(counters),
      page_copied_(std::move(page_copied)),
      stop_(std::move(stop)),
      metadata_(session, PackKind::metadata),
      target_catalog_(target, target_vault) {
  for (unsigned i = 0; i < std::max(1u, workers); ++i) {
    data_.push_back(std::make_unique<SegmentWriter>(session, PackKind::data));
  }
}

void TreeCopier::add_hint(const ChunkId& source, const ChunkId& target) {
  pages_.try_emplace(source, Known{target, false});
}

Error TreeCopier::damaged(const ChunkId& page, const Error& why) {
  Error error{Errc::damaged, "page " + page.hex().substr(0, 16) + " (" + why.message() + ")"};
  if (!source_damage_) source_damage_ = error;
  return error;
}

Result<std::shared_ptr<const Node>> TreeCopier::load(const ChunkId& id) {
  if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
  if (on_progress) TRYV(on_progress());
  ++counters_.pages_read;
  auto node = source_.load_node(id);
  if (!node.ok() && is_verdict(node.error()) && !source_damage_) source_damage_ = node.error();
  return node;
}

// What it became, if the session may refer to that.
Result<std::optional<ChunkId>> TreeCopier::find(KnownMap& map, const ChunkId& id, bool is_page) {
  const auto it = map.find(id);
  if (it == map.end()) return std::optional<ChunkId>();
  Known& known = it->second;
  if (!known.is_present) {
    TRY(known.is_present,
        is_page ? session_.is_known_deeply(known.target) : session_.is_known(known.target));
  }
  if (known.is_present) return std::optional(known.target);
  map.erase(it);
  return std::optional<ChunkId>();
}

// --- What has to be copied ---

Result<ChunkId> TreeCopier::copy(const ChunkId& root) {
  Batch batch;
  TRYV(collect(root, kLevelMax, batch));
  TRYV(finish_batch(batch));
  return build(root);
}

Status TreeCopier::collect(const ChunkId& page, int level_max, Batch& batch) {
  TRY(const auto known, find(pages_, page, true));
  if (known) return {};
  TRY(auto node, load(page));
  const auto type = node_type(node->payload);
  if (!type.ok()) return damaged(page, type.error());
  switch (*type) {
    case NodeType::path_leaf:
      return add_path_leaf(page, std::move(node), batch);
    case NodeType::extents_leaf:
      return add_extents_leaf(page, std::move(node), batch);
    case NodeType::path_inner: {
      const auto inner = decode_path_inner(node->payload, node->edges);
      if (!inner.ok()) return damaged(page, inner.error());
      if (inner->level > level_max) return damaged(page, Error{{}, "levels that do not fall"});
      for (const PathChild& c : inner->children) TRYV(collect(c.id, inner->level - 1, batch));
      return {};
    }
    case NodeType::extents_inner: {
      const auto inner = decode_extents_inner(node->payload, node->edges);
      if (!inner.ok()) return damaged(page, inner.error());
      if (inner->level > level_max) return damaged(page, Error{{}, "levels that do not fall"});
      for (const ExtentsChild& c : inner->children) TRYV(collect(c.id, inner->level - 1, batch));
      return {};
    }
  }
  return {};
}

Status TreeCopier::add_path_leaf(const ChunkId& page, std::shared_ptr<const Node> node,
                                 Batch& batch) {
  auto entries = decode_path_leaf(node->payload, node->edges);
  if (!entries.ok()) return damaged(page, entries.error());
  for (const PathEntry& e : *entries) {
    for (const Extent& x : e.entry.extents) {
      if (x.chunk) TRYV(want(*x.chunk, ChunkKind::data, x.bytes, batch));
    }
    for (const ChunkId& id : e.entry.xattr_chunks) {
      TRYV(want(id, ChunkKind::attributes, kInlineXattrBytesMax, batch));
    }
    if (e.entry.extents_root) {
      const Status copied = copy_extents(*e.entry.extents_root);
      if (!copied.ok() && source_damage_) {
        source_damage_->context = "/" + e.key + ": " + source_damage_->context;
        return *source_damage_;
      }
      TRYV(copied);
    }
  }
  batch.leaves.push_back({page, std::move(node), std::move(*entries)});
  if (batch.leaves.size() >= kBatchLeaves || batch.wanted.size() >= kBatchChunks ||
      batch.bytes >= kBatchBytes) {
    return finish_batch(batch);
  }
  return {};
}

Status TreeCopier::add_extents_leaf(const ChunkId& page, std::shared_ptr<const Node> node,
                                    Batch& batch) {
  const auto extents = decode_extents_leaf(node->payload, node->edges);
  if (!extents.ok()) return damaged(page, extents.error());
  for (const Extent& x : *extents) {
    if (x.chunk) TRYV(want(*x.chunk, ChunkKind::data, x.bytes, batch));
  }
  batch.leaves.push_back({page, std::move(node), {}});
  if (batch.wanted.size() >= kBatchChunks || batch.bytes >= kBatchBytes) return finish_batch(batch);
  return {};
}

Status TreeCopier::want(const ChunkId& id, ChunkKind kind, uint64_t bytes, Batch& batch) {
  TRY(const auto known, find(chunks_, id, false));
  if (known) {
    batch.chunks[id] = {*known, true};
  } else if (batch.wanted.emplace(id, kind).second) {
    batch.bytes += bytes;
  }
  return {};
}

Status TreeCopier::copy_extents(const ChunkId& root) {
  Batch batch;
  TRYV(collect(root, kLevelMax, batch));
  TRYV(finish_batch(batch));
  TRY(const ChunkId copied, build(root));
  (void)copied;
  return {};
}

Status TreeCopier::finish_batch(Batch& batch) {
  TRYV(fetch(batch));
  for (const Leaf& leaf : batch.leaves) {
    TRY(const ChunkId copied, put_page(leaf.id, *leaf.node, batch.chunks));
    (void)copied;
  }
  if (chunks_.size() > kChunksMax) chunks_.clear();
  chunks_.insert(batch.chunks.begin(), batch.chunks.end());
  batch = {};
  return {};
}

// --- Content ---

Status TreeCopier::fetch(Batch& batch) {
  if (batch.wanted.empty()) return {};
  lost_.clear();
  std::vector<Wanted> all;
  for (const auto& [id, kind] : batch.wanted) {
    auto places = source_.find(id);
    if (!places.ok()) {
      if (!is_verdict(places.error())) return std::move(places).error();
      lost_.emplace(id, std::move(places).error());
      continue;
    }
    all.push_back({id, kind, places->front()});
  }
  // By segment, so that each is opened once.
  const auto segment_of = [](const Wanted& w) {
    return std::pair(w.place->pack.id, w.place->segment);
  };
  std::sort(all.begin(), all.end(), [&](const Wanted& a, const Wanted& b) {
    return std::tuple(segment_of(a), a.place->chunk) < std::tuple(segment_of(b), b.place->chunk);
  });
  std::vector<std::span<const Wanted>> groups;
  for (size_t first = 0, i = 1; i <= all.size(); ++i) {
    if (i < all.size() && segment_of(all[i]) == segment_of(all[first])) continue;
    groups.emplace_back(all.data() + first, i - first);
    first = i;
  }
  std::atomic<size_t> next{0};
  std::mutex failure_mutex;
  std::optional<Error> failure;
  std::atomic<bool> failed{false};
  const auto work = [&](SegmentWriter& writer) {
    for (;;) {
      const size_t i = next++;
      if (i >= groups.size() || failed) return;
      Status done = stop_.stop_requested() ? Status(Error{holdfast::Errc::interrupted, ""})
                                           : fetch_group(groups[i], writer);
      if (done.ok()) continue;
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::move(done).error();
      failed = true;
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(data_.size(), groups.size()); ++i) {
    threads.emplace_back([&, i] { work(*data_[i]); });
  }
  work(*data_[0]);
  for (std::thread& t : threads) t.join();
  if (failure) return *failure;
  if (!lost_.empty()) return name_lost(batch);
  batch.chunks.merge(std::exchange(fetched_, {}));
  return {};
}

// Which file needs what is lost?
Error TreeCopier::name_lost(const Batch& batch) {
  const auto& [id, why] = *lost_.begin();
  const auto needs = [&lost = id](const Entry& e) {
    return std::any_of(e.extents.begin(), e.extents.end(),
                       [&](const Extent& x) { return x.chunk == lost; }) ||
           std::find(e.xattr_chunks.begin(), e.xattr_chunks.end(), lost) != e.xattr_chunks.end();
  };
  std::string where;
  for (const Leaf& leaf : batch.leaves) {
    for (const PathEntry& e : leaf.entries) {
      if (where.empty() && needs(e.entry)) where = "/" + e.key + ": ";
    }
  }
  source_damage_ = Error{why.code, where + why.context};
  return *source_damage_;
}

Status TreeCopier::fetch_group(std::span<const Wanted> group, SegmentWriter& writer) {
  const ChunkPlace& place = *group.front().place;
  const auto segment = source_.cached_segment(place.pack, place.segment);
  if (!segment.ok() && !is_verdict(segment.error())) return segment.error();
  for (const Wanted& w : group) {
    if (segment.ok()) {
      const ByteView bytes = (*segment)->bytes(w.place->chunk);
      if (source_.id_matches(w.id, w.kind, {}, bytes)) {
        TRYV(store_chunk(w, bytes, writer));
        continue;
      }
    }
    // Perhaps another copy is right.
    Status stored;
    const Status read = source_.with_chunk(w.id, w.kind, [&](ByteView bytes) -> Status {
      stored = store_chunk(w, bytes, writer);
      return {};
    });
    TRYV(stored);
    if (read.ok()) continue;
    if (!is_verdict(read.error())) return read.error();
    const std::lock_guard lock(fetched_mutex_);
    lost_.emplace(w.id, read.error());
  }
  return {};
}

Status TreeCopier::store_chunk(const Wanted& wanted, ByteView bytes, SegmentWriter& writer) {
  ++counters_.chunks_read;
  counters_.bytes_read += bytes.size();
  const ChunkId id = session_.chunk_id(wanted.kind, {}, bytes);
  TRY(const bool is_new, session_.claim(id));
  if (is_new && wanted.kind == ChunkKind::data) TRYV(writer.add({id, wanted.kind, {}}, bytes));
  if (is_new && wanted.kind != ChunkKind::data) {
    const std::lock_guard lock(metadata_mutex_);
    TRYV(metadata_.add({id, wanted.kind, {}}, bytes));
  }
  const std::lock_guard lock(fetched_mutex_);
  fetched_[wanted.id] = {id, true};
  return {};
}

// --- Pages ---

Result<ChunkId> TreeCopier::build(const ChunkId& page) {
  TRY(const auto known, find(pages_, page, true));
  if (known) return *known;
  TRY(const auto node, load(page));
  for (const ChunkId& edge : node->edges) {
    TRY(const ChunkId child, build(edge));
    (void)child;
  }
  return put_page(page, *node, {});
}

Result<ChunkId> TreeCopier::put_page(const ChunkId& page, const Node& node,
                                     const KnownMap& chunks) {
  const auto became = [&](const ChunkId& edge) -> const ChunkId* {
    for (const KnownMap* map : {&chunks, static_cast<const KnownMap*>(&pages_)}) {
      const auto it = map->find(edge);
      if (it != map->end() && it->second.is_present) return &it->second.target;
    }
    return nullptr;
  };
  std::vector<ChunkId> edges;
  edges.reserve(node.edges.size());
  for (const ChunkId& edge : node.edges) {
    const ChunkId* copied = became(edge);
    if (copied == nullptr) return damaged(page, Error{{}, "it refers to what it does not use"});
    edges.push_back(*copied);
  }
  const ChunkId id = session_.chunk_id(ChunkKind::node, edges, node.payload);
  TRY(const bool is_new, session_.claim(id));
  if (is_new) TRYV(metadata_.add({id, ChunkKind::node, std::move(edges)}, node.payload));
  pages_[page] = {id, true};
  if (page_copied_) page_copied_(page, id);
  return id;
}

Status TreeCopier::flush() {
  for (size_t i = 1; i < data_.size(); ++i) TRYV(data_[i]->move_to(*data_[0]));
  TRYV(data_[0]->flush());
  return metadata_.flush();
}

// --- What an earlier copy tells ---

// A page of the base; null if it cannot be had, which costs only time.
Result<std::shared_ptr<const Node>> TreeCopier::load_hint(const ChunkId& id) {
  if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
  ++counters_.pages_read;
  auto node = source_.load_node(id);
  if (!node.ok() && is_verdict(node.error())) return std::shared_ptr<const Node>();
  return node;
}

// The edges of a page in the target, proven by its id; nothing if no copy is right.
Result<std::optional<std::vector<ChunkId>>> TreeCopier::target_edges(const ChunkId& id,
                                                                     ByteView payload) {
  const DomainId& domain = session_.domain().id;
  if (!target_index_) {
    auto index = std::make_unique<ChunkIndex>(target_vault_, domain);
    std::vector<UnusableRun> unusable;
    TRYV(index->load(target_, unusable, ChunkIndex::Unreadable::unusable));
    target_index_ = std::move(index);
  }
  for (const ChunkCandidate& c : target_index_->find(id)) {
    const auto footer = target_catalog_.footer(c.pack);
    if (!footer.ok() && !is_verdict(footer.error())) return footer.error();
    if (!footer.ok()) continue;
    const PackFooter& f = **footer;
    if (f.kind != PackKind::metadata || c.segment >= f.segments.size()) continue;
    const PackSegment& s = f.segments[c.segment];
    if (c.chunk >= s.chunk_count) continue;
    const auto edges = target_catalog_.edges(c.pack);
    if (!edges.ok() && !is_verdict(edges.error())) return edges.error();
    if (!edges.ok()) continue;
    const auto of_page = (*edges)->of(s.chunk_first + c.chunk);
    if (session_.chunk_id(ChunkKind::node, of_page, payload) != id) continue;
    return std::optional(std::vector<ChunkId>(of_page.begin(), of_page.end()));
  }
  return std::optional<std::vector<ChunkId>>();
}

Status TreeCopier::use_base(const ChunkId& source_root, const ChunkId& target_root,
                            const ChunkId& new_root) {
  TRY(const auto old_node, load_hint(source_root));
  TRY(const auto new_node, load_hint(new_root));
  if (!old_node || !new_node) return {};
  const auto old_level = path_level(*old_node);
  const auto new_level = path_level(*new_node);
  if (!old_level.ok() || !new_level.ok()) return {};
  const bool is_present = session_.base_is_valid();
  // Down both maps level by level, keeping what only one of them has.
  std::vector<Pair> olds{{source_root, target_root}};
  std::unordered_set<ChunkId, IdHash> news{new_root};
  for (int level = std::max(*old_level, *new_level); level >= 0; --level) {
    const bool in_old = level <= *old_level;
    const bool in_new = level <= *new_level;
    if (in_old && in_new) {
      std::erase_if(olds, [&](const Pair& p) {
        if (news.erase(p.source) == 0) return false;
        pages_[p.source] = {p.target, is_present};
        return true;
      });
    }
    std::unordered_set<ChunkId, IdHash> next_news;
    for (const ChunkId& id : in_new ? std::exchange(news, {}) : decltype(news)()) {
      TRY(const auto node, load_hint(id));
      if (!node) continue;
      const auto found = path_level(*node);
      if (found.ok() && *found == level) next_news.insert(node->edges.begin(), node->edges.end());
    }
    if (in_new) news = std::move(next_news);
    if (!in_old) continue;
    std::vector<Pair> next_olds;
    for (const Pair& p : olds) {
      TRY(const auto node, load_hint(p.source));
      if (!node) continue;
      const auto found = path_level(*node);
      if (!found.ok() || *found != level) continue;
      TRY(const auto edges, target_edges(p.target, node->payload));
      if (!edges || edges->size() != node->edges.size()) continue;
      if (level == 0) {
        TRYV(learn_leaf(*node, *edges, news));
        continue;
      }
      for (size_t i = 0; i < edges->size(); ++i) {
        next_olds.push_back({node->edges[i], (*edges)[i]});
      }
    }
    olds = std::move(next_olds);
  }
  return {};
}

// `fresh`: what the new map's changed leaves refer to.
Status TreeCopier::learn_leaf(const Node& node, const std::vector<ChunkId>& target,
                              const std::unordered_set<ChunkId, IdHash>& fresh) {
  const auto entries = decode_path_leaf(node.payload, node.edges);
  if (!entries.ok()) return {};
  std::unordered_set<ChunkId, IdHash> extents_roots;
  for (const PathEntry& e : *entries) {
    if (e.entry.extents_root) extents_roots.insert(*e.entry.extents_root);
  }
  const bool is_present = session_.base_is_valid();
  for (size_t i = 0; i < node.edges.size(); ++i) {
    const ChunkId& id = node.edges[i];
    if (!extents_roots.contains(id)) {
      if (chunks_.size() < kChunksMax) chunks_[id] = {target[i], is_present};
      continue;
    }
    pages_[id] = {target[i], is_present};
    // A large file that changed: its pages.
    if (!fresh.contains(id)) TRYV(learn_extents({id, target[i]}));
  }
  return {};
}

Status TreeCopier::learn_extents(const Pair& page) {
  if (chunks_.size() >= kChunksMax) return {};
  TRY(const auto node, load_hint(page.source));
  if (!node) return {};
  const auto type = node_type(node->payload);
  if (!type.ok()) return {};
  TRY(const auto edges, target_edges(page.target, node->payload));
  if (!edges || edges->size() != node->edges.size()) return {};
  const bool is_present = session_.base_is_valid();
  for (size_t i = 0; i < edges->size(); ++i) {
    const Known known{(*edges)[i], is_present};
    if (*type == NodeType::extents_leaf) {
      chunks_[node->edges[i]] = known;
    } else if (*type == NodeType::extents_inner) {
      pages_[node->edges[i]] = known;
      TRYV(learn_extents({node->edges[i], (*edges)[i]}));
    }
  }
  return {};
}

}  // namespace holdfast::vault
