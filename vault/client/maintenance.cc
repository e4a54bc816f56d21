#include "vault/client/maintenance.h"

#include "base/io/file_lock.h"
#include "vault/client/lifecycle.h"
#include "vault/engine/replica.h"
#include "vault/errc.h"

namespace holdfast::vault {

Result<CollectReport> collect_vault(Vault& vault, CollectOptions options, CollectProgress& progress,
                                    const std::stop_token& stop) {
  TRYV(require_writable(vault.store(), vault.id()));
  TRY(const AuditLog log, vault.audit_log());
  TRY(const MaintainerKeys keys, granted_keys(vault, log.state(), Role::maintainer));
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
