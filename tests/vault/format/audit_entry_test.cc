// Goal: an audit entry keeps every field of every action, and refuses whatever has another form.
// Method: one entry with all actions; then each prefix, each changed length, and single rules.
#include "vault/format/audit_entry.h"

#include "tests/support/expect.h"
#include "vault/format/maintainer_keys.h"

namespace holdfast::vault {
namespace {

RetentionPolicy full_policy() {
  RetentionPolicy p;
  p.keep_last = 3;
  p.keep_hourly = 24;
  p.keep_daily = 7;
  p.keep_weekly = 4;
  p.keep_monthly = 12;
  p.keep_yearly = kKeepAll;
  p.keep_within_s = 86'400;
  p.minimum_age_s = 3'600;
  p.keep_tags = {"release", ""};
  p.time_zone = "Europe/Berlin";
  p.burst_factor = 0;
  p.shrink_percent = 100;
  return p;
}

template <class Id>
Id id_of(uint8_t n) {
  Id id;
  id.bytes.fill(n);
  return id;
}

AuditEntry full_entry() {
  AuditEntry e;
  e.vault = id_of<VaultId>(1);
  e.sequence = 7;
  e.previous_sequence = 5;
  e.previous_sha256.fill(9);
  e.time_ns = 1'700'000'000'000'000'000;
  e.signer.generation = 2;
  const auto item = id_of<ItemId>(3);
  const crypto::Digest hash = crypto::sha256(as_bytes("x"));
  e.actions = {audit::Grant{id_of<MaintainerId>(4), hash, Role::approver, "name"},
               audit::Revoke{id_of<MaintainerId>(4)},
               audit::Generation{},
               audit::SetPolicy{"servers", full_policy()},
               audit::RemovePolicy{"servers"},
               audit::Assign{item, "servers"},
               audit::SoftDelete{item, DeleteReason::by_hand, {{1, hash}, {2, hash}}},
               audit::Undelete{item, {1, 2}},
               audit::Purge{item, {{2, hash}}},
               audit::Hold{item, 2, "court"},
               audit::Release{item, 2},
               audit::SetSoftDelete{30},
               audit::SetImmutability{"servers", Immutability::locked},
               audit::SetApproval{true},
               audit::Request{encode_actions({audit::ConfirmClock{}})},
               audit::Approve{3, hash},
               audit::ConfirmClock{},
               audit::ConfirmItem{item, 9},
               audit::Note{NoteKind::alert, "text"}};
  return e;
}

crypto::Key256 seed() {
  return crypto::Key256(ByteArray<32>{1});
}

TEST(AuditEntry, KeepsEveryFieldOfEveryAction) {
  const AuditEntry e = full_entry();
  ASSERT_EQ(e.actions.size(), std::variant_size_v<Action>);
  const Bytes object = e.encode(seed());
  ASSIGN(const AuditEntry back, decode_audit_entry(object));
  EXPECT_EQ(back.encode(seed()), object);
  EXPECT_EQ(back.sequence, 7u);
  EXPECT_EQ(back.previous_sequence, 5u);
  EXPECT_EQ(back.signer, e.signer);
  for (size_t i = 0; i < e.actions.size(); ++i) EXPECT_EQ(back.actions[i].index(), i);
  EXPECT_EQ(std::get<audit::SetPolicy>(back.actions[3]).policy, full_policy());
  EXPECT_EQ(std::get<audit::SoftDelete>(back.actions[6]).points,
            std::get<audit::SoftDelete>(e.actions[6]).points);
  EXPECT_EQ(std::get<audit::Note>(back.actions[18]).text, "text");
  EXPECT_OK(verify_object(object, crypto::ed25519_public(seed()), "entry"));
  AuditEntry granted = e;
  granted.signer = {id_of<MaintainerId>(8), 0};
  ASSIGN(const AuditEntry signed_by_grant, decode_audit_entry(granted.encode(seed())));
  EXPECT_EQ(signed_by_grant.signer, granted.signer);
}

TEST(AuditEntry, RefusesEveryOtherLength) {
  const Bytes object = full_entry().encode(seed());
  const ByteView body = ByteView(object).subspan(8, object.size() - 72);
  for (size_t n = 0; n < body.size(); ++n) {
    EXPECT_FALSE(decode_audit_entry(sign_object(kAuditMagic, body.first(n), seed())).ok()) << n;
  }
  Bytes longer = to_bytes(body);
  longer.push_back(0);
  EXPECT_FALSE(decode_audit_entry(sign_object(kAuditMagic, longer, seed())).ok());
  EXPECT_FALSE(decode_audit_entry(sign_object("HFV1ROST", body, seed())).ok());
}

TEST(AuditEntry, RefusesWhatNobodyMayWrite) {
  const auto decodes = [](Action action) {
    AuditEntry e = full_entry();
    e.actions = {std::move(action)};
    return decode_audit_entry(e.encode(seed())).ok();
  };
  const crypto::Digest hash{};
  const ItemId item;
  EXPECT_TRUE(decodes(audit::SoftDelete{item, DeleteReason::by_hand, {{1, hash}}}));
  EXPECT_FALSE(decodes(audit::SoftDelete{item, static_cast<DeleteReason>(3), {{1, hash}}}));
  EXPECT_FALSE(decodes(audit::SoftDelete{item, DeleteReason::by_hand, {{2, hash}, {1, hash}}}));
  EXPECT_FALSE(decodes(audit::Undelete{item, {4, 4}}));
  EXPECT_FALSE(decodes(audit::SetImmutability{"", static_cast<Immutability>(3)}));
  EXPECT_FALSE(decodes(audit::Grant{{}, {}, static_cast<Role>(0), ""}));
  EXPECT_FALSE(decodes(audit::Note{NoteKind::alert, std::string(kAuditTextBytesMax + 1, 'x')}));
  EXPECT_FALSE(decodes(audit::Request{Bytes{1, 200}}));
  EXPECT_FALSE(decodes(audit::Request{encode_actions({audit::Request{encode_actions({})}})}));
  EXPECT_FALSE(decodes(audit::Request{encode_actions({audit::Approve{}})}));
  AuditEntry e = full_entry();
  e.previous_sequence = 7;
  EXPECT_FALSE(decode_audit_entry(e.encode(seed())).ok());
  for (const int64_t time : {int64_t{-1}, kAuditTimeMaxNs + 1}) {
    e = full_entry();
    e.time_ns = time;
    EXPECT_FALSE(decode_audit_entry(e.encode(seed())).ok());
  }
  // As deep as the object's size allows: refused, and not by running out of stack.
  Bytes deep = encode_actions({});
  while (deep.size() < 500'000) deep = encode_actions({audit::Request{deep}});
  EXPECT_FALSE(decodes(audit::Request{std::move(deep)}));
}

TEST(AuditEntry, PoliciesThatKeepLess) {
  const RetentionPolicy empty;
  const RetentionPolicy full = full_policy();
  EXPECT_TRUE(empty.is_empty());
  EXPECT_FALSE(keeps_less(full, full));
  EXPECT_TRUE(keeps_less(empty, full));  // an empty policy keeps everything
  EXPECT_FALSE(keeps_less(full, empty));
  const auto changed = [&](auto change) {
    RetentionPolicy p = full;
    change(p);
    return keeps_less(full, p);
  };
  EXPECT_TRUE(changed([](auto& p) { --p.keep_last; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_hourly; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_daily; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_weekly; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_monthly; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_yearly; }));
  EXPECT_TRUE(changed([](auto& p) { --p.keep_within_s; }));
  EXPECT_TRUE(changed([](auto& p) { --p.minimum_age_s; }));
  EXPECT_TRUE(changed([](auto& p) { p.keep_tags.pop_back(); }));
  EXPECT_TRUE(changed([](auto& p) { p.time_zone = "UTC"; }));
  EXPECT_TRUE(changed([](auto& p) { p.shrink_percent = 0; }));
  EXPECT_FALSE(changed([](auto& p) { ++p.keep_last; }));
  EXPECT_FALSE(changed([](auto& p) { p.keep_tags.push_back("more"); }));
  EXPECT_FALSE(changed([](auto& p) { p.burst_factor = 2; }));
}

TEST(MaintainerKeys, FileKeepsTheKeyAndNoticesDamage) {
  const MaintainerKeys keys = MaintainerKeys::create(id_of<VaultId>(1));
  const Bytes file = keys.encode();
  ASSIGN(const MaintainerKeys back, decode_maintainer_keys(file));
  EXPECT_EQ(back.vault, keys.vault);
  EXPECT_EQ(back.id, keys.id);
  EXPECT_EQ(back.public_key(), keys.public_key());
  for (size_t i = 0; i < file.size(); ++i) {
    Bytes damaged = file;
    damaged[i] ^= 1;
    EXPECT_FALSE(decode_maintainer_keys(damaged).ok()) << i;
  }
  EXPECT_FALSE(decode_maintainer_keys(ByteView(file).first(file.size() - 1)).ok());
}

}  // namespace
}  // namespace holdfast::vault
