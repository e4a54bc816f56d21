// Random bytes from the operating system's generator, by way of OpenSSL.
#pragma once

#include "base/crypto/secret.h"

namespace holdfast::crypto {

// Fills `out`. Aborts if the system has no randomness to give: nothing safe can go on without.
void random_fill(MutableByteView out);

template <size_t N>
ByteArray<N> random_array() {
  ByteArray<N> out;
  random_fill(out);
  return out;
}

template <size_t N>
Secret<N> random_secret() {
  Secret<N> out;
  random_fill(out.view());
  return out;
}

}  // namespace holdfast::crypto
