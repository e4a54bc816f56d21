// Copies maps of recovery points out of one vault into a session of another, whose keys differ.
//
// A page is copied as it stands: the same payload, each edge replaced by the id that its chunk has
// in the target. So edge i of a copied page is the copy of edge i of the original, and an earlier
// copy of a point tells what every chunk below it became: the target's clear edges say so, without
// the target's keys. That is believed only if the page's id, a keyed hash over edges and payload,
// comes out right for the source's payload. So what both points share is neither read nor sent
// again, and no table of ids has to be kept.
//
// One thread calls; content is fetched by several. The reader and the session must outlive it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <unordered_map>
#include <unordered_set>

#include "vault/engine/reader.h"
#include "vault/engine/segment_writer.h"

namespace holdfast::vault {

struct CopyCounters {
  std::atomic<uint64_t> pages_read{0};  // of the source
  std::atomic<uint64_t> chunks_read{0};
  std::atomic<uint64_t> bytes_read{0};  // content, as it is in files
};

class TreeCopier {
 public:
  // Told of every page that was copied, children before parents: a fact that holds for ever, though
  // not whether the copy is still there.
  using PageCopied = std::function<void(const ChunkId& source, const ChunkId& target)>;

  // `target` is the session's store, of vault `target_vault`.
  TreeCopier(DomainReader& source, Store& target, const VaultId& target_vault, Session& session,
             unsigned workers, CopyCounters& counters, PageCopied page_copied,
             std::stop_token stop);

  // What an earlier PageCopied said. Before it is used the session is asked whether everything
  // below is there.
  void add_hint(const ChunkId& source, const ChunkId& target);
  // `target_root` is the copy of `source_root`, and the root of the session's base. Learns what
  // became of what `new_root` shares with it, looking only where the two differ. Errors: the
  // stores'; what is damaged is passed over.
  Status use_base(const ChunkId& source_root, const ChunkId& target_root, const ChunkId& new_root);
  // Copies a path map; returns its root in the target. Errors: the stores'; Errc::interrupted;
  // source_damage() if the source is to blame.
  Result<ChunkId> copy(const ChunkId& root);
  // Hands what is left in open segments to the session. After copy(), also after it failed.
  Status flush();

  // What could not be read, and which file needs it.
  const std::optional<Error>& source_damage() const { return source_damage_; }
  // Keeps the session from being given up by collectors; called every now and then.
  std::function<Status()> on_progress;

 private:
  struct Known {
    ChunkId target;
    bool is_present = false;  // the session may refer to it, and to all below
  };
  using KnownMap = std::unordered_map<ChunkId, Known, IdHash>;
  struct Pair {
    ChunkId source;
    ChunkId target;
  };
  struct Leaf {
    ChunkId id;
    std::shared_ptr<const Node> node;
    std::vector<PathEntry> entries;  // of path leaves
  };
  // Leaves whose content is fetched together.
  struct Batch {
    std::vector<Leaf> leaves;
    std::map<ChunkId, ChunkKind> wanted;
    uint64_t bytes = 0;
    KnownMap chunks;  // all that the leaves need, once fetched
  };
  struct Wanted {
    ChunkId id;
    ChunkKind kind = ChunkKind::data;
    std::optional<ChunkPlace> place;
  };

  Result<std::shared_ptr<const Node>> load(const ChunkId& id);
  Error damaged(const ChunkId& page, const Error& why);
  Result<std::optional<ChunkId>> find(KnownMap& map, const ChunkId& id, bool is_page);
  Status collect(const ChunkId& page, int level_max, Batch& batch);
  Status add_path_leaf(const ChunkId& page, std::shared_ptr<const Node> node, Batch& batch);
  Status add_extents_leaf(const ChunkId& page, std::shared_ptr<const Node> node, Batch& batch);
  Status want(const ChunkId& id, ChunkKind kind, uint64_t bytes, Batch& batch);
  Status copy_extents(const ChunkId& root);
  Status finish_batch(Batch& batch);
  Status fetch(Batch& batch);
  Error name_lost(const Batch& batch);
  Status fetch_group(std::span<const Wanted> group, SegmentWriter& writer);
  Status store_chunk(const Wanted& wanted, ByteView bytes, SegmentWriter& writer);
  Result<ChunkId> build(const ChunkId& page);
  // `chunks`: what the chunks became that a leaf refers to.
  Result<ChunkId> put_page(const ChunkId& page, const Node& node, const KnownMap& chunks);

  Result<std::shared_ptr<const Node>> load_hint(const ChunkId& id);
  Result<std::optional<std::vector<ChunkId>>> target_edges(const ChunkId& id, ByteView payload);
  Status learn_leaf(const Node& node, const std::vector<ChunkId>& target,
                    const std::unordered_set<ChunkId, IdHash>& fresh);
  Status learn_extents(const Pair& page);

  DomainReader& source_;
  Store& target_;
  const VaultId target_vault_;
  Session& session_;
  CopyCounters& counters_;
  const PageCopied page_copied_;
  const std::stop_token stop_;

  KnownMap pages_;
  KnownMap chunks_;  // data and attributes; a bounded number
  std::optional<Error> source_damage_;

  // Of the batch at hand:
  std::mutex fetched_mutex_;
  KnownMap fetched_;
  std::map<ChunkId, Error> lost_;

  std::vector<std::unique_ptr<SegmentWriter>> data_;  // one a worker
  std::mutex metadata_mutex_;
  SegmentWriter metadata_;

  std::unique_ptr<ChunkIndex> target_index_;
  PackCatalog target_catalog_;
};

}  // namespace holdfast::vault
