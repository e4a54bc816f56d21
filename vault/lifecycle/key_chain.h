// The vault's keys of all generations, from the description's to the one that the caller trusts:
// what signatures of the past are verified with.
#pragma once

#include <optional>
#include <vector>

#include "vault/format/description.h"
#include "vault/format/roster.h"
#include "vault/store/store.h"

namespace holdfast::vault {

using KeyChain = std::vector<crypto::PublicKey>;  // by generation

// The succession to `generation`, signed by `pinned`. Nothing if there is none. Errors, of one that
// cannot be believed too: Errc::damaged, Errc::key_not_trusted; the store's.
Result<std::optional<Succession>> load_succession(Store& store, const VaultId& vault,
                                                  uint32_t generation,
                                                  const crypto::PublicKey& pinned);

// Errors: Errc::missing for a succession that is not there, Errc::key_not_trusted if they do not
// lead to `trusted`, the vault key of `generation`; Errc::damaged; the store's.
Result<KeyChain> load_key_chain(Store& store, const Description& description,
                                const crypto::PublicKey& trusted, uint32_t generation);

}  // namespace holdfast::vault
