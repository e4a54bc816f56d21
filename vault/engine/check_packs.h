// The part of a check that looks at packs and index runs, and remembers which copies of chunks are
// good.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include "vault/engine/check_context.h"
#include "vault/engine/pack_catalog.h"

namespace holdfast::vault {

class PackCheck {
 public:
  explicit PackCheck(CheckContext& context)
      : c_(context), catalog_(context.store, context.description.vault) {}

  // In this order. Each adds to the context's report. Errors: the store's; Errc::interrupted.
  Status check_packs();
  // `objects` are the index runs, listed before the packs.
  Status check_index(const std::vector<ObjectInfo>& objects);
  // Opens a random share of the packs and holds every chunk of them against its id.
  Status read_data(VaultReader& reader);
  Status count();

  struct GoodCopy {
    IndexedPack pack;
    size_t chunk = 0;  // in the pack
  };
  // A copy of the chunk in a pack and segment that nothing is known against, if there is one.
  Result<std::optional<GoodCopy>> good_copy(const DomainId& domain, const ChunkId& id);
  // Whether the chunk has a good copy that is a page of a map, as far as its pack tells.
  Result<bool> is_page(const DomainId& domain, const ChunkId& id);
  PackCatalog& catalog() { return catalog_; }

 private:
  struct CheckedPack {
    IndexedPack pack;
    bool footer_good = false;
    bool edges_good = true;
    std::set<uint16_t> bad_segments;
  };
  Status check_pack(CheckedPack& checked);
  // Reads runs of neighbouring segments at once.
  Status hash_segments(CheckedPack& checked, const PackFooter& footer, const std::string& name);
  // Whether it is a page of any kind that a reader takes.
  static bool page_decodes(ByteView payload, std::span<const ChunkId> edges);
  Status read_pack(VaultReader& reader, CheckedPack& checked);

  CheckContext& c_;
  PackCatalog catalog_;
  std::map<PackId, CheckedPack> packs_;
  std::map<DomainId, std::unique_ptr<ChunkIndex>> indexes_;
};

}  // namespace holdfast::vault
