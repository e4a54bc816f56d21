#include "base/crypto/hash.h"

#include <openssl/evp.h>

namespace holdfast::crypto {
namespace {

const EVP_MD* sha256_md() {
  // Fetched once: an implicit fetch at every use costs more than hashing a small file.
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  CHECK(md != nullptr);
  return md;
}

MdContext new_context() {
  MdContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  return context;
}

void start(EVP_MD_CTX* context) {
  CHECK(EVP_DigestInit_ex2(context, sha256_md(), nullptr) == 1);
}

void add(EVP_MD_CTX* context, ByteView bytes) {
  CHECK(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1);
}

Digest finish_context(EVP_MD_CTX* context) {
  Digest digest;
  CHECK(EVP_DigestFinal_ex(context, digest.data(), nullptr) == 1);
  return digest;
}

EVP_MD_CTX* scratch() {
  thread_local const MdContext context = new_context();
  return context.get();
}

}  // namespace

void MdContextDeleter::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Digest sha256(ByteView bytes) {
  return sha256({bytes});
}

Digest sha256(std::initializer_list<ByteView> parts) {
  EVP_MD_CTX* context = scratch();
  start(context);
  for (ByteView part : parts) add(context, part);
  return finish_context(context);
}

Sha256::Sha256() : context_(new_context()) {
  start(context_.get());
}

void Sha256::update(ByteView bytes) {
  add(context_.get(), bytes);
}

Digest Sha256::finish() {
  const Digest digest = finish_context(context_.get());
  start(context_.get());
  return digest;
}

HmacSha256::HmacSha256(ByteView key) : inner_(new_context()), outer_(new_context()) {
  constexpr size_t kBlock = 64;
  Secret<kBlock> block;
  if (key.size() > kBlock) {
    const Digest hashed = sha256(key);
    std::memcpy(block.data(), hashed.data(), hashed.size());
  } else if (!key.empty()) {
    std::memcpy(block.data(), key.data(), key.size());
  }
  for (uint8_t& b : block.view()) b ^= 0x36;
  start(inner_.get());
  add(inner_.get(), block.view());
  for (uint8_t& b : block.view()) b ^= 0x36 ^ 0x5c;
  start(outer_.get());
  add(outer_.get(), block.view());
}

Digest HmacSha256::mac(std::initializer_list<ByteView> parts) const {
  EVP_MD_CTX* context = scratch();
  CHECK(EVP_MD_CTX_copy_ex(context, inner_.get()) == 1);
  for (ByteView part : parts) add(context, part);
  const Digest inner = finish_context(context);
  CHECK(EVP_MD_CTX_copy_ex(context, outer_.get()) == 1);
  add(context, inner);
  return finish_context(context);
}

}  // namespace holdfast::crypto
