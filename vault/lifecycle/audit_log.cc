#include "vault/lifecycle/audit_log.h"

#include <algorithm>
#include <map>

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr int kAttemptsMax = 1000;  // at other writers' entries and planted numbers

}  // namespace

Result<AuditLog> AuditLog::load(Store& store, const VaultId& vault, KeyChain chain) {
  AuditLog log(vault, std::move(chain));
  TRYV(log.refresh(store));
  return log;
}

Result<AuditLog> AuditLog::load(Store& store, const Description& description,
                                const crypto::PublicKey& trusted, uint32_t generation) {
  TRY(KeyChain chain, load_key_chain(store, description, trusted, generation));
  return load(store, description.vault, std::move(chain));
}

Status AuditLog::refresh(Store& store) {
  TRY(const auto objects, store.list(std::string(kAuditPrefix)));
  std::map<uint64_t, const ObjectInfo*> behind;
  for (const ObjectInfo& object : objects) {
    const auto sequence = parse_audit_name(object.name);
    if (sequence.ok()) {
      // What is not behind the newest entry is settled.
      if (*sequence > state_.head.sequence && !seen_.contains(object.name)) {
        behind[*sequence] = &object;
      }
    } else if (seen_.insert(object.name).second) {
      passed_over_.push_back({object.name, "not the name of an audit entry", false});
    }
  }
  for (const auto& [sequence, object] : behind) {
    const auto bytes = store.get(object->name, kAuditEntryBytesMax);
    if (!bytes.ok() && !is_verdict(bytes.error())) return bytes.error();
    bool is_genuine = false;
    const Status taken = bytes.ok() ? take(*object, sequence, *bytes, is_genuine)
                                    : Status(Error{Errc::damaged, bytes.error().message()});
    if (taken.ok()) continue;
    passed_over_.push_back({object->name, taken.error().context, is_genuine});
    seen_.insert(object->name);
  }
  return {};
}

Status AuditLog::take(const ObjectInfo& object, uint64_t sequence, ByteView bytes,
                      bool& is_genuine) {
  auto decoded = decode_audit_entry(bytes);
  if (!decoded.ok()) return std::move(decoded).error();
  AuditEntry& entry = *decoded;
  if (entry.vault != vault_ || entry.sequence != sequence) {
    return Error{Errc::damaged, "it belongs elsewhere"};
  }
  const crypto::PublicKey* key = nullptr;
  if (!entry.signer.granted) {
    if (entry.signer.generation < chain_.size()) key = &chain_[entry.signer.generation];
  } else if (const auto it = state_.grants.find(*entry.signer.granted); it != state_.grants.end()) {
    key = &it->second.key;
  }
  if (key == nullptr) return Error{Errc::key_not_trusted, "signed by a key that nobody granted"};
  if (!verify_object(bytes, *key, object.name).ok()) {
    return Error{Errc::key_not_trusted, "its signature does not verify"};
  }
  is_genuine = true;
  if (entry.previous_sequence != state_.head.sequence ||
      entry.previous_sha256 != state_.head.sha256) {
    return Error{Errc::damaged, "it does not follow entry " + std::to_string(state_.head.sequence) +
                                    " but another past"};
  }
  const crypto::Digest sha256 = crypto::sha256(bytes);
  TRYV(state_.apply(entry, sha256));
  entries_.push_back({std::move(entry), sha256, object.stored_ns});
  return {};
}

Result<uint64_t> AuditLog::append(Store& store, const AuditKey& key, int64_t time_ns,
                                  const Make& make) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    AuditEntry entry;
    TRY(entry.actions, make(state_));
    if (entry.actions.empty()) return uint64_t{0};
    entry.vault = vault_;
    // A number that somebody planted is only passed over, however high it is.
    entry.sequence = state_.head.sequence + 1;
    while (seen_.contains(audit_name(entry.sequence))) ++entry.sequence;
    entry.previous_sequence = state_.head.sequence;
    entry.previous_sha256 = state_.head.sha256;
    const bool confirms =
        std::any_of(entry.actions.begin(), entry.actions.end(),
                    [](const Action& a) { return std::holds_alternative<audit::ConfirmClock>(a); });
    entry.time_ns = confirms ? time_ns : std::max(time_ns, state_.time_ns);
    entry.signer = key.signer;
    const Bytes object = entry.encode(key.seed);
    if (object.size() > kAuditEntryBytesMax) {
      return Error{holdfast::Errc::limit_exceeded, "an audit entry of more than 1 MiB"};
    }
    const crypto::Digest sha256 = crypto::sha256(object);
    // What nobody would believe is not put.
    TRYV(state_.would_apply(entry, sha256));
    const Status put = store.put_if_absent(audit_name(entry.sequence), object);
    if (!put.ok() && put.error().code != std::errc::file_exists) return put.error();
    TRYV(refresh(store));
    const auto ours = std::find_if(entries_.rbegin(), entries_.rend(),
                                   [&](const LoggedEntry& e) { return e.sha256 == sha256; });
    if (ours != entries_.rend()) return entry.sequence;
    // Somebody else's entry, or junk, took the number.
  }
  return Error{std::make_error_code(std::errc::resource_unavailable_try_again),
               "the audit log at " + store.location() + " has no free number within reach"};
}

Result<uint64_t> AuditLog::append(Store& store, const AuditKey& key, int64_t time_ns,
                                  std::vector<Action> actions) {
  return append(store, key, time_ns,
                [&](const LifecycleState&) -> Result<std::vector<Action>> { return actions; });
}

}  // namespace holdfast::vault
