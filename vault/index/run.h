// An index run: where the chunks of some packs are. docs/formats/index.md.
//
// Sorted, immutable, used as mapped bytes. Nobody vouches for a run: it is a hint that a lookup
// must confirm with the pack's footer, whose hash is the pack's name. So a damaged run can cost
// space or time, never correctness, and need not be hashed before use.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "vault/format/pack.h"

namespace holdfast::vault {

inline constexpr std::string_view kIndexMagic = "HFV1INDX";
inline constexpr size_t kIndexIdBytes = 12;  // 8 would lose a chunk with 5 % probability at 10^9
inline constexpr size_t kIndexEntryBytes = kIndexIdBytes + 4 + 2 + 2;
inline constexpr size_t kIndexPackBytes = 64;
inline constexpr size_t kIndexHeaderBytes = 72;
inline constexpr size_t kFilterBlockBytes = 32;

struct IndexedPack {
  PackId id;
  uint64_t pack_bytes = 0;
  uint32_t footer_bytes = 0;
  PackKind kind = PackKind::data;
  bool operator==(const IndexedPack&) const = default;
};

// Where a chunk may be.
struct ChunkLocation {
  uint32_t pack = 0;     // index into the run's packs
  uint16_t segment = 0;  // within the pack
  uint16_t chunk = 0;    // within the segment
  bool operator==(const ChunkLocation&) const = default;
};

class IndexRunBuilder {
 public:
  IndexRunBuilder(const VaultId& vault, const DomainId& domain) : vault_(vault), domain_(domain) {}

  // All chunks of a pack.
  void add_pack(const IndexedPack& pack, const PackFooter& footer);
  // One chunk of a pack.
  void add_chunk(const IndexedPack& pack, const ByteArray<kIndexIdBytes>& id, uint16_t segment,
                 uint16_t chunk);
  bool empty() const { return packs_.empty(); }
  size_t entry_count() const { return entries_.size(); }
  // The object's bytes; the builder is empty afterwards.
  Bytes finish();

 private:
  struct Entry {
    ByteArray<kIndexIdBytes> id;
    ChunkLocation at;
  };
  VaultId vault_;
  DomainId domain_;
  std::vector<IndexedPack> packs_;
  std::map<PackId, uint32_t> pack_indexes_;  // of what add_chunk was given
  std::vector<Entry> entries_;
};

// A view of a run's bytes, which must outlive it.
class IndexRun {
 public:
  // Checks the structure (sizes, limits, pack table), not the hash in the object's name.
  // Errors: Errc::malformed.
  static Result<IndexRun> parse(ByteView bytes);

  const VaultId& vault() const { return vault_; }
  const DomainId& domain() const { return domain_; }
  uint64_t entry_count() const { return entry_count_; }
  const std::vector<IndexedPack>& packs() const { return packs_; }

  // Appends the candidates for `id`. False positives are possible (damage, truncated ids).
  void find(const ChunkId& id, std::vector<ChunkLocation>& out) const;
  // Every entry: the truncated id and the location. Errors: Errc::malformed for entries that are
  // out of order or name no pack, which find() tolerates.
  Status check_entries() const;

 private:
  bool filter_may_contain(const ChunkId& id) const;

  VaultId vault_;
  DomainId domain_;
  std::vector<IndexedPack> packs_;
  uint64_t entry_count_ = 0;
  uint32_t filter_blocks_ = 0;
  uint32_t bucket_bits_ = 0;
  ByteView filter_;
  ByteView buckets_;
  ByteView entries_;
};

}  // namespace holdfast::vault
