// A proof, proofs/<slot>-<seconds>: somebody showed at this time that a key slot opens. Signed by
// the vault key, which only an opened slot gives.
#pragma once

#include "vault/format/ids.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kProofMagic = "HFV1PROO";
inline constexpr std::string_view kProofsPrefix = "proofs/";

struct Proof {
  VaultId vault;
  SlotId slot;
  uint32_t generation = 0;
  int64_t time_ns = 0;
  Bytes encode(const crypto::Key256& vault_seed) const;
};
std::string proof_name(const Proof& proof);
// Does not verify the signature. Errors: Errc::malformed.
Result<Proof> decode_proof(ByteView object);

}  // namespace holdfast::vault
