#include "base/crypto/scrypt.h"

#include <openssl/evp.h>

namespace holdfast::crypto {

Result<Key256> scrypt(ByteView passphrase, ByteView salt, const ScryptCost& cost) {
  if (cost.log2_n < 1 || cost.log2_n > 22 || cost.r != 8 || cost.p != 1) {
    return Error{Errc::limit_exceeded, "scrypt cost outside what Holdfast uses"};
  }
  Key256 key;
  const uint64_t n = uint64_t{1} << cost.log2_n;
  const uint64_t memory_bytes_max = 128 * cost.r * n + (uint64_t{64} << 20);
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(passphrase.data()), passphrase.size(),
                     salt.data(), salt.size(), n, cost.r, cost.p, memory_bytes_max, key.data(),
                     key.kSize) != 1) {
    return Error{Errc::crypto_library, "scrypt failed (it needs 128 MiB of free memory)"};
  }
  return key;
}

}  // namespace holdfast::crypto
