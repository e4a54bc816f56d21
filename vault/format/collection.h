// What a collector's run leaves for sessions, readers and other collectors to see, all of it signed
// by a maintainer (vault/lifecycle/maintainers.h). docs/formats/session.md.
//
// A run is over once collections/<run>/freed exists; before that its condemned list binds sessions.
#pragma once

#include <vector>

#include "vault/format/ids.h"
#include "vault/format/signed_object.h"

namespace holdfast::vault {

inline constexpr std::string_view kRunBeginMagic = "HFV1CBEG";
inline constexpr std::string_view kVouchedMagic = "HFV1VOUC";
inline constexpr std::string_view kCondemnedMagic = "HFV1COND";
inline constexpr std::string_view kWaitingMagic = "HFV1WAIT";
inline constexpr std::string_view kClosingMagic = "HFV1CLOS";
inline constexpr std::string_view kVerdictMagic = "HFV1VERD";
inline constexpr std::string_view kAbortMagic = "HFV1ABRT";
inline constexpr std::string_view kFreedMagic = "HFV1FREE";

inline constexpr std::string_view kStepBegin = "begin";
inline constexpr std::string_view kStepVouched = "vouched";
inline constexpr std::string_view kStepCondemned = "condemned";
inline constexpr std::string_view kStepWaiting = "waiting";
inline constexpr std::string_view kStepClosing = "closing";
inline constexpr std::string_view kStepVerdict = "verdict";
inline constexpr std::string_view kStepAbort = "abort";
inline constexpr std::string_view kStepFreed = "freed";

// What every object of a run begins with, behind its magic.
struct RunHeader {
  VaultId vault;
  RunId run;
  MaintainerId maintainer;  // who signs
  int64_t time_ns = 0;      // the maintainer's clock
  bool operator==(const RunHeader&) const = default;
};
// Of an object of any kind with such a header, unverified. Errors: Errc::malformed.
Result<RunHeader> peek_run_header(ByteView object);

// begin, verdict, abort and freed have a header and nothing else.
Bytes encode_run_mark(std::string_view magic, const RunHeader& header, const crypto::Key256& seed);
Result<RunHeader> decode_run_mark(std::string_view magic, ByteView object);

// collections/<run>/condemned: packs that the run means to delete.
struct CondemnedList {
  RunHeader header;
  std::vector<PackId> packs;
  Bytes encode(const crypto::Key256& seed) const;
};
Result<CondemnedList> decode_condemned(ByteView object);

// collections/<run>/waiting: the sessions that were there once the condemned list was, and that did
// not end yet. Whoever is not named began later, and so has read the list.
struct WaitingList {
  RunHeader header;
  std::vector<SessionId> sessions;
  Bytes encode(const crypto::Key256& seed) const;
};
Result<WaitingList> decode_waiting(ByteView object);

// collections/<run>/closing: what is really freed, and which manifests of tombstoned sessions the
// second mark saw. A manifest of a tombstoned session is a recovery point only if the closing list
// of every tombstone's run names it.
struct SeenManifest {
  ItemId item;
  uint64_t sequence = 0;
  crypto::Digest sha256{};
  bool operator==(const SeenManifest&) const = default;
};
struct ClosingList {
  RunHeader header;
  std::vector<PackId> packs;
  std::vector<SeenManifest> manifests;
  Bytes encode(const crypto::Key256& seed) const;
};
Result<ClosingList> decode_closing(ByteView object);

// collections/<run>/vouched: packs below packs/<run>/, made of segments that were copied as they
// stand out of packs that somebody vouched for. Each segment remains the claim of the agent that
// first vouched for it, made no later than with that point of that item.
struct SegmentClaim {
  uint32_t segments = 0;  // how many in a row it is for
  AgentId agent;
  ItemId item;
  uint64_t sequence = 0;
  bool operator==(const SegmentClaim&) const = default;
};
struct VouchedPack {
  crypto::Digest footer_sha256{};
  DomainId domain;
  std::vector<SegmentClaim> claims;  // together for all segments, in their order
  bool operator==(const VouchedPack&) const = default;
};
struct VouchedList {
  RunHeader header;
  std::vector<VouchedPack> packs;
  Bytes encode(const crypto::Key256& seed) const;
};
Result<VouchedList> decode_vouched(ByteView object);

}  // namespace holdfast::vault
