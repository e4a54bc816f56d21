// The files of a vault that lies in several directories: every object is there as shards, or as
// copies. docs/formats/stripes.md has the bytes.
//
//   header | table: SHA-256 of each block | data, in blocks of 64 KiB, the last one shorter
//
// A header says what the whole object is made of (its size, k, m, the hash of every shard's table),
// so one good header anywhere is enough to tell good bytes from bad ones everywhere else, block by
// block. A header is bound to its set of directories and to the object's name.
#pragma once

#include <string_view>
#include <vector>

#include "base/crypto/hash.h"
#include "base/io/file_system.h"

namespace holdfast::vault {

using StripeSetId = ByteArray<16>;

inline constexpr uint32_t kStripeBlockBytes = 64 * 1024;
inline constexpr unsigned kDataShardsMax = 32;
inline constexpr unsigned kParityShardsMax = 8;
// No object is larger: what stands behind a vault's names are packs of at most 128 MiB, objects of
// at most 64 MiB, and index runs.
inline constexpr uint64_t kShardedBytesMax = uint64_t{1} << 42;
inline constexpr size_t kShardHeaderFixedBytes = 72;
// Of a copy; the header of a shard has a hash more for each further shard.
inline constexpr size_t kShardHeaderBytesMin = kShardHeaderFixedBytes + 32 + 32;

enum class ShardKind : uint8_t { copy = 1, shard = 2 };

struct ShardHeader {
  ShardKind kind = ShardKind::copy;
  uint8_t data_shards = 1;    // k; 1 for copies
  uint8_t parity_shards = 0;  // m; 0 for copies, as each is the whole
  uint8_t index = 0;          // which shard this is: data shards first, then parity; 0 for copies
  uint64_t object_bytes = 0;
  io::TimeNs stored_ns = 0;  // by the clock of the machine that put it
  ByteArray<8> nonce{};      // random if put if absent: two such objects are never the same
  StripeSetId set{};
  ByteArray<16> name_hash{};           // the first bytes of the SHA-256 of the object's name
  std::vector<crypto::Digest> tables;  // SHA-256 of the table of every shard; one for copies

  unsigned shards() const { return data_shards + parity_shards; }
  // Of one shard: all have the same size, the last data shard filled up with zeros.
  uint64_t shard_bytes() const { return (object_bytes + data_shards - 1) / data_shards; }
  uint64_t blocks() const { return (shard_bytes() + kStripeBlockBytes - 1) / kStripeBlockBytes; }
  uint32_t block_bytes(uint64_t block) const;
  size_t header_bytes() const { return kShardHeaderFixedBytes + tables.size() * 32 + 32; }
  uint64_t table_bytes() const { return blocks() * 32; }
  uint64_t data_offset() const { return header_bytes() + table_bytes(); }
  uint64_t file_bytes() const { return data_offset() + shard_bytes(); }
  // The same for all shards or copies of what one put stored, and for those of a repeated put.
  crypto::Digest object_id() const;
  Bytes encode() const;
};

ByteArray<16> shard_name_hash(std::string_view name);

// Size of the whole header, from its first kShardHeaderBytesMin bytes. Errors: Errc::malformed.
Result<size_t> shard_header_bytes(ByteView start);
// `bytes` is exactly a header. Errors: Errc::malformed; Errc::authentication_failed if its digest
// does not match.
Result<ShardHeader> decode_shard_header(ByteView bytes);

}  // namespace holdfast::vault
