// What vault/lifecycle decodes: audit entries, as anybody puts them and as the body of one that is
// signed rightly; lists of actions; the files of a machine's keys and clock; zoneinfo files. What
// decodes must encode to the very same bytes, or two readers could reach two states from one log.
#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/format/digest.h"
#include "vault/format/maintainer_keys.h"
#include "vault/format/object_names.h"
#include "vault/lifecycle/clock.h"
#include "vault/lifecycle/state.h"
#include "vault/lifecycle/time_zone.h"

namespace holdfast::fuzz {
namespace {

using namespace vault;  // NOLINT: a test

const crypto::Key256& seed() {
  static const crypto::Key256 key(ByteArray<32>{7});
  return key;
}

// Replayed by a state that has something of everything: it may refuse, and must be as it was then.
void try_entry(const AuditEntry& entry) {
  LifecycleState state;
  AuditEntry before;
  before.sequence = 1;
  const auto grant = entry.signer.granted.value_or(MaintainerId());
  before.actions = {audit::Grant{grant, {}, Role::maintainer, "m"},
                    audit::SetPolicy{"p", RetentionPolicy{}}, audit::Hold{ItemId(), 1, "h"}};
  CHECK(state.apply(before, {}).ok());
  const size_t grants = state.grants.size();
  const Status would = state.would_apply(entry, {});
  CHECK(state.grants.size() == grants && state.head.sequence == 1);
  CHECK(state.policies.size() == 1 && state.requests.empty());
  const Status done = state.apply(entry, {});
  CHECK(done.ok() == would.ok());
  CHECK(done.ok() || (state.head.sequence == 1 && state.policies.size() == 1));
  for (const Action& action : entry.actions) (void)describe(action);
}

void try_signed(ByteView body) {
  const Bytes object = sign_object(kAuditMagic, body, seed());
  const auto entry = decode_audit_entry(object);
  if (!entry.ok()) return;
  CHECK(equal(entry->encode(seed()), object));
  try_entry(*entry);
}

}  // namespace

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  switch (input[0] % 6) {
    case 0:
      (void)decode_audit_entry(bytes);
      break;
    case 1:
      try_signed(bytes);
      break;
    case 2:
      if (const auto actions = decode_actions(bytes); actions.ok()) {
        CHECK(equal(encode_actions(*actions), bytes));
      }
      break;
    case 3: {
      const Bytes file = with_digest(to_bytes(bytes));
      if (const auto keys = decode_maintainer_keys(file); keys.ok()) {
        CHECK(equal(keys->encode(), file));
      }
      if (const auto mark = decode_clock_mark(file); mark.ok()) CHECK(equal(mark->encode(), file));
      break;
    }
    case 4: {
      const auto zone = TimeZone::decode(bytes);
      if (!zone.ok()) break;
      for (int64_t t = -5'000'000'000; t < 10'000'000'000; t += 97'654'321) (void)zone->offset_s(t);
      break;
    }
    default: {
      const std::string_view text = as_text(bytes);
      if (const auto n = parse_audit_name(text); n.ok()) CHECK(audit_name(*n) == text);
    }
  }
}

std::vector<Bytes> seeds(const Vectors&) {
  std::vector<Bytes> out;
  const auto add = [&](uint8_t kind, ByteView bytes) {
    out.push_back({kind});
    append(out.back(), bytes);
  };
  const ItemId item(ByteArray<16>{1});
  const crypto::Digest hash{};
  RetentionPolicy policy;
  policy.keep_daily = 7;
  policy.keep_tags = {"a", "b"};
  policy.time_zone = "Europe/Berlin";
  const std::vector<Action> actions = {
      audit::SetPolicy{"q", policy},
      audit::Assign{item, "q"},
      audit::SoftDelete{item, DeleteReason::by_hand, {{1, hash}, {2, hash}}},
      audit::Undelete{item, {1}},
      audit::Hold{item, 2, "why"},
      audit::Release{item, 2},
      audit::Purge{item, {{2, hash}}},
      audit::SetSoftDelete{30},
      audit::SetImmutability{"q", Immutability::unlocked},
      audit::RemovePolicy{"q"},
      audit::Grant{MaintainerId(ByteArray<16>{5}), ByteArray<32>{5}, Role::approver, "x"},
      audit::Revoke{MaintainerId(ByteArray<16>{5})},
      audit::SetApproval{true},
      audit::ConfirmClock{},
      audit::ConfirmItem{item, 3},
      audit::Generation{},
      audit::Note{NoteKind::result, "done"}};
  add(2, encode_actions(actions));
  AuditEntry entry;
  entry.sequence = 2;
  entry.previous_sequence = 1;
  const auto add_entry = [&] {
    const Bytes object = entry.encode(seed());
    add(0, object);
    add(1, ByteView(object).subspan(kMagicBytes, object.size() - kMagicBytes - kSignatureBytes));
  };
  entry.actions = actions;
  add_entry();
  for (const Action& action : actions) {
    entry.actions = {action};
    add_entry();
  }
  entry.actions = {audit::SetApproval{true}, audit::Request{encode_actions(actions)},
                   audit::Approve{2, hash}};
  add_entry();
  entry.signer.granted = MaintainerId(ByteArray<16>{6});
  entry.actions = {audit::Note{NoteKind::alert, ""}};
  add_entry();
  const Bytes keys = MaintainerKeys{VaultId(), MaintainerId(), seed()}.encode();
  add(3, ByteView(keys).first(keys.size() - 32));
  const Bytes mark = ClockMark{VaultId(), 5, {}}.encode();
  add(3, ByteView(mark).first(mark.size() - 32));
  // A zone with one transition and a rule: two headers, the second of times of 64 bits.
  const auto header = [](char version, uint8_t times) {
    Bytes h = to_bytes(as_bytes("TZif"));
    h.push_back(static_cast<uint8_t>(version));
    h.resize(20);
    for (const uint8_t count : {0, 0, 0, int{times}, 1, 4}) append(h, Bytes{0, 0, 0, count});
    return h;
  };
  Bytes zone = header('2', 0);
  append(zone, Bytes{0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0});
  append(zone, header('2', 1));
  append(zone, Bytes{0, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, 0, 0x0e, 0x10, 0, 0, 'C', 'E', 'T', 0});
  append(zone, as_bytes("\nCET-1CEST,M3.5.0,M10.5.0/3\n"));
  CHECK(TimeZone::decode(zone).ok());
  add(4, zone);
  add(5, as_bytes("audit/0000000012"));
  return out;
}

}  // namespace holdfast::fuzz
