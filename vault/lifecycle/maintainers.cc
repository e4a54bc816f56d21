#include "vault/lifecycle/maintainers.h"

namespace holdfast::vault {

const crypto::PublicKey* Maintainers::find(const MaintainerId& id) const {
  const auto it = keys.find(id);
  return it == keys.end() ? nullptr : &it->second;
}

Maintainers maintainers_of(const LifecycleState& state) {
  Maintainers out;
  for (const auto& [id, grant] : state.grants) {
    if (grant.role != Role::maintainer) continue;
    out.keys[id] = grant.key;
    if (grant.active) out.active.insert(id);
  }
  return out;
}

Result<Maintainers> load_maintainers(Store& store, const Description& description,
                                     const crypto::PublicKey& trusted, uint32_t generation) {
  TRY(const AuditLog log, AuditLog::load(store, description, trusted, generation));
  return maintainers_of(log.state());
}

}  // namespace holdfast::vault
