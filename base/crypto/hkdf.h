// HKDF with SHA-256 (RFC 5869).
#pragma once

#include "base/crypto/hash.h"

namespace holdfast::crypto {

// HKDF-Extract: a pseudorandom key from input key material.
Key256 hkdf_extract(ByteView salt, ByteView input_key);

// HKDF-Expand of `prk`. `out` may be up to 255 * 32 bytes.
void hkdf_expand(const HmacSha256& prk, ByteView info, MutableByteView out);
// The common case of one block: T(1) = HMAC(prk, info || 0x01), info given in parts.
Key256 hkdf_expand_key(const HmacSha256& prk, std::initializer_list<ByteView> info);

}  // namespace holdfast::crypto
