// Where each kind of object stands in a store. docs/formats/objects.md is the reader's version.
//
//   vault                                   description, one per vault
//   keys/<slot>                             key slots
//   succession/<generation>                 signed hand-over to a new vault key
//   proofs/<slot>-<seconds>                 somebody showed that a slot opens
//   roster/<sequence>                       agents and domains
//   sessions/<session>/begin                who writes, on which base
//   sessions/<session>/epoch-<n>            hourly advance
//   sessions/<session>/end                  committed or given up
//   sessions/<session>/heir                 a later session took its packs over and committed
//   sessions/<session>/tombstone-<run>      a collector gave the session up
//   packs/<session>/<sha256 of footer>      segments
//   index/<domain>/<sha256 of content>      index runs
//   points/<item>/<sequence>                manifests
//   collections/<run>/<step>                condemned, closing, verdict, abort, freed
//   audit/<sequence>                        lifecycle: who may maintain, policies, what expired
//
// Ids are lower-case hexadecimal; numbers are decimal with ten digits, so that names sort as
// numbers.
#pragma once

#include <string>

#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr std::string_view kDescriptionName = "vault";
inline constexpr std::string_view kKeysPrefix = "keys/";
inline constexpr std::string_view kSuccessionPrefix = "succession/";
inline constexpr std::string_view kRosterPrefix = "roster/";
inline constexpr std::string_view kSessionsPrefix = "sessions/";
inline constexpr std::string_view kPacksPrefix = "packs/";
inline constexpr std::string_view kIndexPrefix = "index/";
inline constexpr std::string_view kPointsPrefix = "points/";
inline constexpr std::string_view kCollectionsPrefix = "collections/";
inline constexpr std::string_view kAuditPrefix = "audit/";

std::string slot_name(const SlotId& slot);
std::string succession_name(uint32_t generation);
std::string roster_name(uint64_t sequence);
std::string session_prefix(const SessionId& session);
std::string session_begin_name(const SessionId& session);
std::string session_epoch_name(const SessionId& session, uint32_t epoch);
std::string session_end_name(const SessionId& session);
std::string session_heir_name(const SessionId& session);
std::string tombstone_name(const SessionId& session, const RunId& run);
std::string pack_name(const PackId& pack);
std::string pack_prefix(const SessionId& session);
std::string index_prefix(const DomainId& domain);
std::string index_name(const DomainId& domain, const crypto::Digest& sha256);
std::string item_prefix(const ItemId& item);
std::string point_name(const ItemId& item, uint64_t sequence);
std::string collection_name(const RunId& run, std::string_view step);
std::string audit_name(uint64_t sequence);

// The reverse. Errors: Errc::malformed for a name that is not exactly one that the functions above
// give.
Result<PackId> parse_pack_name(std::string_view name);
struct PointName {
  ItemId item;
  uint64_t sequence = 0;
};
Result<PointName> parse_point_name(std::string_view name);
Result<uint64_t> parse_roster_name(std::string_view name);
Result<uint64_t> parse_audit_name(std::string_view name);
// The session of any name below sessions/, and what follows it ("begin", "tombstone-<run>", ...).
struct SessionObjectName {
  SessionId session;
  std::string step;
};
Result<SessionObjectName> parse_session_name(std::string_view name);
struct CollectionObjectName {
  RunId run;
  std::string step;
};
Result<CollectionObjectName> parse_collection_name(std::string_view name);

}  // namespace holdfast::vault
