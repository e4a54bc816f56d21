// SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012): a fast keyed 64-bit hash for short inputs.
// Ours, because OpenSSL's costs half a microsecond a call and every path needs one.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace holdfast::crypto {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

// k0 and k1 are the key's two little-endian halves.
SipKey sip_key(ByteView sixteen_bytes);
uint64_t siphash24(const SipKey& key, ByteView bytes);

}  // namespace holdfast::crypto
