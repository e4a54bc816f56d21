#include "tools/format-vectors/small_vault.h"

#include "base/crypto/aead.h"
#include "tools/format-vectors/maker.h"

namespace holdfast::vault {

crypto::Key256 fixed_key(std::string_view name) {
  const crypto::Digest digest = crypto::sha256({as_bytes("holdfast vector "), as_bytes(name)});
  return crypto::Key256(ByteView(digest));
}

Bytes seal_with_nonce(const crypto::Key256& key, uint8_t nonce, ByteView associated,
                      ByteView plain) {
  Bytes out = to_bytes(nonce_of(nonce));
  append(out, crypto::aes256gcm_seal(key, nonce_of(nonce), associated, plain));
  return out;
}

SmallVault Maker::make() {
  out_.section("keys.md: ids and keys");
  make_keys();
  out_.section("keys.md: key slots");
  make_slots();
  make_description_and_successor();
  out_.section("keys.md: sealed fields of the rosters");
  make_rosters();
  out_.section("keys.md: session keys");
  for (uint8_t i = 0; i < kSessions; ++i) sessions_[i] = make_session(i);
  out_.section("chunk.md: data and attributes");
  make_chunks();
  out_.section("chunk.md, map.md: pages");
  const MadeMap first = make_map(chunk_hosts_, chunk_note_, "map");
  const MadeMap second = make_map(chunk_new_hosts_, chunk_new_note_, "map2");
  out_.section("segment.md");
  make_segments(first, second);
  out_.section("pack.md");
  make_packs();
  out_.section("manifest.md");
  make_points(first, second);
  make_audit_log();
  make_collections();
  return std::move(v_);
}

SmallVault make_small_vault(const VectorSink& out) {
  return Maker(out).make();
}

}  // namespace holdfast::vault
