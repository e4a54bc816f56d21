#include "vault/seal/session_key.h"

#include "base/crypto/aead.h"
#include "base/crypto/random.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kSessionInfo = "holdfast v1 session";
constexpr std::string_view kExportContext = "holdfast v1 session key";
constexpr std::string_view kSegmentInfo = "holdfast v1 segment";
constexpr std::string_view kBodyInfo = "holdfast v1 point body";

Bytes hpke_info(const SessionContext& c) {
  wire::Encoder out;
  out.raw(kSessionInfo);
  out.raw(c.vault.view());
  out.raw(c.domain.view());
  out.raw(c.item.view());
  out.raw(c.session.view());
  return out.take();
}

}  // namespace

Result<SessionKey> SessionKey::create(const AgentKeys& keys, const SessionContext& context,
                                      KeyWrap& wrap) {
  TRY(const crypto::HpkeSender sender,
      crypto::HpkeSuite().setup_psk_sender(keys.recovery_key, hpke_info(context),
                                           {keys.agent_secret.view(), keys.agent.view()}));
  wrap.session = context.session;
  wrap.agent = keys.agent;
  wrap.item = context.item;
  wrap.generation = keys.generation;
  wrap.kem_id = crypto::kHpkeKemX25519;
  wrap.enc = to_bytes(sender.enc);
  return SessionKey(context, sender.context.export_secret(as_bytes(kExportContext)));
}

Result<SessionKey> SessionKey::recover(const VaultSecret& secret, const VaultId& vault,
                                       const DomainId& domain, const KeyWrap& wrap,
                                       const crypto::Key256& agent_secret) {
  if (wrap.kem_id != crypto::kHpkeKemX25519) {
    return Error{holdfast::Errc::unsupported, "session " + wrap.session.hex() +
                                                  " uses a key encapsulation that this program "
                                                  "does not know"};
  }
  crypto::PublicKey enc;
  if (wrap.enc.size() != enc.size()) {
    return Error{Errc::damaged, "key encapsulation of session " + wrap.session.hex()};
  }
  std::memcpy(enc.data(), wrap.enc.data(), enc.size());
  const crypto::Key256* recovery = secret.recovery_private(wrap.generation);
  if (recovery == nullptr) {
    return Error{Errc::key_not_trusted,
                 "session " + wrap.session.hex() + " is sealed for recovery key generation " +
                     std::to_string(wrap.generation) + ", which this key slot does not hold"};
  }
  const SessionContext context{vault, domain, wrap.item, wrap.session};
  auto receiver = crypto::HpkeSuite().setup_psk_receiver(enc, *recovery, hpke_info(context),
                                                         {agent_secret.view(), wrap.agent.view()});
  if (!receiver.ok()) {
    return Error{Errc::damaged, "key encapsulation of session " + wrap.session.hex()};
  }
  return SessionKey(context, receiver->export_secret(as_bytes(kExportContext)));
}

crypto::Key256 SessionKey::segment_key(uint64_t counter, const crypto::Digest& refs,
                                       Codec codec) const {
  wire::Encoder info;
  info.raw(kSegmentInfo);
  info.u64(counter);
  info.raw(refs);
  info.u8(static_cast<uint8_t>(codec));
  return crypto::hkdf_expand_key(*expand_, {info.view()});
}

Bytes SessionKey::seal_body(const Manifest& manifest, ByteView body) const {
  const crypto::Key256 key = crypto::hkdf_expand_key(*expand_, {as_bytes(kBodyInfo)});
  const auto nonce = crypto::random_array<crypto::kNonceBytes>();
  Bytes out = to_bytes(nonce);
  append(out, crypto::aes256gcm_seal(key, nonce, manifest.body_associated(), body));
  return out;
}

Result<Bytes> SessionKey::open_body(const Manifest& manifest) const {
  const crypto::Key256 key = crypto::hkdf_expand_key(*expand_, {as_bytes(kBodyInfo)});
  const ByteView sealed = manifest.sealed_body;
  crypto::Nonce nonce;
  if (sealed.size() < nonce.size()) {
    return Error{holdfast::Errc::authentication_failed, "recovery point body"};
  }
  std::memcpy(nonce.data(), sealed.data(), nonce.size());
  return crypto::aes256gcm_open(key, nonce, manifest.body_associated(),
                                sealed.subspan(nonce.size()));
}

}  // namespace holdfast::vault
