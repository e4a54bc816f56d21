#include "vault/format/manifest.h"

namespace holdfast::vault {
namespace {

template <class Id>
void encode_ids(wire::Encoder& out, const std::vector<Id>& ids) {
  out.varint(ids.size());
  for (const Id& id : ids) out.raw(id.view());
}

template <class Id>
std::vector<Id> decode_ids(wire::Decoder& in) {
  std::vector<Id> ids;
  const uint64_t n = in.count(in.varint(), Id::kSize);
  ids.reserve(n);
  for (uint64_t i = 0; i < n; ++i) ids.push_back(read_id<Id>(in));
  return ids;
}

}  // namespace

Bytes Manifest::body_associated() const {
  wire::Encoder out;
  out.raw(kManifestMagic);
  out.raw(vault.view());
  out.raw(domain.view());
  out.raw(item().view());
  out.u64(sequence);
  out.raw(session().view());
  return out.take();
}

Bytes Manifest::encode(const crypto::Key256& agent_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(domain.view());
  encode_key_wrap(out, wrap);
  out.u64(sequence);
  out.u64(base_sequence);
  out.raw(base_sha256);
  out.u64(previous_sequence);
  out.raw(previous_sha256);
  out.i64(time_ns);
  out.u8(incomplete ? 1 : 0);
  out.u64(entries);
  encode_ids(out, roots);
  encode_ids(out, adopts);
  out.varint(labels.size());
  for (const auto& label : labels) out.block(label);
  out.varint(heads.size());
  for (const ItemHead& head : heads) {
    out.raw(head.item.view());
    out.u64(head.sequence);
  }
  out.block(sealed_body);
  return sign_object(kManifestMagic, out.view(), agent_seed);
}

Result<Manifest> decode_manifest(ByteView object) {
  TRY(const ByteView body, unverified_body(kManifestMagic, object));
  wire::Decoder in(body, "manifest");
  Manifest m;
  m.vault = read_id<VaultId>(in);
  m.domain = read_id<DomainId>(in);
  m.wrap = decode_key_wrap(in);
  m.sequence = in.u64();
  m.base_sequence = in.u64();
  m.base_sha256 = in.array<32>();
  m.previous_sequence = in.u64();
  m.previous_sha256 = in.array<32>();
  m.time_ns = in.i64();
  const uint8_t flags = in.u8();
  if (flags > 1) in.fail("has an unknown flag");
  m.incomplete = flags == 1;
  m.entries = in.u64();
  m.roots = decode_ids<ChunkId>(in);
  m.adopts = decode_ids<SessionId>(in);
  const uint64_t labels = in.count(in.varint(), 1);
  for (uint64_t i = 0; i < labels && in.ok(); ++i) m.labels.push_back(in.text(kLabelBytesMax));
  const uint64_t heads = in.count(in.varint(), 24);
  for (uint64_t i = 0; i < heads; ++i) {
    ItemHead head;
    head.item = read_id<ItemId>(in);
    head.sequence = in.u64();
    m.heads.push_back(head);
  }
  m.sealed_body = to_bytes(in.block(kSealedBodyBytesMax));
  if (in.ok() &&
      (m.sequence == 0 || m.previous_sequence >= m.sequence || m.base_sequence >= m.sequence)) {
    in.fail("has impossible numbers");
  }
  TRYV(in.finish());
  return m;
}

}  // namespace holdfast::vault
