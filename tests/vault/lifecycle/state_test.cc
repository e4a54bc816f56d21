// Goal: the rules that every reader applies: who may do what, what a lock forbids for ever, and
// that an entry takes effect as a whole or not at all. Method: entries applied to a state by hand,
// and after each refusal the state compared with what it was.
#include "vault/lifecycle/state.h"

#include "tests/support/expect.h"
#include "vault/errc.h"
#include "vault/lifecycle/clock.h"

namespace holdfast::vault {
namespace {

struct StateTest : ::testing::Test {
  LifecycleState state;
  MaintainerId maintainer = MaintainerId::random();
  MaintainerId approver = MaintainerId::random();
  ItemId item = ItemId(ByteArray<16>{1});
  crypto::Digest hash = crypto::sha256(as_bytes("manifest"));
  int64_t now = 1000 * kDayNs;
  uint64_t sequence = 0;

  StateTest() {
    grant(maintainer, Role::maintainer);
    grant(approver, Role::approver);
  }
  void grant(const MaintainerId& id, Role role) {
    CHECK(owner({audit::Grant{id, crypto::sha256(id.view()), role, ""}}).ok());
  }
  Status put(AuditSigner signer, std::vector<Action> actions) {
    AuditEntry e;
    e.sequence = ++sequence;
    e.time_ns = now;
    e.signer = signer;
    e.actions = std::move(actions);
    return state.apply(e, crypto::sha256(as_bytes(std::to_string(sequence))));
  }
  Status owner(std::vector<Action> actions) { return put({}, std::move(actions)); }
  Status keeper(std::vector<Action> actions) { return put({maintainer, 0}, std::move(actions)); }
  Status second(std::vector<Action> actions) { return put({approver, 0}, std::move(actions)); }

  static RetentionPolicy policy(uint32_t last) {
    RetentionPolicy p;
    p.keep_last = last;
    return p;
  }
  Action deletion(uint64_t n, DeleteReason reason) {
    return audit::SoftDelete{item, reason, {{n, hash}}};
  }
  void assign_policy() {
    ASSERT_OK(owner({audit::SetPolicy{"p", policy(5)}, audit::Assign{item, "p"}}));
  }
  Action request(std::vector<Action> actions) { return audit::Request{encode_actions(actions)}; }
};

#define EXPECT_REFUSED(expression) EXPECT_ERROR(Errc::refused, expression)

TEST_F(StateTest, EachHandDoesItsOwnThings) {
  assign_policy();
  // A maintainer expires by policy, and nothing else.
  EXPECT_OK(keeper({deletion(1, DeleteReason::by_policy)}));
  EXPECT_OK(keeper({audit::Note{NoteKind::result, "done"}}));
  const Action for_owners[] = {audit::Grant{MaintainerId::random(), {}, Role::maintainer, ""},
                               audit::Revoke{approver},
                               audit::Generation{},
                               audit::SetPolicy{"q", policy(1)},
                               audit::RemovePolicy{"p"},
                               audit::Assign{item, ""},
                               deletion(2, DeleteReason::by_hand),
                               audit::Undelete{item, {1}},
                               audit::Hold{item, 2, ""},
                               audit::Release{item, 2},
                               audit::SetSoftDelete{20},
                               audit::SetImmutability{"", Immutability::unlocked},
                               audit::SetApproval{true},
                               request({audit::ConfirmClock{}}),
                               audit::ConfirmClock{},
                               audit::ConfirmItem{item, 3}};
  for (const Action& a : for_owners) {
    EXPECT_REFUSED(keeper({a}));
    EXPECT_REFUSED(second({a}));
  }
  EXPECT_REFUSED(second({deletion(3, DeleteReason::by_policy)}));
  EXPECT_REFUSED(owner({deletion(3, DeleteReason::by_policy)}));
  EXPECT_REFUSED(keeper({audit::Approve{1, {}}}));
  EXPECT_REFUSED(owner({audit::Approve{1, {}}}));
  EXPECT_REFUSED(put({MaintainerId::random(), 0}, {audit::Note{}}));
  ASSERT_OK(owner({audit::Revoke{maintainer}}));
  EXPECT_REFUSED(keeper({deletion(3, DeleteReason::by_policy)}));
}

TEST_F(StateTest, AnEntryTakesEffectAsAWholeOrNotAtAll) {
  assign_policy();
  const PointRef head = state.head;
  EXPECT_REFUSED(owner({audit::SetPolicy{"q", policy(1)}, audit::SetPolicy{"p", policy(9)},
                        audit::Assign{item, "q"}, audit::Hold{item, 3, "x"},
                        deletion(4, DeleteReason::by_hand), audit::SetSoftDelete{30},
                        audit::RemovePolicy{"p"}, audit::SetImmutability{"", Immutability::locked},
                        audit::Revoke{maintainer}, audit::Undelete{item, {99}}}));
  EXPECT_EQ(state.head, head);
  EXPECT_FALSE(state.policies.contains("q"));
  EXPECT_EQ(state.policies.at("p").policy, policy(5));
  EXPECT_EQ(state.items.at(item).policy, "p");
  EXPECT_TRUE(state.items.at(item).holds.empty());
  EXPECT_TRUE(state.items.at(item).deleted.empty());
  EXPECT_EQ(state.soft_delete_days, kSoftDeleteDaysMin);
  EXPECT_EQ(state.immutability, Immutability::off);
  EXPECT_TRUE(state.grants.at(maintainer).active);
  EXPECT_EQ(state.time_ns, now);
}

TEST_F(StateTest, PointsAreLiveThenDeletedThenPurged) {
  assign_policy();
  EXPECT_REFUSED(put({maintainer, 0}, {audit::Purge{item, {{1, hash}}}}));  // live
  ASSERT_OK(keeper({deletion(1, DeleteReason::by_policy)}));
  EXPECT_REFUSED(keeper({deletion(1, DeleteReason::by_policy)}));
  EXPECT_NE(state.deleted(item, {1, hash}), nullptr);
  EXPECT_EQ(state.deleted(item, {1, {}}), nullptr);  // another manifest of that number
  now += 14 * kDayNs - 1;
  EXPECT_REFUSED(keeper({audit::Purge{item, {{1, hash}}}}));
  now += 1;
  EXPECT_REFUSED(keeper({audit::Purge{item, {{1, {}}}}}));
  ASSERT_OK(keeper({audit::Purge{item, {{1, hash}}}}));
  EXPECT_TRUE(state.is_purged(item, {1, hash}));
  EXPECT_FALSE(state.is_purged(item, {1, {}}));
  EXPECT_REFUSED(owner({audit::Undelete{item, {1}}}));
  // Brought back in time, it is live again.
  ASSERT_OK(keeper({deletion(2, DeleteReason::by_policy)}));
  ASSERT_OK(owner({audit::Undelete{item, {2}}}));
  EXPECT_EQ(state.deleted(item, {2, hash}), nullptr);
}

TEST_F(StateTest, ShorterSoftDeleteIsNotForWhatIsDeletedAlready) {
  assign_policy();
  ASSERT_OK(owner({audit::SetSoftDelete{100}}));
  ASSERT_OK(keeper({deletion(1, DeleteReason::by_policy)}));
  ASSERT_OK(owner({audit::SetSoftDelete{14}}));
  now += 50 * kDayNs;
  EXPECT_REFUSED(keeper({audit::Purge{item, {{1, hash}}}}));
  EXPECT_REFUSED(owner({audit::SetSoftDelete{13}}));
  EXPECT_REFUSED(owner({audit::SetSoftDelete{181}}));
}

TEST_F(StateTest, HeldPointsStay) {
  assign_policy();
  ASSERT_OK(owner({audit::Hold{item, 1, "court"}}));
  EXPECT_REFUSED(keeper({deletion(1, DeleteReason::by_policy)}));
  EXPECT_REFUSED(owner({deletion(1, DeleteReason::by_hand)}));
  ASSERT_OK(keeper({deletion(2, DeleteReason::by_policy)}));
  ASSERT_OK(owner({audit::Hold{item, 0, "all of it"}}));
  EXPECT_REFUSED(keeper({deletion(3, DeleteReason::by_policy)}));
  now += 20 * kDayNs;
  EXPECT_REFUSED(keeper({audit::Purge{item, {{2, hash}}}}));
  ASSERT_OK(owner({audit::Release{item, 0}}));
  EXPECT_OK(keeper({audit::Purge{item, {{2, hash}}}}));
  EXPECT_REFUSED(owner({audit::Release{item, 7}}));
}

TEST_F(StateTest, NoPolicyExpiresNothing) {
  EXPECT_REFUSED(keeper({deletion(1, DeleteReason::by_policy)}));
  ASSERT_OK(owner({audit::SetPolicy{"empty", {}}, audit::Assign{ItemId(), "empty"}}));
  EXPECT_REFUSED(keeper({deletion(1, DeleteReason::by_policy)}));
}

// What immutability forbids, unlocked and locked; the vault's own and that of a policy.
TEST_F(StateTest, ImmutabilityForbidsEveryWayToKeepLess) {
  for (const char* of : {"", "p"}) {
    for (const Immutability level : {Immutability::unlocked, Immutability::locked}) {
      state = {};
      sequence = 0;
      grant(maintainer, Role::maintainer);
      grant(approver, Role::approver);
      assign_policy();
      ASSERT_OK(owner({audit::SetPolicy{"less", policy(1)}, audit::SetPolicy{"more", policy(9)}}));
      ASSERT_OK(owner({audit::SetSoftDelete{60}}));
      ASSERT_OK(owner({audit::SetImmutability{of, level}}));
      EXPECT_REFUSED(owner({audit::SetPolicy{"p", policy(4)}}));
      EXPECT_REFUSED(owner({audit::Assign{item, "less"}}));
      EXPECT_REFUSED(owner({audit::RemovePolicy{"p"}}));
      EXPECT_REFUSED(owner({deletion(1, DeleteReason::by_hand)}));
      if (*of == '\0') {
        EXPECT_REFUSED(owner({audit::SetSoftDelete{59}}));
        // An item without a policy keeps everything; any rule would be less.
        EXPECT_REFUSED(owner({audit::Assign{ItemId(ByteArray<16>{2}), "more"}}));
        EXPECT_REFUSED(owner({audit::Assign{ItemId(), "more"}}));
      } else {
        EXPECT_REFUSED(owner({audit::Assign{item, "more"}}));  // it would leave the lock
        EXPECT_REFUSED(owner({audit::Assign{item, ""}}));
      }
      // More, and expiry by policy, is fine.
      EXPECT_OK(owner({audit::SetPolicy{"p", policy(6)}}));
      EXPECT_OK(owner({audit::SetSoftDelete{61}}));
      EXPECT_OK(keeper({deletion(2, DeleteReason::by_policy)}));
      EXPECT_OK(owner({audit::Hold{item, 3, ""}}));
      EXPECT_OK(owner({audit::Release{item, 3}}));
      const Status off = owner({audit::SetImmutability{of, Immutability::off}});
      EXPECT_EQ(off.ok(), level == Immutability::unlocked);
      if (level == Immutability::locked) {
        EXPECT_REFUSED(owner({audit::SetImmutability{of, Immutability::unlocked}}));
      }
    }
  }
}

TEST_F(StateTest, DestructiveOperationsNeedASecondPerson) {
  assign_policy();
  ASSERT_OK(owner({audit::SetApproval{true}}));
  const Action destructive[] = {audit::Grant{MaintainerId::random(), {}, Role::approver, ""},
                                audit::Revoke{maintainer},
                                audit::SetPolicy{"p", policy(4)},
                                audit::RemovePolicy{"p"},
                                deletion(1, DeleteReason::by_hand),
                                audit::Release{item, 1},
                                audit::SetApproval{false},
                                audit::ConfirmClock{},
                                audit::ConfirmItem{item, 3}};
  for (const Action& a : destructive) EXPECT_REFUSED(owner({a}));
  EXPECT_OK(owner({audit::SetPolicy{"p", policy(6)}}));  // keeps more
  EXPECT_OK(owner({audit::Hold{item, 1, ""}}));
  EXPECT_REFUSED(owner({request({audit::Revoke{approver}})}));  // the last one

  ASSERT_OK(owner({request({audit::Release{item, 1}, deletion(1, DeleteReason::by_hand)})}));
  const uint64_t asked = sequence;
  ASSERT_EQ(state.requests.size(), 1u);
  EXPECT_EQ(state.deleted(item, {1, hash}), nullptr);
  const crypto::Digest of_request = state.requests.at(asked).sha256;
  EXPECT_REFUSED(second({audit::Approve{asked, {}}}));
  EXPECT_REFUSED(owner({audit::Approve{asked, of_request}}));
  EXPECT_REFUSED(keeper({audit::Approve{asked, of_request}}));
  ASSERT_OK(second({audit::Approve{asked, of_request}}));
  EXPECT_NE(state.deleted(item, {1, hash}), nullptr);
  EXPECT_TRUE(state.requests.empty());
  EXPECT_REFUSED(second({audit::Approve{asked, of_request}}));

  // What a lock forbids, no approval allows; and old requests are none.
  ASSERT_OK(owner({request({deletion(2, DeleteReason::by_hand)})}));
  const uint64_t before_lock = sequence;
  const crypto::Digest of_second = state.requests.at(before_lock).sha256;
  ASSERT_OK(owner({audit::SetImmutability{"", Immutability::locked}}));
  EXPECT_REFUSED(second({audit::Approve{before_lock, of_second}}));
  EXPECT_REFUSED(owner({request({deletion(3, DeleteReason::by_hand)})}));
  ASSERT_OK(owner({request({audit::ConfirmItem{item, 3}})}));
  const uint64_t old = sequence;
  now += kRequestValidNs + 1;
  EXPECT_REFUSED(second({audit::Approve{old, state.requests.at(old).sha256}}));
}

TEST_F(StateTest, TimeGoesOnUnlessItIsConfirmed) {
  now += 5;
  ASSERT_OK(keeper({audit::Note{}}));
  const int64_t latest = now;
  now -= kDayNs;
  ASSERT_OK(keeper({audit::Note{}}));
  EXPECT_EQ(state.time_ns, latest);
  ASSERT_OK(owner({audit::ConfirmClock{}}));
  EXPECT_EQ(state.time_ns, now);
}

TEST(VaultTime, GoesOnByAClockThatNobodySets) {
  const BootTime start{{1}, 100 * kDayNs};
  const ClockMark mark{{}, 1000 * kDayNs, start};
  BootTime later = start;
  later.ns += 3 * kDayNs;
  VaultTime t = vault_time(900 * kDayNs, mark, 1003 * kDayNs + 5, later);
  EXPECT_TRUE(t.is_trusted);
  EXPECT_EQ(t.now_ns, 1003 * kDayNs);
  // Wrong by hours: by its own clock. Wrong by ten years, either way: in doubt, and not moved.
  t = vault_time(900 * kDayNs, mark, 1003 * kDayNs + kDayNs / 2, later);
  EXPECT_TRUE(t.is_trusted);
  EXPECT_EQ(t.now_ns, 1003 * kDayNs);
  for (const int64_t jump : {3650 * kDayNs, -500 * kDayNs, kDayNs + 1, -kDayNs - 1}) {
    t = vault_time(900 * kDayNs, mark, 1003 * kDayNs + jump, later);
    EXPECT_FALSE(t.is_trusted) << jump;
    EXPECT_EQ(t.now_ns, 1003 * kDayNs);
    EXPECT_FALSE(t.doubt.empty());
  }
}

TEST(VaultTime, AfterARestartTheStoresClockIsBelievedForADay) {
  const ClockMark mark{{}, 1000 * kDayNs, {{1}, 100 * kDayNs}};
  const BootTime restarted{{2}, kDayNs / 4};  // up for six hours
  VaultTime t = vault_time(0, mark, 1001 * kDayNs, restarted);
  EXPECT_TRUE(t.is_trusted);
  EXPECT_EQ(t.now_ns, 1001 * kDayNs);
  EXPECT_FALSE(vault_time(0, mark, 1003 * kDayNs, restarted).is_trusted);
  EXPECT_FALSE(vault_time(0, mark, 5000 * kDayNs, restarted).is_trusted);
  // Without a mark the log's last time is all there is; with neither, the store's clock.
  EXPECT_TRUE(vault_time(1000 * kDayNs, {}, 1000 * kDayNs + 5, restarted).is_trusted);
  EXPECT_FALSE(vault_time(1000 * kDayNs, {}, 1005 * kDayNs, restarted).is_trusted);
  EXPECT_EQ(vault_time(0, {}, 7, restarted).now_ns, 7);
  // Of a start that could not be told, nothing is known to have gone by.
  t = vault_time(0, ClockMark{{}, 1000 * kDayNs, {{}, kDayNs}}, 1000 * kDayNs + 9,
                 {{}, 9 * kDayNs});
  EXPECT_TRUE(t.is_trusted);
  EXPECT_EQ(t.now_ns, 1000 * kDayNs + 9);
  // Another maintainer's later word counts.
  t = vault_time(1010 * kDayNs, mark, 1010 * kDayNs + 9, {{1}, 101 * kDayNs});
  EXPECT_TRUE(t.is_trusted);
  EXPECT_EQ(t.now_ns, 1010 * kDayNs + 9);
}

TEST(VaultTime, ThisMachineKnowsItsStart) {
  const BootTime a = boot_time();
  const BootTime b = boot_time();
  EXPECT_FALSE(all_zero(a.boot));
  EXPECT_EQ(a.boot, b.boot);
  EXPECT_LE(a.ns, b.ns);
}

TEST(ClockMark, FileNoticesDamage) {
  const ClockMark mark{VaultId::random(), 5, {{1, 2}, 9}};
  Bytes file = mark.encode();
  ASSIGN(const ClockMark back, decode_clock_mark(file));
  EXPECT_EQ(back.vault, mark.vault);
  EXPECT_EQ(back.vault_ns, 5);
  EXPECT_EQ(back.at, mark.at);
  for (size_t i = 0; i < file.size(); ++i) {
    Bytes damaged = file;
    damaged[i] ^= 1;
    EXPECT_FALSE(decode_clock_mark(damaged).ok());
  }
}

}  // namespace
}  // namespace holdfast::vault
