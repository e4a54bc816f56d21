// The key of one writing session, and what is derived from it. docs/formats/keys.md.
#pragma once

#include "vault/format/key_wrap.h"
#include "vault/format/manifest.h"
#include "vault/format/segment.h"
#include "vault/seal/agent_keys.h"
#include "vault/seal/vault_secret.h"

namespace holdfast::vault {

// What a session key belongs to; part of every seal.
struct SessionContext {
  VaultId vault;
  DomainId domain;
  ItemId item;
  SessionId session;
};

class SessionKey {
 public:
  // A new session of this agent: makes the key and the wrap that goes with it.
  static Result<SessionKey> create(const AgentKeys& keys, const SessionContext& context,
                                   KeyWrap& wrap);
  // The key again, from a wrap found in the vault. A wrap that the agent did not make gives a key
  // that opens nothing. Errors: Errc::key_not_trusted for a generation that the secret lacks,
  // Errc::unsupported for another KEM, Errc::damaged for an impossible encapsulation.
  static Result<SessionKey> recover(const VaultSecret& secret, const VaultId& vault,
                                    const DomainId& domain, const KeyWrap& wrap,
                                    const crypto::Key256& agent_secret);

  const SessionContext& context() const { return context_; }

  // HKDF-Expand(session key, "holdfast v1 segment" || u64 counter || refs hash || u8 codec): the
  // key depends on what is sealed, so a counter used twice repeats no key.
  crypto::Key256 segment_key(uint64_t counter, const crypto::Digest& refs, Codec codec) const;

  // nonce 12 | AES-256-GCM under HKDF-Expand(session key, "holdfast v1 point body").
  Bytes seal_body(const Manifest& manifest, ByteView body) const;
  // Errors: Errc::authentication_failed.
  Result<Bytes> open_body(const Manifest& manifest) const;

 private:
  SessionKey(const SessionContext& context, const crypto::Key256& key)
      : context_(context), key_(key), expand_(std::make_shared<crypto::HmacSha256>(key.view())) {}

  SessionContext context_;
  crypto::Key256 key_;
  std::shared_ptr<const crypto::HmacSha256> expand_;
};

}  // namespace holdfast::vault
