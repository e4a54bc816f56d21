#include "base/crypto/aead.h"

#include <memory>

#include <openssl/evp.h>

namespace holdfast::crypto {
namespace {

const EVP_CIPHER* cipher() {
  static const EVP_CIPHER* const fetched = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  CHECK(fetched != nullptr);
  return fetched;
}

EVP_CIPHER_CTX* scratch() {
  struct Free {
    void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
  };
  thread_local const std::unique_ptr<EVP_CIPHER_CTX, Free> context(EVP_CIPHER_CTX_new());
  CHECK(context != nullptr);
  return context.get();
}

// One call takes at most INT_MAX bytes; no message of ours comes near.
int length(ByteView bytes) {
  CHECK(bytes.size() < (1u << 30));
  return static_cast<int>(bytes.size());
}

}  // namespace

void aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated, ByteView plaintext,
                    MutableByteView out) {
  aes256gcm_seal(key, nonce, associated, {&plaintext, 1}, out);
}

void aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated,
                    std::span<const ByteView> plaintext, MutableByteView out) {
  EVP_CIPHER_CTX* c = scratch();
  int n = 0;
  CHECK(EVP_EncryptInit_ex2(c, cipher(), key.view().data(), nonce.data(), nullptr) == 1);
  CHECK(EVP_EncryptUpdate(c, nullptr, &n, associated.data(), length(associated)) == 1);
  size_t at = 0;
  for (const ByteView part : plaintext) {
    CHECK(at + part.size() + kTagBytes <= out.size());
    CHECK(EVP_EncryptUpdate(c, out.data() + at, &n, part.data(), length(part)) == 1);
    CHECK(static_cast<size_t>(n) == part.size());
    at += part.size();
  }
  CHECK(at + kTagBytes == out.size());
  CHECK(EVP_EncryptFinal_ex(c, out.data() + at, &n) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTagBytes, out.data() + at) == 1);
}

Bytes aes256gcm_seal(const Key256& key, const Nonce& nonce, ByteView associated,
                     ByteView plaintext) {
  Bytes out(plaintext.size() + kTagBytes);
  aes256gcm_seal(key, nonce, associated, plaintext, out);
  return out;
}

Status aes256gcm_open(const Key256& key, const Nonce& nonce, ByteView associated, ByteView sealed,
                      MutableByteView out) {
  if (sealed.size() < kTagBytes) return Error{Errc::authentication_failed, "shorter than its tag"};
  const ByteView ciphertext = sealed.first(sealed.size() - kTagBytes);
  CHECK(out.size() == ciphertext.size());
  ByteArray<kTagBytes> tag;
  std::memcpy(tag.data(), sealed.data() + ciphertext.size(), kTagBytes);
  EVP_CIPHER_CTX* c = scratch();
  int n = 0;
  CHECK(EVP_DecryptInit_ex2(c, cipher(), key.view().data(), nonce.data(), nullptr) == 1);
  CHECK(EVP_DecryptUpdate(c, nullptr, &n, associated.data(), length(associated)) == 1);
  CHECK(EVP_DecryptUpdate(c, out.data(), &n, ciphertext.data(), length(ciphertext)) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  uint8_t none = 0;
  if (EVP_DecryptFinal_ex(c, &none, &n) != 1) return Error{Errc::authentication_failed, ""};
  return {};
}

Result<Bytes> aes256gcm_open(const Key256& key, const Nonce& nonce, ByteView associated,
                             ByteView sealed) {
  if (sealed.size() < kTagBytes) return Error{Errc::authentication_failed, "shorter than its tag"};
  Bytes out(sealed.size() - kTagBytes);
  TRYV(aes256gcm_open(key, nonce, associated, sealed, out));
  return out;
}

}  // namespace holdfast::crypto
