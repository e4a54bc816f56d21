#include "vault/engine/survey.h"

#include <algorithm>

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

// An object's bytes; nothing if it is not there or cannot be used.
Result<std::optional<Bytes>> get_usable(Store& store, const std::string& name) {
  auto object = store.get(name, kObjectBytesMax);
  if (object.ok()) return std::optional(std::move(*object));
  if (is_verdict(object.error())) return std::optional<Bytes>();
  return std::move(object).error();
}

bool signed_by(const SurveyContext& c, const AgentId& id, const DomainId* domain, ByteView object) {
  const RosterAgent* agent = c.roster.find(id);
  return agent != nullptr && (domain == nullptr || agent->is_member(*domain)) &&
         verify_object(object, agent->signing_key, "").ok();
}

Result<std::optional<SessionBegin>> load_begin(const SurveyContext& c, const SessionId& session) {
  TRY(const auto object, get_usable(c.store, session_begin_name(session)));
  if (!object) return std::optional<SessionBegin>();
  auto begin = decode_session_begin(*object);
  if (!begin.ok() || begin->vault != c.vault || begin->wrap.session != session ||
      !signed_by(c, begin->wrap.agent, &begin->domain, *object)) {
    return std::optional<SessionBegin>();
  }
  return std::optional(std::move(*begin));
}

Result<std::optional<SessionEnd>> load_end(const SurveyContext& c, const SessionId& session,
                                           const std::string& name, bool heir) {
  TRY(const auto object, get_usable(c.store, name));
  if (!object) return std::optional<SessionEnd>();
  auto end = decode_session_end(*object);
  if (!end.ok() || end->vault != c.vault || end->session != session ||
      (end->outcome == SessionOutcome::taken_over) != heir ||
      !signed_by(c, end->agent, &end->domain, *object)) {
    return std::optional<SessionEnd>();
  }
  return std::optional(std::move(*end));
}

// Runs that the session read the condemned lists of.
Status load_epoch(const SurveyContext& c, const SessionId& session, const AgentId& agent,
                  const std::string& name, std::set<RunId>& runs) {
  TRY(const auto object, get_usable(c.store, name));
  if (!object) return {};
  const auto epoch = decode_session_epoch(*object);
  if (epoch.ok() && epoch->vault == c.vault && epoch->session == session &&
      session_epoch_name(session, epoch->epoch) == name && signed_by(c, agent, nullptr, *object)) {
    runs.insert(epoch->runs.begin(), epoch->runs.end());
  }
  return {};
}

void vouch(const SessionEnd& end, const ItemId& item, std::map<PackId, VouchedPack>& vouched) {
  for (const crypto::Digest& footer : end.packs) {
    vouched.emplace(PackId{end.session, footer},
                    VouchedPack{footer, end.domain, {{0, end.agent, item, end.sequence}}});
  }
}

// What the packs of sessions and runs are vouched for by.
Result<std::map<PackId, VouchedPack>> load_vouchers(const SurveyContext& c, const Survey& survey) {
  std::map<PackId, VouchedPack> vouched;
  for (const auto& [id, s] : survey.sessions) {
    // Without a begin nobody knows the item; the claim then is no older than anything.
    const ItemId item = s.begin ? s.begin->wrap.item : ItemId();
    const bool committed = s.end && s.end->outcome == SessionOutcome::committed;
    if (committed && !s.end->packs.empty()) {
      vouch(*s.end, item, vouched);
    } else if (s.heir) {
      vouch(*s.heir, item, vouched);
    }
  }
  TRY(const auto objects, c.store.list(std::string(kCollectionsPrefix)));
  for (const ObjectInfo& object : objects) {
    const auto name = parse_collection_name(object.name);
    if (!name.ok() || name->step != kStepVouched) continue;
    auto bytes = get_run_object(c.store, c.vault, name->run, kStepVouched, c.maintainers);
    if (!bytes.ok() && bytes.error().code != Errc::damaged) return std::move(bytes).error();
    if (!bytes.ok() || !*bytes) continue;
    const auto list = decode_vouched(**bytes);
    if (!list.ok()) continue;
    for (const VouchedPack& p : list->packs) {
      vouched.emplace(PackId{SessionId(name->run.bytes), p.footer_sha256}, p);
    }
  }
  return vouched;
}

}  // namespace

const SegmentClaim* SurveyedPack::claim_of(uint32_t segment) const {
  if (claim != Claim::vouched) return nullptr;
  for (const SegmentClaim& c : claims) {
    if (c.segments == 0 || segment < c.segments) return &c;
    segment -= c.segments;
  }
  return nullptr;
}

Result<std::map<SessionId, SurveyedSession>> survey_sessions(const SurveyContext& c) {
  TRY(const auto objects, c.store.list(std::string(kSessionsPrefix)));
  std::map<SessionId, SurveyedSession> sessions;
  for (const ObjectInfo& object : objects) {
    const auto name = parse_session_name(object.name);
    if (!name.ok()) continue;
    SurveyedSession& s = sessions[name->session];
    s.objects.push_back(object.name);
    constexpr std::string_view kTombstone = "tombstone-";
    if (name->step == "begin") {
      s.has_begin = true;
      s.stored_ns = object.stored_ns;
    }
    if (name->step.starts_with(kTombstone)) {
      auto run = RunId::parse(std::string_view(name->step).substr(kTombstone.size()));
      if (!run.ok()) continue;
      TRY(const bool is_one, is_tombstone(c.store, c.vault, name->session, *run, c.maintainers));
      if (is_one) s.tombstones.insert(*run);
      continue;  // no sign of life
    }
    s.last_sign_ns = std::max(s.last_sign_ns, object.stored_ns);
  }
  for (auto& [id, s] : sessions) {
    TRY(s.begin, load_begin(c, id));
    const auto has = [&](const std::string& name) {
      return std::find(s.objects.begin(), s.objects.end(), name) != s.objects.end();
    };
    if (has(session_end_name(id))) {
      TRY(s.end, load_end(c, id, session_end_name(id), false));
      // The end is its own agent's word; a stranger's would end the waiting for a session too
      // early.
      const bool by_stranger = !s.begin || (s.end && s.end->agent != s.begin->wrap.agent);
      if (s.has_begin && by_stranger) s.end.reset();
    }
    if (has(session_heir_name(id))) {
      TRY(s.heir, load_end(c, id, session_heir_name(id), true));
    }
    if (s.end || !s.begin) continue;
    for (const std::string& name : s.objects) {
      if (name.find("/epoch-") == std::string::npos) continue;
      TRYV(load_epoch(c, id, s.begin->wrap.agent, name, s.read_runs));
    }
  }
  return sessions;
}

Result<Survey> survey_vault(const SurveyContext& c, const std::set<SessionId>& named) {
  Survey survey;
  TRY(survey.sessions, survey_sessions(c));
  TRY(const auto vouched, load_vouchers(c, survey));
  TRY(const auto objects, c.store.list(std::string(kPacksPrefix)));
  for (const ObjectInfo& object : objects) {
    const auto id = parse_pack_name(object.name);
    if (!id.ok()) continue;
    SurveyedPack p;
    p.pack.id = *id;
    p.pack.pack_bytes = object.size_bytes;
    p.stored_ns = object.stored_ns;
    const auto session = survey.sessions.find(id->session);
    if (session != survey.sessions.end()) {
      session->second.last_sign_ns = std::max(session->second.last_sign_ns, object.stored_ns);
    }
    if (const auto v = vouched.find(*id); v != vouched.end()) {
      p.claim = Claim::vouched;
      p.is_copy = session == survey.sessions.end();
      p.domain = v->second.domain;
      p.claims = v->second.claims;
    } else if (named.contains(id->session) &&
               (session == survey.sessions.end() || !session->second.end)) {
      p.claim = Claim::own;
    }
    survey.packs.push_back(p);
  }
  TRY(survey.now_ns, c.store.now_ns());
  return survey;
}

}  // namespace holdfast::vault
