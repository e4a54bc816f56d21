// HPKE (RFC 9180), the part that sessions use: mode PSK, KEM DHKEM(X25519, HKDF-SHA256), KDF
// HKDF-SHA256, AEAD "export-only". Two parties that share `psk` (an agent's secret) and of whom one
// holds the recipient's private key agree on secrets bound to `info`: without the psk nobody can
// make an encapsulation that the recipient accepts as this agent's, and without the private key
// nobody can open one. Built from EVP primitives, because OpenSSL 3.0 has no HPKE.
#pragma once

#include "base/crypto/curve25519.h"
#include "base/crypto/hash.h"

namespace holdfast::crypto {

inline constexpr uint16_t kHpkeKemX25519 = 0x0020;  // RFC 9180, section 7.1
inline constexpr uint16_t kHpkeAeadAes128Gcm = 0x0001;
inline constexpr uint16_t kHpkeAeadExportOnly = 0xffff;

struct HpkePsk {
  ByteView psk;  // at least 32 bytes of entropy (RFC 9180, section 9.5)
  ByteView id;
};

// The secret that both ends derive; export_secret() gives independent keys from it.
class HpkeContext {
 public:
  // LabeledExpand(exporter_secret, "sec", context, 32) of RFC 9180, section 5.3.
  Key256 export_secret(ByteView context) const;

 private:
  friend class HpkeSuite;
  HpkeContext(Key256 exporter, uint16_t aead_id) : exporter_(exporter), aead_id_(aead_id) {}
  Key256 exporter_;
  uint16_t aead_id_;
};

struct HpkeSender {
  PublicKey enc;  // goes to the recipient in clear
  HpkeContext context;
};

class HpkeSuite {
 public:
  // Other AEAD ids only enter the key schedule; they exist so that more of the RFC's vectors apply.
  explicit HpkeSuite(uint16_t aead_id = kHpkeAeadExportOnly) : aead_id_(aead_id) {}

  // SetupPSKS with a fresh ephemeral key. Errors: Errc::authentication_failed for a bad public key.
  Result<HpkeSender> setup_psk_sender(const PublicKey& recipient, ByteView info,
                                      const HpkePsk& psk) const;
  // The same with a given ephemeral key: for test vectors only.
  Result<HpkeSender> setup_psk_sender(const PublicKey& recipient, ByteView info, const HpkePsk& psk,
                                      const Key256& ephemeral) const;
  // SetupPSKR. A wrong key, psk or info gives a context whose secrets match nobody else's.
  Result<HpkeContext> setup_psk_receiver(const PublicKey& enc, const Key256& recipient,
                                         ByteView info, const HpkePsk& psk) const;

 private:
  HpkeContext key_schedule(const Key256& shared_secret, ByteView info, const HpkePsk& psk) const;
  uint16_t aead_id_;
};

}  // namespace holdfast::crypto
