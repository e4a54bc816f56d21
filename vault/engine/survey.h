// What a collector looks at before it marks: sessions, and packs with who vouches for them.
// Needs no keys. docs/formats/session.md, "Which packs a session may rely on".
#pragma once

#include <map>
#include <optional>
#include <set>

#include "vault/engine/collections.h"
#include "vault/format/roster.h"
#include "vault/format/session.h"
#include "vault/index/run.h"

namespace holdfast::vault {

struct SurveyedSession {
  bool has_begin = false;             // an object of that name, whatever is in it
  std::optional<SessionBegin> begin;  // if its signature verifies
  std::optional<SessionEnd> end;      // likewise; outcome committed or given up
  std::optional<SessionEnd> heir;     // likewise
  std::set<RunId> tombstones;         // by name
  std::set<RunId> read_runs;          // named by epochs that verify
  io::TimeNs last_sign_ns = 0;        // when the store received the newest of its objects
  io::TimeNs stored_ns = 0;           // and its begin
  std::vector<std::string> objects;   // their names
  // May still add or rely on packs: it began, did not end, and nobody gave it up.
  bool is_open() const { return has_begin && !end && tombstones.empty(); }
};

// Who stands for what a pack claims to hold.
enum class Claim : uint8_t {
  none,     // nobody: a plant, or what a dead session left
  own,      // a point names the session, which has no end that vouches
  vouched,  // the end or heir of its session, or the list of a collector's run
};

struct SurveyedPack {
  IndexedPack pack;  // sizes as listed; footer_bytes 0 until the footer was read
  io::TimeNs stored_ns = 0;
  Claim claim = Claim::none;
  bool is_copy = false;  // made by a collector's run
  // If vouched: the domain that this is for, and whose word each segment is. A claim of a session
  // is for all segments, and its count 0.
  DomainId domain;
  std::vector<SegmentClaim> claims;

  // Nothing if nobody speaks for this segment.
  const SegmentClaim* claim_of(uint32_t segment) const;
};

struct Survey {
  std::map<SessionId, SurveyedSession> sessions;
  std::vector<SurveyedPack> packs;  // by name
  io::TimeNs now_ns = 0;            // the store's clock
};

struct SurveyContext {
  Store& store;
  const VaultId& vault;
  const Roster& roster;
  const Maintainers& maintainers;
};

// The sessions: one listing, and a few small objects of each. Errors: the store's.
Result<std::map<SessionId, SurveyedSession>> survey_sessions(const SurveyContext& context);
// Sessions, then packs. `named`: sessions that points name as theirs or as adopted.
Result<Survey> survey_vault(const SurveyContext& context, const std::set<SessionId>& named);

}  // namespace holdfast::vault
