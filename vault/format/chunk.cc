#include "vault/format/chunk.h"

#include "base/wire/encoder.h"

namespace holdfast::vault {

ChunkId chunk_id(const crypto::HmacSha256& id_key, ChunkKind kind, std::span<const ChunkId> edges,
                 ByteView bytes) {
  CHECK(edges.size() <= kChunkEdgesMax && bytes.size() <= kChunkBytesMax);
  const auto n = static_cast<uint32_t>(edges.size());
  const uint8_t head[5] = {static_cast<uint8_t>(kind), static_cast<uint8_t>(n),
                           static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n >> 16),
                           static_cast<uint8_t>(n >> 24)};
  return ChunkId(id_key.mac({ByteView(head), edge_bytes(edges), bytes}));
}

}  // namespace holdfast::vault
