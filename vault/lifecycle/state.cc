#include "vault/lifecycle/state.h"

#include <algorithm>
#include <functional>

#include "vault/errc.h"

namespace holdfast::vault {
namespace {

Error refused(std::string why) {
  return Error{Errc::refused, std::move(why)};
}

std::string number(uint64_t n) {
  return std::to_string(n);
}

// Applies the actions of one entry. Every change leaves its reversal, so that an entry that is
// refused half way leaves nothing, without a copy of a state that may hold a million points.
class Replay {
 public:
  Replay(LifecycleState& state, const AuditEntry& entry, const crypto::Digest& sha256)
      : s_(state), entry_(entry), sha256_(sha256) {}

  Status run() {
    TRYV(look_at_signer());
    for (const Action& action : entry_.actions) TRYV(apply(action, false));
    set(s_.head, PointRef{entry_.sequence, sha256_});
    set(s_.time_ns, time_confirmed_ ? entry_.time_ns : std::max(s_.time_ns, entry_.time_ns));
    return {};
  }
  void undo() {
    for (auto it = undo_.rbegin(); it != undo_.rend(); ++it) (*it)();
    undo_.clear();
  }

 private:
  Status look_at_signer() {
    if (!entry_.signer.granted) {
      if (entry_.signer.generation < s_.generation) {
        return refused("signed by the vault key of generation " + number(entry_.signer.generation) +
                       ", which generation " + number(s_.generation) + " took over from");
      }
      set(s_.generation, entry_.signer.generation);
      return {};
    }
    const auto it = s_.grants.find(*entry_.signer.granted);
    if (it == s_.grants.end()) return refused("signed by a key that nobody granted");
    if (!it->second.active) return refused("signed by the revoked key '" + it->second.label + "'");
    role_ = it->second.role;
    return {};
  }

  template <class T, class V>
  void set(T& at, V value) {
    undo_.push_back([&at, before = at] { at = before; });
    at = std::move(value);
  }
  template <class K, class V>
  void put(std::map<K, V>& map, const K& key, V value) {
    const auto it = map.find(key);
    if (it == map.end()) {
      undo_.push_back([&map, key] { map.erase(key); });
      map.emplace(key, std::move(value));
    } else {
      // By key: the element may be dropped, and made again elsewhere, before this is undone.
      undo_.push_back([&map, key, before = it->second] { map.at(key) = before; });
      it->second = std::move(value);
    }
  }
  template <class K, class V>
  void drop(std::map<K, V>& map, const K& key) {
    const auto it = map.find(key);
    if (it == map.end()) return;
    undo_.push_back([&map, key, before = it->second] { map.emplace(key, before); });
    map.erase(it);
  }
  // References to values of a map stay good, and an empty item is as good as none.
  ItemLifecycle& item(const ItemId& id) { return s_.items[id]; }

  // What the vault key may do, and, where the vault demands a second person, only with an approval.
  Status by_owner(bool approved, bool is_destructive, const char* what) const {
    if (approved) return {};
    if (role_) {
      return refused(std::string(what) + " takes the vault key, not the key of " +
                     (*role_ == Role::maintainer ? "a maintainer" : "an approver"));
    }
    if (is_destructive && s_.approval_required) {
      return refused(std::string(what) + " needs a second person's approval in this vault");
    }
    return {};
  }
  Status by_role(Role role, const char* what) const {
    if (role_ == role) return {};
    return refused(std::string(what) + " is for " + std::string(name_of(role)) + "s");
  }

  Status apply(const Action& action, bool approved) {
    return std::visit([&](const auto& a) { return take(a, approved); }, action);
  }

  Status take(const audit::Grant& a, bool approved) {
    TRYV(by_owner(approved, true, "granting a key"));
    for (const auto& [id, grant] : s_.grants) {
      if (id == a.id || grant.key == a.key) return refused("this key was granted before");
    }
    put(s_.grants, a.id, GrantState{a.key, a.role, a.label, entry_.time_ns, true});
    return {};
  }
  Status take(const audit::Revoke& a, bool approved) {
    TRYV(by_owner(approved, true, "revoking a key"));
    const auto it = s_.grants.find(a.id);
    if (it == s_.grants.end() || !it->second.active) {
      return refused("there is no active key " + a.id.hex());
    }
    if (s_.approval_required && it->second.role == Role::approver &&
        s_.active(Role::approver) == 1) {
      return refused("this is the last approver, and the vault demands approvals");
    }
    set(it->second.active, false);
    return {};
  }
  Status take(const audit::Generation&, bool) { return by_owner(false, false, "a rotation"); }

  // Whether a policy's rules must not be loosened.
  Immutability level_of(const PolicyState* policy) const {
    return policy == nullptr ? s_.immutability : std::max(s_.immutability, policy->immutability);
  }
  static std::string is_immutable(Immutability level) {
    return level == Immutability::locked ? "immutability is locked"
                                         : "immutability is on (unlocked)";
  }

  Status take(const audit::SetPolicy& a, bool approved) {
    if (a.name.empty()) return refused("a policy needs a name");
    const auto it = s_.policies.find(a.name);
    const bool less = it != s_.policies.end() && keeps_less(it->second.policy, a.policy);
    TRYV(by_owner(approved, less, "lowering a policy"));
    if (it == s_.policies.end()) {
      put(s_.policies, a.name, PolicyState{a.policy, Immutability::off});
      return {};
    }
    if (const Immutability level = level_of(&it->second); less && level != Immutability::off) {
      return refused("policy '" + a.name + "' would keep less than now, and " +
                     is_immutable(level));
    }
    put(s_.policies, a.name, PolicyState{a.policy, it->second.immutability});
    return {};
  }
  Status take(const audit::RemovePolicy& a, bool approved) {
    TRYV(by_owner(approved, true, "removing a policy"));
    const auto it = s_.policies.find(a.name);
    if (it == s_.policies.end()) return refused("there is no policy '" + a.name + "'");
    const bool assigned = s_.default_policy == a.name ||
                          std::any_of(s_.items.begin(), s_.items.end(),
                                      [&](const auto& i) { return i.second.policy == a.name; });
    if (assigned) return refused("policy '" + a.name + "' is assigned; assign another one first");
    drop(s_.policies, std::string(a.name));
    return {};
  }
  Status take(const audit::Assign& a, bool approved) {
    if (!a.policy.empty() && !s_.policies.contains(a.policy)) {
      return refused("there is no policy '" + a.policy + "'");
    }
    const bool is_default = a.item.is_zero();
    const PolicyState* before = is_default ? find_policy(s_.default_policy) : s_.policy_of(a.item);
    const PolicyState* after = find_policy(a.policy);
    if (!is_default && a.policy.empty()) after = find_policy(s_.default_policy);
    static const RetentionPolicy kEverything;
    const bool less = keeps_less(before == nullptr ? kEverything : before->policy,
                                 after == nullptr ? kEverything : after->policy);
    TRYV(by_owner(approved, less, "assigning a policy that keeps less"));
    const Immutability level = level_of(before);
    if (less && level != Immutability::off) {
      return refused("the item would keep less than now, and " + is_immutable(level));
    }
    const Immutability own = before == nullptr ? Immutability::off : before->immutability;
    if (own != Immutability::off && (after == nullptr || after->immutability < own)) {
      return refused("the item would leave a policy whose " + is_immutable(own) +
                     " for one that is less so");
    }
    if (is_default) {
      set(s_.default_policy, a.policy);
    } else {
      set(item(a.item).policy,
          a.policy.empty() ? std::optional<std::string>() : std::optional(a.policy));
    }
    return {};
  }
  const PolicyState* find_policy(const std::string& name) const {
    const auto it = s_.policies.find(name);
    return it == s_.policies.end() ? nullptr : &it->second;
  }

  Status take(const audit::SoftDelete& a, bool approved) {
    if (a.reason == DeleteReason::by_policy) {
      TRYV(by_role(Role::maintainer, "expiring by policy"));
      const PolicyState* policy = s_.policy_of(a.item);
      if (policy == nullptr || policy->policy.is_empty()) {
        return refused("no policy expires points of item " + a.item.hex());
      }
    } else {
      TRYV(by_owner(approved, true, "deleting points"));
      if (const auto level = s_.immutability_of(a.item); level != Immutability::off) {
        return refused("points would go before their time, and " + is_immutable(level));
      }
    }
    ItemLifecycle& i = item(a.item);
    for (const PointRef& p : a.points) {
      if (const auto* why = s_.hold_on(a.item, p.sequence)) {
        return refused("point #" + number(p.sequence) + " is held: " + *why);
      }
      if (i.deleted.contains(p.sequence)) {
        return refused("point #" + number(p.sequence) + " is deleted already");
      }
      const int64_t now = std::max(s_.time_ns, entry_.time_ns);
      put(i.deleted, p.sequence,
          DeletedPoint{p.sha256, now, now + s_.soft_delete_days * kDayNs, a.reason});
    }
    return {};
  }
  Status take(const audit::Undelete& a, bool approved) {
    TRYV(by_owner(approved, false, "bringing points back"));
    ItemLifecycle& i = item(a.item);
    for (const uint64_t sequence : a.sequences) {
      if (!i.deleted.contains(sequence)) {
        return refused("point #" + number(sequence) + " is not soft-deleted");
      }
      drop(i.deleted, sequence);
    }
    return {};
  }
  Status take(const audit::Purge& a, bool approved) {
    if (role_) {
      TRYV(by_role(Role::maintainer, "purging"));
    } else {
      TRYV(by_owner(approved, false, "purging"));
    }
    ItemLifecycle& i = item(a.item);
    for (const PointRef& p : a.points) {
      const auto it = i.deleted.find(p.sequence);
      if (it == i.deleted.end() || it->second.sha256 != p.sha256) {
        return refused("point #" + number(p.sequence) + " is not soft-deleted");
      }
      if (const auto* why = s_.hold_on(a.item, p.sequence)) {
        return refused("point #" + number(p.sequence) + " is held: " + *why);
      }
      if (entry_.time_ns < it->second.due_ns) {
        return refused("point #" + number(p.sequence) + " is in its time of grace yet");
      }
      put(i.purged, p.sequence, crypto::Digest(p.sha256));
      drop(i.deleted, p.sequence);
    }
    return {};
  }
  Status take(const audit::Hold& a, bool approved) {
    TRYV(by_owner(approved, false, "a hold"));
    put(item(a.item).holds, a.sequence, std::string(a.reason));
    return {};
  }
  Status take(const audit::Release& a, bool approved) {
    TRYV(by_owner(approved, true, "releasing a hold"));
    ItemLifecycle& i = item(a.item);
    if (!i.holds.contains(a.sequence)) return refused("there is no such hold");
    drop(i.holds, a.sequence);
    return {};
  }
  Status take(const audit::SetSoftDelete& a, bool approved) {
    if (a.days < kSoftDeleteDaysMin || a.days > kSoftDeleteDaysMax) {
      return refused("soft delete takes 14 to 180 days");
    }
    const bool less = a.days < s_.soft_delete_days;
    TRYV(by_owner(approved, less, "shortening soft delete"));
    if (less && s_.immutability != Immutability::off) {
      return refused("soft delete would be shorter than now, and " + is_immutable(s_.immutability));
    }
    set(s_.soft_delete_days, a.days);
    return {};
  }
  Status take(const audit::SetImmutability& a, bool approved) {
    const PolicyState* policy = find_policy(a.policy);
    if (!a.policy.empty() && policy == nullptr) {
      return refused("there is no policy '" + a.policy + "'");
    }
    const Immutability now = policy != nullptr ? policy->immutability : s_.immutability;
    TRYV(by_owner(approved, a.level < now, "turning immutability off"));
    if (now == Immutability::locked && a.level != Immutability::locked) {
      return refused("immutability is locked; that cannot be undone by anybody");
    }
    if (policy != nullptr) {
      put(s_.policies, a.policy, PolicyState{policy->policy, a.level});
    } else {
      set(s_.immutability, a.level);
    }
    return {};
  }
  Status take(const audit::SetApproval& a, bool approved) {
    TRYV(by_owner(approved, !a.required, "doing without approvals"));
    if (a.required && s_.active(Role::approver) == 0) {
      return refused("there is no approver yet; grant a key to one first");
    }
    set(s_.approval_required, a.required);
    return {};
  }
  Status take(const audit::Request& a, bool) {
    TRYV(by_owner(false, false, "a request"));
    if (!s_.approval_required) return refused("this vault demands no approvals");
    TRY(auto actions, decode_actions(a.actions));
    // What would be refused then is refused now. Tried, and taken back.
    Replay trial(s_, entry_, sha256_);
    trial.role_ = role_;
    Status tried;
    for (const Action& inner : actions) {
      tried = trial.apply(inner, true);
      if (!tried.ok()) break;
    }
    trial.undo();
    TRYV(std::move(tried));
    put(s_.requests, entry_.sequence, OpenRequest{sha256_, entry_.time_ns, std::move(actions)});
    return {};
  }
  Status take(const audit::Approve& a, bool) {
    TRYV(by_role(Role::approver, "approving"));
    const auto it = s_.requests.find(a.sequence);
    if (it == s_.requests.end() || it->second.sha256 != a.sha256) {
      return refused("there is no open request " + number(a.sequence));
    }
    if (entry_.time_ns - it->second.time_ns > kRequestValidNs) {
      return refused("request " + number(a.sequence) + " is older than 14 days");
    }
    const std::vector<Action> actions = it->second.actions;
    drop(s_.requests, uint64_t{a.sequence});
    for (const Action& action : actions) TRYV(apply(action, true));
    return {};
  }
  Status take(const audit::ConfirmClock&, bool approved) {
    TRYV(by_owner(approved, true, "confirming the clock"));
    time_confirmed_ = true;
    return {};
  }
  Status take(const audit::ConfirmItem& a, bool approved) {
    TRYV(by_owner(approved, true, "letting expiry go on"));
    set(item(a.item).confirmed_sequence, a.sequence);
    return {};
  }
  Status take(const audit::Note&, bool) { return {}; }

  LifecycleState& s_;
  const AuditEntry& entry_;
  const crypto::Digest sha256_;
  std::optional<Role> role_;  // of the signer; none: the vault key
  bool time_confirmed_ = false;
  std::vector<std::function<void()>> undo_;
};

std::string count_of(size_t n, const char* what) {
  return number(n) + " " + what + (n == 1 ? "" : "s");
}
std::string short_id(const ItemId& item) {
  return item.is_zero() ? "all items" : "item " + item.hex().substr(0, 12);
}
std::string point_of(const ItemId& item, uint64_t sequence) {
  return sequence == 0 ? short_id(item) : "point #" + number(sequence) + " of " + short_id(item);
}

struct Describe {
  std::string operator()(const audit::Grant& a) const {
    return "granted a key as " + std::string(name_of(a.role)) + " to '" + a.label + "' (" +
           a.id.hex() + ")";
  }
  std::string operator()(const audit::Revoke& a) const { return "revoked the key " + a.id.hex(); }
  std::string operator()(const audit::Generation&) const { return "the vault's keys were rotated"; }
  std::string operator()(const audit::SetPolicy& a) const { return "set policy '" + a.name + "'"; }
  std::string operator()(const audit::RemovePolicy& a) const {
    return "removed policy '" + a.name + "'";
  }
  std::string operator()(const audit::Assign& a) const {
    return (a.policy.empty() ? "no policy" : "policy '" + a.policy + "'") + " for " +
           short_id(a.item);
  }
  std::string operator()(const audit::SoftDelete& a) const {
    return "deleted " + count_of(a.points.size(), "point") + " of " + short_id(a.item) +
           (a.reason == DeleteReason::by_policy ? " by policy" : " by hand");
  }
  std::string operator()(const audit::Undelete& a) const {
    return "brought back " + count_of(a.sequences.size(), "point") + " of " + short_id(a.item);
  }
  std::string operator()(const audit::Purge& a) const {
    return "purged " + count_of(a.points.size(), "point") + " of " + short_id(a.item);
  }
  std::string operator()(const audit::Hold& a) const {
    return "hold on " + point_of(a.item, a.sequence) + ": " + a.reason;
  }
  std::string operator()(const audit::Release& a) const {
    return "released the hold on " + point_of(a.item, a.sequence);
  }
  std::string operator()(const audit::SetSoftDelete& a) const {
    return "soft delete of " + count_of(a.days, "day");
  }
  std::string operator()(const audit::SetImmutability& a) const {
    return "immutability of " + (a.policy.empty() ? "the vault" : "policy '" + a.policy + "'") +
           ": " + std::string(name_of(a.level));
  }
  std::string operator()(const audit::SetApproval& a) const {
    return a.required ? "destructive operations need a second person's approval"
                      : "approvals are not needed any more";
  }
  std::string operator()(const audit::Request& a) const {
    std::string text = "asked for approval of: ";
    const auto actions = decode_actions(a.actions);
    if (!actions.ok()) return text + "something unreadable";
    for (size_t i = 0; i < actions->size(); ++i) {
      text += (i == 0 ? "" : "; ") + describe((*actions)[i]);
    }
    return text;
  }
  std::string operator()(const audit::Approve& a) const {
    return "approved request " + number(a.sequence);
  }
  std::string operator()(const audit::ConfirmClock&) const { return "confirmed the clock"; }
  std::string operator()(const audit::ConfirmItem& a) const {
    return "confirmed " + short_id(a.item) + " up to point #" + number(a.sequence);
  }
  std::string operator()(const audit::Note& a) const {
    const char* kind = a.kind == NoteKind::refusal  ? "refused: "
                       : a.kind == NoteKind::result ? "result: "
                                                    : "alert: ";
    return kind + a.text;
  }
};

}  // namespace

Status LifecycleState::apply(const AuditEntry& entry, const crypto::Digest& entry_sha256) {
  Replay replay(*this, entry, entry_sha256);
  Status done = replay.run();
  if (!done.ok()) replay.undo();
  return done;
}

Status LifecycleState::would_apply(const AuditEntry& entry, const crypto::Digest& entry_sha256) {
  Replay replay(*this, entry, entry_sha256);
  Status done = replay.run();
  replay.undo();
  return done;
}

const ItemLifecycle* LifecycleState::find(const ItemId& item) const {
  const auto it = items.find(item);
  return it == items.end() ? nullptr : &it->second;
}

const PolicyState* LifecycleState::policy_of(const ItemId& item, std::string* name) const {
  const ItemLifecycle* own = find(item);
  const std::string& chosen = own != nullptr && own->policy ? *own->policy : default_policy;
  if (name != nullptr) *name = chosen;
  const auto it = policies.find(chosen);
  return it == policies.end() ? nullptr : &it->second;
}

const std::string* LifecycleState::hold_on(const ItemId& item, uint64_t sequence) const {
  const ItemLifecycle* i = find(item);
  if (i == nullptr) return nullptr;
  for (const uint64_t key : {uint64_t{0}, sequence}) {
    if (const auto it = i->holds.find(key); it != i->holds.end()) return &it->second;
  }
  return nullptr;
}

Immutability LifecycleState::immutability_of(const ItemId& item) const {
  const PolicyState* policy = policy_of(item);
  return policy == nullptr ? immutability : std::max(immutability, policy->immutability);
}

bool LifecycleState::is_purged(const ItemId& item, const PointRef& point) const {
  const ItemLifecycle* i = find(item);
  if (i == nullptr) return false;
  const auto it = i->purged.find(point.sequence);
  return it != i->purged.end() && it->second == point.sha256;
}

const DeletedPoint* LifecycleState::deleted(const ItemId& item, const PointRef& point) const {
  const ItemLifecycle* i = find(item);
  if (i == nullptr) return nullptr;
  const auto it = i->deleted.find(point.sequence);
  return it == i->deleted.end() || it->second.sha256 != point.sha256 ? nullptr : &it->second;
}

size_t LifecycleState::active(Role role) const {
  return static_cast<size_t>(std::count_if(grants.begin(), grants.end(), [&](const auto& g) {
    return g.second.active && g.second.role == role;
  }));
}

std::string describe(const Action& action) {
  return std::visit(Describe{}, action);
}

std::string_view name_of(Immutability level) {
  return level == Immutability::off        ? "off"
         : level == Immutability::unlocked ? "unlocked"
                                           : "locked";
}

std::string_view name_of(Role role) {
  return role == Role::maintainer ? "maintainer" : "approver";
}

}  // namespace holdfast::vault
