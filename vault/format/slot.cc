#include "vault/format/slot.h"

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/digest.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {

Bytes Slot::associated() const {
  wire::Encoder out;
  out.raw(kSlotMagic);
  out.raw(vault.view());
  out.raw(id.view());
  out.u8(static_cast<uint8_t>(kind));
  out.u32(generation);
  out.i64(created_ns);
  out.block(label);
  out.u8(cost.log2_n);
  out.u32(cost.r);
  out.u32(cost.p);
  out.raw(salt);
  return out.take();
}

Bytes Slot::encode() const {
  wire::Encoder out(associated());
  out.raw(nonce);
  out.u16(static_cast<uint16_t>(sealed.size()));
  out.raw(sealed);
  return with_digest(out.take());
}

Result<Slot> decode_slot(ByteView object) {
  TRY(const ByteView body, without_digest(object, "key slot"));
  wire::Decoder in(body, "key slot");
  Slot slot;
  in.expect(kSlotMagic);
  slot.vault = read_id<VaultId>(in);
  slot.id = read_id<SlotId>(in);
  const uint8_t kind = in.u8();
  if (kind != static_cast<uint8_t>(SlotKind::passphrase) &&
      kind != static_cast<uint8_t>(SlotKind::recovery_code)) {
    in.fail("is of an unknown kind");
  }
  slot.kind = static_cast<SlotKind>(kind);
  slot.generation = in.u32();
  slot.created_ns = in.i64();
  slot.label = in.text(255);
  slot.cost.log2_n = in.u8();
  slot.cost.r = in.u32();
  slot.cost.p = in.u32();
  slot.salt = in.array<32>();
  slot.nonce = in.array<crypto::kNonceBytes>();
  slot.sealed = to_bytes(in.raw(in.u16()));
  TRYV(in.finish());
  if (slot.kind == SlotKind::passphrase && slot.cost.log2_n < kScryptLog2NMin) {
    return Error{holdfast::Errc::malformed, "key slot with a scrypt cost below 2^17"};
  }
  return slot;
}

}  // namespace holdfast::vault
