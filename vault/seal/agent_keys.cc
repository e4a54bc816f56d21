#include "vault/seal/agent_keys.h"

#include "base/crypto/random.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kCredentialMagic = "HFV1CRED";
constexpr std::string_view kPageInfo = "holdfast v1 page boundaries";
constexpr std::string_view kGearInfo = "holdfast v1 gear table";
constexpr std::string_view kItemInfo = "holdfast v1 item";

}  // namespace

DomainKeys DomainKeys::create() {
  return {DomainId::random(), crypto::random_secret<32>(), crypto::random_secret<32>()};
}

crypto::SipKey DomainKeys::page_key() const {
  const crypto::HmacSha256 prk(chunker_secret.view());
  ByteArray<16> key;
  crypto::hkdf_expand(prk, as_bytes(kPageInfo), key);
  return crypto::sip_key(key);
}

void DomainKeys::gear_table(std::span<uint64_t, 256> table) const {
  const crypto::HmacSha256 prk(chunker_secret.view());
  ByteArray<256 * 8> bytes;
  crypto::hkdf_expand(prk, as_bytes(kGearInfo), bytes);
  wire::Decoder in(bytes, "gear table");
  for (uint64_t& entry : table) entry = in.u64();
}

ItemId item_id(const crypto::Key256& item_secret, std::string_view item_name) {
  const crypto::Digest mac =
      crypto::HmacSha256(item_secret.view()).mac({as_bytes(kItemInfo), as_bytes(item_name)});
  ItemId id;
  std::memcpy(id.bytes.data(), mac.data(), id.bytes.size());
  return id;
}

Bytes AgentKeys::encode() const {
  wire::Encoder out;
  out.raw(kCredentialMagic);
  out.raw(vault.view());
  out.raw(agent.view());
  out.block(name);
  out.raw(signing_seed.view());
  out.raw(item_secret.view());
  out.raw(agent_secret.view());
  out.raw(domain.id.view());
  out.raw(domain.id_key.view());
  out.raw(domain.chunker_secret.view());
  out.u32(generation);
  out.raw(vault_key);
  out.raw(recovery_key);
  const crypto::Digest digest = crypto::sha256(out.view());
  out.raw(digest);
  return out.take();
}

Result<AgentKeys> decode_agent_keys(ByteView bytes) {
  if (bytes.size() < 32 || !equal(crypto::sha256(bytes.first(bytes.size() - 32)), bytes.last(32))) {
    return Error{holdfast::Errc::malformed, "credential file is damaged"};
  }
  wire::Decoder in(bytes.first(bytes.size() - 32), "credential file");
  AgentKeys k;
  in.expect(kCredentialMagic);
  k.vault = read_id<VaultId>(in);
  k.agent = read_id<AgentId>(in);
  k.name = in.text(255);
  k.signing_seed = crypto::Key256(in.array<32>());
  k.item_secret = crypto::Key256(in.array<32>());
  k.agent_secret = crypto::Key256(in.array<32>());
  k.domain.id = read_id<DomainId>(in);
  k.domain.id_key = crypto::Key256(in.array<32>());
  k.domain.chunker_secret = crypto::Key256(in.array<32>());
  k.generation = in.u32();
  k.vault_key = in.array<32>();
  k.recovery_key = in.array<32>();
  TRYV(in.finish());
  return k;
}

}  // namespace holdfast::vault
