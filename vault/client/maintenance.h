// Looking after a vault from this machine, unattended: with the maintainer's key in its state
// directory, without a passphrase.
#pragma once

#include "vault/client/vault.h"
#include "vault/engine/collect.h"

namespace holdfast::vault {

// Does `work`, and if the store is full does it once more with the space that the vault keeps in
// reserve for this; the reserve is made again afterwards, as far as there is room.
template <class Work>
auto with_reserve(Store& store, const Work& work) -> decltype(work()) {
  auto result = work();
  if (!result.ok() && result.error().code == std::errc::no_space_on_device) {
    const auto released = store.release_reserve();
    if (released.ok() && *released > 0) result = work();
  }
  (void)store.restore_reserve();
  return result;
}

// One call of the collector (vault/engine/collect.h), while no other process of this machine and
// user does the same. Temporary files go to options.directory, which is made if it is not there.
// Errors: Errc::no_authority without a maintainer's key that the vault's log grants;
// std::errc::resource_unavailable_try_again if another process collects; those of collect.
Result<CollectReport> collect_vault(Vault& vault, CollectOptions options, CollectProgress& progress,
                                    const std::stop_token& stop);

}  // namespace holdfast::vault
