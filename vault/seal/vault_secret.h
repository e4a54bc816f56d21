// The vault secret: what a passphrase or a recovery code unwraps, and what opens everything else.
// docs/formats/keys.md.
#pragma once

#include <vector>

#include "base/crypto/curve25519.h"
#include "vault/format/ids.h"
#include "vault/format/slot.h"

namespace holdfast::vault {

struct RecoveryKey {
  uint32_t generation = 0;
  crypto::Key256 private_key;  // X25519
};

struct VaultSecret {
  uint32_t generation = 0;
  crypto::Key256 vault_seed;  // Ed25519: signs roster, succession, policies
  crypto::Key256 roster_key;  // seals the secrets in the roster
  // All generations up to this one, oldest first: older sessions are wrapped for older keys.
  std::vector<RecoveryKey> recovery_keys;

  static VaultSecret create();
  // The next generation: new vault, roster and recovery keys, old recovery keys kept.
  VaultSecret successor() const;

  crypto::PublicKey vault_key() const { return crypto::ed25519_public(vault_seed); }
  crypto::PublicKey recovery_key() const;  // the current one's public half
  const crypto::Key256* recovery_private(uint32_t generation) const;
};

// Wraps `secret` under a passphrase: scrypt at the format's cost, about half a second and 128 MiB.
Result<Slot> make_passphrase_slot(const VaultId& vault, const VaultSecret& secret,
                                  std::string_view passphrase, std::string_view label,
                                  int64_t now_ns);
// Wraps it under 160 fresh random bits, returned in `code` as eight groups of four letters and
// digits (Crockford's base 32).
Slot make_recovery_code_slot(const VaultId& vault, const VaultSecret& secret,
                             std::string_view label, int64_t now_ns, std::string& code);

// Opens a slot with a passphrase, or with a recovery code as printed (case, spaces, dashes and the
// letters O, I, L for 0 and 1 are forgiven).
// Errors: Errc::wrong_passphrase; Errc::limit_exceeded for a slot that asks for too much memory.
Result<VaultSecret> open_slot(const Slot& slot, std::string_view passphrase);

// Whether `text` looks like a recovery code, to try code slots without paying for scrypt.
bool looks_like_recovery_code(std::string_view text);

}  // namespace holdfast::vault
