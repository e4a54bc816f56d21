// What marks a replica of a vault in another region. docs/formats/geo.md. These objects are only in
// the replica, below geo/; all others there are the primary's, byte for byte. None is signed: who
// makes a replica needs no key, and who can write there can also delete.
#pragma once

#include <string>

#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr std::string_view kGeoPrefix = "geo/";
inline constexpr std::string_view kGeoReplicaName = "geo/replica";
inline constexpr std::string_view kGeoPromotedName = "geo/promoted";
inline constexpr std::string_view kGeoReplicaMagic = "HFV1GEOR";
inline constexpr std::string_view kGeoPromotedMagic = "HFV1GEOP";
inline constexpr std::string_view kGeoSyncMagic = "HFV1GEOS";
inline constexpr size_t kGeoLocationBytesMax = 64 * 1024;

std::string geo_sync_name(uint64_t sequence);  // geo/sync-<sequence>
Result<uint64_t> parse_geo_sync_name(std::string_view name);

// geo/replica: this store is a replica, and read-only for backups.
struct GeoReplica {
  VaultId vault;
  int64_t added_ns = 0;
  std::string primary;  // where the primary was reached then; clear, for people
  Bytes encode() const;
  bool operator==(const GeoReplica&) const = default;
};
Result<GeoReplica> decode_geo_replica(ByteView object);

// geo/promoted: it is a replica no longer.
struct GeoPromoted {
  VaultId vault;
  int64_t promoted_ns = 0;
  uint64_t points = 0;  // it had then
  Bytes encode() const;
  bool operator==(const GeoPromoted&) const = default;
};
Result<GeoPromoted> decode_geo_promoted(ByteView object);

// geo/sync-<sequence>: a pass that got through. Times are of the syncing machine, but for the
// newest point's, which is the primary's.
struct GeoSync {
  VaultId vault;
  uint64_t sequence = 0;
  int64_t started_ns = 0;
  int64_t finished_ns = 0;
  int64_t newest_point_ns = 0;  // when the primary received the newest manifest; 0: none
  uint64_t points = 0;
  uint64_t objects = 0;  // copied by this pass
  uint64_t bytes = 0;
  Bytes encode() const;
  bool operator==(const GeoSync&) const = default;
};
Result<GeoSync> decode_geo_sync(ByteView object);

}  // namespace holdfast::vault
