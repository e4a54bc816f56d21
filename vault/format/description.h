// The vault's description, object "vault": what this is and what one needs to work with it.
// docs/formats/description.md. Written once by `vault create`, signed by the first vault key.
#pragma once

#include <vector>

#include "vault/format/ids.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kDescriptionMagic = "HFV1DESC";
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kObjectBytesMax = 64 * 1024 * 1024;  // any object that is not a pack

struct Description {
  uint32_t format_version = kFormatVersion;
  VaultId vault;
  crypto::PublicKey vault_key{};  // generation 0
  int64_t created_ns = 0;
  std::string name;    // clear, chosen by the user, at most 255 bytes
  std::string region;  // likewise
  // Names of what a program must know beyond version 1 to read, to write and to collect.
  std::vector<std::string> features_read;
  std::vector<std::string> features_write;
  std::vector<std::string> features_collect;
  // put_if_absent refused an existing object when the vault was created.
  bool put_if_absent_enforced = false;

  Bytes encode(const crypto::Key256& vault_seed) const;
};

// Verifies the signature with the key inside: whoever holds a pinned key or the vault secret must
// compare it. Errors: Errc::malformed, Errc::authentication_failed; Errc::unsupported, naming the
// feature, if this program cannot even read the vault.
Result<Description> decode_description(ByteView object);

// The first feature of `needed` that this program lacks, or nothing.
Status require_features(const std::vector<std::string>& needed, std::string_view to_do_what);

}  // namespace holdfast::vault
