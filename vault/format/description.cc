#include "vault/format/description.h"

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr size_t kTextMax = 255;
constexpr size_t kFeaturesMax = 64;

void encode_features(wire::Encoder& out, const std::vector<std::string>& features) {
  out.varint(features.size());
  for (const auto& f : features) out.block(f);
}

std::vector<std::string> decode_features(wire::Decoder& in) {
  std::vector<std::string> out;
  const uint64_t n = in.count(in.varint_max(kFeaturesMax), 1);
  for (uint64_t i = 0; i < n && in.ok(); ++i) out.push_back(in.text(kTextMax));
  return out;
}

}  // namespace

Bytes Description::encode(const crypto::Key256& vault_seed) const {
  wire::Encoder out;
  out.u32(format_version);
  out.raw(vault.view());
  out.raw(vault_key);
  out.i64(created_ns);
  out.u8(put_if_absent_enforced ? 1 : 0);
  out.block(name);
  out.block(region);
  encode_features(out, features_read);
  encode_features(out, features_write);
  encode_features(out, features_collect);
  return sign_object(kDescriptionMagic, out.view(), vault_seed);
}

Result<Description> decode_description(ByteView object) {
  TRY(const ByteView body, unverified_body(kDescriptionMagic, object));
  wire::Decoder in(body, "vault description");
  Description d;
  d.format_version = in.u32();
  if (in.ok() && d.format_version != kFormatVersion) {
    return Error{holdfast::Errc::unsupported,
                 "the vault has format version " + std::to_string(d.format_version) +
                     ", this program knows version " + std::to_string(kFormatVersion)};
  }
  d.vault = read_id<VaultId>(in);
  d.vault_key = in.array<32>();
  d.created_ns = in.i64();
  const uint8_t enforced = in.u8();
  if (enforced > 1) in.fail("has a bad flag");
  d.put_if_absent_enforced = enforced == 1;
  d.name = in.text(kTextMax);
  d.region = in.text(kTextMax);
  d.features_read = decode_features(in);
  d.features_write = decode_features(in);
  d.features_collect = decode_features(in);
  TRYV(in.finish());
  TRYV(verify_object(object, d.vault_key, "vault description"));
  TRYV(require_features(d.features_read, "read"));
  return d;
}

Status require_features(const std::vector<std::string>& needed, std::string_view to_do_what) {
  // Version 1 without extensions: every named feature is one we lack.
  if (needed.empty()) return {};
  return Error{holdfast::Errc::unsupported, "to " + std::string(to_do_what) +
                                                " this vault a program needs the feature '" +
                                                needed.front() + "'; use a newer holdfast"};
}

}  // namespace holdfast::vault
