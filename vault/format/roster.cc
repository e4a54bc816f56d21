#include "vault/format/roster.h"

#include <algorithm>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr size_t kSealedMax = 4096;
constexpr size_t kCountMax = 1'000'000;

template <class Container, class Id>
auto* find_by_id(const Container& all, const Id& id) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& x) { return x.id == id; });
  return it == all.end() ? nullptr : &*it;
}

void encode_body(wire::Encoder& out, const Succession& s) {
  out.raw(s.vault.view());
  out.u32(s.generation);
  out.raw(s.old_vault_key);
  out.raw(s.vault_key);
  out.raw(s.recovery_key);
  out.i64(s.time_ns);
}

}  // namespace

bool RosterAgent::is_member(const DomainId& domain) const {
  return std::any_of(memberships.begin(), memberships.end(),
                     [&](const RosterMembership& m) { return m.domain == domain; });
}

const RosterAgent* Roster::find(const AgentId& agent) const {
  return find_by_id(agents, agent);
}
const RosterDomain* Roster::find(const DomainId& domain) const {
  return find_by_id(domains, domain);
}

Bytes Roster::encode(const crypto::Key256& vault_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.u64(sequence);
  out.u32(generation);
  out.raw(vault_key);
  out.raw(recovery_key);
  out.raw(previous_sha256);
  out.i64(changed_ns);
  out.varint(domains.size());
  for (const auto& d : domains) {
    out.raw(d.id.view());
    out.block(d.sealed);
  }
  out.varint(agents.size());
  for (const auto& a : agents) {
    out.raw(a.id.view());
    out.raw(a.signing_key);
    out.u8(static_cast<uint8_t>(a.state));
    out.i64(a.enrolled_ns);
    out.block(a.sealed);
    out.varint(a.memberships.size());
    for (const auto& m : a.memberships) {
      out.raw(m.domain.view());
      out.block(m.sealed);
    }
  }
  return sign_object(kRosterMagic, out.view(), vault_seed);
}

Result<Roster> decode_roster(ByteView object, const crypto::PublicKey& vault_key) {
  TRY(const ByteView body, unverified_body(kRosterMagic, object));
  TRYV(verify_object(object, vault_key, "roster"));
  wire::Decoder in(body, "roster");
  Roster r;
  r.vault = read_id<VaultId>(in);
  r.sequence = in.u64();
  r.generation = in.u32();
  r.vault_key = in.array<32>();
  r.recovery_key = in.array<32>();
  r.previous_sha256 = in.array<32>();
  r.changed_ns = in.i64();
  const uint64_t domains = in.count(in.varint_max(kCountMax), 17);
  for (uint64_t i = 0; i < domains && in.ok(); ++i) {
    RosterDomain d;
    d.id = read_id<DomainId>(in);
    d.sealed = to_bytes(in.block(kSealedMax));
    r.domains.push_back(std::move(d));
  }
  const uint64_t agents = in.count(in.varint_max(kCountMax), 59);
  for (uint64_t i = 0; i < agents && in.ok(); ++i) {
    RosterAgent a;
    a.id = read_id<AgentId>(in);
    a.signing_key = in.array<32>();
    const uint8_t state = in.u8();
    if (state != 1 && state != 2) in.fail("has an agent in an unknown state");
    a.state = static_cast<AgentState>(state);
    a.enrolled_ns = in.i64();
    a.sealed = to_bytes(in.block(kSealedMax));
    const uint64_t memberships = in.count(in.varint_max(kCountMax), 17);
    for (uint64_t m = 0; m < memberships && in.ok(); ++m) {
      RosterMembership membership;
      membership.domain = read_id<DomainId>(in);
      membership.sealed = to_bytes(in.block(kSealedMax));
      a.memberships.push_back(std::move(membership));
    }
    if (in.ok() && a.memberships.empty()) in.fail("has an agent without a domain");
    r.agents.push_back(std::move(a));
  }
  TRYV(in.finish());
  if (r.vault_key != vault_key) {
    return Error{holdfast::Errc::authentication_failed, "roster names another vault key"};
  }
  return r;
}

Result<uint32_t> roster_generation(ByteView object) {
  TRY(const ByteView body, unverified_body(kRosterMagic, object));
  wire::Decoder in(body, "roster");
  in.raw(VaultId::kSize + 8);
  const uint32_t generation = in.u32();
  TRYV(in.status());
  return generation;
}

Bytes Succession::encode(const crypto::Key256& old_seed, const crypto::Key256& new_seed) const {
  wire::Encoder out;
  encode_body(out, *this);
  Bytes object = sign_object(kSuccessionMagic, out.view(), new_seed);
  append(object, crypto::ed25519_sign(old_seed, object));
  return object;
}

Result<Succession> decode_succession(ByteView object, const crypto::PublicKey& pinned) {
  if (object.size() < kSignatureBytes) {
    return Error{holdfast::Errc::malformed, "succession ends too early"};
  }
  const ByteView inner = object.first(object.size() - kSignatureBytes);
  TRY(const ByteView body, unverified_body(kSuccessionMagic, inner));
  wire::Decoder in(body, "succession");
  Succession s;
  s.vault = read_id<VaultId>(in);
  s.generation = in.u32();
  s.old_vault_key = in.array<32>();
  s.vault_key = in.array<32>();
  s.recovery_key = in.array<32>();
  s.time_ns = in.i64();
  TRYV(in.finish());
  TRYV(verify_object(object, pinned, "succession by the old vault key"));
  TRYV(verify_object(inner, s.vault_key, "succession by the new vault key"));
  if (s.old_vault_key != pinned) {
    return Error{holdfast::Errc::authentication_failed, "succession names another old vault key"};
  }
  return s;
}

}  // namespace holdfast::vault
