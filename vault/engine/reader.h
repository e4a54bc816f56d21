// Reads recovery points with the vault secret: finds chunks, opens segments, checks ids.
//
// One VaultReader serves any number of threads once opened.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "vault/engine/pack_catalog.h"
#include "vault/engine/points.h"
#include "vault/engine/trust.h"
#include "vault/format/map_reader.h"
#include "vault/index/chunk_index.h"
#include "vault/seal/segment_sealer.h"

namespace holdfast::vault {

// Where a chunk is, confirmed by the pack's footer.
struct ChunkPlace {
  IndexedPack pack;
  uint16_t segment = 0;
  uint16_t chunk = 0;
};

// A segment, opened: authentic, decompressed, chunk ids not yet checked.
struct OpenSegment {
  std::shared_ptr<const PackFooter> footer;
  uint16_t segment = 0;
  std::vector<uint32_t> offsets;  // one more than chunks
  Buffer chunks;
  // Whose ids were found right already; a hint that saves hashing what is read again and again.
  mutable std::unique_ptr<std::atomic<bool>[]> id_checked;

  size_t chunk_count() const { return offsets.size() - 1; }
  const ChunkId& id(size_t chunk) const {
    return footer->chunk_ids[footer->segments[segment].chunk_first + chunk];
  }
  ByteView bytes(size_t chunk) const {
    return chunks.view().subspan(offsets[chunk], offsets[chunk + 1] - offsets[chunk]);
  }
};

struct ReaderOptions {
  size_t segment_cache_bytes = 64 * 1024 * 1024;
};

class VaultReader;

// The chunks of one dedup domain.
class DomainReader final : public NodeSource {
 public:
  const DomainId& id() const { return keys_.id; }

  // All copies that the index knows, newest first, each confirmed by its pack's footer.
  // Errors: Errc::missing if there is none; the store's.
  Result<std::vector<ChunkPlace>> find(const ChunkId& id);

  // Reads and opens a segment. Errors: Errc::damaged, naming the pack; the store's.
  Result<std::shared_ptr<const OpenSegment>> open_segment(const IndexedPack& pack,
                                                          uint16_t segment);
  // The same, kept for a while: for random access.
  Result<std::shared_ptr<const OpenSegment>> cached_segment(const IndexedPack& pack,
                                                            uint16_t segment);

  // A chunk's bytes, its id checked; further copies are tried where one is damaged. For chunks
  // without edges. Errors: Errc::missing; Errc::damaged if no copy is right; those of `use`.
  Status with_chunk(const ChunkId& id, ChunkKind kind, const std::function<Status(ByteView)>& use);
  Result<Bytes> read_chunk(const ChunkId& id, ChunkKind kind);
  Result<std::shared_ptr<const Node>> load_node(const ChunkId& id) override;

  bool id_matches(const ChunkId& id, ChunkKind kind, std::span<const ChunkId> edges,
                  ByteView bytes) const {
    return chunk_id(id_key_, kind, edges, bytes) == id;
  }

  // The whole set of extended attributes of an entry, wherever it stands.
  Result<std::vector<Xattr>> xattrs(const Entry& entry);

 private:
  friend class VaultReader;
  DomainReader(VaultReader& vault, const DomainKeys& keys);
  Status load_index();
  Status load_runs();
  // A pack was not there: a collector copied what is needed of it elsewhere. True if the index was
  // loaded again, so that looking again makes sense.
  Result<bool> look_again(const PackId& gone);
  enum class Footers { none, uncovered, all };
  Status read_footers(Footers which);
  // Packs that are not there any more go to `gone`.
  Result<std::vector<ChunkPlace>> confirm(const ChunkId& id,
                                          const std::vector<ChunkCandidate>& candidates,
                                          std::vector<PackId>& gone);
  Result<std::shared_ptr<const SessionKey>> session_key(const KeyWrap& wrap);
  // Tries all copies of a chunk until `use` is content with one, and looks again if packs went away
  // meanwhile. `use` returns a verdict for a copy that is no good.
  Status try_copies(const ChunkId& id, const std::function<Status(const ChunkPlace&)>& use);

  VaultReader& vault_;
  const DomainKeys keys_;
  const crypto::HmacSha256 id_key_;
  std::once_flag index_once_;
  std::optional<Error> index_error_;
  std::unique_ptr<ChunkIndex> index_;
  Footers footers_read_ = Footers::none;
  std::set<PackId> gone_;
  std::mutex index_mutex_;
  std::mutex keys_mutex_;
  // By the whole wrap: a forged pack may name a session with another encapsulation.
  std::map<Bytes, std::shared_ptr<const SessionKey>> session_keys_;

  struct SegmentName {
    PackId pack;
    uint16_t segment;
    auto operator<=>(const SegmentName&) const = default;
  };
  struct CachedSegment {
    std::shared_ptr<const OpenSegment> segment;
    std::list<SegmentName>::iterator use;
  };
  std::mutex cache_mutex_;
  std::map<SegmentName, CachedSegment> cache_;
  std::list<SegmentName> cache_uses_;  // most recent first
  size_t cache_bytes_ = 0;
  std::mutex nodes_mutex_;
  std::unordered_map<ChunkId, std::shared_ptr<const Node>, IdHash> nodes_;
};

class VaultReader {
 public:
  // Errors: those of open_roster.
  static Result<std::unique_ptr<VaultReader>> open(Store& store, const Description& description,
                                                   const VaultSecret& secret,
                                                   ReaderOptions options = {});

  Store& store() { return store_; }
  const Description& description() const { return description_; }
  const OpenRoster& roster() const { return roster_; }
  const VaultSecret& secret() const { return secret_; }
  PackCatalog& catalog() { return catalog_; }

  // Points with their bodies opened.
  Result<PointList> points();
  // Errors: Errc::missing for a domain that the roster does not know.
  Result<DomainReader*> domain(const DomainId& id);
  // Things worth telling, found while reading: unusable index runs.
  std::vector<std::string> warnings();

 private:
  friend class DomainReader;
  VaultReader(Store& store, const Description& description, const VaultSecret& secret,
              OpenRoster roster, ReaderOptions options);
  void warn(std::string text);

  Store& store_;
  const Description description_;
  const VaultSecret secret_;
  const OpenRoster roster_;
  const ReaderOptions options_;
  PackCatalog catalog_;
  std::mutex mutex_;
  std::map<DomainId, std::unique_ptr<DomainReader>> domains_;
  std::vector<std::string> warnings_;
};

}  // namespace holdfast::vault
