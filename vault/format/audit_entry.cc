#include "vault/format/audit_entry.h"

#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

// One description of each action's fields serves both directions.
class Writer {
 public:
  explicit Writer(wire::Encoder& out) : out_(out) {}
  template <size_t N>
  void operator()(const ByteArray<N>& bytes) {
    out_.raw(bytes);
  }
  template <class Tag, size_t N>
  void operator()(const FixedId<Tag, N>& id) {
    out_.raw(id.view());
  }
  void operator()(uint64_t n) { out_.u64(n); }
  void operator()(uint16_t n) { out_.u16(n); }
  void flag(bool b) { out_.u8(b ? 1 : 0); }
  template <class E>
  void choice(E e, E, E) {
    out_.u8(static_cast<uint8_t>(e));
  }
  void text(const std::string& t, size_t) { out_.block(t); }
  void bytes(const Bytes& b, size_t) { out_.block(b); }
  void policy(const RetentionPolicy& p) { encode_policy(out_, p); }
  template <class T>
  void list(const std::vector<T>& items) {
    out_.varint(items.size());
    for (const T& item : items) element(item);
  }

 private:
  void element(uint64_t n) { out_.u64(n); }
  void element(const PointRef& p) {
    out_.u64(p.sequence);
    out_.raw(p.sha256);
  }
  wire::Encoder& out_;
};

class Reader {
 public:
  explicit Reader(wire::Decoder& in) : in_(in) {}
  template <size_t N>
  void operator()(ByteArray<N>& bytes) {
    bytes = in_.array<N>();
  }
  template <class Tag, size_t N>
  void operator()(FixedId<Tag, N>& id) {
    id = read_id<FixedId<Tag, N>>(in_);
  }
  void operator()(uint64_t& n) { n = in_.u64(); }
  void operator()(uint16_t& n) { n = in_.u16(); }
  void flag(bool& b) {
    const uint8_t n = in_.u8();
    if (n > 1) in_.fail("has a flag that is neither 0 nor 1");
    b = n == 1;
  }
  template <class E>
  void choice(E& e, E first, E last) {
    const uint8_t n = in_.u8();
    if (n < static_cast<uint8_t>(first) || n > static_cast<uint8_t>(last)) {
      in_.fail("has an unknown kind");
      return;
    }
    e = static_cast<E>(n);
  }
  void text(std::string& t, size_t bytes_max) { t = in_.text(bytes_max); }
  void bytes(Bytes& b, size_t bytes_max) { b = to_bytes(in_.block(bytes_max)); }
  void policy(RetentionPolicy& p) { p = decode_policy(in_); }
  // Rising, so that no point is named twice.
  template <class T>
  void list(std::vector<T>& items) {
    const uint64_t n = in_.count(in_.varint_max(kAuditPointsMax), sizeof(T));
    for (uint64_t i = 0; i < n && in_.ok(); ++i) {
      T item = element(static_cast<T*>(nullptr));
      if (!items.empty() && sequence(items.back()) >= sequence(item)) {
        in_.fail("has a list of points that does not rise");
      }
      items.push_back(item);
    }
  }

 private:
  static uint64_t sequence(uint64_t n) { return n; }
  static uint64_t sequence(const PointRef& p) { return p.sequence; }
  uint64_t element(uint64_t*) { return in_.u64(); }
  PointRef element(PointRef*) {
    PointRef p;
    p.sequence = in_.u64();
    p.sha256 = in_.array<32>();
    return p;
  }
  wire::Decoder& in_;
};
static_assert(sizeof(PointRef) == 40, "as many bytes as its encoding: a bound for counts");

template <class F, class A>
void fields(F&& f, A& action) {
  using T = std::remove_const_t<A>;
  if constexpr (std::is_same_v<T, audit::Grant>) {
    f(action.id);
    f(action.key);
    f.choice(action.role, Role::maintainer, Role::approver);
    f.text(action.label, 255);
  } else if constexpr (std::is_same_v<T, audit::Revoke>) {
    f(action.id);
  } else if constexpr (std::is_same_v<T, audit::SetPolicy>) {
    f.text(action.name, kPolicyNameBytesMax);
    f.policy(action.policy);
  } else if constexpr (std::is_same_v<T, audit::RemovePolicy>) {
    f.text(action.name, kPolicyNameBytesMax);
  } else if constexpr (std::is_same_v<T, audit::Assign>) {
    f(action.item);
    f.text(action.policy, kPolicyNameBytesMax);
  } else if constexpr (std::is_same_v<T, audit::SoftDelete>) {
    f(action.item);
    f.choice(action.reason, DeleteReason::by_policy, DeleteReason::by_hand);
    f.list(action.points);
  } else if constexpr (std::is_same_v<T, audit::Undelete>) {
    f(action.item);
    f.list(action.sequences);
  } else if constexpr (std::is_same_v<T, audit::Purge>) {
    f(action.item);
    f.list(action.points);
  } else if constexpr (std::is_same_v<T, audit::Hold>) {
    f(action.item);
    f(action.sequence);
    f.text(action.reason, kAuditTextBytesMax);
  } else if constexpr (std::is_same_v<T, audit::Release> || std::is_same_v<T, audit::ConfirmItem>) {
    f(action.item);
    f(action.sequence);
  } else if constexpr (std::is_same_v<T, audit::SetSoftDelete>) {
    f(action.days);
  } else if constexpr (std::is_same_v<T, audit::SetImmutability>) {
    f.text(action.policy, kPolicyNameBytesMax);
    f.choice(action.level, Immutability::off, Immutability::locked);
  } else if constexpr (std::is_same_v<T, audit::SetApproval>) {
    f.flag(action.required);
  } else if constexpr (std::is_same_v<T, audit::Request>) {
    f.bytes(action.actions, kAuditEntryBytesMax);
  } else if constexpr (std::is_same_v<T, audit::Approve>) {
    f(action.sequence);
    f(action.sha256);
  } else if constexpr (std::is_same_v<T, audit::Note>) {
    f.choice(action.kind, NoteKind::refusal, NoteKind::alert);
    f.text(action.text, kAuditTextBytesMax);
  } else {
    static_assert(std::is_same_v<T, audit::Generation> || std::is_same_v<T, audit::ConfirmClock>);
  }
}

template <size_t I = 0>
Action decode_action(wire::Decoder& in, uint8_t type) {
  if constexpr (I == std::variant_size_v<Action>) {
    in.fail("has an action of an unknown type");
    return audit::Generation{};
  } else {
    if (type != I + 1) return decode_action<I + 1>(in, type);
    std::variant_alternative_t<I, Action> action;
    fields(Reader(in), action);
    return action;
  }
}

// What a request asks for stands one level deep: inside it there are neither requests nor
// approvals.
enum class Level { entry, request };

std::vector<Action> read_actions(wire::Decoder& in, Level level) {
  std::vector<Action> actions;
  const uint64_t count = in.count(in.varint_max(kAuditActionsMax), 1);
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    actions.push_back(decode_action(in, in.u8()));
    const Action& action = actions.back();
    const auto* request = std::get_if<audit::Request>(&action);
    if (level == Level::request &&
        (request != nullptr || std::holds_alternative<audit::Approve>(action))) {
      in.fail("has a request for a request");
      break;
    }
    if (request == nullptr) continue;
    wire::Decoder inner(request->actions, "request");
    read_actions(inner, Level::request);
    if (!inner.finish().ok()) in.fail("has a request that does not decode");
  }
  return actions;
}

void write_actions(wire::Encoder& out, const std::vector<Action>& actions) {
  out.varint(actions.size());
  for (const Action& action : actions) {
    out.u8(static_cast<uint8_t>(action.index() + 1));
    std::visit([&](const auto& a) { fields(Writer(out), a); }, action);
  }
}

}  // namespace

Bytes encode_actions(const std::vector<Action>& actions) {
  wire::Encoder out;
  write_actions(out, actions);
  return out.take();
}

Result<std::vector<Action>> decode_actions(ByteView bytes) {
  wire::Decoder in(bytes, "list of actions");
  auto actions = read_actions(in, Level::request);
  TRYV(in.finish());
  return actions;
}

Bytes AuditEntry::encode(const crypto::Key256& signing_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.u64(sequence);
  out.u64(previous_sequence);
  out.raw(previous_sha256);
  out.i64(time_ns);
  out.u8(signer.granted ? 1 : 0);
  if (signer.granted) {
    out.raw(signer.granted->view());
  } else {
    out.u32(signer.generation);
  }
  write_actions(out, actions);
  return sign_object(kAuditMagic, out.view(), signing_seed);
}

Result<AuditEntry> decode_audit_entry(ByteView object) {
  if (object.size() > kAuditEntryBytesMax) {
    return Error{holdfast::Errc::malformed, "audit entry of more than 1 MiB"};
  }
  TRY(const ByteView body, unverified_body(kAuditMagic, object));
  wire::Decoder in(body, "audit entry");
  AuditEntry e;
  e.vault = read_id<VaultId>(in);
  e.sequence = in.u64();
  e.previous_sequence = in.u64();
  e.previous_sha256 = in.array<32>();
  e.time_ns = in.i64();
  if (e.time_ns < 0 || e.time_ns > kAuditTimeMaxNs) in.fail("has an impossible time");
  const uint8_t signer = in.u8();
  if (signer > 1) in.fail("has an unknown kind of signer");
  if (signer == 1) {
    e.signer.granted = read_id<MaintainerId>(in);
  } else {
    e.signer.generation = in.u32();
  }
  if (in.ok() && (e.sequence == 0 || e.previous_sequence >= e.sequence)) {
    in.fail("has impossible sequence numbers");
  }
  e.actions = read_actions(in, Level::entry);
  TRYV(in.finish());
  return e;
}

}  // namespace holdfast::vault
