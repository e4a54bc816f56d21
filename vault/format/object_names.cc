#include "vault/format/object_names.h"

#include <cstdio>

namespace holdfast::vault {
namespace {

std::string ten_digits(uint64_t n) {
  char text[24];
  std::snprintf(text, sizeof text, "%010llu", static_cast<unsigned long long>(n));
  return text;
}

Error bad_name(std::string_view name) {
  return Error{holdfast::Errc::malformed, "'" + std::string(name) + "' is not an object name"};
}

// Splits "prefix<id>/rest".
template <class Id>
Result<std::pair<Id, std::string_view>> split(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return bad_name(name);
  std::string_view rest = name.substr(prefix.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return bad_name(name);
  auto id = Id::parse(rest.substr(0, slash));
  if (!id.ok()) return bad_name(name);
  return std::pair{*id, rest.substr(slash + 1)};
}

Result<uint64_t> parse_number(std::string_view digits, std::string_view name) {
  if (digits.size() < 10 || digits.size() > 19) return bad_name(name);
  uint64_t n = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return bad_name(name);
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  if (ten_digits(n) != digits) return bad_name(name);
  return n;
}

std::string text(std::string_view prefix, const std::string& rest) {
  return std::string(prefix) + rest;
}

}  // namespace

std::string slot_name(const SlotId& slot) {
  return text(kKeysPrefix, slot.hex());
}
std::string succession_name(uint32_t generation) {
  return text(kSuccessionPrefix, ten_digits(generation));
}
std::string roster_name(uint64_t sequence) {
  return text(kRosterPrefix, ten_digits(sequence));
}
std::string session_prefix(const SessionId& s) {
  return text(kSessionsPrefix, s.hex() + "/");
}
std::string session_begin_name(const SessionId& s) {
  return session_prefix(s) + "begin";
}
std::string session_epoch_name(const SessionId& s, uint32_t epoch) {
  return session_prefix(s) + "epoch-" + ten_digits(epoch);
}
std::string session_end_name(const SessionId& s) {
  return session_prefix(s) + "end";
}
std::string session_heir_name(const SessionId& s) {
  return session_prefix(s) + "heir";
}
std::string tombstone_name(const SessionId& s, const RunId& run) {
  return session_prefix(s) + "tombstone-" + run.hex();
}
std::string pack_prefix(const SessionId& s) {
  return text(kPacksPrefix, s.hex() + "/");
}
std::string pack_name(const PackId& pack) {
  return pack_prefix(pack.session) + to_hex(pack.footer_sha256);
}
std::string index_prefix(const DomainId& domain) {
  return text(kIndexPrefix, domain.hex() + "/");
}
std::string index_name(const DomainId& domain, const crypto::Digest& sha256) {
  return index_prefix(domain) + to_hex(sha256);
}
std::string item_prefix(const ItemId& item) {
  return text(kPointsPrefix, item.hex() + "/");
}
std::string point_name(const ItemId& item, uint64_t sequence) {
  return item_prefix(item) + ten_digits(sequence);
}
std::string collection_name(const RunId& run, std::string_view step) {
  return text(kCollectionsPrefix, run.hex() + "/") + std::string(step);
}
std::string audit_name(uint64_t sequence) {
  return text(kAuditPrefix, ten_digits(sequence));
}

Result<PackId> parse_pack_name(std::string_view name) {
  TRY(const auto parts, split<SessionId>(name, kPacksPrefix));
  auto digest = from_hex(parts.second);
  PackId pack;
  if (!digest.ok() || digest->size() != pack.footer_sha256.size()) return bad_name(name);
  pack.session = parts.first;
  std::memcpy(pack.footer_sha256.data(), digest->data(), digest->size());
  if (pack_name(pack) != name) return bad_name(name);
  return pack;
}

Result<PointName> parse_point_name(std::string_view name) {
  TRY(const auto parts, split<ItemId>(name, kPointsPrefix));
  TRY(const uint64_t sequence, parse_number(parts.second, name));
  if (sequence == 0) return bad_name(name);
  return PointName{parts.first, sequence};
}

Result<uint64_t> parse_roster_name(std::string_view name) {
  if (!name.starts_with(kRosterPrefix)) return bad_name(name);
  return parse_number(name.substr(kRosterPrefix.size()), name);
}

Result<uint64_t> parse_audit_name(std::string_view name) {
  if (!name.starts_with(kAuditPrefix)) return bad_name(name);
  TRY(const uint64_t sequence, parse_number(name.substr(kAuditPrefix.size()), name));
  if (sequence == 0) return bad_name(name);
  return sequence;
}

Result<SessionObjectName> parse_session_name(std::string_view name) {
  TRY(const auto parts, split<SessionId>(name, kSessionsPrefix));
  return SessionObjectName{parts.first, std::string(parts.second)};
}

Result<CollectionObjectName> parse_collection_name(std::string_view name) {
  TRY(const auto parts, split<RunId>(name, kCollectionsPrefix));
  return CollectionObjectName{parts.first, std::string(parts.second)};
}

}  // namespace holdfast::vault
