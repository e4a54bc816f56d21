// How a session's key travels with what it seals: enough for a holder of the vault secret to derive
// it again. docs/formats/keys.md, "Session key".
#pragma once

#include "base/crypto/hpke.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr size_t kEncapsulationBytesMax = 2048;  // room for X25519 + ML-KEM-768 (1,120)

// Layout: session 16 | agent 16 | item 16 | u32 generation | u16 KEM id | u16 enc bytes | enc.
struct KeyWrap {
  SessionId session;
  AgentId agent;
  ItemId item;
  uint32_t generation = 0;  // of the recovery key that enc is for
  uint16_t kem_id = crypto::kHpkeKemX25519;
  Bytes enc;
  bool operator==(const KeyWrap&) const = default;
};

template <class Id>
Id read_id(wire::Decoder& in) {
  return Id(in.array<Id::kSize>());
}

inline void encode_key_wrap(wire::Encoder& out, const KeyWrap& wrap) {
  out.raw(wrap.session.view());
  out.raw(wrap.agent.view());
  out.raw(wrap.item.view());
  out.u32(wrap.generation);
  out.u16(wrap.kem_id);
  out.u16(static_cast<uint16_t>(wrap.enc.size()));
  out.raw(wrap.enc);
}

inline KeyWrap decode_key_wrap(wire::Decoder& in) {
  KeyWrap wrap;
  wrap.session = read_id<SessionId>(in);
  wrap.agent = read_id<AgentId>(in);
  wrap.item = read_id<ItemId>(in);
  wrap.generation = in.u32();
  wrap.kem_id = in.u16();
  const uint16_t enc_bytes = in.u16();
  if (enc_bytes > kEncapsulationBytesMax) in.fail("has a key encapsulation that is too long");
  wrap.enc = to_bytes(in.raw(enc_bytes));
  return wrap;
}

}  // namespace holdfast::vault
