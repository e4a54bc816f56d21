// The segment: the unit of compression, sealing and blind verification. docs/formats/segment.md.
//
// This file has the limits, the plaintext layout and the hash of references; sealing itself is
// vault/seal/segment_sealer.h.
#pragma once

#include <vector>

#include "vault/format/chunk.h"

namespace holdfast::vault {

// What a chunk stands for inside a segment: its id, and for nodes the clear edges.
struct ChunkRef {
  ChunkId id;
  ChunkKind kind = ChunkKind::data;
  std::vector<ChunkId> edges;
};

enum class Codec : uint8_t {
  raw = 0,   // chunks in a row
  zstd = 1,  // one zstd frame (RFC 8878) of the chunks in a row
};

// Plaintext targets are drawn at random in this range, so that a stored size tells little.
inline constexpr size_t kSegmentTargetMin = 384 * 1024;
inline constexpr size_t kSegmentTargetMax = 640 * 1024;
inline constexpr size_t kSegmentChunksMax = 16384;
// All chunk bytes of one segment: a full target and one largest chunk on top.
inline constexpr size_t kSegmentPlainMax = kSegmentTargetMax + kChunkBytesMax;
// Stored bytes: lengths, payload, Padme's 12 % at the worst, tag.
inline constexpr size_t kSegmentStoredMax = 12 * 1024 * 1024;

// The size to pad `size` bytes to: Padme (Nikitin et al., PETS 2019), which leaves O(log log size)
// bits of information and costs at most 12 %, on segments of this size about 1 %.
size_t padme(size_t size);

// SHA-256 over, for every chunk in order: u8 kind || id || u32 edge count || edges. It stands for
// the ids and edges, which are stored outside, in the segment's key and associated data.
crypto::Digest refs_hash(std::span<const ChunkRef> refs);

// The sealed plaintext: u32 payload bytes || u32 length of each chunk || payload || zeros.
struct SegmentPlain {
  ByteView payload;
  std::vector<uint32_t> chunk_lengths;
  uint64_t chunk_bytes = 0;  // the sum of chunk_lengths
};
// Bytes before the payload.
constexpr size_t segment_header_bytes(size_t chunks) {
  return 4 + 4 * chunks;
}
// Errors: Errc::malformed (also for padding that is not zero or a sum over kSegmentPlainMax).
Result<SegmentPlain> parse_segment_plain(ByteView plain, size_t chunk_count);

}  // namespace holdfast::vault
