#include "base/crypto/hpke.h"

#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"

namespace holdfast::crypto {
namespace {

constexpr uint8_t kModePsk = 0x01;
constexpr uint16_t kKdfHkdfSha256 = 0x0001;
constexpr std::string_view kVersion = "HPKE-v1";

void append_u16_big_endian(Bytes& to, uint16_t v) {
  to.push_back(static_cast<uint8_t>(v >> 8));
  to.push_back(static_cast<uint8_t>(v));
}

Bytes kem_suite_id() {
  Bytes id = to_bytes(as_bytes("KEM"));
  append_u16_big_endian(id, kHpkeKemX25519);
  return id;
}

Bytes hpke_suite_id(uint16_t aead_id) {
  Bytes id = to_bytes(as_bytes("HPKE"));
  append_u16_big_endian(id, kHpkeKemX25519);
  append_u16_big_endian(id, kKdfHkdfSha256);
  append_u16_big_endian(id, aead_id);
  return id;
}

Key256 labeled_extract(ByteView suite_id, ByteView salt, std::string_view label, ByteView ikm) {
  return Key256(HmacSha256(salt).mac({as_bytes(kVersion), suite_id, as_bytes(label), ikm}));
}

Key256 labeled_expand(ByteView suite_id, const Key256& prk, std::string_view label, ByteView info) {
  Bytes length;
  append_u16_big_endian(length, 32);
  return hkdf_expand_key(HmacSha256(prk.view()),
                         {length, as_bytes(kVersion), suite_id, as_bytes(label), info});
}

Key256 kem_shared_secret(const Key256& dh, const PublicKey& enc, const PublicKey& recipient) {
  const Bytes suite = kem_suite_id();
  Bytes context = to_bytes(enc);
  append(context, recipient);
  const Key256 eae_prk = labeled_extract(suite, {}, "eae_prk", dh.view());
  return labeled_expand(suite, eae_prk, "shared_secret", context);
}

}  // namespace

Key256 HpkeContext::export_secret(ByteView context) const {
  return labeled_expand(hpke_suite_id(aead_id_), exporter_, "sec", context);
}

HpkeContext HpkeSuite::key_schedule(const Key256& shared_secret, ByteView info,
                                    const HpkePsk& psk) const {
  CHECK(psk.psk.size() >= 32 && !psk.id.empty());
  const Bytes suite = hpke_suite_id(aead_id_);
  Bytes context{kModePsk};
  append(context, labeled_extract(suite, {}, "psk_id_hash", psk.id).view());
  append(context, labeled_extract(suite, {}, "info_hash", info).view());
  const Key256 secret = labeled_extract(suite, shared_secret.view(), "secret", psk.psk);
  return HpkeContext(labeled_expand(suite, secret, "exp", context), aead_id_);
}

Result<HpkeSender> HpkeSuite::setup_psk_sender(const PublicKey& recipient, ByteView info,
                                               const HpkePsk& psk) const {
  return setup_psk_sender(recipient, info, psk, random_secret<32>());
}

Result<HpkeSender> HpkeSuite::setup_psk_sender(const PublicKey& recipient, ByteView info,
                                               const HpkePsk& psk, const Key256& ephemeral) const {
  TRY(const Key256 dh, x25519(ephemeral, recipient));
  const PublicKey enc = x25519_public(ephemeral);
  return HpkeSender{enc, key_schedule(kem_shared_secret(dh, enc, recipient), info, psk)};
}

Result<HpkeContext> HpkeSuite::setup_psk_receiver(const PublicKey& enc, const Key256& recipient,
                                                  ByteView info, const HpkePsk& psk) const {
  TRY(const Key256 dh, x25519(recipient, enc));
  return key_schedule(kem_shared_secret(dh, enc, x25519_public(recipient)), info, psk);
}

}  // namespace holdfast::crypto
