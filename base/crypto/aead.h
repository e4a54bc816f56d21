// AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag behind the ciphertext.
#pragma once

#include "base/crypto/secret.h"

namespace holdfast::crypto {

inline constexpr size_t kNonceBytes = 12;
inline constexpr size_t kTagBytes = 16;
using Nonce = ByteArray<kNonceBytes>;

// Writes ciphertext and tag to `out`, which must be kTagBytes longer than `plaintext` and may start
// at the same address. The pair (key, nonce) must never be used for two different messages.
void aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated, ByteView plaintext,
                    MutableByteView out);
// The same for a plaintext in pieces, none of which may overlap `out`.
void aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated,
                    std::span<const ByteView> plaintext, MutableByteView out);
Bytes aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated,
                     ByteView plaintext);

// Writes the plaintext to `out`, which must be kTagBytes shorter than `sealed`.
// Errors: Errc::authentication_failed; the content of `out` is then meaningless.
Status aes256gcm_open(const Key256& key, const Nonce& nonce, ByteView associated, ByteView sealed,
                      MutableByteView out);
Result<Bytes> aes256gcm_open(const Key256& key, const Nonce& nonce, ByteView associated,
                             ByteView sealed);

}  // namespace holdfast::crypto
