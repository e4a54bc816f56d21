// The machines that look after a vault unattended: whose signatures count on what they leave behind
// (condemned and closing lists, tombstones, vouchers). Keys are granted by the audit log.
#pragma once

#include <map>
#include <set>

#include "vault/format/maintainer_keys.h"
#include "vault/lifecycle/audit_log.h"

namespace holdfast::vault {

struct Maintainers {
  // Ever granted, also revoked ones: what they signed while they were active stays signed.
  std::map<MaintainerId, crypto::PublicKey> keys;
  std::set<MaintainerId> active;

  const crypto::PublicKey* find(const MaintainerId& id) const;
  bool is_active(const MaintainerId& id) const { return active.contains(id); }
};

Maintainers maintainers_of(const LifecycleState& state);

// `trusted` is the vault key of `generation`, as Vault::vault_key() or the vault secret give it.
// Errors: as AuditLog::load.
Result<Maintainers> load_maintainers(Store& store, const Description& description,
                                     const crypto::PublicKey& trusted, uint32_t generation);

}  // namespace holdfast::vault
