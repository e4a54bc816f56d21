// Goal: the log's state is what those with authority said, in order, and nothing else; whoever may
// only put objects changes nothing. Method: a vault in memory, real keys, and every wrong hand.
#include "vault/lifecycle/audit_log.h"

#include "tests/support/faulty_store.h"
#include "tests/support/test_vault.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/lifecycle/maintainers.h"

namespace holdfast::testing {
namespace {

using namespace vault;  // NOLINT: test

struct AuditLogTest : ::testing::Test {
  MemoryStore store;
  TestVault vault{store};
  AuditKey owner = vault_audit_key(vault.secret);
  AuditKey maintainer{{vault.maintainer.id, 0}, vault.maintainer.signing_seed};

  AuditLog load() {
    auto log = AuditLog::load(store, vault.description, vault.secret.vault_key(), 0);
    CHECK(log.ok());
    return std::move(*log);
  }
  AuditEntry next(const AuditLog& log, std::vector<Action> actions) {
    AuditEntry e;
    e.vault = vault.description.vault;
    e.sequence = log.state().head.sequence + 1;
    e.previous_sequence = log.state().head.sequence;
    e.previous_sha256 = log.state().head.sha256;
    e.actions = std::move(actions);
    return e;
  }
};

Action hold(uint64_t sequence) {
  return audit::Hold{ItemId(ByteArray<16>{1}), sequence, "why"};
}

TEST_F(AuditLogTest, FirstEntryGrantsTheFirstMaintainer) {
  ASSIGN(const Maintainers found,
         load_maintainers(store, vault.description, vault.secret.vault_key(), 0));
  ASSERT_EQ(found.keys.size(), 1u);
  EXPECT_EQ(*found.find(vault.maintainer.id), vault.maintainer.public_key());
  EXPECT_TRUE(found.is_active(vault.maintainer.id));
}

TEST_F(AuditLogTest, AppendedEntriesAreThereForTheNextReader) {
  AuditLog log = load();
  ASSERT_OK(log.append(store, owner, 5, {hold(1)}));
  ASSERT_OK(log.append(store, owner, 6, {hold(2)}));
  const AuditLog again = load();
  EXPECT_EQ(again.state().head, log.state().head);
  EXPECT_EQ(again.state().head.sequence, 3u);
  EXPECT_EQ(again.entries().size(), 3u);
  EXPECT_EQ(again.state().items.begin()->second.holds.size(), 2u);
  EXPECT_EQ(again.state().time_ns, 6);
  EXPECT_TRUE(again.passed_over().empty());
}

TEST_F(AuditLogTest, TwoWritersBothGetIn) {
  AuditLog a = load();
  AuditLog b = load();
  ASSERT_OK(a.append(store, owner, 5, {hold(1)}));
  ASSIGN(const uint64_t second, b.append(store, owner, 5, {hold(2)}));
  EXPECT_EQ(second, 3u);
  EXPECT_EQ(load().state().items.begin()->second.holds.size(), 2u);
  // What the later one wants is asked for again on the state that the earlier one left.
  int asked = 0;
  AuditLog c = load();
  ASSERT_OK(a.append(store, owner, 5, {hold(3)}));
  ASSIGN(const uint64_t nothing,
         c.append(store, owner, 6, [&](const LifecycleState& s) -> Result<std::vector<Action>> {
           ++asked;
           if (s.items.begin()->second.holds.contains(3)) return std::vector<Action>{};
           return std::vector<Action>{hold(3)};
         }));
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(nothing, 0u);
}

TEST_F(AuditLogTest, JunkTakesANumberAndNothingMore) {
  AuditLog log = load();
  ASSERT_OK(store.put(audit_name(2), as_bytes("junk")));
  ASSERT_OK(store.put(audit_name(4), random_bytes(1, kAuditEntryBytesMax + 1)));
  ASSERT_OK(store.put("audit/9999999999999999999", as_bytes("junk")));
  ASSERT_OK(store.put("audit/other", as_bytes("junk")));
  ASSIGN(const uint64_t first, log.append(store, owner, 5, {hold(1)}));
  ASSIGN(const uint64_t second, log.append(store, owner, 5, {hold(2)}));
  EXPECT_EQ(first, 3u);
  EXPECT_EQ(second, 5u);
  const AuditLog again = load();
  EXPECT_EQ(again.state().head.sequence, 5u);
  EXPECT_EQ(again.passed_over().size(), 4u);
}

TEST_F(AuditLogTest, WrongHandsAreNotBelieved) {
  AuditLog log = load();
  ASSERT_OK(log.append(store, owner, 5, {hold(1)}));
  const PointRef before = log.state().head;
  uint64_t planted = before.sequence;
  const auto plant = [&](AuditEntry e, const crypto::Key256& key) {
    e.sequence = ++planted;
    ASSERT_OK(store.put(audit_name(e.sequence), e.encode(key)));
  };
  const crypto::Key256 stranger = crypto::random_secret<32>();
  AuditEntry e = next(log, {hold(9)});
  plant(e, stranger);                       // claims to be the vault key
  plant(e, vault.keys.signing_seed);        // an agent's
  plant(e, vault.maintainer.signing_seed);  // a maintainer's, as the vault key
  e.signer.granted = MaintainerId::random();
  plant(e, stranger);  // a key that nobody granted
  e.signer.granted = vault.maintainer.id;
  plant(e, stranger);                       // not that key's signature
  plant(e, vault.maintainer.signing_seed);  // a maintainer may not hold
  e = next(log, {hold(9)});
  e.signer.generation = 1;
  plant(e, vault.secret.vault_seed);  // no such generation
  e = next(log, {hold(9)});
  e.vault = VaultId::random();
  plant(e, vault.secret.vault_seed);  // another vault's
  e = next(log, {hold(9)});
  e.previous_sha256[0] ^= 1;
  plant(e, vault.secret.vault_seed);  // another past
  e = next(log, {hold(9)});
  e.previous_sequence = 1;
  plant(e, vault.secret.vault_seed);  // leaves an entry out
  // A good entry under another number.
  ASSIGN(const Bytes good, store.get(audit_name(2), kAuditEntryBytesMax));
  ASSERT_OK(store.put(audit_name(++planted), good));
  const AuditLog again = load();
  EXPECT_EQ(again.state().head, before);
  EXPECT_EQ(again.passed_over().size(), planted - before.sequence);
  EXPECT_EQ(again.state().items.begin()->second.holds.size(), 1u);
}

TEST_F(AuditLogTest, RemovedOrChangedEntryEndsTheChainThere) {
  AuditLog log = load();
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_OK(log.append(store, owner, 5, {hold(i)}));
  {
    const auto copy = store.copy();
    ASSERT_OK(copy->remove(audit_name(3)));
    ASSIGN(const AuditLog cut,
           AuditLog::load(*copy, vault.description, vault.secret.vault_key(), 0));
    EXPECT_EQ(cut.state().head.sequence, 2u);
    EXPECT_EQ(cut.passed_over().size(), 1u);
  }
  const auto copy = store.copy();
  ASSIGN(Bytes bytes, copy->get(audit_name(3), kAuditEntryBytesMax));
  bytes[60] ^= 1;
  copy->tamper(audit_name(3), bytes);
  ASSIGN(const AuditLog cut, AuditLog::load(*copy, vault.description, vault.secret.vault_key(), 0));
  EXPECT_EQ(cut.state().head.sequence, 2u);
  EXPECT_EQ(cut.passed_over().size(), 2u);
  // The one that was changed is junk; the one behind it proves that something is missing.
  EXPECT_FALSE(cut.passed_over()[0].is_genuine);
  EXPECT_TRUE(cut.passed_over()[1].is_genuine);
}

TEST_F(AuditLogTest, RevokedKeySignsNothingMoreAndItsPastStays) {
  AuditLog log = load();
  ASSERT_OK(log.append(store, maintainer, 5, {audit::Note{NoteKind::result, "one"}}));
  ASSERT_OK(log.append(store, owner, 5, {audit::Revoke{vault.maintainer.id}}));
  const auto after = log.append(store, maintainer, 5, {audit::Note{NoteKind::result, "two"}});
  ASSERT_FALSE(after.ok());
  EXPECT_EQ(after.error().code, vault::Errc::refused);
  const AuditLog again = load();
  EXPECT_EQ(again.entries().size(), 3u);
  const Maintainers found = maintainers_of(again.state());
  EXPECT_NE(found.find(vault.maintainer.id), nullptr);
  EXPECT_FALSE(found.is_active(vault.maintainer.id));
}

TEST_F(AuditLogTest, OlderGenerationsSignNothingAfterANewerOne) {
  const VaultSecret next_secret = vault.secret.successor();
  Succession s;
  s.vault = vault.description.vault;
  s.generation = 1;
  s.old_vault_key = vault.secret.vault_key();
  s.vault_key = next_secret.vault_key();
  s.recovery_key = next_secret.recovery_key();
  ASSERT_OK(
      store.put(succession_name(1), s.encode(vault.secret.vault_seed, next_secret.vault_seed)));
  ASSIGN(AuditLog log, AuditLog::load(store, vault.description, next_secret.vault_key(), 1));
  ASSERT_OK(log.append(store, owner, 5, {hold(1)}));  // not yet
  ASSERT_OK(log.append(store, vault_audit_key(next_secret), 5, {audit::Generation{}}));
  const auto old = log.append(store, owner, 5, {hold(2)});
  ASSERT_FALSE(old.ok());
  EXPECT_EQ(old.error().code, vault::Errc::refused);
  // Who still trusts the old key alone sees the past only.
  const AuditLog behind = load();
  EXPECT_EQ(behind.state().head.sequence, 2u);
  EXPECT_FALSE(AuditLog::load(store, vault.description, vault.secret.vault_key(), 1).ok());
}

TEST_F(AuditLogTest, StoreErrorsAreNotAnswers) {
  AuditLog log = load();
  ASSERT_OK(log.append(store, owner, 5, {hold(1)}));
  uint64_t failed = 0;
  for (uint64_t n = 0;; ++n) {
    FaultyStore faulty(store);
    faulty.fail_operation(n, {});
    const auto loaded = AuditLog::load(faulty, vault.description, vault.secret.vault_key(), 0);
    if (faulty.operations() <= n) break;
    ++failed;
    EXPECT_ERROR(std::errc::io_error, loaded);
  }
  EXPECT_EQ(failed, 3u);  // one list, two entries
}

}  // namespace
}  // namespace holdfast::testing
