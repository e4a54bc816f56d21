#include "vault/seal/segment_sealer.h"

#include <algorithm>

#include <zstd.h>

#include "base/crypto/aead.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kSegmentMagic = "HFV1SEGM";
// Every segment has a key of its own, so the nonce may be constant.
constexpr crypto::Nonce kZeroNonce{};

Bytes associated_data(const SessionContext& c, uint64_t counter, Codec codec,
                      const crypto::Digest& refs) {
  wire::Encoder out;
  out.raw(kSegmentMagic);
  out.raw(c.vault.view());
  out.raw(c.domain.view());
  out.raw(c.session.view());
  out.u64(counter);
  out.u8(static_cast<uint8_t>(codec));
  out.raw(refs);
  return out.take();
}

Error damaged(std::string_view reason) {
  return Error{Errc::damaged, "segment " + std::string(reason)};
}

}  // namespace

void SegmentSealer::Free::operator()(ZSTD_CCtx_s* c) const {
  ZSTD_freeCCtx(c);
}
void SegmentSealer::Free::operator()(ZSTD_DCtx_s* c) const {
  ZSTD_freeDCtx(c);
}

SegmentSealer::SegmentSealer() : compressor_(ZSTD_createCCtx()), decompressor_(ZSTD_createDCtx()) {
  CHECK(compressor_ != nullptr && decompressor_ != nullptr);
}
SegmentSealer::~SegmentSealer() = default;
SegmentSealer::SegmentSealer(SegmentSealer&&) noexcept = default;
SegmentSealer& SegmentSealer::operator=(SegmentSealer&&) noexcept = default;

Result<SealedSegment> SegmentSealer::seal(const SessionKey& key, uint64_t counter,
                                          std::span<const ChunkRef> refs,
                                          std::span<const uint32_t> lengths, ByteView chunks,
                                          const Compression& compression) {
  CHECK(!refs.empty() && refs.size() == lengths.size() && refs.size() <= kSegmentChunksMax &&
        chunks.size() <= kSegmentPlainMax);
  SealedSegment out;
  out.counter = counter;

  ByteView payload = chunks;
  out.codec = Codec::raw;
  if (compression.level != 0 && !chunks.empty()) {
    compressed_.reset(ZSTD_compressBound(chunks.size()));
    const size_t n = ZSTD_compressCCtx(compressor_.get(), compressed_.data(), compressed_.size(),
                                       chunks.data(), chunks.size(), compression.level);
    // Worth it only if it saves a 32nd: decompression is not free at restore.
    if (!ZSTD_isError(n) && n < chunks.size() - chunks.size() / 32) {
      payload = compressed_.view().first(n);
      out.codec = Codec::zstd;
    }
  }
  wire::Encoder header;
  header.u32(static_cast<uint32_t>(payload.size()));
  for (const uint32_t length : lengths) header.u32(length);
  CHECK(header.size() == segment_header_bytes(refs.size()));
  const size_t used = header.size() + payload.size();
  const size_t stored = padme(used + crypto::kTagBytes);
  const Bytes padding(stored - crypto::kTagBytes - used);

  const crypto::Digest refs_digest = refs_hash(refs);
  out.stored = Buffer(stored);
  const ByteView parts[] = {header.view(), payload, padding};
  crypto::aes256gcm_seal(key.segment_key(counter, refs_digest, out.codec), kZeroNonce,
                         associated_data(key.context(), counter, out.codec, refs_digest), parts,
                         out.stored.view());
  out.sha256 = crypto::sha256(out.stored.view());
  if (!opens_to(key, out, refs_digest, lengths, chunks)) {
    return Error{holdfast::Errc::crypto_library,
                 "a segment did not decode to what was put in (faulty memory, processor or "
                 "library); nothing was stored"};
  }
  return out;
}

bool SegmentSealer::opens_to(const SessionKey& key, const SealedSegment& sealed,
                             const crypto::Digest& refs, std::span<const uint32_t> lengths,
                             ByteView chunks) {
  const auto plain =
      decrypt(key, sealed.counter, sealed.codec, refs, lengths.size(), sealed.stored.view());
  if (!plain.ok() || !std::equal(lengths.begin(), lengths.end(), plain->chunk_lengths.begin(),
                                 plain->chunk_lengths.end())) {
    return false;
  }
  if (sealed.codec == Codec::raw) return equal(plain->payload, chunks);
  return decompress(*plain, check_).ok() && equal(check_.view(), chunks);
}

Result<SegmentSealer::Opened> SegmentSealer::open(const SessionKey& key, uint64_t counter,
                                                  Codec codec, const crypto::Digest& refs,
                                                  size_t chunk_count, ByteView stored) {
  TRY(SegmentPlain plain, decrypt(key, counter, codec, refs, chunk_count, stored));
  Opened out;
  if (codec == Codec::zstd) {
    TRYV(decompress(plain, out.chunks));
  } else {
    if (plain.payload.size() != plain.chunk_bytes) return damaged("has the wrong length");
    out.chunks.reset(plain.chunk_bytes);
    if (plain.chunk_bytes != 0) {
      std::memcpy(out.chunks.data(), plain.payload.data(), plain.payload.size());
    }
  }
  out.lengths = std::move(plain.chunk_lengths);
  return out;
}

Result<SegmentPlain> SegmentSealer::decrypt(const SessionKey& key, uint64_t counter, Codec codec,
                                            const crypto::Digest& refs, size_t chunk_count,
                                            ByteView stored) {
  if (stored.size() < crypto::kTagBytes || stored.size() > kSegmentStoredMax) {
    return damaged("has an impossible size");
  }
  plain_.reset(stored.size() - crypto::kTagBytes);
  const Status opened = crypto::aes256gcm_open(key.segment_key(counter, refs, codec), kZeroNonce,
                                               associated_data(key.context(), counter, codec, refs),
                                               stored, plain_.view());
  if (!opened.ok()) return damaged("does not authenticate");
  auto parsed = parse_segment_plain(plain_.view(), chunk_count);
  if (!parsed.ok()) return damaged("does not follow the format");
  return parsed;
}

Status SegmentSealer::decompress(const SegmentPlain& plain, Buffer& out) {
  out.reset(plain.chunk_bytes);
  if (ZSTD_findFrameCompressedSize(plain.payload.data(), plain.payload.size()) !=
      plain.payload.size()) {
    return damaged("is not one frame");
  }
  const size_t n = ZSTD_decompressDCtx(decompressor_.get(), out.data(), plain.chunk_bytes,
                                       plain.payload.data(), plain.payload.size());
  if (ZSTD_isError(n) || n != plain.chunk_bytes) return damaged("does not decompress");
  return {};
}

}  // namespace holdfast::vault
