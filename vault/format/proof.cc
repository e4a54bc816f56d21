#include "vault/format/proof.h"

#include <cstdio>

#include "vault/format/key_wrap.h"

namespace holdfast::vault {

Bytes Proof::encode(const crypto::Key256& vault_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(slot.view());
  out.u32(generation);
  out.i64(time_ns);
  return sign_object(kProofMagic, out.view(), vault_seed);
}

std::string proof_name(const Proof& proof) {
  char seconds[24];
  std::snprintf(seconds, sizeof seconds, "%010lld",
                static_cast<long long>(proof.time_ns / 1'000'000'000));
  return std::string(kProofsPrefix) + proof.slot.hex() + "-" + seconds;
}

Result<Proof> decode_proof(ByteView object) {
  TRY(const ByteView body, unverified_body(kProofMagic, object));
  wire::Decoder in(body, "proof");
  Proof p;
  p.vault = read_id<VaultId>(in);
  p.slot = read_id<SlotId>(in);
  p.generation = in.u32();
  p.time_ns = in.i64();
  TRYV(in.finish());
  return p;
}

}  // namespace holdfast::vault
