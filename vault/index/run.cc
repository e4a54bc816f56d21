#include "vault/index/run.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace holdfast::vault {
namespace {

// Split block Bloom filter as in the Apache Parquet format specification (BloomFilter.md): one
// cache line a lookup, about 1 % false positives at ten bits a key.
constexpr uint32_t kSalts[8] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
                                0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};
constexpr uint64_t kFilterBitsPerKey = 10;
constexpr uint64_t kEntriesPerBucket = 32;
constexpr uint32_t kBucketBitsMax = 28;

uint32_t load32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
         static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
}

void store32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (8 * i));
}

uint16_t load16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}

// Ids are uniform, so their own bytes serve as hashes: bytes 0-3 (as a big-endian number, which
// follows the sort order) for the bucket, 4-7 for the filter block, 8-11 for the bits in it.
uint32_t bucket_of(const uint8_t* id, uint32_t bits) {
  const uint32_t high = static_cast<uint32_t>(id[0]) << 24 | static_cast<uint32_t>(id[1]) << 16 |
                        static_cast<uint32_t>(id[2]) << 8 | static_cast<uint32_t>(id[3]);
  return bits == 0 ? 0 : high >> (32 - bits);
}

size_t filter_block_of(const uint8_t* id, uint32_t blocks) {
  return static_cast<size_t>(static_cast<uint64_t>(load32(id + 4)) * blocks >> 32);
}

uint32_t filter_bit(const uint8_t* id, int word) {
  return 1u << (load32(id + 8) * kSalts[word] >> 27);
}

}  // namespace

void IndexRunBuilder::add_pack(const IndexedPack& pack, const PackFooter& footer) {
  const auto pack_index = static_cast<uint32_t>(packs_.size());
  packs_.push_back(pack);
  for (size_t s = 0; s < footer.segments.size(); ++s) {
    const PackSegment& segment = footer.segments[s];
    for (uint32_t c = 0; c < segment.chunk_count; ++c) {
      Entry e;
      const ChunkId& id = footer.chunk_ids[segment.chunk_first + c];
      std::memcpy(e.id.data(), id.bytes.data(), kIndexIdBytes);
      e.at = {pack_index, static_cast<uint16_t>(s), static_cast<uint16_t>(c)};
      entries_.push_back(e);
    }
  }
}

void IndexRunBuilder::add_chunk(const IndexedPack& pack, const ByteArray<kIndexIdBytes>& id,
                                uint16_t segment, uint16_t chunk) {
  const auto [it, fresh] = pack_indexes_.try_emplace(pack.id, static_cast<uint32_t>(packs_.size()));
  if (fresh) packs_.push_back(pack);
  entries_.push_back({id, {it->second, segment, chunk}});
}

Bytes IndexRunBuilder::finish() {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    const int order = std::memcmp(a.id.data(), b.id.data(), kIndexIdBytes);
    if (order != 0) return order < 0;
    return std::tuple(a.at.pack, a.at.segment, a.at.chunk) <
           std::tuple(b.at.pack, b.at.segment, b.at.chunk);
  });
  const uint64_t n = entries_.size();
  const auto bucket_bits = std::min<uint32_t>(
      static_cast<uint32_t>(std::bit_width(n / kEntriesPerBucket)), kBucketBitsMax);
  const auto filter_blocks =
      static_cast<uint32_t>(n * kFilterBitsPerKey / (kFilterBlockBytes * 8) + 1);

  wire::Encoder out;
  out.raw(kIndexMagic);
  out.raw(vault_.view());
  out.raw(domain_.view());
  out.u64(n);
  out.u32(static_cast<uint32_t>(packs_.size()));
  out.u32(filter_blocks);
  out.u8(static_cast<uint8_t>(kIndexIdBytes));
  out.u8(static_cast<uint8_t>(bucket_bits));
  out.u16(0);
  out.u32(0);
  out.u64(0);
  CHECK(out.size() == kIndexHeaderBytes);
  for (const IndexedPack& p : packs_) {
    out.raw(p.id.session.view());
    out.raw(p.id.footer_sha256);
    out.u64(p.pack_bytes);
    out.u32(p.footer_bytes);
    out.u8(static_cast<uint8_t>(p.kind));
    out.u8(0);
    out.u16(0);
  }
  Bytes filter(size_t{filter_blocks} * kFilterBlockBytes);
  for (const Entry& e : entries_) {
    uint8_t* block =
        filter.data() + filter_block_of(e.id.data(), filter_blocks) * kFilterBlockBytes;
    for (int w = 0; w < 8; ++w)
      store32(block + 4 * w, load32(block + 4 * w) | filter_bit(e.id.data(), w));
  }
  out.raw(filter);
  const uint64_t bucket_count = uint64_t{1} << bucket_bits;
  uint64_t at = 0;
  for (uint64_t b = 0; b < bucket_count; ++b) {
    out.u32(static_cast<uint32_t>(at));
    while (at < n && bucket_of(entries_[at].id.data(), bucket_bits) == b) ++at;
  }
  out.u32(static_cast<uint32_t>(n));
  for (const Entry& e : entries_) {
    out.raw(e.id);
    out.u32(e.at.pack);
    out.u16(e.at.segment);
    out.u16(e.at.chunk);
  }
  packs_.clear();
  pack_indexes_.clear();
  entries_.clear();
  return out.take();
}

Result<IndexRun> IndexRun::parse(ByteView bytes) {
  wire::Decoder in(bytes, "index run");
  IndexRun run;
  in.expect(kIndexMagic);
  run.vault_ = read_id<VaultId>(in);
  run.domain_ = read_id<DomainId>(in);
  run.entry_count_ = in.u64();
  const uint32_t pack_count = in.u32();
  run.filter_blocks_ = in.u32();
  const uint8_t id_bytes = in.u8();
  run.bucket_bits_ = in.u8();
  if (in.u16() != 0 || in.u32() != 0 || in.u64() != 0) in.fail("has a reserved field set");
  if (in.ok() && (id_bytes != kIndexIdBytes || run.bucket_bits_ > kBucketBitsMax ||
                  run.filter_blocks_ == 0 || run.entry_count_ > UINT32_MAX)) {
    in.fail("has impossible parameters");
  }
  run.packs_.reserve(in.count(pack_count, kIndexPackBytes));
  for (uint32_t i = 0; i < pack_count && in.ok(); ++i) {
    IndexedPack p;
    p.id.session = read_id<SessionId>(in);
    p.id.footer_sha256 = in.array<32>();
    p.pack_bytes = in.u64();
    p.footer_bytes = in.u32();
    const uint8_t kind = in.u8();
    if (kind != 1 && kind != 2) in.fail("has a pack of an unknown kind");
    p.kind = static_cast<PackKind>(kind);
    if (in.u8() != 0 || in.u16() != 0) in.fail("has a reserved field set");
    if (p.pack_bytes > kPackBytesMax || p.footer_bytes > kFooterBytesMax ||
        p.footer_bytes + kPackHeaderBytes > p.pack_bytes) {
      in.fail("has a pack of impossible size");
    }
    run.packs_.push_back(p);
  }
  run.filter_ = in.raw(static_cast<size_t>(in.count(run.filter_blocks_, kFilterBlockBytes)) *
                       kFilterBlockBytes);
  if (!in.ok()) run.bucket_bits_ = 0;
  run.buckets_ = in.raw(((size_t{1} << run.bucket_bits_) + 1) * 4);
  run.entries_ =
      in.raw(static_cast<size_t>(in.count(run.entry_count_, kIndexEntryBytes)) * kIndexEntryBytes);
  TRYV(in.finish());
  return run;
}

bool IndexRun::filter_may_contain(const ChunkId& id) const {
  const uint8_t* block =
      filter_.data() + filter_block_of(id.bytes.data(), filter_blocks_) * kFilterBlockBytes;
  for (int w = 0; w < 8; ++w) {
    if ((load32(block + 4 * w) & filter_bit(id.bytes.data(), w)) == 0) return false;
  }
  return true;
}

void IndexRun::find(const ChunkId& id, std::vector<ChunkLocation>& out) const {
  if (entry_count_ == 0 || !filter_may_contain(id)) return;
  const size_t bucket = bucket_of(id.bytes.data(), bucket_bits_);
  const uint64_t begin = load32(buckets_.data() + 4 * bucket);
  // Bounded even where the table is damaged.
  const uint64_t end = std::min<uint64_t>(load32(buckets_.data() + 4 * bucket + 4), entry_count_);
  for (uint64_t i = begin; i < end; ++i) {
    const uint8_t* e = entries_.data() + i * kIndexEntryBytes;
    const int order = std::memcmp(e, id.bytes.data(), kIndexIdBytes);
    if (order < 0) continue;
    if (order > 0) break;
    const ChunkLocation at{load32(e + 12), load16(e + 16), load16(e + 18)};
    if (at.pack < packs_.size()) out.push_back(at);
  }
}

Status IndexRun::check_entries() const {
  const Error bad{holdfast::Errc::malformed, "index run has entries out of order"};
  for (uint64_t i = 0; i < entry_count_; ++i) {
    const uint8_t* e = entries_.data() + i * kIndexEntryBytes;
    if (i > 0 && std::memcmp(e - kIndexEntryBytes, e, kIndexIdBytes) > 0) return bad;
    if (load32(e + 12) >= packs_.size()) return bad;
    const size_t bucket = bucket_of(e, bucket_bits_);
    if (i < load32(buckets_.data() + 4 * bucket) || i >= load32(buckets_.data() + 4 * bucket + 4)) {
      return bad;
    }
  }
  return {};
}

}  // namespace holdfast::vault
