// Objects that nobody signs end with the SHA-256 of everything before, so that damage is told from
// content.
#pragma once

#include "base/crypto/hash.h"

namespace holdfast::vault {

Bytes with_digest(Bytes body);
// The body. Errors: Errc::malformed if the object is too short, Errc::authentication_failed if the
// digest does not match, with `what` as context.
Result<ByteView> without_digest(ByteView object, std::string_view what);

}  // namespace holdfast::vault
