// What a machine keeps that was granted a key: vaults/<vault>/maintainer or .../approver in its
// state directory, never in the store. docs/formats/audit.md.
#pragma once

#include "vault/format/audit_entry.h"

namespace holdfast::vault {

struct MaintainerKeys {
  VaultId vault;
  MaintainerId id;
  crypto::Key256 signing_seed;

  static MaintainerKeys create(const VaultId& vault);
  crypto::PublicKey public_key() const { return crypto::ed25519_public(signing_seed); }
  // The action by which the vault key grants them.
  audit::Grant grant(Role role, std::string label) const;
  Bytes encode() const;  // contains the secret
};
// Errors: Errc::malformed.
Result<MaintainerKeys> decode_maintainer_keys(ByteView bytes);

}  // namespace holdfast::vault
