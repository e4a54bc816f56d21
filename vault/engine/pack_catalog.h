// Footers and clear edges of packs, read when first needed, checked against the pack's name, and
// kept within a budget of memory. Needs no keys. Any number of threads.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vault/index/run.h"
#include "vault/store/store.h"

namespace holdfast::vault {

// All edges of a metadata pack, and where each chunk's begin.
struct PackEdges {
  std::vector<ChunkId> ids;
  std::vector<uint32_t> first;  // one more than chunks
  std::span<const ChunkId> of(size_t chunk) const {
    return std::span(ids).subspan(first[chunk], first[chunk + 1] - first[chunk]);
  }
};

class PackCatalog {
 public:
  PackCatalog(Store& store, const VaultId& vault) : store_(store), vault_(vault) {}

  // The footer, verified: its SHA-256 is the pack's name, it fits the object's size, it is of this
  // vault. `pack` may be any index's word; sizes of 0 are looked up.
  // Errors: Errc::damaged; std::errc::no_such_file_or_directory; the store's.
  Result<std::shared_ptr<const PackFooter>> footer(const IndexedPack& pack);
  // Sizes and kind as the footer says, for packs known by name only.
  Result<IndexedPack> describe(const PackId& id);
  // Errors: as above; Errc::damaged if the edges do not hash to what the footer says.
  Result<std::shared_ptr<const PackEdges>> edges(const IndexedPack& pack);
  // Reads the pack again when it is next asked for: it went away, or another copy came.
  void forget(const PackId& id);

 private:
  struct Cached {
    std::shared_ptr<const PackFooter> footer;
    std::shared_ptr<const PackEdges> edges;
    size_t bytes = 0;
    std::list<PackId>::iterator use;
  };
  Result<std::shared_ptr<const PackFooter>> load_footer(const IndexedPack& pack);
  // Adds what the cache has not yet of a pack, and shrinks it. `edges` may be null.
  void keep(const PackId& id, const std::shared_ptr<const PackFooter>& footer,
            const std::shared_ptr<const PackEdges>& edges);
  // With mutex_ held:
  Cached& touch(const PackId& id);
  void shrink();

  Store& store_;
  const VaultId vault_;
  std::mutex mutex_;
  std::unordered_map<PackId, Cached, IdHash> cache_;
  std::list<PackId> uses_;  // most recent first
  size_t bytes_ = 0;
};

// Reads and verifies one footer without a cache. On return `pack` has its true sizes and kind.
Result<PackFooter> read_footer(Store& store, const VaultId& vault, IndexedPack& pack);

}  // namespace holdfast::vault
