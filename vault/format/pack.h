// The pack: the unit of storage. docs/formats/pack.md.
//
//   "HFV1PACK" | segments | edges (metadata packs) | footer
//
// Every byte belongs to a segment, whose SHA-256 the footer has, to the edges, whose SHA-256 the
// footer has, to the footer, whose SHA-256 is the pack's name, or to the eight fixed ones in front.
#pragma once

#include <vector>

#include "vault/format/key_wrap.h"
#include "vault/format/segment.h"

namespace holdfast::vault {

enum class PackKind : uint8_t { data = 1, metadata = 2 };

inline constexpr std::string_view kPackMagic = "HFV1PACK";
inline constexpr std::string_view kFooterMagic = "HFV1FOOT";
inline constexpr std::string_view kFooterEndMagic = "HFV1FEND";
inline constexpr size_t kPackHeaderBytes = 8;
inline constexpr size_t kFooterTailBytes = 12;  // u32 footer bytes | "HFV1FEND"

inline constexpr uint64_t kPackTargetBytes = 32 * 1024 * 1024;
inline constexpr uint64_t kPackBytesMax = 128 * 1024 * 1024;
inline constexpr uint32_t kFooterBytesMax = 64 * 1024 * 1024;
inline constexpr size_t kPackSegmentsMax = 65535;
inline constexpr size_t kPackChunksMax = 512 * 1024;
inline constexpr size_t kPackSessionsMax = 4096;

struct PackSegment {
  uint64_t offset = 0;  // from the start of the pack; not stored, the segments stand in a row
  uint32_t stored_bytes = 0;
  uint16_t session_index = 0;
  Codec codec = Codec::raw;
  uint64_t counter = 0;
  uint32_t chunk_first = 0;  // not stored
  uint32_t chunk_count = 0;
  crypto::Digest sha256{};  // of the stored bytes
  bool operator==(const PackSegment&) const = default;
};

struct PackFooter {
  PackKind kind = PackKind::data;
  VaultId vault;
  DomainId domain;
  std::vector<KeyWrap> sessions;
  std::vector<PackSegment> segments;
  std::vector<ChunkId> chunk_ids;  // of all segments, in order
  // Metadata packs only; empty in data packs, whose chunks are all of kind data without edges.
  std::vector<ChunkKind> chunk_kinds;
  std::vector<uint32_t> edge_counts;
  crypto::Digest edges_sha256{};  // of all edges in a row; zeros in data packs

  ChunkKind kind_of(size_t chunk) const {
    return chunk_kinds.empty() ? ChunkKind::data : chunk_kinds[chunk];
  }
  uint64_t edges_offset() const;
  uint64_t edge_total() const;
  uint64_t edges_bytes() const { return edge_total() * ChunkId::kSize; }

  // The bytes whose SHA-256 names the pack.
  Bytes encode() const;
};

// Decodes a footer and checks that it fits a pack of `pack_bytes`: every limit above, segments and
// edges and footer filling the pack exactly. Errors: Errc::malformed.
Result<PackFooter> decode_footer(ByteView footer, uint64_t pack_bytes);

// The footer's size, from the last kFooterTailBytes of a pack. Errors: Errc::malformed.
Result<uint32_t> footer_bytes_from_tail(ByteView tail, uint64_t pack_bytes);

}  // namespace holdfast::vault
