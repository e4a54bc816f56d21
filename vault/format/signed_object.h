// Signed objects: magic | body | Ed25519 signature of everything before it. The magic tells one
// kind of object from another, so a signature on one never stands for another; each body repeats
// the vault and whatever its name says, so that an object moved to another name is refused.
#pragma once

#include "base/crypto/curve25519.h"

namespace holdfast::vault {

inline constexpr size_t kMagicBytes = 8;
inline constexpr size_t kSignatureBytes = 64;

Bytes sign_object(std::string_view magic, ByteView body, const crypto::Key256& signing_seed);

// The body, without checking the signature: to learn who is said to have signed.
// Errors: Errc::malformed.
Result<ByteView> unverified_body(std::string_view magic, ByteView object);
// Errors: Errc::authentication_failed, with `what` as context.
Status verify_object(ByteView object, const crypto::PublicKey& key, std::string_view what);

}  // namespace holdfast::vault
