#include "vault/engine/check_objects.h"

#include <map>
#include <optional>
#include <set>

#include "vault/engine/collections.h"
#include "vault/engine/trust.h"
#include "vault/format/collection.h"
#include "vault/format/geo.h"
#include "vault/format/object_names.h"
#include "vault/format/proof.h"
#include "vault/format/session.h"
#include "vault/lifecycle/maintainers.h"

namespace holdfast::vault {
namespace {

class ObjectChecker {
 public:
  explicit ObjectChecker(CheckContext& context) : c_(context) {}

  Result<Roster> run(const crypto::PublicKey& vault_key, uint32_t generation) {
    TRY(const auto objects, c_.store.list(""));
    TRY(roster_, load_roster(c_.store, c_.description.vault, vault_key, generation));
    TRY(const AuditLog log,
        AuditLog::load(c_.store, c_.description, roster_.vault_key, roster_.generation));
    maintainers_ = maintainers_of(log.state());
    for (const PassedOverEntry& p : log.passed_over()) {
      c_.damage(p.name,
                p.is_genuine ? p.reason + "; what the owner said there does not count" : p.reason);
    }
    bool has_slot = false;
    for (const ObjectInfo& object : objects) {
      TRYV(c_.interrupted());
      const std::string& name = object.name;
      if (name.starts_with(kPacksPrefix) || name.starts_with(kIndexPrefix) ||
          name.starts_with(kPointsPrefix)) {
        continue;  // their turn comes
      }
      ++c_.report.objects;
      const Status checked = check_object(object);
      if (!checked.ok()) {
        if (!is_verdict(checked.error())) return checked.error();
        c_.damage(name, checked.error().message());
      } else if (name.starts_with(kKeysPrefix)) {
        has_slot = true;
      }
    }
    if (!has_slot)
      c_.damage(std::string(kKeysPrefix), "no usable key slot: nothing can be restored");
    return std::move(roster_);
  }

 private:
  Status check_object(const ObjectInfo& object) {
    const std::string& name = object.name;
    auto got = c_.store.get(name, kObjectBytesMax);
    if (!got.ok()) {
      if (is_absent(got.error())) return {};  // removed since the listing
      return std::move(got).error();
    }
    const Bytes& bytes = *got;
    if (name == kDescriptionName) {
      TRY(const Description d, decode_description(bytes));
      if (d.vault != c_.description.vault) return Error{Errc::damaged, "of another vault"};
      return {};
    }
    if (name.starts_with(kKeysPrefix)) {
      TRY(const Slot slot, decode_slot(bytes));
      if (slot.vault != c_.description.vault || slot_name(slot.id) != name) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      return {};
    }
    if (name.starts_with(kRosterPrefix)) return check_roster_object(name, bytes);
    if (name.starts_with(kSessionsPrefix)) return check_session_object(name, bytes);
    if (name.starts_with(kCollectionsPrefix)) {
      TRY(const auto parsed, parse_collection_name(name));
      return verify_run_object(bytes, c_.description.vault, parsed.run, maintainers_);
    }
    if (name.starts_with(kSuccessionPrefix)) return check_succession(name);
    if (name.starts_with(kAuditPrefix)) return {};  // looked at as a whole
    if (name.starts_with(kProofsPrefix)) {
      TRY(const Proof proof, decode_proof(bytes));
      if (proof.vault != c_.description.vault || proof_name(proof) != name) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      TRY(const crypto::PublicKey key, vault_key_of(c_.store, c_.description, proof.generation));
      return verify_object(bytes, key, "proof");
    }
    if (name.starts_with(kGeoPrefix)) return check_geo_object(name, bytes);
    c_.remark(name, "not an object of a vault");
    return {};
  }

  // What marks a replica.
  Status check_geo_object(const std::string& name, const Bytes& bytes) {
    VaultId vault;
    if (name == kGeoReplicaName) {
      TRY(const GeoReplica mark, decode_geo_replica(bytes));
      vault = mark.vault;
    } else if (name == kGeoPromotedName) {
      TRY(const GeoPromoted mark, decode_geo_promoted(bytes));
      vault = mark.vault;
    } else {
      TRY(const uint64_t sequence, parse_geo_sync_name(name));
      TRY(const GeoSync record, decode_geo_sync(bytes));
      if (record.sequence == sequence) vault = record.vault;
    }
    if (vault != c_.description.vault) return Error{Errc::damaged, "it belongs elsewhere"};
    return {};
  }

  Status check_succession(const std::string& name) {
    // Follows the chain from the description's key, which verifies each link.
    for (uint32_t generation = 1;; ++generation) {
      TRY(const crypto::PublicKey key, vault_key_of(c_.store, c_.description, generation));
      (void)key;
      if (succession_name(generation) == name) return {};
    }
  }

  // Rosters are signed by the key of their own generation, and name the one they were made from.
  Status check_roster_object(const std::string& name, const Bytes& bytes) {
    TRY(const uint64_t sequence, parse_roster_name(name));
    roster_hashes_.insert(crypto::sha256(bytes));
    TRY(const uint32_t generation, roster_generation(bytes));
    auto key = vault_key_of(c_.store, c_.description, generation);
    if (!key.ok() && key.error().code != Errc::missing) return std::move(key).error();
    auto roster = key.ok() ? decode_roster(bytes, *key)
                           : Result<Roster>(Error{holdfast::Errc::authentication_failed, ""});
    if (!roster.ok()) {
      // Well formed, but by a key that nothing put in force: a rotation that did not end, or junk.
      if (claimed_roster_key(bytes)) {
        c_.remark(name, "signed by a key that is not the vault's; nobody believes it");
        return {};
      }
      return std::move(roster).error();
    }
    if (roster->vault != c_.description.vault || roster->sequence != sequence) {
      return Error{Errc::damaged, "it belongs elsewhere"};
    }
    if (sequence > 1 && !roster_hashes_.contains(roster->previous_sha256)) {
      return Error{Errc::damaged, "the roster it was made from is missing or was exchanged"};
    }
    return {};
  }

  // Whether the object is a roster signed by the very key that it names.
  static bool claimed_roster_key(const Bytes& bytes) {
    const auto body = unverified_body(kRosterMagic, bytes);
    if (!body.ok()) return false;
    wire::Decoder in(*body, "roster");
    in.raw(VaultId::kSize + 8 + 4);
    const crypto::PublicKey key = in.array<32>();
    return in.ok() && decode_roster(bytes, key).ok();
  }

  Status check_session_object(const std::string& name, const Bytes& bytes) {
    TRY(const auto parsed, parse_session_name(name));
    const auto verify = [&](const AgentId& agent, const std::optional<DomainId>& domain) -> Status {
      const RosterAgent* known = roster_.find(agent);
      if (known == nullptr) return Error{Errc::damaged, "signed by an agent that nobody enrolled"};
      if (domain && !known->is_member(*domain)) {
        return Error{Errc::damaged, "signed by an agent of another domain"};
      }
      return verify_object(bytes, known->signing_key, "session");
    };
    if (parsed.step == "begin") {
      TRY(const SessionBegin begin, decode_session_begin(bytes));
      if (begin.vault != c_.description.vault || begin.wrap.session != parsed.session) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      session_agents_[parsed.session] = begin.wrap.agent;
      return verify(begin.wrap.agent, begin.domain);
    }
    const auto agent_of_session = [&]() -> Result<AgentId> {
      if (const auto it = session_agents_.find(parsed.session); it != session_agents_.end()) {
        return it->second;
      }
      return Error{Errc::missing, session_begin_name(parsed.session)};
    };
    const Error elsewhere{Errc::damaged, "it belongs elsewhere"};
    if (parsed.step == "end" || parsed.step == "heir") {
      TRY(const SessionEnd end, decode_session_end(bytes));
      const bool heir = end.outcome == SessionOutcome::taken_over;
      if (end.vault != c_.description.vault || end.session != parsed.session ||
          heir != (parsed.step == "heir")) {
        return elsewhere;
      }
      return verify(end.agent, end.domain);
    }
    if (parsed.step.starts_with("epoch-")) {
      TRY(const SessionEpoch epoch, decode_session_epoch(bytes));
      if (epoch.vault != c_.description.vault ||
          session_epoch_name(epoch.session, epoch.epoch) != name) {
        return elsewhere;
      }
      TRY(const AgentId agent, agent_of_session());
      return verify(agent, std::nullopt);
    }
    if (parsed.step.starts_with("tombstone-")) {
      TRY(const Tombstone t, decode_tombstone(bytes));
      if (tombstone_name(t.session, t.run) != name) return elsewhere;
      TRY(const bool believed,
          is_tombstone(c_.store, c_.description.vault, t.session, t.run, maintainers_));
      if (!believed) return Error{Errc::damaged, "no maintainer signed it"};
      return {};
    }
    c_.remark(name, "not an object of a session");
    return {};
  }

  CheckContext& c_;
  Roster roster_;
  Maintainers maintainers_;
  std::map<SessionId, AgentId> session_agents_;
  std::set<crypto::Digest> roster_hashes_;
};

}  // namespace

Result<Roster> check_objects(CheckContext& context, const crypto::PublicKey& vault_key,
                             uint32_t generation) {
  return ObjectChecker(context).run(vault_key, generation);
}

}  // namespace holdfast::vault
