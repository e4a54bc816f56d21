#include "base/crypto/aead.h"
#include "tools/format-vectors/maker.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"
#include "vault/format/proof.h"
#include "vault/seal/roster_seal.h"

namespace holdfast::vault {
namespace {

Bytes encode_secret(const VaultSecret& secret) {
  wire::Encoder out;
  out.u8(1);
  out.u32(secret.generation);
  out.raw(secret.vault_seed.view());
  out.raw(secret.roster_key.view());
  out.u32(static_cast<uint32_t>(secret.recovery_keys.size()));
  for (const RecoveryKey& key : secret.recovery_keys) {
    out.u32(key.generation);
    out.raw(key.private_key.view());
  }
  return out.take();
}

}  // namespace

void Maker::make_keys() {
  v_.vault = VaultId(counting<16>(0x10));
  v_.domain = {DomainId(counting<16>(0x20)), fixed_key("id key"), fixed_key("chunker secret")};
  old_secret_.generation = 0;
  old_secret_.vault_seed = fixed_key("vault seed 0");
  old_secret_.roster_key = fixed_key("roster key 0");
  old_secret_.recovery_keys = {{0, fixed_key("recovery key 0")}};
  v_.secret.generation = 1;
  v_.secret.vault_seed = fixed_key("vault seed 1");
  v_.secret.roster_key = fixed_key("roster key 1");
  v_.secret.recovery_keys = {{0, fixed_key("recovery key 0")}, {1, fixed_key("recovery key 1")}};

  AgentKeys& a = v_.agent;
  a.vault = v_.vault;
  a.agent = AgentId(counting<16>(0x30));
  a.name = "host1";
  a.signing_seed = fixed_key("signing seed");
  a.item_secret = fixed_key("item secret");
  a.agent_secret = fixed_key("agent secret");
  a.domain = v_.domain;
  a.generation = 1;
  a.vault_key = v_.secret.vault_key();
  a.recovery_key = v_.secret.recovery_key();
  item_ = a.item_id("documents");

  out_.hex("keys.vault", v_.vault.view());
  out_.hex("keys.domain", v_.domain.id.view());
  out_.hex("keys.agent", a.agent.view());
  out_.hex("keys.id_key", v_.domain.id_key.view());
  out_.hex("keys.chunker_secret", v_.domain.chunker_secret.view());
  out_.hex("keys.signing_seed", a.signing_seed.view());
  out_.hex("keys.signing_key", crypto::ed25519_public(a.signing_seed));
  out_.hex("keys.item_secret", a.item_secret.view());
  out_.hex("keys.agent_secret", a.agent_secret.view());
  out_.text("keys.item_name", "documents");
  out_.hex("keys.item", item_.view());
  out_.hex("keys.credential", a.encode());
}

void Maker::make_slots() {
  const Bytes plain = encode_secret(v_.secret);
  out_.hex("slot.vault_secret", plain);
  Slot slot;
  slot.vault = v_.vault;
  slot.id = SlotId(counting<16>(0x80));
  slot.kind = SlotKind::passphrase;
  slot.generation = 1;
  slot.created_ns = kCreated + 90 * kSecond;
  slot.label = "passphrase";
  slot.cost = {kScryptLog2NMin, 8, 1};
  slot.salt = counting<32>(0xa0);
  slot.nonce = nonce_of(0x01);
  const crypto::Key256 key = must(crypto::scrypt(as_bytes(kPassphrase), slot.salt, slot.cost));
  out_.text("slot.passphrase", kPassphrase);
  out_.hex("slot.scrypt_key", key.view());
  out_.hex("slot.associated", slot.associated());
  slot.sealed = crypto::aes256gcm_seal(key, slot.nonce, slot.associated(), plain);
  CHECK(must(open_slot(slot, kPassphrase)).vault_seed == v_.secret.vault_seed);
  put(slot_name(slot.id), slot.encode());

  const Bytes code = must(from_hex("00443214c74254b635cf84653a56d7c675be77df"));
  Slot paper = slot;
  paper.id = SlotId(counting<16>(0x90));
  paper.kind = SlotKind::recovery_code;
  paper.label = "safe";
  paper.cost = {0, 0, 0};
  paper.salt = counting<32>(0xc0);
  paper.nonce = nonce_of(0x02);
  const crypto::HmacSha256 prk(crypto::hkdf_extract(paper.salt, code).view());
  const crypto::Key256 code_key =
      crypto::hkdf_expand_key(prk, {as_bytes("holdfast v1 recovery code")});
  out_.text("slot.recovery_code", kRecoveryCode);
  out_.hex("slot.recovery_code_bytes", code);
  out_.hex("slot.recovery_code_key", code_key.view());
  paper.sealed = crypto::aes256gcm_seal(code_key, paper.nonce, paper.associated(), plain);
  CHECK(must(open_slot(paper, kRecoveryCode)).roster_key == v_.secret.roster_key);
  put(slot_name(paper.id), paper.encode());

  Proof proof;
  proof.vault = v_.vault;
  proof.slot = slot.id;
  proof.generation = 1;
  proof.time_ns = kCreated + 100 * kSecond;
  put(proof_name(proof), proof.encode(v_.secret.vault_seed));
}

void Maker::make_description_and_successor() {
  out_.hex("description.vault_key", old_secret_.vault_key());
  Description d;
  d.vault = v_.vault;
  d.vault_key = old_secret_.vault_key();
  d.created_ns = kCreated;
  d.name = "attic";
  d.region = "north";
  d.put_if_absent_enforced = true;
  put(std::string(kDescriptionName), d.encode(old_secret_.vault_seed));

  Succession s;
  s.vault = v_.vault;
  s.generation = 1;
  s.old_vault_key = old_secret_.vault_key();
  s.vault_key = v_.secret.vault_key();
  s.recovery_key = v_.secret.recovery_key();
  s.time_ns = kCreated + 80 * kSecond;
  put(succession_name(1), s.encode(old_secret_.vault_seed, v_.secret.vault_seed));
}

Bytes Maker::make_roster(const VaultSecret& secret, uint64_t sequence,
                         const crypto::Digest& previous, const std::string& page) {
  const AgentKeys& keys = v_.agent;
  const uint8_t nonce = static_cast<uint8_t>(0x10 * sequence);
  Roster r;
  r.vault = v_.vault;
  r.sequence = sequence;
  r.generation = secret.generation;
  r.vault_key = secret.vault_key();
  r.recovery_key = secret.recovery_key();
  r.previous_sha256 = previous;
  r.changed_ns = kCreated + static_cast<int64_t>(sequence) * 40 * kSecond;

  const Bytes for_domain =
      joined("holdfast v1 roster domain", {v_.vault.view(), v_.domain.id.view()});
  Bytes domain_plain = to_bytes(v_.domain.id_key.view());
  append(domain_plain, v_.domain.chunker_secret.view());
  r.domains.push_back(
      {v_.domain.id, seal_with_nonce(secret.roster_key, nonce, for_domain, domain_plain)});
  RosterAgent a;
  a.id = keys.agent;
  a.signing_key = crypto::ed25519_public(keys.signing_seed);
  a.enrolled_ns = kCreated;
  const Bytes for_agent =
      joined("holdfast v1 roster agent", {v_.vault.view(), a.id.view(), a.signing_key});
  Bytes agent_plain = to_bytes(keys.item_secret.view());
  append(agent_plain, as_bytes(keys.name));
  a.sealed = seal_with_nonce(secret.roster_key, nonce + 1, for_agent, agent_plain);
  const Bytes for_membership =
      joined("holdfast v1 roster membership",
             {v_.vault.view(), a.id.view(), a.signing_key, v_.domain.id.view()});
  a.memberships.push_back(
      {v_.domain.id,
       seal_with_nonce(secret.roster_key, nonce + 2, for_membership, keys.agent_secret.view())});
  CHECK(must(open_domain(v_.vault, secret.roster_key, r.domains[0])).id_key == v_.domain.id_key);
  CHECK(must(open_agent_record(v_.vault, secret.roster_key, a)).name == keys.name);
  CHECK(must(open_membership(v_.vault, secret.roster_key, a, a.memberships[0])) ==
        keys.agent_secret);
  out_.hex(page + ".roster_key", secret.roster_key.view());
  out_.hex(page + ".domain_associated", for_domain);
  out_.hex(page + ".agent_associated", for_agent);
  out_.hex(page + ".membership_associated", for_membership);
  r.agents.push_back(std::move(a));
  return r.encode(secret.vault_seed);
}

void Maker::make_rosters() {
  const Bytes first = make_roster(old_secret_, 1, {}, "roster1");
  put(roster_name(2), make_roster(v_.secret, 2, crypto::sha256(first), "roster2"));
  put(roster_name(1), first);
}

// The first session is wrapped for recovery key 0, the others for 1.
MadeSession Maker::make_session(uint8_t index) {
  const std::string page = "session" + std::to_string(index + 1);
  const uint32_t generation = index == kFirst ? 0 : 1;
  const crypto::Key256 ephemeral = fixed_key("ephemeral " + std::to_string(index + 1));
  const crypto::Key256 recovery = *v_.secret.recovery_private(generation);
  MadeSession s;
  s.wrap.session = SessionId(counting<16>(static_cast<uint8_t>(0x40 + 0x10 * index)));
  s.wrap.agent = v_.agent.agent;
  s.wrap.item = item_;
  s.wrap.generation = generation;
  s.wrap.enc = to_bytes(crypto::x25519_public(ephemeral));
  s.key.emplace(
      must(SessionKey::recover(v_.secret, v_.vault, v_.domain.id, s.wrap, v_.agent.agent_secret)));

  const Bytes info = joined("holdfast v1 session", {v_.vault.view(), v_.domain.id.view(),
                                                    item_.view(), s.wrap.session.view()});
  crypto::PublicKey enc;
  std::memcpy(enc.data(), s.wrap.enc.data(), enc.size());
  const crypto::HpkePsk psk{v_.agent.agent_secret.view(), v_.agent.agent.view()};
  const crypto::Key256 key = must(crypto::HpkeSuite().setup_psk_receiver(enc, recovery, info, psk))
                                 .export_secret(as_bytes("holdfast v1 session key"));
  const auto sent = must(
      crypto::HpkeSuite().setup_psk_sender(crypto::x25519_public(recovery), info, psk, ephemeral));
  CHECK(sent.context.export_secret(as_bytes("holdfast v1 session key")) == key);
  s.exported = key;
  out_.hex(page + ".id", s.wrap.session.view());
  out_.number(page + ".generation", generation);
  out_.hex(page + ".recovery_private_key", recovery.view());
  out_.hex(page + ".ephemeral_private_key", ephemeral.view());
  out_.hex(page + ".enc", enc);
  out_.hex(page + ".hpke_info", info);
  out_.hex(page + ".session_key", key.view());
  wire::Encoder wrap;
  encode_key_wrap(wrap, s.wrap);
  out_.hex(page + ".wrap", wrap.view());
  return s;
}

}  // namespace holdfast::vault
