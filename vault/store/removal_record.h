// That an object was removed while a directory of its vault was missing: what is left of it there
// is to be ignored when that directory comes back. docs/formats/stripes.md.
#pragma once

#include "vault/store/shard.h"

namespace holdfast::vault {

struct RemovalRecord {
  StripeSetId set{};
  crypto::Digest object{};  // ShardHeader::object_id
  io::TimeNs time_ns = 0;
  std::string name;

  Bytes encode() const;
};
// Errors: Errc::malformed, Errc::authentication_failed.
Result<RemovalRecord> decode_removal_record(ByteView bytes);

}  // namespace holdfast::vault
