// Key slots: each wraps the vault secret under something a person keeps. docs/formats/keys.md.
#pragma once

#include "base/crypto/aead.h"
#include "base/crypto/scrypt.h"
#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr std::string_view kSlotMagic = "HFV1SLOT";
inline constexpr uint8_t kScryptLog2NMin = 17;

enum class SlotKind : uint8_t {
  passphrase = 1,     // key by scrypt
  recovery_code = 2,  // 160 random bits on paper; key by HKDF, nothing to guess
  // 3 is reserved for an escrow public key.
};

// Layout: magic | vault 16 | slot 16 | u8 kind | u32 generation | i64 created | block label |
//         u8 log2 N | u32 r | u32 p | salt 32 | nonce 12 | u16 sealed bytes | sealed | SHA-256 of
//         everything before, so that damage shows without the passphrase.
// Associated data of the seal: every byte before the nonce.
struct Slot {
  VaultId vault;
  SlotId id;
  SlotKind kind = SlotKind::passphrase;
  uint32_t generation = 0;  // of the vault secret inside
  int64_t created_ns = 0;
  std::string label;        // clear, at most 255 bytes
  crypto::ScryptCost cost;  // passphrase slots; zeros otherwise
  ByteArray<32> salt{};
  crypto::Nonce nonce{};
  Bytes sealed;

  Bytes associated() const;
  Bytes encode() const;
};

// Errors: Errc::malformed, also for a passphrase slot with N below 2^17;
// Errc::authentication_failed if the digest does not match.
Result<Slot> decode_slot(ByteView object);

}  // namespace holdfast::vault
