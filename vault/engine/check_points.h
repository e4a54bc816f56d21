// The part of a check that follows each recovery point to its chunks and names what damage affects.
#pragma once

#include "vault/engine/check_packs.h"

namespace holdfast::vault {

// After packs and index were checked. `points` were listed before them. `reader` names the files
// affected; null without the secret. Errors: the store's; Errc::interrupted.
Status check_points(CheckContext& context, PackCheck& packs, const PointList& points,
                    VaultReader* reader);

}  // namespace holdfast::vault
