#include "vault/engine/replica.h"

#include <algorithm>
#include <map>
#include <set>

#include "vault/engine/trust.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

Error damaged_mark(std::string_view name, const Error& why) {
  return Error{Errc::damaged, std::string(name) + " (" + why.message() +
                                  "); nothing is written to this vault until that is put right"};
}

// Nothing if there is no such object.
Result<std::optional<Bytes>> get_mark(Store& store, std::string_view name) {
  auto object = store.get(std::string(name), kObjectBytesMax);
  if (object.ok()) return std::optional(std::move(*object));
  if (is_absent(object.error())) return std::optional<Bytes>();
  if (is_verdict(object.error())) return damaged_mark(name, object.error());
  return std::move(object).error();
}

}  // namespace

Result<ReplicaRole> load_role(Store& store, const VaultId& vault) {
  ReplicaRole role;
  TRY(const auto replica, get_mark(store, kGeoReplicaName));
  if (!replica) return role;
  auto mark = decode_geo_replica(*replica);
  if (!mark.ok()) return damaged_mark(kGeoReplicaName, mark.error());
  if (mark->vault != vault) {
    return damaged_mark(kGeoReplicaName, Error{{}, "it is of another vault"});
  }
  role.replica = std::move(*mark);
  TRY(const auto promoted, get_mark(store, kGeoPromotedName));
  if (!promoted) return role;
  auto promotion = decode_geo_promoted(*promoted);
  if (!promotion.ok()) return damaged_mark(kGeoPromotedName, promotion.error());
  if (promotion->vault != vault) {
    return damaged_mark(kGeoPromotedName, Error{{}, "it is of another vault"});
  }
  role.promoted = *promotion;
  return role;
}

Status require_writable(Store& store, const VaultId& vault) {
  TRY(const ReplicaRole role, load_role(store, vault));
  if (!role.is_read_only()) return {};
  return Error{std::make_error_code(std::errc::read_only_file_system),
               "the vault at " + store.location() + " is a replica of the one at " +
                   role.replica->primary +
                   "; use that one, or make this one writable with 'holdfast vault geo promote'"};
}

Status add_replica(Store& primary, Store& replica) {
  TRY(const Description description, load_description(primary));
  TRY(const ReplicaRole role, load_role(primary, description.vault));
  if (role.is_read_only()) {
    return Error{
        Errc::not_a_vault,
        primary.location() + " is itself a replica; give the vault at " + role.replica->primary};
  }
  GeoReplica mark;
  mark.vault = description.vault;
  mark.added_ns = io::posix_file_system().now_ns();
  mark.primary = primary.location().substr(0, kGeoLocationBytesMax);
  return replica.put_if_absent(std::string(kGeoReplicaName), mark.encode());
}

Result<ReplicaLag> measure_lag(Store& primary, Store& replica) {
  // In this order: what appears meanwhile makes the replica look behind, never the reverse.
  TRY(const auto there, replica.list(""));
  TRY(const auto here, primary.list(""));
  TRY(const io::TimeNs now, primary.now_ns());
  ReplicaLag lag;
  std::map<std::string, uint64_t> sizes;
  for (const ObjectInfo& o : there) {
    if (o.name.starts_with(kGeoPrefix)) continue;
    sizes[o.name] = o.size_bytes;
    if (o.name.starts_with(kPointsPrefix)) ++lag.points_replica;
  }
  size_t common = 0;
  io::TimeNs oldest_waiting = 0;
  for (const ObjectInfo& o : here) {
    if (o.name.starts_with(kGeoPrefix)) continue;
    const auto it = sizes.find(o.name);
    const bool is_there = it != sizes.end() && it->second == o.size_bytes;
    if (it != sizes.end()) ++common;
    if (!is_there) {
      ++lag.objects_behind;
      lag.bytes_behind += o.size_bytes;
    }
    if (!o.name.starts_with(kPointsPrefix)) continue;
    ++lag.points_primary;
    lag.newest_primary_ns = std::max(lag.newest_primary_ns, o.stored_ns);
    if (is_there) {
      lag.newest_replica_ns = std::max(lag.newest_replica_ns, o.stored_ns);
    } else {
      ++lag.points_behind;
      if (oldest_waiting == 0 || o.stored_ns < oldest_waiting) oldest_waiting = o.stored_ns;
    }
  }
  lag.objects_kept = sizes.size() - common;
  if (oldest_waiting != 0) lag.lag_ns = std::max<io::TimeNs>(0, now - oldest_waiting);
  return lag;
}

Result<std::optional<GeoSync>> last_sync(Store& replica, const VaultId& vault) {
  TRY(const auto objects, replica.list(std::string(kGeoPrefix)));
  for (auto it = objects.rbegin(); it != objects.rend(); ++it) {
    const auto sequence = parse_geo_sync_name(it->name);
    if (!sequence.ok()) continue;
    auto object = replica.get(it->name, kObjectBytesMax);
    if (!object.ok() && !is_verdict(object.error())) return std::move(object).error();
    if (!object.ok()) continue;
    auto sync = decode_geo_sync(*object);
    if (sync.ok() && sync->vault == vault && sync->sequence == *sequence) {
      return std::optional(*sync);
    }
  }
  return std::optional<GeoSync>();
}

Status promote_replica(Store& replica) {
  TRY(const Description description, load_description(replica));
  TRY(const ReplicaRole role, load_role(replica, description.vault));
  if (!role.replica) {
    return Error{Errc::not_a_vault,
                 replica.location() + " is an ordinary vault, and writable; no replica"};
  }
  if (role.promoted) {
    return Error{Errc::promoted, "the vault at " + replica.location()};
  }
  TRY(const auto points, replica.list(std::string(kPointsPrefix)));
  GeoPromoted mark;
  mark.vault = description.vault;
  mark.promoted_ns = io::posix_file_system().now_ns();
  mark.points = points.size();
  return replica.put_if_absent(std::string(kGeoPromotedName), mark.encode());
}

}  // namespace holdfast::vault
