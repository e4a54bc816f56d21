#include "vault/seal/vault_secret.h"

#include <cctype>

#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr uint8_t kSecretVersion = 1;
constexpr size_t kGenerationsMax = 1000;
constexpr size_t kCodeBytes = 20;
constexpr size_t kCodeCharacters = kCodeBytes * 8 / 5;
constexpr std::string_view kCodeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::string_view kCodeInfo = "holdfast v1 recovery code";

Bytes encode_secret(const VaultSecret& secret) {
  wire::Encoder out;
  out.u8(kSecretVersion);
  out.u32(secret.generation);
  out.raw(secret.vault_seed.view());
  out.raw(secret.roster_key.view());
  out.u32(static_cast<uint32_t>(secret.recovery_keys.size()));
  for (const RecoveryKey& key : secret.recovery_keys) {
    out.u32(key.generation);
    out.raw(key.private_key.view());
  }
  return out.take();
}

Result<VaultSecret> decode_secret(ByteView bytes) {
  wire::Decoder in(bytes, "vault secret");
  VaultSecret secret;
  if (in.u8() != kSecretVersion) in.fail("is of an unknown version");
  secret.generation = in.u32();
  secret.vault_seed = crypto::Key256(in.array<32>());
  secret.roster_key = crypto::Key256(in.array<32>());
  const uint64_t n = in.count(in.u32(), 36);
  if (n == 0 || n > kGenerationsMax) in.fail("has an impossible number of keys");
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    RecoveryKey key;
    key.generation = in.u32();
    key.private_key = crypto::Key256(in.array<32>());
    secret.recovery_keys.push_back(key);
  }
  TRYV(in.finish());
  if (secret.recovery_keys.back().generation != secret.generation) {
    return Error{holdfast::Errc::malformed, "vault secret without its current recovery key"};
  }
  return secret;
}

std::string print_code(ByteView bytes) {
  std::string out;
  uint64_t bits = 0;
  int have = 0;
  for (const uint8_t b : bytes) {
    bits = bits << 8 | b;
    have += 8;
    while (have >= 5) {
      have -= 5;
      if (!out.empty() && out.size() % 5 == 4) out.push_back('-');
      out.push_back(kCodeAlphabet[bits >> have & 31]);
    }
  }
  return out;
}

// Empty if the text is not a code.
Bytes parse_code(std::string_view text) {
  Bytes out;
  uint64_t bits = 0;
  int have = 0;
  size_t characters = 0;
  for (char c : text) {
    if (c == '-' || std::isspace(static_cast<unsigned char>(c))) continue;
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    const size_t value = kCodeAlphabet.find(c);
    if (value == std::string_view::npos || ++characters > kCodeCharacters) return {};
    bits = bits << 5 | value;
    have += 5;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<uint8_t>(bits >> have));
    }
  }
  if (characters != kCodeCharacters) return {};
  return out;
}

crypto::Key256 code_key(ByteView code, ByteView salt) {
  const crypto::HmacSha256 prk(crypto::hkdf_extract(salt, code).view());
  return crypto::hkdf_expand_key(prk, {as_bytes(kCodeInfo)});
}

Slot new_slot(const VaultId& vault, const VaultSecret& secret, SlotKind kind,
              std::string_view label, int64_t now_ns) {
  Slot slot;
  slot.vault = vault;
  slot.id = SlotId::random();
  slot.kind = kind;
  slot.generation = secret.generation;
  slot.created_ns = now_ns;
  slot.label = label.substr(0, 255);
  slot.salt = crypto::random_array<32>();
  slot.nonce = crypto::random_array<crypto::kNonceBytes>();
  slot.cost = {0, 0, 0};
  return slot;
}

void seal_slot(Slot& slot, const VaultSecret& secret, const crypto::Key256& key) {
  Bytes plain = encode_secret(secret);
  slot.sealed = crypto::aes256gcm_seal(key, slot.nonce, slot.associated(), plain);
  crypto::wipe(plain);
}

}  // namespace

VaultSecret VaultSecret::create() {
  VaultSecret secret;
  secret.vault_seed = crypto::random_secret<32>();
  secret.roster_key = crypto::random_secret<32>();
  secret.recovery_keys.push_back({0, crypto::random_secret<32>()});
  return secret;
}

VaultSecret VaultSecret::successor() const {
  VaultSecret next = create();
  next.generation = generation + 1;
  next.recovery_keys.front().generation = next.generation;
  next.recovery_keys.insert(next.recovery_keys.begin(), recovery_keys.begin(), recovery_keys.end());
  return next;
}

crypto::PublicKey VaultSecret::recovery_key() const {
  return crypto::x25519_public(recovery_keys.back().private_key);
}

const crypto::Key256* VaultSecret::recovery_private(uint32_t wanted) const {
  for (const RecoveryKey& key : recovery_keys) {
    if (key.generation == wanted) return &key.private_key;
  }
  return nullptr;
}

Result<Slot> make_passphrase_slot(const VaultId& vault, const VaultSecret& secret,
                                  std::string_view passphrase, std::string_view label,
                                  int64_t now_ns) {
  Slot slot = new_slot(vault, secret, SlotKind::passphrase, label, now_ns);
  slot.cost = {kScryptLog2NMin, 8, 1};
  TRY(const crypto::Key256 key, crypto::scrypt(as_bytes(passphrase), slot.salt, slot.cost));
  seal_slot(slot, secret, key);
  return slot;
}

Slot make_recovery_code_slot(const VaultId& vault, const VaultSecret& secret,
                             std::string_view label, int64_t now_ns, std::string& code) {
  Slot slot = new_slot(vault, secret, SlotKind::recovery_code, label, now_ns);
  const auto bytes = crypto::random_secret<kCodeBytes>();
  code = print_code(bytes.view());
  seal_slot(slot, secret, code_key(bytes.view(), slot.salt));
  return slot;
}

Result<VaultSecret> open_slot(const Slot& slot, std::string_view passphrase) {
  crypto::Key256 key;
  if (slot.kind == SlotKind::passphrase) {
    TRY(key, crypto::scrypt(as_bytes(passphrase), slot.salt, slot.cost));
  } else {
    Bytes code = parse_code(passphrase);
    if (code.empty()) return Error{Errc::wrong_passphrase, "not a recovery code"};
    key = code_key(code, slot.salt);
    crypto::wipe(code);
  }
  auto plain = crypto::aes256gcm_open(key, slot.nonce, slot.associated(), slot.sealed);
  if (!plain.ok()) return Error{Errc::wrong_passphrase, ""};
  auto secret = decode_secret(*plain);
  crypto::wipe(*plain);
  if (secret.ok() && secret->generation != slot.generation) {
    return Error{Errc::damaged, "key slot of another generation"};
  }
  return secret;
}

bool looks_like_recovery_code(std::string_view text) {
  return !parse_code(text).empty();
}

}  // namespace holdfast::vault
