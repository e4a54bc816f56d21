// A writing session's own objects. docs/formats/session.md says how collection and sessions stay
// out of each other's way.
#pragma once

#include <vector>

#include "vault/format/key_wrap.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kSessionMagic = "HFV1SESS";
inline constexpr std::string_view kEpochMagic = "HFV1EPOC";
inline constexpr std::string_view kSessionEndMagic = "HFV1SEND";
inline constexpr std::string_view kTombstoneMagic = "HFV1TOMB";

// sessions/<session>/begin, signed by the agent.
struct SessionBegin {
  VaultId vault;
  DomainId domain;
  KeyWrap wrap;                // session, agent and item are in here
  uint64_t base_sequence = 0;  // the point that unchanged entries are taken from; 0: none
  crypto::Digest base_sha256{};
  std::vector<SessionId> adopts;  // sessions that died or were given up, whose packs this one uses
  uint64_t roster_sequence = 0;
  int64_t started_ns = 0;  // the agent's clock
  std::string program;

  Bytes encode(const crypto::Key256& agent_seed) const;
};
// Does not verify the signature: use verify_object with the agent's key from the roster.
Result<SessionBegin> decode_session_begin(ByteView object);

// sessions/<session>/epoch-<n>, signed: the session has read the condemned lists of these runs and
// stored again what it relied on in them, so it no longer holds them back. Runs are named, because
// an epoch that is put after a list may have been read for before it.
struct SessionEpoch {
  VaultId vault;
  SessionId session;
  uint32_t epoch = 0;
  int64_t time_ns = 0;
  std::vector<RunId> runs;
  Bytes encode(const crypto::Key256& agent_seed) const;
};
Result<SessionEpoch> decode_session_epoch(ByteView object);

// sessions/<session>/end, signed. What a committed session wrote is listed, so that nobody can add
// to it: a pack under the session's name that is not in the list may not be relied on.
//
// sessions/<session>/heir, the same with outcome taken_over: put by a later session that adopted
// this one's packs and committed.
enum class SessionOutcome : uint8_t { committed = 1, given_up = 2, taken_over = 3 };
struct SessionEnd {
  VaultId vault;
  SessionId session;
  DomainId domain;
  AgentId agent;
  SessionOutcome outcome = SessionOutcome::given_up;
  uint64_t sequence = 0;  // of the manifest, if committed
  int64_t time_ns = 0;
  std::vector<crypto::Digest> packs;  // under this session's name: hashes of their footers, rising
  Bytes encode(const crypto::Key256& agent_seed) const;
};
Result<SessionEnd> decode_session_end(ByteView object);

// sessions/<session>/tombstone-<run>, signed by the maintainer whose run stopped waiting.
struct Tombstone {
  VaultId vault;
  SessionId session;
  RunId run;
  MaintainerId maintainer;
  int64_t time_ns = 0;
  Bytes encode(const crypto::Key256& maintainer_seed) const;
};
// Does not verify the signature.
Result<Tombstone> decode_tombstone(ByteView object);

}  // namespace holdfast::vault
