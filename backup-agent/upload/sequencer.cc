#include "backup-agent/upload/sequencer.h"

namespace holdfast::backup_agent {

// Stores pages, and writes leaves down in the cache together with the stats of their entries.
class Sequencer::Sink final : public vault::NodeSink {
 public:
  Sink(Sequencer& owner, NodeStore& nodes) : owner_(owner), nodes_(nodes) {}

  Result<vault::ChunkId> put_node(std::span<const vault::ChunkId> edges,
                                  ByteView payload) override {
    TRY(const vault::ChunkId id, nodes_.put_node(edges, payload));
    if (owner_.cache_ != nullptr) TRYV(owner_.cache_->inner_node(id));
    return id;
  }

  Result<vault::ChunkId> put_path_leaf(std::span<const vault::ChunkId> edges, ByteView payload,
                                       size_t entries) override {
    TRY(const vault::ChunkId id, nodes_.put_node(edges, payload));
    CHECK(owner_.stats_.size() >= entries);
    const auto end = owner_.stats_.begin() + static_cast<ptrdiff_t>(entries);
    if (owner_.cache_ != nullptr) {
      const std::vector<CachedStat> stats(owner_.stats_.begin(), end);
      TRYV(owner_.cache_->leaf(id, edges, payload, stats));
    }
    owner_.stats_.erase(owner_.stats_.begin(), end);
    return id;
  }

 private:
  Sequencer& owner_;
  NodeStore& nodes_;
};

Sequencer::Sequencer(PipelineState& state, NodeStore& nodes, EntryWindow& window,
                     CacheWriter* cache)
    : state_(state),
      window_(window),
      cache_(cache),
      sink_(std::make_unique<Sink>(*this, nodes)),
      builder_(
          std::make_unique<vault::PathMapBuilder>(state.session().domain().page_key(), *sink_)) {}

Sequencer::~Sequencer() = default;

void Sequencer::run() {
  while (auto block = window_.pop()) {
    for (PendingEntry& pending : block->entries) {
      if (state_.failed()) return;
      if (const Status added = add(pending); !added.ok()) {
        state_.fail(added.error());
        return;
      }
    }
  }
}

// Gives every name of an object the content that was read through the first of them. False if that
// could not be read.
bool Sequencer::resolve_link(PendingEntry& pending) {
  const auto [it, first] = linked_.try_emplace(pending.link_group);
  LinkedObject& object = it->second;
  if (first) {
    object.links_left = pending.links;
    object.dropped = pending.dropped;
    object.entry = pending.entry;
    object.stat = pending.stat;
  } else {
    const std::string link_to = std::move(pending.entry.link_to);
    pending.entry = object.entry;
    pending.stat = object.stat;
    pending.entry.link_to = link_to;
    pending.entry.has_links = false;
    if (object.dropped) {
      state_.problem(pending.key, "not taken: the file it is a hard link to could not be read");
    }
  }
  const bool usable = !object.dropped;
  if (--object.links_left == 0) linked_.erase(it);
  return usable;
}

void Sequencer::compare_with_expected(const PendingEntry& pending) {
  const vault::Entry& before = *pending.expected;
  const vault::Entry& now = pending.entry;
  const bool same_times = before.size == now.size && before.mtime_s == now.mtime_s &&
                          before.mtime_ns == now.mtime_ns && !now.inconsistent;
  if (same_times && (before.extents != now.extents || before.extents_root != now.extents_root)) {
    state_.warn("/" + pending.key +
                " has other content than at the last backup although its times did not change (a "
                "failing disk, or a clock that was set back); the new content was stored");
  }
}

Status Sequencer::add(PendingEntry& pending) {
  if (pending.link_group != 0) {
    if (!resolve_link(pending)) return {};
  }
  if (pending.dropped) return {};
  if (pending.expected) compare_with_expected(pending);
  ++totals_.entries;
  switch (pending.entry.type) {
    case vault::EntryType::file:
      ++totals_.files;
      totals_.bytes += pending.entry.size;
      break;
    case vault::EntryType::directory:
      ++totals_.directories;
      break;
    default:
      ++totals_.others;
      break;
  }
  stats_.push_back(pending.stat);
  return builder_->add(pending.key, pending.entry);
}

Result<vault::ChunkId> Sequencer::finish() {
  return builder_->finish();
}

uint32_t Sequencer::cached_file_system(const std::string& identity) {
  const std::lock_guard lock(file_systems_mutex_);
  if (const auto it = file_systems_.find(identity); it != file_systems_.end()) return it->second;
  const uint32_t index = cache_ != nullptr ? cache_->file_system(identity) : 0;
  return file_systems_[identity] = index;
}

void Sequencer::part(const std::string& key, const FileStat& st, uint64_t offset,
                     std::span<const vault::Extent> extents) {
  if (cache_ == nullptr) return;
  const Status written = cache_->file_part(key, st, offset, extents);
  if (!written.ok()) state_.fail(written.error());
}

void Sequencer::flush_cache() {
  if (cache_ == nullptr) return;
  (void)cache_->flush();  // the backup ends with another error already
}

}  // namespace holdfast::backup_agent
