#include "vault/format/collection.h"

#include "vault/format/digest.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr size_t kPackIdBytes = 48;

void encode_head(wire::Encoder& out, std::string_view magic, const VaultId& vault, const RunId& run,
                 const std::vector<PackId>& packs) {
  out.raw(magic);
  out.raw(vault.view());
  out.raw(run.view());
  out.u32(static_cast<uint32_t>(packs.size()));
  for (const PackId& p : packs) {
    out.raw(p.session.view());
    out.raw(p.footer_sha256);
  }
}

std::vector<PackId> decode_packs(wire::Decoder& in) {
  std::vector<PackId> packs;
  const uint64_t n = in.count(in.u32(), kPackIdBytes);
  packs.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    PackId p;
    p.session = read_id<SessionId>(in);
    p.footer_sha256 = in.array<32>();
    packs.push_back(p);
  }
  return packs;
}

}  // namespace

Bytes CondemnedList::encode() const {
  wire::Encoder out;
  encode_head(out, kCondemnedMagic, vault, run, packs);
  return with_digest(out.take());
}

Result<CondemnedList> decode_condemned(ByteView object) {
  TRY(const ByteView body, without_digest(object, "condemned list"));
  wire::Decoder in(body, "condemned list");
  CondemnedList list;
  in.expect(kCondemnedMagic);
  list.vault = read_id<VaultId>(in);
  list.run = read_id<RunId>(in);
  list.packs = decode_packs(in);
  TRYV(in.finish());
  return list;
}

Bytes ClosingList::encode() const {
  wire::Encoder out;
  encode_head(out, kClosingMagic, vault, run, packs);
  out.u32(static_cast<uint32_t>(manifests.size()));
  for (const SeenManifest& m : manifests) {
    out.raw(m.item.view());
    out.u64(m.sequence);
    out.raw(m.sha256);
  }
  return with_digest(out.take());
}

Result<ClosingList> decode_closing(ByteView object) {
  TRY(const ByteView body, without_digest(object, "closing list"));
  wire::Decoder in(body, "closing list");
  ClosingList list;
  in.expect(kClosingMagic);
  list.vault = read_id<VaultId>(in);
  list.run = read_id<RunId>(in);
  list.packs = decode_packs(in);
  const uint64_t n = in.count(in.u32(), 56);
  for (uint64_t i = 0; i < n; ++i) {
    SeenManifest m;
    m.item = read_id<ItemId>(in);
    m.sequence = in.u64();
    m.sha256 = in.array<32>();
    list.manifests.push_back(m);
  }
  TRYV(in.finish());
  return list;
}

}  // namespace holdfast::vault
