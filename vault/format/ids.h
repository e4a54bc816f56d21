// The names of things in a vault. Each is bytes of a fixed size with a type of its own, so that a
// session id cannot be passed where an agent id is meant.
//
// Ids of 16 bytes are random (an item's is derived, see item_id in vault/seal/agent_keys.h). A
// ChunkId is HMAC-SHA-256 under the domain's id key; docs/formats/chunk.md says over what.
#pragma once

#include <compare>
#include <functional>

#include "base/crypto/hash.h"
#include "base/crypto/random.h"

namespace holdfast::vault {

template <class Tag, size_t N>
struct FixedId {
  static constexpr size_t kSize = N;
  ByteArray<N> bytes{};

  FixedId() = default;
  explicit FixedId(const ByteArray<N>& b) : bytes(b) {}
  static FixedId random() { return FixedId(crypto::random_array<N>()); }
  // Errors: Errc::malformed unless `text` is exactly 2N lower-case hexadecimal digits.
  static Result<FixedId> parse(std::string_view text) {
    TRY(const Bytes raw, from_hex(text));
    if (raw.size() != N) return Error{holdfast::Errc::malformed, "wrong length of an id"};
    FixedId id;
    std::memcpy(id.bytes.data(), raw.data(), N);
    // Names have one spelling, or two objects could claim one place.
    if (id.hex() != text) return Error{holdfast::Errc::malformed, "id is not lower-case"};
    return id;
  }

  bool is_zero() const { return all_zero(bytes); }
  ByteView view() const { return bytes; }
  std::string hex() const { return to_hex(bytes); }
  auto operator<=>(const FixedId&) const = default;
};

using VaultId = FixedId<struct VaultTag, 16>;
using DomainId = FixedId<struct DomainTag, 16>;
using AgentId = FixedId<struct AgentTag, 16>;
using ItemId = FixedId<struct ItemTag, 16>;
using SessionId = FixedId<struct SessionTag, 16>;  // also names collector runs that write packs
using SlotId = FixedId<struct SlotTag, 16>;
using RunId = FixedId<struct RunTag, 16>;
using MaintainerId = FixedId<struct MaintainerTag, 16>;  // a granted key, approvers' too
using ChunkId = FixedId<struct ChunkTag, 32>;

// A pack is named by who wrote it and by the SHA-256 of its footer.
struct PackId {
  SessionId session;
  crypto::Digest footer_sha256{};
  auto operator<=>(const PackId&) const = default;
};

// For hash tables: ids are uniform already, so eight of their bytes are a hash.
struct IdHash {
  template <class Tag, size_t N>
  size_t operator()(const FixedId<Tag, N>& id) const {
    size_t h;
    std::memcpy(&h, id.bytes.data(), sizeof h);
    return h;
  }
  size_t operator()(const PackId& id) const {
    size_t h;
    std::memcpy(&h, id.footer_sha256.data(), sizeof h);
    return h;
  }
};

}  // namespace holdfast::vault
