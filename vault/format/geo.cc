#include "vault/format/geo.h"

#include <cstdio>

#include "vault/format/digest.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kSyncPrefix = "geo/sync-";

}  // namespace

std::string geo_sync_name(uint64_t sequence) {
  char text[24];
  std::snprintf(text, sizeof text, "%010llu", static_cast<unsigned long long>(sequence));
  return std::string(kSyncPrefix) + text;
}

Result<uint64_t> parse_geo_sync_name(std::string_view name) {
  const Error bad{holdfast::Errc::malformed, "'" + std::string(name) + "' is not an object name"};
  if (!name.starts_with(kSyncPrefix)) return bad;
  const std::string_view digits = name.substr(kSyncPrefix.size());
  if (digits.size() < 10 || digits.size() > 19) return bad;
  uint64_t n = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return bad;
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  if (geo_sync_name(n) != name) return bad;
  return n;
}

Bytes GeoReplica::encode() const {
  wire::Encoder out;
  out.raw(kGeoReplicaMagic);
  out.raw(vault.view());
  out.i64(added_ns);
  out.block(primary);
  return with_digest(out.take());
}

Result<GeoReplica> decode_geo_replica(ByteView object) {
  TRY(const ByteView body, without_digest(object, "mark of a replica"));
  wire::Decoder in(body, "mark of a replica");
  GeoReplica mark;
  in.expect(kGeoReplicaMagic);
  mark.vault = read_id<VaultId>(in);
  mark.added_ns = in.i64();
  mark.primary = in.text(kGeoLocationBytesMax);
  TRYV(in.finish());
  return mark;
}

Bytes GeoPromoted::encode() const {
  wire::Encoder out;
  out.raw(kGeoPromotedMagic);
  out.raw(vault.view());
  out.i64(promoted_ns);
  out.u64(points);
  return with_digest(out.take());
}

Result<GeoPromoted> decode_geo_promoted(ByteView object) {
  TRY(const ByteView body, without_digest(object, "mark of a promotion"));
  wire::Decoder in(body, "mark of a promotion");
  GeoPromoted mark;
  in.expect(kGeoPromotedMagic);
  mark.vault = read_id<VaultId>(in);
  mark.promoted_ns = in.i64();
  mark.points = in.u64();
  TRYV(in.finish());
  return mark;
}

Bytes GeoSync::encode() const {
  wire::Encoder out;
  out.raw(kGeoSyncMagic);
  out.raw(vault.view());
  out.u64(sequence);
  out.i64(started_ns);
  out.i64(finished_ns);
  out.i64(newest_point_ns);
  out.u64(points);
  out.u64(objects);
  out.u64(bytes);
  return with_digest(out.take());
}

Result<GeoSync> decode_geo_sync(ByteView object) {
  TRY(const ByteView body, without_digest(object, "record of a sync"));
  wire::Decoder in(body, "record of a sync");
  GeoSync sync;
  in.expect(kGeoSyncMagic);
  sync.vault = read_id<VaultId>(in);
  sync.sequence = in.u64();
  sync.started_ns = in.i64();
  sync.finished_ns = in.i64();
  sync.newest_point_ns = in.i64();
  sync.points = in.u64();
  sync.objects = in.u64();
  sync.bytes = in.u64();
  TRYV(in.finish());
  return sync;
}

}  // namespace holdfast::vault
