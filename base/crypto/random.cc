#include "base/crypto/random.h"

#include <openssl/rand.h>

namespace holdfast::crypto {

void random_fill(MutableByteView out) {
  CHECK(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

}  // namespace holdfast::crypto
