#include "vault/format/digest.h"

namespace holdfast::vault {

Bytes with_digest(Bytes body) {
  append(body, crypto::sha256(body));
  return body;
}

Result<ByteView> without_digest(ByteView object, std::string_view what) {
  if (object.size() < sizeof(crypto::Digest)) {
    return Error{Errc::malformed, std::string(what) + " ends too early"};
  }
  const ByteView body = object.first(object.size() - sizeof(crypto::Digest));
  if (!equal(crypto::sha256(body), object.last(sizeof(crypto::Digest)))) {
    return Error{Errc::authentication_failed, std::string(what)};
  }
  return body;
}

}  // namespace holdfast::vault
