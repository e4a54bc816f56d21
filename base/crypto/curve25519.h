// X25519 key agreement (RFC 7748) and Ed25519 signatures (RFC 8032). Keys are the RFCs' 32 bytes;
// an Ed25519 private key is the seed.
#pragma once

#include "base/crypto/secret.h"

namespace holdfast::crypto {

using PublicKey = ByteArray<32>;
using Signature = ByteArray<64>;

PublicKey x25519_public(const Key256& private_key);
// The shared secret. Errors: Errc::authentication_failed for a public key of small order.
Result<Key256> x25519(const Key256& private_key, const PublicKey& public_key);

PublicKey ed25519_public(const Key256& seed);
Signature ed25519_sign(const Key256& seed, ByteView message);
bool ed25519_verify(const PublicKey& key, ByteView message, ByteView signature);

}  // namespace holdfast::crypto
