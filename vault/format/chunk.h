// The chunk: the unit of deduplication. docs/formats/chunk.md.
#pragma once

#include <span>

#include "vault/format/ids.h"

namespace holdfast::vault {

enum class ChunkKind : uint8_t {
  data = 1,        // bytes of a file or disk; no edges
  node = 2,        // a page of a map; its edges are the chunks it refers to
  attributes = 3,  // extended attributes too large for their entry; no edges
};

inline constexpr size_t kChunkBytesMax = 8 * 1024 * 1024;
inline constexpr uint32_t kChunkEdgesMax = 65535;

// Id = HMAC-SHA-256(id key, u8 kind || u32 edge count || edges || bytes), all little-endian. Kind
// and edges are inside, or a file could pose as a node and two edges could be swapped.
ChunkId chunk_id(const crypto::HmacSha256& id_key, ChunkKind kind, std::span<const ChunkId> edges,
                 ByteView bytes);

// A chunk's id as bytes in a row: edges are stored and hashed like that.
inline ByteView edge_bytes(std::span<const ChunkId> edges) {
  static_assert(sizeof(ChunkId) == ChunkId::kSize);
  return {reinterpret_cast<const uint8_t*>(edges.data()), edges.size_bytes()};
}

}  // namespace holdfast::vault
