// scrypt (RFC 7914): a key from a passphrase, slow and memory-hungry on purpose.
#pragma once

#include "base/crypto/secret.h"

namespace holdfast::crypto {

struct ScryptCost {
  uint8_t log2_n = 17;  // N = 2^log2_n; memory is 128 * r * N bytes, 128 MiB at 17
  uint32_t r = 8;
  uint32_t p = 1;
};

// Errors: Errc::limit_exceeded for a cost outside 1 <= log2_n <= 22, r = 8, p = 1 (4 GiB at most:
// the cost is read from the vault, and a hostile one must not eat the machine).
Result<Key256> scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost);

}  // namespace holdfast::crypto
