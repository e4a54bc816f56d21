#include "vault/store/shard.h"

#include <algorithm>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFV1SHRD";

Bytes encode_fields(const ShardHeader& h, uint8_t index, io::TimeNs stored_ns) {
  wire::Encoder out;
  out.raw(kMagic);
  out.u8(static_cast<uint8_t>(h.kind));
  out.u8(h.data_shards);
  out.u8(h.parity_shards);
  out.u8(index);
  out.u32(kStripeBlockBytes);
  out.u64(h.object_bytes);
  out.i64(stored_ns);
  out.raw(h.nonce);
  out.raw(h.set);
  out.raw(h.name_hash);
  for (const crypto::Digest& table : h.tables) out.raw(table);
  return out.take();
}

Error bad(std::string_view what) {
  return Error{Errc::malformed, "shard header " + std::string(what)};
}

}  // namespace

uint32_t ShardHeader::block_bytes(uint64_t block) const {
  const uint64_t begin = block * kStripeBlockBytes;
  return static_cast<uint32_t>(std::min<uint64_t>(kStripeBlockBytes, shard_bytes() - begin));
}

crypto::Digest ShardHeader::object_id() const {
  return crypto::sha256(encode_fields(*this, 0, 0));
}

Bytes ShardHeader::encode() const {
  CHECK(tables.size() == (kind == ShardKind::copy ? 1u : shards()));
  Bytes out = encode_fields(*this, index, stored_ns);
  append(out, crypto::sha256(out));
  return out;
}

ByteArray<16> shard_name_hash(std::string_view name) {
  const crypto::Digest digest = crypto::sha256(as_bytes(name));
  ByteArray<16> out;
  std::memcpy(out.data(), digest.data(), out.size());
  return out;
}

Result<size_t> shard_header_bytes(ByteView start) {
  wire::Decoder in(start, "shard header");
  in.expect(kMagic);
  const uint8_t kind = in.u8();
  const uint8_t k = in.u8();
  const uint8_t m = in.u8();
  TRYV(in.status());
  if (kind == static_cast<uint8_t>(ShardKind::copy) && k == 1 && m == 0) {
    return kShardHeaderBytesMin;
  }
  if (kind != static_cast<uint8_t>(ShardKind::shard)) return bad("is of an unknown kind");
  if (k == 0 || k > kDataShardsMax || m == 0 || m > kParityShardsMax) {
    return bad("has an impossible number of shards");
  }
  return kShardHeaderFixedBytes + (size_t{k} + m) * 32 + 32;
}

Result<ShardHeader> decode_shard_header(ByteView bytes) {
  TRY(const size_t size, shard_header_bytes(bytes));
  if (bytes.size() != size) return bad("has the wrong length");
  const ByteView body = bytes.first(size - 32);
  if (!equal(crypto::sha256(body), bytes.last(32))) {
    return Error{Errc::authentication_failed, "shard header"};
  }
  wire::Decoder in(body, "shard header");
  ShardHeader h;
  in.expect(kMagic);
  h.kind = static_cast<ShardKind>(in.u8());
  h.data_shards = in.u8();
  h.parity_shards = in.u8();
  h.index = in.u8();
  if (in.u32() != kStripeBlockBytes) in.fail("has blocks of another size");
  h.object_bytes = in.u64();
  h.stored_ns = in.i64();
  h.nonce = in.array<8>();
  h.set = in.array<16>();
  h.name_hash = in.array<16>();
  if (h.index >= h.shards()) in.fail("has an impossible index");
  if (h.object_bytes > kShardedBytesMax) in.fail("has an impossible size");
  const size_t tables = h.kind == ShardKind::copy ? 1 : h.shards();
  for (size_t i = 0; i < tables; ++i) h.tables.push_back(in.array<32>());
  TRYV(in.finish());
  return h;
}

}  // namespace holdfast::vault
