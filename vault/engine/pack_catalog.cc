#include "vault/engine/pack_catalog.h"

#include <algorithm>

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kCacheBytesMax = 96 * 1024 * 1024;

Error damaged_pack(const PackId& pack, std::string_view reason) {
  return Error{Errc::damaged, pack_name(pack) + " (" + std::string(reason) + ")"};
}

size_t footer_memory(const PackFooter& f) {
  return sizeof f + f.segments.size() * sizeof(PackSegment) + f.chunk_ids.size() * 37 +
         f.sessions.size() * 128;
}

size_t edges_memory(const PackEdges& e) {
  return sizeof e + e.ids.size() * ChunkId::kSize + e.first.size() * sizeof(uint32_t);
}

}  // namespace

Result<PackFooter> read_footer(Store& store, const VaultId& vault, IndexedPack& pack) {
  const std::string name = pack_name(pack.id);
  if (pack.pack_bytes == 0 || pack.footer_bytes == 0) {
    TRY(const ObjectInfo info, store.head(name));
    pack.pack_bytes = info.size_bytes;
    if (pack.pack_bytes < kPackHeaderBytes + kFooterTailBytes || pack.pack_bytes > kPackBytesMax) {
      return damaged_pack(pack.id, "impossible size");
    }
    ByteArray<kFooterTailBytes> tail;
    TRYV(store.get_range(name, pack.pack_bytes - tail.size(), tail));
    auto footer_bytes = footer_bytes_from_tail(tail, pack.pack_bytes);
    if (!footer_bytes.ok()) return damaged_pack(pack.id, "its end is not a footer's");
    pack.footer_bytes = *footer_bytes;
  }
  Bytes bytes(pack.footer_bytes);
  const Status got = store.get_range(name, pack.pack_bytes - pack.footer_bytes, bytes);
  if (!got.ok()) {
    if (got.error().code == holdfast::Errc::malformed) return damaged_pack(pack.id, "too short");
    return got.error();
  }
  if (crypto::sha256(bytes) != pack.id.footer_sha256) {
    return damaged_pack(pack.id, "its footer does not hash to its name");
  }
  auto footer = decode_footer(bytes, pack.pack_bytes);
  if (!footer.ok()) return damaged_pack(pack.id, footer.error().context);
  if (footer->vault != vault) return damaged_pack(pack.id, "it belongs to another vault");
  pack.kind = footer->kind;
  return footer;
}

Result<std::shared_ptr<const PackFooter>> PackCatalog::load_footer(const IndexedPack& pack) {
  IndexedPack known = pack;
  auto footer = read_footer(store_, vault_, known);
  if (!footer.ok() && pack.pack_bytes != 0) {
    // Perhaps the index has the wrong sizes: ask the store itself before calling the pack damaged.
    IndexedPack unknown;
    unknown.id = pack.id;
    footer = read_footer(store_, vault_, unknown);
  }
  if (!footer.ok()) return std::move(footer).error();
  return std::make_shared<const PackFooter>(std::move(*footer));
}

PackCatalog::Cached& PackCatalog::touch(const PackId& id) {
  const auto [it, fresh] = cache_.try_emplace(id);
  if (!fresh) uses_.erase(it->second.use);
  uses_.push_front(id);
  it->second.use = uses_.begin();
  return it->second;
}

void PackCatalog::keep(const PackId& id, const std::shared_ptr<const PackFooter>& footer,
                       const std::shared_ptr<const PackEdges>& edges) {
  const std::lock_guard lock(mutex_);
  Cached& cached = touch(id);
  size_t more = 0;
  if (!cached.footer) {
    cached.footer = footer;
    more += footer_memory(*footer);
  }
  if (edges && !cached.edges) {
    cached.edges = edges;
    more += edges_memory(*edges);
  }
  cached.bytes += more;
  bytes_ += more;
  shrink();
}

void PackCatalog::shrink() {
  while (bytes_ > kCacheBytesMax && uses_.size() > 1) {
    const auto it = cache_.find(uses_.back());
    bytes_ -= it->second.bytes;
    uses_.pop_back();
    cache_.erase(it);
  }
}

void PackCatalog::forget(const PackId& id) {
  const std::lock_guard lock(mutex_);
  const auto it = cache_.find(id);
  if (it == cache_.end()) return;
  bytes_ -= it->second.bytes;
  uses_.erase(it->second.use);
  cache_.erase(it);
}

Result<std::shared_ptr<const PackFooter>> PackCatalog::footer(const IndexedPack& pack) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = cache_.find(pack.id); it != cache_.end() && it->second.footer) {
      return touch(pack.id).footer;
    }
  }
  TRY(auto footer, load_footer(pack));
  keep(pack.id, footer, nullptr);
  return footer;
}

Result<IndexedPack> PackCatalog::describe(const PackId& id) {
  IndexedPack pack;
  pack.id = id;
  TRY(PackFooter footer, read_footer(store_, vault_, pack));
  keep(id, std::make_shared<const PackFooter>(std::move(footer)), nullptr);
  return pack;
}

Result<std::shared_ptr<const PackEdges>> PackCatalog::edges(const IndexedPack& pack) {
  TRY(const auto footer, this->footer(pack));
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = cache_.find(pack.id); it != cache_.end() && it->second.edges) {
      return touch(pack.id).edges;
    }
  }
  auto edges = std::make_shared<PackEdges>();
  edges->ids.resize(footer->edge_total());
  const MutableByteView bytes(reinterpret_cast<uint8_t*>(edges->ids.data()),
                              edges->ids.size() * ChunkId::kSize);
  TRYV(store_.get_range(pack_name(pack.id), footer->edges_offset(), bytes));
  const bool none = footer->kind == PackKind::data;
  if (!none && crypto::sha256(bytes) != footer->edges_sha256) {
    return damaged_pack(pack.id, "its edges do not hash to what the footer says");
  }
  edges->first.reserve(footer->chunk_ids.size() + 1);
  uint32_t at = 0;
  for (size_t i = 0; i < footer->chunk_ids.size(); ++i) {
    edges->first.push_back(at);
    if (!none) at += footer->edge_counts[i];
  }
  edges->first.push_back(at);
  keep(pack.id, footer, edges);
  return std::shared_ptr<const PackEdges>(edges);
}

}  // namespace holdfast::vault
