#include "vault/store/removal_record.h"

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFV1RMVD";
constexpr size_t kNameMax = 1024;

}  // namespace

Bytes RemovalRecord::encode() const {
  wire::Encoder out;
  out.raw(kMagic);
  out.raw(set);
  out.raw(object);
  out.i64(time_ns);
  out.block(name);
  out.raw(crypto::sha256(out.view()));
  return out.take();
}

Result<RemovalRecord> decode_removal_record(ByteView bytes) {
  if (bytes.size() < 32) return Error{Errc::malformed, "removal record ends too early"};
  const ByteView body = bytes.first(bytes.size() - 32);
  if (!equal(crypto::sha256(body), bytes.last(32))) {
    return Error{Errc::authentication_failed, "removal record"};
  }
  wire::Decoder in(body, "removal record");
  RemovalRecord record;
  in.expect(kMagic);
  record.set = in.array<16>();
  record.object = in.array<32>();
  record.time_ns = in.i64();
  record.name = in.text(kNameMax);
  TRYV(in.finish());
  return record;
}

}  // namespace holdfast::vault
