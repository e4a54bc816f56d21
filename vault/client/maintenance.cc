#include "vault/client/maintenance.h"

#include "base/io/file_lock.h"
#include "vault/engine/replica.h"
#include "vault/errc.h"

namespace holdfast::vault {

Result<MaintainerKeys> maintainer_keys(Vault& vault, const LifecycleState& lifecycle) {
  TRY(auto keys, vault.state().load_maintainer(vault.id()));
  const bool active = keys && maintainers_of(lifecycle).is_active(keys->id);
  if (!active) {
    return Error{Errc::no_authority,
                 std::string(keys ? "this machine's key as a maintainer was revoked"
                                  : "this machine is no maintainer of the vault") +
                     "; run 'holdfast vault enrol --maintainer' with the passphrase, or run this "
                     "where the vault was made"};
  }
  return std::move(*keys);
}

Result<CollectReport> collect_vault(Vault& vault, CollectOptions options, CollectProgress& progress,
                                    const std::stop_token& stop) {
  TRYV(require_writable(vault.store(), vault.id()));
  TRY(const AuditLog log, vault.audit_log());
  TRY(const MaintainerKeys keys, maintainer_keys(vault, log.state()));
  const std::string lock_path =
      vault.state().path() + "/vaults/" + vault.id().hex() + "/collect-lock";
  auto lock = io::lock_file(lock_path, io::IfLocked::fail);
  if (!lock.ok()) {
    if (lock.error().code == std::errc::resource_unavailable_try_again) {
      return Error{lock.error().code, "another process of this machine collects in the vault at " +
                                          vault.store().location()};
    }
    return std::move(lock).error();
  }
  TRYV(io::make_directories(vault.state().file_system(), options.directory));
  TRY(const Vault::TrustedKey trusted, vault.vault_key());
  TRY(const Roster roster, load_roster(vault.store(), vault.id(), trusted.key, trusted.generation));
  const Maintainers maintainers = maintainers_of(log.state());
  const Collector collector{vault.store(), vault.description(), roster, maintainers, keys};
  return with_reserve(vault.store(), [&] { return collect(collector, options, progress, stop); });
}

}  // namespace holdfast::vault
