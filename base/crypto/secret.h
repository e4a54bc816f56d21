// Key material in memory: fixed size, wiped when it goes out of scope, never printed.
#pragma once

#include <openssl/crypto.h>

#include "base/bytes.h"

namespace holdfast::crypto {

template <size_t N>
class Secret {
 public:
  static constexpr size_t kSize = N;

  Secret() : bytes_{} {}
  // Copies exactly N bytes.
  explicit Secret(ByteView from) : bytes_{} {
    CHECK(from.size() == N);
    std::memcpy(bytes_.data(), from.data(), N);
  }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { OPENSSL_cleanse(bytes_.data(), N); }

  uint8_t* data() { return bytes_.data(); }
  ByteView view() const { return bytes_; }
  MutableByteView view() { return bytes_; }
  // In constant time.
  friend bool operator==(const Secret& a, const Secret& b) {
    return CRYPTO_memcmp(a.bytes_.data(), b.bytes_.data(), N) == 0;
  }

 private:
  ByteArray<N> bytes_;
};

using Key256 = Secret<32>;

// Wipes a growable buffer that held secrets.
inline void wipe(Bytes& bytes) {
  if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
  bytes.clear();
}
inline void wipe(std::string& text) {
  if (!text.empty()) OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

}  // namespace holdfast::crypto
