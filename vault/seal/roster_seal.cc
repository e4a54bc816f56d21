#include "vault/seal/roster_seal.h"

#include "base/crypto/aead.h"
#include "base/crypto/random.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/errc.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

Bytes seal_field(const crypto::Key256& key, ByteView associated, ByteView plain) {
  const auto nonce = crypto::random_array<crypto::kNonceBytes>();
  Bytes out = to_bytes(nonce);
  append(out, crypto::aes256gcm_seal(key, nonce, associated, plain));
  return out;
}

Result<Bytes> open_field(const crypto::Key256& key, ByteView associated, ByteView sealed,
                         std::string_view what) {
  const Error bad{Errc::damaged, "sealed " + std::string(what) + " in the roster"};
  if (sealed.size() < crypto::kNonceBytes) return bad;
  crypto::Nonce nonce;
  std::memcpy(nonce.data(), sealed.data(), nonce.size());
  auto plain = crypto::aes256gcm_open(key, nonce, associated, sealed.subspan(nonce.size()));
  if (!plain.ok()) return bad;
  return plain;
}

Bytes domain_associated(const VaultId& vault, const DomainId& domain) {
  wire::Encoder out;
  out.raw("holdfast v1 roster domain");
  out.raw(vault.view());
  out.raw(domain.view());
  return out.take();
}

Bytes agent_associated(const VaultId& vault, const RosterAgent& agent) {
  wire::Encoder out;
  out.raw("holdfast v1 roster agent");
  out.raw(vault.view());
  out.raw(agent.id.view());
  out.raw(agent.signing_key);
  return out.take();
}

Bytes membership_associated(const VaultId& vault, const RosterAgent& agent,
                            const DomainId& domain) {
  wire::Encoder out;
  out.raw("holdfast v1 roster membership");
  out.raw(vault.view());
  out.raw(agent.id.view());
  out.raw(agent.signing_key);
  out.raw(domain.view());
  return out.take();
}

}  // namespace

RosterDomain seal_domain(const VaultId& vault, const crypto::Key256& roster_key,
                         const DomainKeys& domain) {
  Bytes plain = to_bytes(domain.id_key.view());
  append(plain, domain.chunker_secret.view());
  RosterDomain out{domain.id, seal_field(roster_key, domain_associated(vault, domain.id), plain)};
  crypto::wipe(plain);
  return out;
}

Result<DomainKeys> open_domain(const VaultId& vault, const crypto::Key256& roster_key,
                               const RosterDomain& domain) {
  TRY(Bytes plain,
      open_field(roster_key, domain_associated(vault, domain.id), domain.sealed, "domain"));
  if (plain.size() != 64) return Error{Errc::damaged, "sealed domain in the roster"};
  DomainKeys keys{domain.id, crypto::Key256(ByteView(plain).first(32)),
                  crypto::Key256(ByteView(plain).last(32))};
  crypto::wipe(plain);
  return keys;
}

Bytes seal_agent_record(const VaultId& vault, const crypto::Key256& roster_key,
                        const RosterAgent& clear, const AgentRecord& record) {
  wire::Encoder out;
  out.raw(record.item_secret.view());
  out.raw(record.name);
  Bytes plain = out.take();
  Bytes sealed = seal_field(roster_key, agent_associated(vault, clear), plain);
  crypto::wipe(plain);
  return sealed;
}

Result<AgentRecord> open_agent_record(const VaultId& vault, const crypto::Key256& roster_key,
                                      const RosterAgent& agent) {
  TRY(Bytes plain,
      open_field(roster_key, agent_associated(vault, agent), agent.sealed, "agent record"));
  if (plain.size() < 32) return Error{Errc::damaged, "sealed agent record in the roster"};
  AgentRecord record{std::string(as_text(ByteView(plain).subspan(32))),
                     crypto::Key256(ByteView(plain).first(32))};
  crypto::wipe(plain);
  return record;
}

RosterMembership seal_membership(const VaultId& vault, const crypto::Key256& roster_key,
                                 const RosterAgent& agent, const DomainId& domain,
                                 const crypto::Key256& agent_secret) {
  return {domain,
          seal_field(roster_key, membership_associated(vault, agent, domain), agent_secret.view())};
}

Result<crypto::Key256> open_membership(const VaultId& vault, const crypto::Key256& roster_key,
                                       const RosterAgent& agent,
                                       const RosterMembership& membership) {
  TRY(Bytes plain, open_field(roster_key, membership_associated(vault, agent, membership.domain),
                              membership.sealed, "membership"));
  if (plain.size() != 32) return Error{Errc::damaged, "sealed membership in the roster"};
  crypto::Key256 secret{ByteView(plain)};
  crypto::wipe(plain);
  return secret;
}

RosterAgent enrol_agent(const VaultSecret& secret, const VaultId& vault, const DomainKeys& domain,
                        std::string_view name, int64_t now_ns, AgentKeys& credential) {
  credential.vault = vault;
  credential.agent = AgentId::random();
  credential.name = name.substr(0, 255);
  credential.signing_seed = crypto::random_secret<32>();
  credential.item_secret = crypto::random_secret<32>();
  credential.agent_secret = crypto::random_secret<32>();
  credential.domain = domain;
  credential.generation = secret.generation;
  credential.vault_key = secret.vault_key();
  credential.recovery_key = secret.recovery_key();

  RosterAgent agent;
  agent.id = credential.agent;
  agent.signing_key = crypto::ed25519_public(credential.signing_seed);
  agent.enrolled_ns = now_ns;
  agent.sealed =
      seal_agent_record(vault, secret.roster_key, agent, {credential.name, credential.item_secret});
  agent.memberships.push_back(
      seal_membership(vault, secret.roster_key, agent, domain.id, credential.agent_secret));
  return agent;
}

}  // namespace holdfast::vault
