// The roster: which agents and dedup domains the vault knows. docs/formats/keys.md.
//
// Numbered objects, each complete, each signed by the vault key of its generation; the highest
// number that verifies is in force. Agents need only the clear part (keys to believe); the sealed
// parts let a holder of the vault secret derive every session key and check every id.
#pragma once

#include <optional>
#include <vector>

#include "vault/format/ids.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kRosterMagic = "HFV1ROST";
inline constexpr std::string_view kSuccessionMagic = "HFV1SUCC";

struct RosterDomain {
  DomainId id;
  Bytes sealed;  // id key 32 | chunker secret 32, see vault/seal/roster_seal.h
};

struct RosterMembership {
  DomainId domain;
  Bytes sealed;  // agent secret 32
};

enum class AgentState : uint8_t { active = 1, retired = 2 };

struct RosterAgent {
  AgentId id;
  crypto::PublicKey signing_key{};
  AgentState state = AgentState::active;
  int64_t enrolled_ns = 0;
  Bytes sealed;                               // item secret 32 | name
  std::vector<RosterMembership> memberships;  // the last one is current

  bool is_member(const DomainId& domain) const;
};

struct Roster {
  VaultId vault;
  uint64_t sequence = 0;
  uint32_t generation = 0;  // of the vault key that signs, and of the recovery key
  crypto::PublicKey vault_key{};
  crypto::PublicKey recovery_key{};
  crypto::Digest previous_sha256{};  // of the object before; zeros for the first
  int64_t changed_ns = 0;
  std::vector<RosterDomain> domains;
  std::vector<RosterAgent> agents;

  const RosterAgent* find(const AgentId& agent) const;
  const RosterDomain* find(const DomainId& domain) const;
  Bytes encode(const crypto::Key256& vault_seed) const;
};

// Verifies against `vault_key`, which the caller got from the vault secret or from a pin.
// Errors: Errc::malformed, Errc::authentication_failed.
Result<Roster> decode_roster(ByteView object, const crypto::PublicKey& vault_key);

// The generation that an object claims to be signed by, unverified. Errors: Errc::malformed.
Result<uint32_t> roster_generation(ByteView object);

// The old vault key's word that another takes over: the only way a pinned key changes.
// Layout: magic | vault 16 | u32 new generation | old key | new key | new recovery key | i64 time |
// signature by the new key | signature by the old key over everything before it.
struct Succession {
  VaultId vault;
  uint32_t generation = 0;  // the new one
  crypto::PublicKey old_vault_key{};
  crypto::PublicKey vault_key{};
  crypto::PublicKey recovery_key{};
  int64_t time_ns = 0;

  Bytes encode(const crypto::Key256& old_seed, const crypto::Key256& new_seed) const;
};
// Errors: Errc::malformed; Errc::authentication_failed unless both signatures hold and the old key
// is `pinned`.
Result<Succession> decode_succession(ByteView object, const crypto::PublicKey& pinned);

}  // namespace holdfast::vault
