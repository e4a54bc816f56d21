// The part of a check that looks at everything that is not a pack, an index run or a manifest.
#pragma once

#include "vault/engine/check_context.h"
#include "vault/format/roster.h"

namespace holdfast::vault {

// Returns the roster in force, which the rest of the check needs. Errors: the store's;
// Errc::interrupted; those of load_roster.
Result<Roster> check_objects(CheckContext& context, const crypto::PublicKey& vault_key,
                             uint32_t generation);

}  // namespace holdfast::vault
