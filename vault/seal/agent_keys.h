// What an agent holds: enough to add recovery points of its own items, not enough to read any.
// docs/formats/keys.md.
#pragma once

#include <optional>

#include "base/crypto/curve25519.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/siphash.h"
#include "vault/format/ids.h"

namespace holdfast::vault {

// Shared by all agents of a dedup domain.
struct DomainKeys {
  DomainId id;
  crypto::Key256 id_key;
  crypto::Key256 chunker_secret;

  static DomainKeys create();
  // Keys for the boundaries of chunks and of map pages, derived from the chunker secret.
  crypto::SipKey page_key() const;
  void gear_table(std::span<uint64_t, 256> table) const;
};

// An item's id depends on its name under a secret of its agent, so that names cannot be guessed
// from ids, nor items be claimed by others.
ItemId item_id(const crypto::Key256& item_secret, std::string_view item_name);

// The write-only credential.
struct AgentKeys {
  VaultId vault;
  AgentId agent;
  std::string name;  // of the machine, for people
  crypto::Key256 signing_seed;
  crypto::Key256 item_secret;
  crypto::Key256 agent_secret;  // the psk of its sessions, changes with the domain
  DomainKeys domain;
  // Pinned at enrolment; successors are accepted only when signed by the pinned key.
  uint32_t generation = 0;
  crypto::PublicKey vault_key{};
  crypto::PublicKey recovery_key{};

  ItemId item_id(std::string_view item_name) const {
    return vault::item_id(item_secret, item_name);
  }

  Bytes encode() const;  // for the credential file; contains secrets
};
Result<AgentKeys> decode_agent_keys(ByteView bytes);

}  // namespace holdfast::vault
