// Goal: retention, deletion and the rules of a vault as its commands use them: what expires can be
// brought back, what is purged leaves a record and no gap, nothing that somebody builds on goes,
// and no clock empties anything. Method: a vault in memory behind a store whose clock the test
// sets.
#include "vault/client/lifecycle.h"

#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::testing {
namespace {

using namespace vault;  // NOLINT: test

// Another store with a clock, and receive times, of the test's choice.
class AgedStore final : public Store {
 public:
  AgedStore(Store& behind, const int64_t& ahead_ns, const std::map<std::string, int64_t>& received)
      : behind_(behind), ahead_ns_(ahead_ns), received_(received) {}
  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override {
    return behind_.put(name, parts);
  }
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override {
    return behind_.put_if_absent(name, parts);
  }
  Result<ObjectInfo> head(const std::string& name) override { return behind_.head(name); }
  Status get_range(const std::string& name, uint64_t offset, MutableByteView out) override {
    return behind_.get_range(name, offset, out);
  }
  Result<Bytes> get(const std::string& name, uint64_t bytes_max) override {
    return behind_.get(name, bytes_max);
  }
  Result<std::unique_ptr<ObjectView>> view(const std::string& name) override {
    return behind_.view(name);
  }
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
    TRY(auto objects, behind_.list(prefix));
    for (ObjectInfo& o : objects) {
      if (const auto it = received_.find(o.name); it != received_.end()) o.stored_ns = it->second;
    }
    return objects;
  }
  Status remove(const std::string& name) override { return behind_.remove(name); }
  Result<io::TimeNs> now_ns() override {
    TRY(const io::TimeNs now, behind_.now_ns());
    return now + ahead_ns_;
  }
  const StoreTraits& traits() const override { return behind_.traits(); }
  std::string location() const override { return "aged"; }

 private:
  Store& behind_;
  const int64_t& ahead_ns_;
  const std::map<std::string, int64_t>& received_;
};

struct LifecycleTest : ::testing::Test {
  MemoryStore store;
  TestVault tv{store};
  TempDirectory directory{TempDirectory::fast_place()};
  StateDirectory state{io::posix_file_system(), directory.path()};
  int64_t ahead_ns = 0;
  std::map<std::string, int64_t> received;
  std::unique_ptr<Vault> vault;
  std::vector<BasePoint> written;
  std::optional<Lifecycle> life;

  LifecycleTest() {
    CHECK(state.save_credential(tv.keys).ok());
    CHECK(state.save_maintainer(tv.maintainer).ok());
    auto opened = Vault::open(std::make_unique<AgedStore>(store, ahead_ns, received), state);
    CHECK(opened.ok());
    vault = std::move(*opened);
    reopen();
    CHECK(life->confirm_clock(tv.secret).ok());  // the test vault was made in 1970
  }
  void reopen() {
    auto opened = Lifecycle::open(*vault);
    CHECK(opened.ok());
    life.emplace(std::move(*opened));
  }
  // Points received so many days ago.
  void write(const std::vector<int>& days_ago) {
    for (const int days : days_ago) {
      const std::string content = std::to_string(written.size());
      auto point = write_point(store, tv, {{"a", to_bytes(as_bytes(content))}});
      CHECK(point.ok());
      written.push_back({point->point.sequence, point->point.sha256});
      received[point_name(tv.item, point->point.sequence)] =
          life->time().now_ns - days * kDayNs - kSecondNs;
    }
    reopen();
  }
  void keep_last(uint32_t n) {
    RetentionPolicy p;
    p.keep_last = n;
    ASSERT_OK(life->change(tv.secret, {audit::SetPolicy{"p", p}, audit::Assign{ItemId(), "p"}}));
  }
  Lifecycle::Applied apply() {
    reopen();
    auto applied = life->apply();
    EXPECT_TRUE(applied.ok()) << applied.error().message();
    const auto out = applied.ok() ? Lifecycle::Applied{{},
                                                       applied->soft_deleted,
                                                       applied->purged,
                                                       applied->manifests_removed,
                                                       applied->manifests_waiting}
                                  : Lifecycle::Applied{};
    reopen();
    return out;
  }
  void days_pass(int days) {
    ahead_ns += days * kDayNs;
    reopen();
    CHECK(life->confirm_clock(tv.secret).ok());
    reopen();
  }
  size_t live() const {
    size_t n = 0;
    for (const RecoveryPoint& p : life->points().points) n += p.deleted ? 0 : 1;
    return n;
  }
};

TEST_F(LifecycleTest, ExpiredPointsCanBeBroughtBackThenAreRecordedAndGone) {
  write({40, 30, 20, 10, 0});
  keep_last(2);
  EXPECT_EQ(apply().soft_deleted, 3u);
  EXPECT_EQ(live(), 2u);
  EXPECT_EQ(life->points().points.size(), 5u);
  EXPECT_TRUE(life->points().defects.empty());
  // Again: nothing to do, and nothing to note.
  const PointRef head = life->state().head;
  EXPECT_EQ(apply().soft_deleted, 0u);
  EXPECT_EQ(life->state().head, head);
  ASSERT_OK(life->change(tv.secret, {audit::Undelete{tv.item, {3}}, audit::Hold{tv.item, 3, ""}}));
  reopen();
  EXPECT_EQ(live(), 3u);
  EXPECT_EQ(apply().soft_deleted, 0u);  // held

  days_pass(13);
  EXPECT_EQ(apply().purged, 0u);
  days_pass(1);
  const auto applied = apply();
  EXPECT_EQ(applied.purged, 2u);
  EXPECT_EQ(applied.manifests_removed, 2u);
  EXPECT_EQ(life->points().points.size(), 3u);
  EXPECT_TRUE(life->points().defects.empty()) << life->points().defects[0].reason;
  EXPECT_TRUE(life->state().is_purged(tv.item, {1, written[0].sha256}));
  // Everybody reads the same, and what is left is whole.
  ASSIGN(const CheckReport report, full_check(store, tv));
  EXPECT_TRUE(report.clean());
  // A manifest that goes without a record is a gap.
  ASSERT_OK(store.remove(point_name(tv.item, 4)));
  reopen();
  ASSERT_EQ(life->points().defects.size(), 1u);
  EXPECT_EQ(life->points().defects[0].name, point_name(tv.item, 4));
}

TEST_F(LifecycleTest, AClockTenYearsAheadEmptiesNothing) {
  write({40, 30, 20, 10, 0});
  RetentionPolicy p;
  p.keep_within_s = 15 * 86'400;
  p.keep_last = 1;
  ASSERT_OK(life->change(tv.secret, {audit::SetPolicy{"p", p}, audit::Assign{ItemId(), "p"}}));
  EXPECT_EQ(apply().soft_deleted, 3u);
  const PointRef head = life->state().head;
  for (const int64_t jump : {3650 * kDayNs, 2 * kDayNs, -3650 * kDayNs}) {
    ahead_ns = jump;
    reopen();
    EXPECT_FALSE(life->time().is_trusted);
    EXPECT_ERROR(vault::Errc::refused, life->apply());
    ASSIGN(const auto plans, life->preview());
    EXPECT_EQ(plans[0].plan.expiring, 0u);  // by vault time, which did not move
    // What is written now does not carry the wrong time into the log either.
    ASSERT_OK(life->change(tv.secret, {audit::Hold{tv.item, 9, ""}}));
    EXPECT_LT(std::abs(life->state().time_ns - life->log().entries()[2].entry.time_ns), kDayNs);
  }
  ahead_ns = 0;
  reopen();
  EXPECT_TRUE(life->time().is_trusted);
  EXPECT_OK(life->apply());
  EXPECT_EQ(live(), 2u);
  EXPECT_GT(life->state().head.sequence, head.sequence);
}

TEST_F(LifecycleTest, PointsReceivedByAWrongClockPushNothingOut) {
  write({3, 2, 1, -3000, -3001, -3002});
  keep_last(2);
  EXPECT_EQ(apply().soft_deleted, 1u);
  EXPECT_FALSE(life->points().points[1].deleted);
  EXPECT_FALSE(life->points().points[2].deleted);
}

TEST_F(LifecycleTest, ManifestsThatSomebodyBuildsOnWait) {
  write({40, 30, 20});
  keep_last(1);
  EXPECT_EQ(apply().soft_deleted, 2u);
  SessionRequest request;
  request.base = written[0];
  ASSIGN(auto session, begin_session(store, tv, request));
  EXPECT_TRUE(session->base_is_valid());
  days_pass(15);
  auto applied = apply();
  EXPECT_EQ(applied.purged, 2u);
  EXPECT_EQ(applied.manifests_removed, 1u);
  EXPECT_EQ(applied.manifests_waiting, 1u);
  EXPECT_EQ(life->points().points.size(), 1u);  // there, but no point any more
  // Who begins now does not believe it.
  ASSIGN(auto late, begin_session(store, tv, request));
  EXPECT_FALSE(late->base_is_valid());
  ASSERT_OK(late->give_up());
  ASSERT_OK(session->give_up());
  EXPECT_EQ(apply().manifests_removed, 1u);
  EXPECT_FALSE(store.head(point_name(tv.item, 1)).ok());
}

TEST_F(LifecycleTest, TheLastNumberOfAnItemIsNeverGivenAgain) {
  write({2, 1});
  ASSERT_OK(life->change(
      tv.secret,
      {audit::SoftDelete{
          tv.item, DeleteReason::by_hand, {{1, written[0].sha256}, {2, written[1].sha256}}}}));
  days_pass(15);
  const auto applied = apply();
  EXPECT_EQ(applied.purged, 2u);
  EXPECT_EQ(applied.manifests_removed, 1u);
  EXPECT_EQ(applied.manifests_waiting, 1u);
  EXPECT_TRUE(life->points().points.empty());
  EXPECT_TRUE(life->points().defects.empty());
  // An agent without memory, whose base was the purged point.
  SessionRequest request;
  request.base = written[1];
  ASSIGN(auto session, begin_session(store, tv, request));
  EXPECT_FALSE(session->base_is_valid());
  ASSIGN(const WrittenPoint next, write_files(*session, {{"b", random_bytes(1, 100)}}));
  EXPECT_EQ(next.point.sequence, 3u);
  EXPECT_EQ(apply().manifests_removed, 1u);
  EXPECT_EQ(live(), 1u);
}

TEST_F(LifecycleTest, ALockedVaultRefusesAndRecordsIt) {
  write({40, 30, 20, 10, 0});
  keep_last(4);
  ASSERT_OK(life->change(tv.secret, {audit::SetSoftDelete{60}}));
  ASSERT_OK(life->change(tv.secret, {audit::SetImmutability{"", Immutability::locked}}));
  RetentionPolicy less;
  less.keep_last = 3;
  const std::vector<Action> wishes[] = {
      {audit::SetPolicy{"p", less}},
      {audit::SetPolicy{"q", less}, audit::Assign{tv.item, "q"}},
      {audit::SetSoftDelete{14}},
      {audit::SetImmutability{"", Immutability::unlocked}},
      {audit::SetImmutability{"", Immutability::off}},
      {audit::SoftDelete{tv.item, DeleteReason::by_hand, {{1, written[0].sha256}}}},
  };
  size_t refusals = 0;
  for (const auto& wish : wishes) {
    EXPECT_ERROR(vault::Errc::refused, life->change(tv.secret, wish));
    const auto* note = std::get_if<audit::Note>(&life->log().entries().back().entry.actions[0]);
    ASSERT_NE(note, nullptr);
    EXPECT_EQ(note->kind, NoteKind::refusal);
    EXPECT_NE(note->text.find("immutability is locked"), std::string::npos) << note->text;
    ++refusals;
  }
  EXPECT_EQ(refusals, 6u);
  EXPECT_EQ(live(), 5u);
  // A program that does not ask the rules, with the vault key: nobody believes it.
  AuditEntry forged;
  forged.vault = tv.description.vault;
  forged.sequence = life->state().head.sequence + 1;
  forged.previous_sequence = life->state().head.sequence;
  forged.previous_sha256 = life->state().head.sha256;
  forged.time_ns = life->state().time_ns;
  forged.actions = wishes[5];
  ASSERT_OK(store.put(audit_name(forged.sequence), forged.encode(tv.secret.vault_seed)));
  reopen();
  EXPECT_EQ(live(), 5u);
  ASSERT_EQ(life->log().passed_over().size(), 1u);
  EXPECT_TRUE(life->log().passed_over()[0].is_genuine);
  // The policy goes on.
  EXPECT_EQ(apply().soft_deleted, 1u);
}

TEST_F(LifecycleTest, ASecondPersonApproves) {
  write({2, 1});
  const MaintainerKeys approver = MaintainerKeys::create(tv.description.vault);
  ASSERT_OK(life->change(tv.secret, {approver.grant(Role::approver, "second")}));
  ASSERT_OK(life->change(tv.secret, {audit::SetApproval{true}}));
  const std::vector<Action> deletion{
      audit::SoftDelete{tv.item, DeleteReason::by_hand, {{1, written[0].sha256}}}};
  ASSIGN(const auto asked, life->change(tv.secret, deletion));
  EXPECT_TRUE(asked.needs_approval);
  reopen();
  EXPECT_EQ(live(), 2u);
  EXPECT_ERROR(vault::Errc::no_authority, life->approve(asked.entry));  // no such key here
  ASSERT_OK(state.save_granted(approver, Role::approver));
  EXPECT_ERROR(vault::Errc::refused, life->approve(asked.entry + 1));
  ASSERT_OK(life->approve(asked.entry));
  reopen();
  EXPECT_EQ(live(), 1u);
}

TEST_F(LifecycleTest, WithoutAMaintainersKeyNothingExpires) {
  write({1});
  const MaintainerKeys other = MaintainerKeys::create(tv.description.vault);
  ASSERT_OK(state.save_maintainer(other));
  EXPECT_ERROR(vault::Errc::no_authority, life->apply());
  ASSERT_OK(vault->enrol_granted(tv.secret, Role::maintainer, "more"));
  reopen();
  EXPECT_OK(life->apply());
  EXPECT_EQ(life->state().active(Role::maintainer), 2u);
}

TEST_F(LifecycleTest, LostEntriesPauseExpiryAndAreInTheLogOnce) {
  keep_last(1);
  std::vector<TestFile> many;
  for (int i = 0; i < 30; ++i) many.push_back({"f" + std::to_string(100 + i), random_bytes(1, 9)});
  for (const auto& files : {many, many, {many[0]}}) {
    ASSIGN(const WrittenPoint w, write_point(store, tv, files));
    received[point_name(tv.item, w.point.sequence)] =
        life->time().now_ns - (10 - static_cast<int64_t>(w.point.sequence)) * kDayNs;
  }
  EXPECT_EQ(apply().soft_deleted, 0u);
  const auto* note = std::get_if<audit::Note>(&life->log().entries().back().entry.actions[0]);
  ASSERT_NE(note, nullptr);
  EXPECT_EQ(note->kind, NoteKind::alert);
  const PointRef head = life->state().head;
  EXPECT_EQ(apply().soft_deleted, 0u);
  EXPECT_EQ(life->state().head, head);
  ASSERT_OK(life->change(tv.secret, {audit::ConfirmItem{tv.item, 3}}));
  EXPECT_EQ(apply().soft_deleted, 2u);
}

}  // namespace
}  // namespace holdfast::testing
