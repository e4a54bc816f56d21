#include "vault/engine/vouched_packs.h"

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Result<bool> VouchedPacks::contains(const PackId& pack) {
  TRY(const auto packs, packs_of(pack.session));
  return packs->contains(pack);
}

Result<std::shared_ptr<const PackSet>> VouchedPacks::packs_of(const SessionId& session) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = read_.find(session); it != read_.end()) return it->second;
  }
  auto packs = std::make_shared<PackSet>();
  TRYV(add(session, session_end_name(session), SessionOutcome::committed, *packs));
  if (packs->empty()) {
    TRYV(add(session, session_heir_name(session), SessionOutcome::taken_over, *packs));
  }
  if (packs->empty()) TRYV(add_of_run(RunId(session.bytes), *packs));
  const std::lock_guard lock(mutex_);
  read_[session] = packs;
  return std::shared_ptr<const PackSet>(packs);
}

Status VouchedPacks::add(const SessionId& session, const std::string& name, SessionOutcome outcome,
                         PackSet& packs) {
  auto object = store_.get(name, kObjectBytesMax);
  if (!object.ok()) {
    if (object.error().code == std::errc::no_such_file_or_directory) return {};
    return std::move(object).error();
  }
  const auto end = decode_session_end(*object);
  if (!end.ok() || end->outcome != outcome || end->vault != vault_ || end->session != session ||
      end->domain != domain_) {
    return {};
  }
  const RosterAgent* agent = roster_->find(end->agent);
  if (agent == nullptr || !agent->is_member(domain_) ||
      !verify_object(*object, agent->signing_key, "session end").ok()) {
    return {};
  }
  for (const crypto::Digest& footer : end->packs) packs.insert({session, footer});
  return {};
}

Status VouchedPacks::add_of_run(const RunId& run, PackSet& packs) {
  auto object = get_run_object(store_, vault_, run, kStepVouched, *maintainers_);
  if (!object.ok()) {
    if (object.error().code == Errc::damaged) return {};
    return std::move(object).error();
  }
  if (!*object) return {};
  const auto list = decode_vouched(**object);
  if (!list.ok()) return {};
  for (const VouchedPack& p : list->packs) {
    if (p.domain == domain_) packs.insert({SessionId(run.bytes), p.footer_sha256});
  }
  return {};
}

}  // namespace holdfast::vault
