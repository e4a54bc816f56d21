#include "vault/engine/verify_object.h"

#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/format/pack.h"

namespace holdfast::vault {
namespace {

Status verify_pack(const PackId& id, ByteView bytes, const VaultId& vault) {
  const auto bad = [](std::string_view why) {
    return Error{holdfast::Errc::malformed, std::string(why)};
  };
  if (bytes.size() < kPackHeaderBytes + kFooterTailBytes) return bad("too short for a pack");
  TRY(const uint32_t footer_bytes,
      footer_bytes_from_tail(bytes.last(kFooterTailBytes), bytes.size()));
  const ByteView footer_view = bytes.last(footer_bytes);
  if (crypto::sha256(footer_view) != id.footer_sha256) {
    return bad("its footer does not hash to its name");
  }
  TRY(const PackFooter footer, decode_footer(footer_view, bytes.size()));
  if (footer.vault != vault) return bad("it belongs to another vault");
  if (!equal(bytes.first(kPackHeaderBytes), as_bytes(kPackMagic))) {
    return bad("its first bytes are not a pack's");
  }
  for (size_t i = 0; i < footer.segments.size(); ++i) {
    const PackSegment& s = footer.segments[i];
    if (crypto::sha256(bytes.subspan(s.offset, s.stored_bytes)) != s.sha256) {
      return bad("segment " + std::to_string(i) + " does not have its hash");
    }
  }
  const ByteView edges = bytes.subspan(footer.edges_offset(), footer.edges_bytes());
  if (footer.kind == PackKind::metadata && crypto::sha256(edges) != footer.edges_sha256) {
    return bad("its edges do not hash to what the footer says");
  }
  return {};
}

}  // namespace

Status verify_object_bytes(const std::string& name, ByteView bytes, const VaultId& vault) {
  Status verified;
  if (name.starts_with(kPacksPrefix)) {
    const auto id = parse_pack_name(name);
    if (id.ok()) verified = verify_pack(*id, bytes, vault);
  } else if (name.starts_with(kIndexPrefix)) {
    const std::string hash = to_hex(crypto::sha256(bytes));
    if (!name.ends_with("/" + hash)) {
      verified = Error{holdfast::Errc::malformed, "its content does not hash to its name"};
    }
  }
  if (verified.ok()) return {};
  return Error{Errc::damaged, name + " (" + verified.error().context + ")"};
}

}  // namespace holdfast::vault
