// Holds a whole stored object against what its name says of its bytes. No key is needed.
#pragma once

#include <string>

#include "vault/format/ids.h"

namespace holdfast::vault {

// Packs: every byte, against the hash in the name. Index runs: likewise. Objects of other kinds
// have no hash in their name, and pass. Errors: Errc::damaged, with the object's name.
Status verify_object_bytes(const std::string& name, ByteView bytes, const VaultId& vault);

}  // namespace holdfast::vault
