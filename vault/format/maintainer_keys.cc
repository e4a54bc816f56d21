#include "vault/format/maintainer_keys.h"

#include "vault/format/digest.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMaintainerMagic = "HFV1MAIN";

}  // namespace

MaintainerKeys MaintainerKeys::create(const VaultId& vault) {
  return {vault, MaintainerId::random(), crypto::random_secret<32>()};
}

audit::Grant MaintainerKeys::grant(Role role, std::string label) const {
  return {id, public_key(), role, std::move(label)};
}

Bytes MaintainerKeys::encode() const {
  wire::Encoder out;
  out.raw(kMaintainerMagic);
  out.raw(vault.view());
  out.raw(id.view());
  out.raw(signing_seed.view());
  return with_digest(out.take());
}

Result<MaintainerKeys> decode_maintainer_keys(ByteView bytes) {
  TRY(const ByteView body, without_digest(bytes, "maintainer's key"));
  wire::Decoder in(body, "maintainer's key");
  MaintainerKeys keys;
  in.expect(kMaintainerMagic);
  keys.vault = read_id<VaultId>(in);
  keys.id = read_id<MaintainerId>(in);
  keys.signing_seed = crypto::Key256(in.array<32>());
  TRYV(in.finish());
  return keys;
}

}  // namespace holdfast::vault
