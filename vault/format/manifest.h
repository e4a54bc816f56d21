// The manifest, points/<item>/<sequence>: the object whose presence commits a recovery point.
// docs/formats/manifest.md.
#pragma once

#include <vector>

#include "vault/format/key_wrap.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kManifestMagic = "HFV1MANI";
inline constexpr size_t kLabelBytesMax = 255;
inline constexpr size_t kSealedBodyBytesMax = 16 * 1024 * 1024;

// The newest sequence of an item that the writer saw: whoever holds this manifest notices if the
// vault later shows an older state.
struct ItemHead {
  ItemId item;
  uint64_t sequence = 0;
  bool operator==(const ItemHead&) const = default;
};

// Clear part, signed by the agent together with the sealed body.
struct Manifest {
  VaultId vault;
  DomainId domain;
  KeyWrap wrap;  // of the session: names item, session and agent, and leads to the body's key
  uint64_t sequence = 0;       // starts at 1
  uint64_t base_sequence = 0;  // the point that unchanged entries were taken from; 0: none
  crypto::Digest base_sha256{};
  uint64_t previous_sequence =
      0;  // the item's point before this one, as the agent knows it; 0: none
  crypto::Digest previous_sha256{};
  int64_t time_ns = 0;              // the agent's clock when the backup began
  bool incomplete = false;          // something could not be read; the sealed body names it
  uint64_t entries = 0;             // in all maps of the point
  std::vector<ChunkId> roots;       // of its maps, resolved inside the domain
  std::vector<SessionId> adopts;    // see SessionBegin; the union over the sessions of this backup
  std::vector<std::string> labels;  // clear, chosen by the user
  std::vector<ItemHead> heads;
  const ItemId& item() const { return wrap.item; }
  const SessionId& session() const { return wrap.session; }
  const AgentId& agent() const { return wrap.agent; }

  Bytes sealed_body;  // nonce 12 | AES-256-GCM of a PointBody

  // What the seal of the body is bound to, see vault/seal/session_key.h.
  Bytes body_associated() const;
  Bytes encode(const crypto::Key256& agent_seed) const;
};

// Does not verify the signature: use verify_object with the agent's key from the roster.
// Errors: Errc::malformed.
Result<Manifest> decode_manifest(ByteView object);

}  // namespace holdfast::vault
