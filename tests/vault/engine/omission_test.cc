// Who notices what when the store shows less than it had, or something else. Each row of the table
// in docs/omission.md names its test; most of them are here.

#include "tests/support/test_vault.h"
#include "vault/engine/head_code.h"
#include "vault/engine/points.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using testing::random_bytes;
using testing::TestFile;

struct OmissionTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};
  AgentKeys other = vault.add_agent(store, "other");

  void write(const AgentKeys& keys, uint64_t seed, Store* to = nullptr) {
    Store& s = to != nullptr ? *to : store;
    ASSIGN(const auto session, testing::begin_session_as(s, vault, keys, {}));
    ASSERT_OK(testing::write_files(*session, {{"f", random_bytes(seed, 1000)}}));
  }
  ItemId item_of(const AgentKeys& keys) { return keys.item_id("item"); }
  // What somebody sees who has the store, and the passphrase or not, and no memory.
  PointList newcomer(Store& s, bool with_secret = true) {
    if (with_secret)
      return VaultReader::open(s, vault.description, vault.secret).value()->points().value();
    const Roster roster =
        load_roster(s, vault.description.vault, vault.secret.vault_key(), 0).value();
    return list_points(s, vault.description, roster).value();
  }
  std::string head(Store& s) { return head_code(vault.description.vault, newcomer(s)); }
  Status expect(Store& s, const std::string& code) {
    return expect_head(vault.description.vault, newcomer(s), code);
  }
  void expect_defect(const PointList& list, const std::string& name) {
    bool found = false;
    for (const PointDefect& d : list.defects) found = found || d.name == name;
    EXPECT_TRUE(found) << name << " among " << list.defects.size();
  }
};

TEST_F(OmissionTest, ARemovedPointIsAGapForEverybody) {
  for (uint64_t i = 0; i < 4; ++i) write(vault.keys, i);
  const std::string gone = point_name(item_of(vault.keys), 2);
  ASSERT_OK(store.remove(gone));
  expect_defect(newcomer(store, true), gone);
  expect_defect(newcomer(store, false), gone);
}

TEST_F(OmissionTest, AnotherAgentsManifestTellsOfALostTail) {
  write(vault.keys, 1);
  write(vault.keys, 2);
  write(other, 3);  // saw number 2
  const std::string gone = point_name(item_of(vault.keys), 2);
  ASSERT_OK(store.remove(gone));
  expect_defect(newcomer(store, true), gone);
  expect_defect(newcomer(store, false), gone);
}

TEST_F(OmissionTest, AnotherAgentsManifestTellsOfALostItem) {
  write(vault.keys, 1);
  write(other, 3);
  const std::string gone = point_name(item_of(vault.keys), 1);
  ASSERT_OK(store.remove(gone));
  expect_defect(newcomer(store, false), gone);
}

// The limit: without memory, later manifests or a head code, the older state is as good as any.
TEST_F(OmissionTest, ANewcomerCannotTellAnOlderState) {
  write(vault.keys, 1);
  const auto old = store.copy();
  write(other, 2);
  write(vault.keys, 3);
  EXPECT_TRUE(newcomer(*old).defects.empty());
  ASSIGN(const CheckReport report, testing::full_check(*old, vault));
  EXPECT_TRUE(report.damage.empty());
}

TEST_F(OmissionTest, AnExpectedHeadRefusesAnOlderVault) {
  write(vault.keys, 1);
  const std::string first = head(store);
  const auto old = store.copy();
  write(other, 2);
  const std::string second = head(store);
  write(vault.keys, 3);
  const std::string third = head(store);
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);
  EXPECT_EQ(third.size(), kHeadCodeDigits);
  // What grew out of a state is that state's successor.
  for (const std::string& code : {first, second, third, third.substr(0, kHeadCodeDigitsMin)}) {
    EXPECT_OK(expect(store, code));
  }
  EXPECT_OK(expect(*old, first));
  EXPECT_ERROR(Errc::rolled_back, expect(*old, second));
  EXPECT_ERROR(Errc::rolled_back, expect(*old, third));
}

TEST_F(OmissionTest, AnExpectedHeadRefusesAMissingTail) {
  write(vault.keys, 1);
  write(vault.keys, 2);
  const std::string code = head(store);
  ASSERT_OK(store.remove(point_name(item_of(vault.keys), 2)));
  EXPECT_ERROR(Errc::rolled_back, expect(store, code));
  // The agent that remembers goes on behind the gap: still not what was seen.
  write(vault.keys, 3);
  EXPECT_ERROR(Errc::rolled_back, expect(store, code));
}

// The vault was put back, and another machine wrote the same number anew.
TEST_F(OmissionTest, AnExpectedHeadRefusesAVaultThatPartedFromIt) {
  write(vault.keys, 1);
  const auto parted = store.copy();
  write(vault.keys, 2);
  write(vault.keys, 4, parted.get());
  EXPECT_ERROR(Errc::rolled_back, expect(*parted, head(store)));
  EXPECT_ERROR(Errc::rolled_back, expect(store, head(*parted)));
}

TEST_F(OmissionTest, AnExpectedHeadRefusesAnotherVault) {
  write(vault.keys, 1);
  PointList list = newcomer(store);
  const std::string code = head(store);
  EXPECT_ERROR(Errc::rolled_back, expect_head(VaultId::random(), list, code));
}

TEST_F(OmissionTest, AnExpectedHeadOutlivesExpiryOfOlderPoints) {
  write(vault.keys, 1);
  const std::string first = head(store);
  write(vault.keys, 2);
  const std::string second = head(store);
  write(vault.keys, 3);
  write(vault.keys, 4);
  const PointList all = newcomer(store);
  PointList expired = all;
  expired.points.erase(expired.points.begin(), expired.points.begin() + 2);
  // Number 3 names number 2.
  EXPECT_OK(expect_head(vault.description.vault, expired, second));
  // Of number 1 nothing is left: refused rather than believed.
  EXPECT_ERROR(Errc::rolled_back, expect_head(vault.description.vault, expired, first));
}

// A listing beside two commits saw the later and not the earlier.
TEST_F(OmissionTest, AnExpectedHeadMayBeOfAListingBesideACommit) {
  write(vault.keys, 1);
  write(other, 2);
  write(vault.keys, 3);
  PointList seen = newcomer(store);
  std::erase_if(seen.points,
                [&](const RecoveryPoint& p) { return p.manifest.agent() == other.agent; });
  EXPECT_OK(expect(store, head_code(vault.description.vault, seen)));
}

TEST_F(OmissionTest, AnAuditLogIsPartOfTheHead) {
  write(vault.keys, 1);
  const PointList list = newcomer(store);
  const VaultId& id = vault.description.vault;
  const std::vector<AuditHead> one{{1, crypto::sha256(as_bytes("1")), 5}};
  std::vector<AuditHead> two = one;
  two.push_back({2, crypto::sha256(as_bytes("2")), 6});
  EXPECT_NE(head_code(id, list), head_code(id, list, one));
  EXPECT_OK(expect_head(id, list, head_code(id, list, two), two));
  EXPECT_ERROR(Errc::rolled_back, expect_head(id, list, head_code(id, list, two), one));
}

TEST_F(OmissionTest, WhatIsNoCodeIsRefusedAsSuch) {
  for (const char* text : {"", "12345678901", "latest", "1234567890abcdez"}) {
    EXPECT_ERROR(holdfast::Errc::malformed, expect(store, text));
  }
  write(vault.keys, 1);
  std::string code = head(store);
  code.insert(4, "-");
  code[0] = static_cast<char>(std::toupper(code[0]));
  EXPECT_OK(expect(store, code));
}

// Every kind at every other kind's name: nobody takes it for what it is not, and a check names it.
TEST_F(OmissionTest, AnObjectOfAnotherKindIsRefusedByEverybody) {
  write(vault.keys, 1);
  write(other, 2);
  std::map<std::string, std::string> kinds;  // one object of each
  for (const ObjectInfo& o : *store.list("")) {
    std::string kind = o.name.substr(0, o.name.find('/'));
    if (kind == "sessions") kind += o.name.substr(o.name.rfind('/'));
    kinds[kind] = o.name;
  }
  ASSERT_GE(kinds.size(), 8u);
  for (const auto& [kind, name] : kinds) {
    if (name == kDescriptionName) continue;  // read before anything, by its own signature
    for (const auto& [from_kind, from] : kinds) {
      if (kind == from_kind) continue;
      SCOPED_TRACE(from + " at " + name);
      const auto swapped = store.copy();
      swapped->tamper(name, *store.get(from, 1 << 30));
      const auto report = testing::full_check(*swapped, vault);
      if (!report.ok()) {
        // The newest roster: an older one is in force then, which does not know the other agent.
        EXPECT_TRUE(is_verdict(report.error())) << report.error().message();
        continue;
      }
      bool named = false;
      for (const CheckFinding& f : report->damage) named = named || f.object == name;
      EXPECT_TRUE(named);
      for (const RecoveryPoint& p : newcomer(*swapped).points)
        EXPECT_NE(point_name(p.manifest.item(), p.manifest.sequence), name);
    }
  }
}

// A machine that was cloned: the original sees points that it does not remember.
TEST_F(OmissionTest, AClonedIdentityShowsAtTheOriginalsNextBackup) {
  write(vault.keys, 1);
  const PointList before = newcomer(store);
  const BasePoint remembered{1, before.points[0].sha256};
  write(vault.keys, 2);  // the clone
  SessionRequest request;
  request.remembered_head = remembered;
  ASSIGN(const auto original, testing::begin_session_as(store, vault, vault.keys, request));
  ASSERT_FALSE(original->warnings().empty());
  EXPECT_NE(original->warnings()[0].find("does not remember writing"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::vault
