#include "vault/format/collection.h"

#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr size_t kPackIdBytes = 48;
constexpr size_t kSeenManifestBytes = 56;
constexpr size_t kVouchedPackBytes = 52;
constexpr size_t kSegmentClaimBytes = 44;

void encode_header(wire::Encoder& out, const RunHeader& header) {
  out.raw(header.vault.view());
  out.raw(header.run.view());
  out.raw(header.maintainer.view());
  out.i64(header.time_ns);
}

RunHeader decode_header(wire::Decoder& in) {
  RunHeader header;
  header.vault = read_id<VaultId>(in);
  header.run = read_id<RunId>(in);
  header.maintainer = read_id<MaintainerId>(in);
  header.time_ns = in.i64();
  return header;
}

void encode_packs(wire::Encoder& out, const std::vector<PackId>& packs) {
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

Result<RunHeader> peek_run_header(ByteView object) {
  if (object.size() < kMagicBytes) {
    return Error{holdfast::Errc::malformed, "no object of a collector's run"};
  }
  wire::Decoder in(object.subspan(kMagicBytes), "object of a collector's run");
  const RunHeader header = decode_header(in);
  if (!in.ok()) return Error{holdfast::Errc::malformed, "no object of a collector's run"};
  return header;
}

Bytes encode_run_mark(std::string_view magic, const RunHeader& header, const crypto::Key256& seed) {
  wire::Encoder out;
  encode_header(out, header);
  return sign_object(magic, out.view(), seed);
}

Result<RunHeader> decode_run_mark(std::string_view magic, ByteView object) {
  TRY(const ByteView body, unverified_body(magic, object));
  wire::Decoder in(body, "mark of a collector's run");
  const RunHeader header = decode_header(in);
  TRYV(in.finish());
  return header;
}

Bytes CondemnedList::encode(const crypto::Key256& seed) const {
  wire::Encoder out;
  encode_header(out, header);
  encode_packs(out, packs);
  return sign_object(kCondemnedMagic, out.view(), seed);
}

Result<CondemnedList> decode_condemned(ByteView object) {
  TRY(const ByteView body, unverified_body(kCondemnedMagic, object));
  wire::Decoder in(body, "condemned list");
  CondemnedList list;
  list.header = decode_header(in);
  list.packs = decode_packs(in);
  TRYV(in.finish());
  return list;
}

Bytes WaitingList::encode(const crypto::Key256& seed) const {
  wire::Encoder out;
  encode_header(out, header);
  out.u32(static_cast<uint32_t>(sessions.size()));
  for (const SessionId& s : sessions) out.raw(s.view());
  return sign_object(kWaitingMagic, out.view(), seed);
}

Result<WaitingList> decode_waiting(ByteView object) {
  TRY(const ByteView body, unverified_body(kWaitingMagic, object));
  wire::Decoder in(body, "list of sessions to wait for");
  WaitingList list;
  list.header = decode_header(in);
  const uint64_t n = in.count(in.u32(), SessionId::kSize);
  list.sessions.reserve(n);
  for (uint64_t i = 0; i < n; ++i) list.sessions.push_back(read_id<SessionId>(in));
  TRYV(in.finish());
  return list;
}

Bytes ClosingList::encode(const crypto::Key256& seed) const {
  wire::Encoder out;
  encode_header(out, header);
  encode_packs(out, packs);
  out.u32(static_cast<uint32_t>(manifests.size()));
  for (const SeenManifest& m : manifests) {
    out.raw(m.item.view());
    out.u64(m.sequence);
    out.raw(m.sha256);
  }
  return sign_object(kClosingMagic, out.view(), seed);
}

Result<ClosingList> decode_closing(ByteView object) {
  TRY(const ByteView body, unverified_body(kClosingMagic, object));
  wire::Decoder in(body, "closing list");
  ClosingList list;
  list.header = decode_header(in);
  list.packs = decode_packs(in);
  const uint64_t n = in.count(in.u32(), kSeenManifestBytes);
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

Bytes VouchedList::encode(const crypto::Key256& seed) const {
  wire::Encoder out;
  encode_header(out, header);
  out.u32(static_cast<uint32_t>(packs.size()));
  for (const VouchedPack& p : packs) {
    out.raw(p.footer_sha256);
    out.raw(p.domain.view());
    out.u32(static_cast<uint32_t>(p.claims.size()));
    for (const SegmentClaim& c : p.claims) {
      out.u32(c.segments);
      out.raw(c.agent.view());
      out.raw(c.item.view());
      out.u64(c.sequence);
    }
  }
  return sign_object(kVouchedMagic, out.view(), seed);
}

Result<VouchedList> decode_vouched(ByteView object) {
  TRY(const ByteView body, unverified_body(kVouchedMagic, object));
  wire::Decoder in(body, "list of vouched packs");
  VouchedList list;
  list.header = decode_header(in);
  const uint64_t n = in.count(in.u32(), kVouchedPackBytes);
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    VouchedPack p;
    p.footer_sha256 = in.array<32>();
    p.domain = read_id<DomainId>(in);
    const uint64_t claims = in.count(in.u32(), kSegmentClaimBytes);
    p.claims.reserve(claims);
    for (uint64_t c = 0; c < claims; ++c) {
      SegmentClaim claim;
      claim.segments = in.u32();
      claim.agent = read_id<AgentId>(in);
      claim.item = read_id<ItemId>(in);
      claim.sequence = in.u64();
      p.claims.push_back(claim);
    }
    list.packs.push_back(std::move(p));
  }
  TRYV(in.finish());
  return list;
}

}  // namespace holdfast::vault
