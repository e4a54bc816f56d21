// Which keys are believed, from the vault secret and from an agent's pin; rotations; and that a
// rotation that stops half way changes nothing.

#include "vault/engine/trust.h"

#include "tests/support/faulty_store.h"
#include "tests/support/sim_disk.h"
#include "tests/support/test_vault.h"
#include "vault/client/keys.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;

struct TrustTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};
};

TEST_F(TrustTest, AForeignRecoveryKeyIsRefused) {
  // An attacker who could sign the roster would name a key of their own; one who cannot is refused
  // earlier. Here: signed by the right key, naming another recovery key.
  ASSIGN(const OpenRoster open, open_roster(store, vault.description, vault.secret));
  Roster roster = open.clear;
  roster.sequence = 2;
  roster.recovery_key = crypto::x25519_public(crypto::random_secret<32>());
  ASSERT_OK(store.put(roster_name(2), roster.encode(vault.secret.vault_seed)));
  EXPECT_ERROR(Errc::key_not_trusted, open_roster(store, vault.description, vault.secret));
  ASSIGN(const Roster seen, load_roster(store, vault.description.vault, vault.keys.vault_key, 0));
  EXPECT_ERROR(Errc::key_not_trusted, check_agent(seen, vault.keys));
}

TEST_F(TrustTest, ARosterBySomebodyElseIsRefused) {
  ASSIGN(const OpenRoster open, open_roster(store, vault.description, vault.secret));
  Roster roster = open.clear;
  roster.sequence = 2;
  const VaultSecret other = VaultSecret::create();
  roster.vault_key = other.vault_key();
  ASSERT_OK(store.put(roster_name(2), roster.encode(other.vault_seed)));
  // Anybody may put junk there; it neither convinces nor blocks.
  ASSIGN(const OpenRoster still, open_roster(store, vault.description, vault.secret));
  EXPECT_EQ(still.clear.sequence, 1u);
  ASSIGN(const CheckReport report, testing::full_check(store, vault));
  EXPECT_TRUE(report.clean());
  EXPECT_FALSE(report.remarks.empty());
}

TEST_F(TrustTest, SealedFieldsCannotBeExchanged) {
  vault.add_agent(store, "second");
  ASSIGN(const OpenRoster open, open_roster(store, vault.description, vault.secret));
  Roster roster = open.clear;
  std::swap(roster.agents[0].sealed, roster.agents[1].sealed);
  EXPECT_ERROR(Errc::damaged,
               open_agent_record(roster.vault, vault.secret.roster_key, roster.agents[0]));
  std::swap(roster.agents[0].memberships[0].sealed, roster.agents[1].memberships[0].sealed);
  EXPECT_ERROR(Errc::damaged, open_membership(roster.vault, vault.secret.roster_key,
                                              roster.agents[0], roster.agents[0].memberships[0]));
  std::swap(roster.domains[0].sealed, roster.domains[1].sealed);
  EXPECT_ERROR(Errc::damaged,
               open_domain(roster.vault, vault.secret.roster_key, roster.domains[0]));
}

TEST_F(TrustTest, ARetiredOrUnknownAgentIsRefused) {
  ASSIGN(const OpenRoster open, open_roster(store, vault.description, vault.secret));
  Roster roster = open.clear;
  roster.agents[0].state = AgentState::retired;
  EXPECT_ERROR(Errc::no_credential, check_agent(roster, vault.keys));
  roster.agents.clear();
  EXPECT_ERROR(Errc::no_credential, check_agent(roster, vault.keys));
}

// Slots cost half a second each, so the rotations share one vault.
struct RotationTest : ::testing::Test {
  testing::SimDisk disk;
  MemoryStore* store = new MemoryStore;  // owned by vault
  StateDirectory state{disk, "/state"};
  std::unique_ptr<Vault> vault = [this] {
    CHECK(disk.make_directory("/state").ok());
    CreateOptions options;
    options.passphrase = "first passphrase";
    options.machine = "machine";
    auto made = Vault::create(std::unique_ptr<Store>(store), options, state);
    CHECK(made.ok());
    return std::move(*made);
  }();
  std::vector<std::string> warnings;
};

TEST_F(RotationTest, SlotsOpenProveAndGo) {
  ASSIGN(const UnlockedSlot unlocked, vault->unlock("first passphrase"));
  EXPECT_ERROR(Errc::wrong_passphrase, vault->unlock("another one"));
  ASSERT_OK(add_passphrase(*vault, unlocked.secret, "second passphrase", "spare"));
  std::string code;
  ASSERT_OK(add_recovery_code(*vault, unlocked.secret, "paper", code));
  ASSERT_OK(vault->unlock("second passphrase"));
  ASSIGN(const UnlockedSlot by_code, vault->unlock(code));
  ASSIGN(auto slots, list_slots(*vault));
  EXPECT_EQ(slots.size(), 3u);

  ASSERT_OK(record_proof(*vault, by_code));
  ASSIGN(slots, list_slots(*vault));
  for (const SlotStatus& s : slots) {
    EXPECT_EQ(s.proved_ns > s.slot.created_ns, s.slot.id == by_code.slot.id);
    EXPECT_FALSE(s.is_overdue);
  }
  ASSIGN(const SlotId changed, rotate_slot(*vault, unlocked, "third passphrase"));
  (void)changed;
  EXPECT_ERROR(Errc::wrong_passphrase, vault->unlock("first passphrase"));
  ASSERT_OK(vault->unlock("third passphrase"));
  ASSIGN(slots, list_slots(*vault));
  ASSERT_EQ(slots.size(), 3u);
  ASSIGN(const UnlockedSlot third, vault->unlock("third passphrase"));
  EXPECT_ERROR(std::errc::operation_not_permitted, remove_slot(*vault, third, third.slot.id));
  EXPECT_ERROR(Errc::no_such_slot, remove_slot(*vault, third, SlotId::random()));
  for (const SlotStatus& s : slots) {
    if (s.slot.id != third.slot.id) ASSERT_OK(remove_slot(*vault, third, s.slot.id));
  }
  ASSERT_OK(vault->unlock("third passphrase"));
}

TEST_F(RotationTest, ANewRecoveryKeyTakesOverAndOldPointsStayReadable) {
  ASSIGN(const UnlockedSlot old, vault->unlock("first passphrase"));
  ASSERT_OK(add_passphrase(*vault, old.secret, "spare passphrase", "spare"));
  ASSIGN(const AgentKeys keys, vault->credential(warnings));
  SessionRequest request;
  request.item = keys.item_id("item");
  SessionOptions options;
  options.uploads = 0;
  const std::vector<testing::TestFile> files{{"a", random_bytes(1, 10'000)}};
  ASSIGN(const auto session, vault->begin_session(keys, request, options));
  ASSIGN(const auto before, testing::write_files(*session, files));

  ASSIGN(const RecoveryRotation rotated, rotate_recovery_key(*vault, old, "new passphrase"));
  EXPECT_EQ(rotated.generation, 1u);
  EXPECT_EQ(rotated.slots_dropped, 1u);
  EXPECT_FALSE(vault->unlock("first passphrase").ok());
  EXPECT_FALSE(vault->unlock("spare passphrase").ok());
  ASSIGN(const UnlockedSlot fresh, vault->unlock("new passphrase"));

  // The agent learns of it by itself, because the key it pinned signed the succession.
  ASSIGN(const AgentKeys updated, vault->credential(warnings));
  EXPECT_EQ(updated.generation, 1u);
  EXPECT_NE(updated.recovery_key, keys.recovery_key);
  ASSIGN(const auto session2, vault->begin_session(updated, request, options));
  const std::vector<testing::TestFile> more{{"b", random_bytes(2, 10'000)}};
  ASSIGN(const auto after, testing::write_files(*session2, more));

  ASSIGN(const auto reader, vault->open_reader(fresh.secret));
  ASSIGN(DomainReader * domain, reader->domain(keys.domain.id));
  ASSERT_OK(find_entry(*domain, before.root, "a"));
  ASSERT_OK(find_entry(*domain, after.root, "b"));
  // Whoever kept the old secret opens nothing that came later.
  EXPECT_ERROR(Errc::key_not_trusted, vault->open_reader(old.secret));
  ASSIGN(const SessionBegin begin,
         decode_session_begin(*store->get(session_begin_name(session2->id()), 10'000)));
  EXPECT_ERROR(Errc::key_not_trusted, SessionKey::recover(old.secret, vault->id(), keys.domain.id,
                                                          begin.wrap, updated.agent_secret));
}

TEST_F(RotationTest, ARecoveryRotationThatStopsAnywhereLeavesAVaultThatOpens) {
  ASSIGN(const UnlockedSlot old, vault->unlock("first passphrase"));
  int stopped = 0;
  for (uint64_t n = 0;; ++n) {
    auto copy = store->copy();
    auto* faulty = new testing::FaultyStore(*copy);
    faulty->kill_at(n, n % 2 == 0);
    auto broken = Vault::open(std::unique_ptr<Store>(faulty), state);
    if (broken.ok()) (void)rotate_recovery_key(**broken, old, "new passphrase");
    const bool dead = !broken.ok() || faulty->is_dead();
    // The old passphrase still opens, or the new one does; and the agent can still work.
    ASSIGN(const auto left, Vault::open(std::unique_ptr<Store>(copy.release()), state));
    auto opened = left->unlock("first passphrase");
    if (!opened.ok()) opened = left->unlock("new passphrase");
    ASSERT_OK(opened);
    ASSERT_OK(left->open_reader(opened->secret));
    ASSIGN(const auto trusted, left->vault_key());
    ASSERT_OK(load_roster(left->store(), left->id(), trusted.key, trusted.generation));
    // And the rotation can be run (again) to its end.
    if (opened->secret.generation == 0) {
      ASSERT_OK(rotate_recovery_key(*left, *opened, "new passphrase"));
      ASSERT_OK(left->unlock("new passphrase"));
    }
    if (!dead) break;
    ++stopped;
  }
  EXPECT_GT(stopped, 8);
}

TEST_F(RotationTest, ANewDomainSharesNothingWithTheOld) {
  ASSIGN(const UnlockedSlot unlocked, vault->unlock("first passphrase"));
  ASSIGN(const AgentKeys keys, vault->credential(warnings));
  ASSIGN(const DomainRotation rotated, rotate_domain(*vault, unlocked.secret, "machine"));
  EXPECT_EQ(rotated.agents, 1u);
  EXPECT_ERROR(Errc::no_credential, vault->credential(warnings));
  ASSIGN(const AgentKeys fetched, vault->enrol(unlocked.secret, {}));
  EXPECT_EQ(fetched.agent, keys.agent);
  EXPECT_EQ(fetched.domain.id, rotated.domain);
  EXPECT_FALSE(fetched.agent_secret == keys.agent_secret);
  EXPECT_FALSE(fetched.domain.id_key == keys.domain.id_key);
  EXPECT_EQ(fetched.item_id("x"), keys.item_id("x")) << "items go on";
  ASSERT_OK(vault->credential(warnings));
}

TEST_F(RotationTest, EnrolmentMakesDomainsApartUnlessAsked) {
  ASSIGN(const UnlockedSlot unlocked, vault->unlock("first passphrase"));
  ASSIGN(const AgentKeys first, vault->credential(warnings));
  EnrolOptions options;
  options.machine = "other";
  options.fresh = true;
  ASSIGN(const AgentKeys second, vault->enrol(unlocked.secret, options));
  EXPECT_NE(second.domain.id, first.domain.id);
  options.machine = "third";
  options.join = "other";
  ASSIGN(const AgentKeys third, vault->enrol(unlocked.secret, options));
  EXPECT_EQ(third.domain.id, second.domain.id);
  EXPECT_NE(third.agent, second.agent);
  options.join = "nobody";
  EXPECT_ERROR(Errc::no_such_agent, vault->enrol(unlocked.secret, options));
}

TEST_F(RotationTest, AnOlderRosterIsTold) {
  ASSIGN(const UnlockedSlot unlocked, vault->unlock("first passphrase"));
  ASSERT_OK(vault->credential(warnings));
  const auto before = store->copy();
  EnrolOptions options;
  options.machine = "other";
  {
    testing::SimDisk elsewhere;
    ASSERT_OK(elsewhere.make_directory("/s"));
    auto there = Vault::open(std::unique_ptr<Store>(store->copy().release()), {elsewhere, "/s"});
    (void)there;
  }
  ASSIGN(const OpenRoster open, open_roster(*store, vault->description(), unlocked.secret));
  Roster roster = open.clear;
  ASSERT_OK(put_roster(*store, roster, unlocked.secret));
  ASSERT_OK(vault->credential(warnings));
  EXPECT_TRUE(warnings.empty());
  ASSERT_OK(store->remove(roster_name(2)));
  ASSERT_OK(vault->credential(warnings));
  EXPECT_EQ(warnings.size(), 1u);
}

TEST(VaultCreate, IsNoVaultUntilItIsWhole) {
  int unfinished = 0;
  for (uint64_t n = 0;; ++n) {
    testing::SimDisk disk;
    ASSERT_OK(disk.make_directory("/state"));
    auto* behind = new MemoryStore;
    auto* faulty = new testing::FaultyStore(*behind);
    faulty->kill_at(n, false);
    CreateOptions options;
    options.passphrase = "a passphrase";
    const auto made = Vault::create(std::unique_ptr<Store>(faulty), options, {disk, "/state"});
    const auto opened = load_description(*behind);
    EXPECT_EQ(made.ok(), opened.ok());
    delete behind;
    if (made.ok()) break;
    ++unfinished;
  }
  EXPECT_GT(unfinished, 3);
}

}  // namespace
}  // namespace holdfast::vault
