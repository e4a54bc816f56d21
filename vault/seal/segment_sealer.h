// Compresses and seals segments, and opens them again. docs/formats/segment.md.
//
// Holds zstd's working memory (a few MiB): one object per thread, used for many segments.
#pragma once

#include <memory>

#include "vault/seal/session_key.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace holdfast::vault {

// zstd levels as users give them; 0 stores chunks as they are.
struct Compression {
  int level = 1;
};
inline constexpr int kCompressionLevelMax = 19;

struct SealedSegment {
  Buffer stored;
  Codec codec = Codec::raw;
  uint64_t counter = 0;
  crypto::Digest sha256{};
};

class SegmentSealer {
 public:
  SegmentSealer();
  ~SegmentSealer();
  SegmentSealer(SegmentSealer&&) noexcept;
  SegmentSealer& operator=(SegmentSealer&&) noexcept;

  // Seals `chunks`, the bytes of all refs in a row, whose lengths are `lengths`. Segments that do
  // not shrink are stored raw. The result has been opened again and compared with the input.
  // Errors: Errc::crypto_library with the reason if that comparison fails: a fault of memory,
  // processor or library; nothing was stored.
  Result<SealedSegment> seal(const SessionKey& key, uint64_t counter,
                             std::span<const ChunkRef> refs, std::span<const uint32_t> lengths,
                             ByteView chunks, const Compression& compression);

  struct Opened {
    std::vector<uint32_t> lengths;
    Buffer chunks;  // all in a row
  };
  // Errors: Errc::damaged, without the name of the pack, which the caller adds.
  Result<Opened> open(const SessionKey& key, uint64_t counter, Codec codec,
                      const crypto::Digest& refs, size_t chunk_count, ByteView stored);

 private:
  // Decrypts into plain_ and takes it apart.
  Result<SegmentPlain> decrypt(const SessionKey& key, uint64_t counter, Codec codec,
                               const crypto::Digest& refs, size_t chunk_count, ByteView stored);
  Status decompress(const SegmentPlain& plain, Buffer& out);
  // Whether a sealed segment gives back what went in.
  bool opens_to(const SessionKey& key, const SealedSegment& sealed, const crypto::Digest& refs,
                std::span<const uint32_t> lengths, ByteView chunks);
  struct Free {
    void operator()(ZSTD_CCtx_s* c) const;
    void operator()(ZSTD_DCtx_s* c) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> compressor_;
  std::unique_ptr<ZSTD_DCtx_s, Free> decompressor_;
  Buffer compressed_;
  Buffer plain_;
  Buffer check_;
};

}  // namespace holdfast::vault
