#include "base/crypto/curve25519.h"

#include <memory>

#include <openssl/evp.h>

namespace holdfast::crypto {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeMd {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

Key private_key(int type, const Key256& bytes) {
  Key key(EVP_PKEY_new_raw_private_key(type, nullptr, bytes.view().data(), bytes.kSize));
  CHECK(key != nullptr);
  return key;
}

PublicKey public_of(const Key& key) {
  PublicKey out;
  size_t size = out.size();
  CHECK(EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size) == 1 && size == out.size());
  return out;
}

}  // namespace

PublicKey x25519_public(const Key256& key) {
  return public_of(private_key(EVP_PKEY_X25519, key));
}

Result<Key256> x25519(const Key256& own, const PublicKey& peer_bytes) {
  const Key key = private_key(EVP_PKEY_X25519, own);
  const Key peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer_bytes.data(), peer_bytes.size()));
  CHECK(peer != nullptr);
  struct FreeContext {
    void operator()(EVP_PKEY_CTX* c) const { EVP_PKEY_CTX_free(c); }
  };
  const std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  CHECK(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1);
  Key256 shared;
  size_t size = shared.kSize;
  // OpenSSL refuses an all-zero result, which is what points of small order give (RFC 7748, 6.1).
  if (EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size != shared.kSize) {
    return Error{Errc::authentication_failed, "not a usable X25519 public key"};
  }
  return shared;
}

PublicKey ed25519_public(const Key256& seed) {
  return public_of(private_key(EVP_PKEY_ED25519, seed));
}

Signature ed25519_sign(const Key256& seed, ByteView message) {
  const Key key = private_key(EVP_PKEY_ED25519, seed);
  const std::unique_ptr<EVP_MD_CTX, FreeMd> context(EVP_MD_CTX_new());
  Signature out;
  size_t size = out.size();
  CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  CHECK(EVP_DigestSign(context.get(), out.data(), &size, message.data(), message.size()) == 1);
  CHECK(size == out.size());
  return out;
}

bool ed25519_verify(const PublicKey& public_key, ByteView message, ByteView signature) {
  const Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.data(), public_key.size()));
  if (key == nullptr) return false;
  const std::unique_ptr<EVP_MD_CTX, FreeMd> context(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

}  // namespace holdfast::crypto
