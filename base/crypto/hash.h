// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104).
#pragma once

#include <initializer_list>
#include <memory>

#include "base/crypto/secret.h"

struct evp_md_ctx_st;

namespace holdfast::crypto {

using Digest = ByteArray<32>;

struct MdContextDeleter {
  void operator()(evp_md_ctx_st* context) const;
};
using MdContext = std::unique_ptr<evp_md_ctx_st, MdContextDeleter>;

// Of one piece, or of several as if they stood in a row.
Digest sha256(ByteView bytes);
Digest sha256(std::initializer_list<ByteView> parts);

// Incremental. One thread at a time.
class Sha256 {
 public:
  Sha256();
  void update(ByteView bytes);
  // The digest of everything so far; the object then starts anew.
  Digest finish();

 private:
  MdContext context_;
};

// A key whose two padded blocks are hashed once, so that a mac costs only its message and one
// block. Immutable after construction: any number of threads may call mac() at the same time.
class HmacSha256 {
 public:
  // Any key length; RFC 2104 hashes keys over 64 bytes first.
  explicit HmacSha256(ByteView key);
  Digest mac(std::initializer_list<ByteView> parts) const;
  Digest mac(ByteView bytes) const { return mac({bytes}); }

 private:
  MdContext inner_;
  MdContext outer_;
};

}  // namespace holdfast::crypto
