#include "vault/format/signed_object.h"

namespace holdfast::vault {

Bytes sign_object(std::string_view magic, ByteView body, const crypto::Key256& signing_seed) {
  CHECK(magic.size() == kMagicBytes);
  Bytes object = to_bytes(as_bytes(magic));
  append(object, body);
  append(object, crypto::ed25519_sign(signing_seed, object));
  return object;
}

Result<ByteView> unverified_body(std::string_view magic, ByteView object) {
  if (object.size() < kMagicBytes + kSignatureBytes ||
      as_text(object.first(kMagicBytes)) != magic) {
    return Error{holdfast::Errc::malformed, "not an object of kind " + std::string(magic)};
  }
  return object.subspan(kMagicBytes, object.size() - kMagicBytes - kSignatureBytes);
}

Status verify_object(ByteView object, const crypto::PublicKey& key, std::string_view what) {
  if (object.size() >= kSignatureBytes) {
    const ByteView signed_part = object.first(object.size() - kSignatureBytes);
    if (crypto::ed25519_verify(key, signed_part, object.last(kSignatureBytes))) return {};
  }
  return Error{holdfast::Errc::authentication_failed, "signature of " + std::string(what)};
}

}  // namespace holdfast::vault
