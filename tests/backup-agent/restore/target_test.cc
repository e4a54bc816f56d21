// Restores onto a hostile or failing target: planted links, names that would lead out of it, and
// every system call on it failing once.

#include <cerrno>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"
#include "vault/format/map_builder.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct RestoreTarget : testing::AgentTest {
  RestoreTarget() : AgentTest(testing::TempDirectory::fast_place()) {}

  void SetUp() override {
    write_file(agent.source("a"), "content of a");
    write_file(agent.source("d/b"), random_bytes(1, 700'000));
    write_file(agent.source("d/e/c"), "content of c");
    testing::make_hard_link(agent.source("a"), agent.source("d/linked"));
    testing::make_symlink("a", agent.source("link"));
    (void)::setxattr(agent.source("d/b").c_str(), "user.x", "1", 1, 0);
    ASSERT_OK(agent.backup());
    tree = testing::describe_tree(agent.source());
    write_file(agent.path("outside/b"), "outside");
    write_file(agent.path("outside/a"), "outside");
    outside = testing::describe_tree(agent.path("outside"));
  }
  void expect_nothing_outside_touched() {
    EXPECT_EQ(testing::describe_tree(agent.path("outside")), outside);
  }

  std::map<std::string, std::string> tree;
  std::map<std::string, std::string> outside;
};

TEST_F(RestoreTarget, PlantedLinksAreReplacedNotFollowed) {
  for (const bool delta : {false, true}) {
    for (const Overwrite overwrite : {Overwrite::always, Overwrite::if_changed}) {
      testing::remove_all(agent.target());
      testing::make_directory(agent.target());
      testing::make_symlink(agent.path("outside"), agent.target("d"));
      testing::make_symlink(agent.path("outside/a"), agent.target("a"));
      testing::make_symlink(agent.path("outside/made"), agent.target("link"));
      RestoreOptions options;
      options.delta = delta;
      options.overwrite = overwrite;
      ASSIGN(const RestoreReport report, agent.restore(options));
      EXPECT_EQ(report.problem_count, 0u);
      EXPECT_EQ(testing::describe_tree(agent.target()), tree);
      expect_nothing_outside_touched();
    }
  }
}

TEST_F(RestoreTarget, PlantedLinksStayAndAreNotFollowedWhereNothingMayBeOverwritten) {
  testing::make_directory(agent.target());
  testing::make_symlink(agent.path("outside"), agent.target("d"));
  testing::make_symlink(agent.path("outside/a"), agent.target("a"));
  RestoreOptions options;
  options.overwrite = Overwrite::never;
  ASSIGN(const RestoreReport report, agent.restore(options));
  EXPECT_GE(report.problem_count, 1u);
  EXPECT_TRUE(std::filesystem::is_symlink(agent.target("d")));
  expect_nothing_outside_touched();
}

TEST_F(RestoreTarget, DeleteDoesNotFollowPlantedLinks) {
  testing::make_directory(agent.target("d"));
  testing::make_symlink(agent.path("outside"), agent.target("extra"));
  testing::make_symlink(agent.path("outside"), agent.target("d/e"));
  RestoreOptions options;
  options.delete_extra = true;
  ASSIGN(const RestoreReport report, agent.restore(options));
  EXPECT_EQ(report.problem_count, 0u);
  EXPECT_EQ(testing::describe_tree(agent.target()), tree);
  expect_nothing_outside_touched();
}

// Somebody exchanges a directory for a link before call number n on the target, for every n.
TEST_F(RestoreTarget, ALinkPlantedAtAnyMomentIsNotFollowed) {
  uint64_t moments = 0;
  for (uint64_t n = 0;; ++n) {
    testing::remove_all(agent.target());
    bool planted = false;
    {
      std::atomic<uint64_t> seen{0};
      const SystemCalls calls(agent.target(), [&](const std::string&, const std::string&) {
        if (seen++ == n) {
          planted = true;
          if (::rename(agent.target("d").c_str(), agent.target("moved").c_str()) == 0 ||
              errno == ENOENT) {
            (void)::symlink(agent.path("outside").c_str(), agent.target("d").c_str());
          }
        }
        return 0;
      });
      (void)agent.restore();
    }
    SCOPED_TRACE("moment " + std::to_string(n));
    expect_nothing_outside_touched();
    if (HasFailure() || !planted) break;
    ++moments;
  }
  EXPECT_GE(moments, 15u);
  RecordProperty("moments", static_cast<int>(moments));
}

TEST_F(RestoreTarget, EveryCallFailsOnce) {
  int faults = 0;
  for (const int error : {EIO, ENOSPC, EACCES}) {
    for (uint64_t n = 0;; ++n) {
      testing::remove_all(agent.target());
      // Something to replace, patch and delete, too.
      write_file(agent.target("d/b"), random_bytes(5, 600'000));
      write_file(agent.target("extra/x"), "x");
      RestoreOptions options;
      options.delta = n % 2 == 1;
      options.delete_extra = true;
      options.workers = 1;
      std::optional<Result<RestoreReport>> result;
      std::string what;
      {
        const FailingCall fault(agent.target(), n / 2, error);
        result = agent.restore(options);
        if (!fault.has_failed()) break;
        what = fault.what();
      }
      ++faults;
      SCOPED_TRACE(what + ": " + std::generic_category().message(error));
      if (!result->ok()) {
        EXPECT_EQ((*result).error().code.value(), error) << (*result).error().message();
      } else if ((**result).problem_count == 0 && (**result).refused.empty()) {
        EXPECT_EQ(testing::describe_tree(agent.target()), tree) << "a failure without a word";
      }
      const auto retry = agent.restore(options);
      ASSERT_OK(retry);
      EXPECT_EQ(retry->problem_count, 0u);
      EXPECT_EQ(testing::describe_tree(agent.target()), tree) << "after the next try";
      expect_nothing_outside_touched();
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(faults, 150);
  RecordProperty("faults", faults);
}

// A point made by a hostile agent: keys and types that no backup gives.
struct HostilePoint : RestoreTarget {
  Result<vault::ChunkId> store_entries(vault::Session& session,
                                       const std::vector<vault::PathEntry>& entries) {
    struct Sink final : vault::NodeSink {
      vault::Session& session;
      vault::SegmentWriter writer;
      explicit Sink(vault::Session& s) : session(s), writer(s, vault::PackKind::metadata) {}
      Result<vault::ChunkId> put_node(std::span<const vault::ChunkId> edges,
                                      ByteView payload) override {
        const auto id = session.chunk_id(vault::ChunkKind::node, edges, payload);
        TRY(const bool is_new, session.claim(id));
        if (is_new) {
          TRYV(writer.add({id, vault::ChunkKind::node, {edges.begin(), edges.end()}}, payload));
        }
        return id;
      }
    } sink(session);
    vault::PathMapBuilder map(session.domain().page_key(), sink);
    for (const auto& e : entries) TRYV(map.add(e.key, e.entry));
    TRY(const vault::ChunkId root, map.finish());
    TRYV(sink.writer.flush());
    return root;
  }
  Result<RestoreReport> restore_all(const std::vector<vault::PathEntry>& entries) {
    TRY(const auto session, testing::begin_session(store, vault, {}));
    TRY(const auto root, store_entries(*session, entries));
    vault::ManifestDraft draft;
    draft.entries = entries.size();
    draft.roots = {root};
    draft.body.item_name = "item";
    TRYV(session->commit(std::move(draft)));
    TRY(const testing::OpenPoint open, agent.open_point());
    RestoreOptions options;
    options.target = agent.target();
    RestoreProgress progress;
    return run_restore(*open.reader, open.point, options, progress, {}, {});
  }
  Result<RestoreReport> verify_all() {
    TRY(const testing::OpenPoint open, agent.open_point());
    RestoreOptions options;
    options.target = agent.target();
    RestoreProgress progress;
    RestoreReport report;
    TRYV(verify_restore(*open.reader, open.point, options, progress, report, {}));
    return report;
  }
  static vault::Entry directory() {
    vault::Entry e;
    e.type = vault::EntryType::directory;
    e.mode = 0755;
    return e;
  }
  static vault::Entry file() {
    vault::Entry e;
    e.mode = 0644;
    return e;
  }
  vault::Entry link() {
    vault::Entry e;
    e.type = vault::EntryType::symlink;
    e.symlink_target = agent.path("outside");
    return e;
  }
};

TEST_F(HostilePoint, AFileBelowALinkIsNotWrittenThroughIt) {
  ASSIGN(const RestoreReport report,
         restore_all({{"", directory()}, {"d", link()}, {"d/evil", file()}, {"e", file()}}));
  EXPECT_EQ(report.problem_count, 1u);
  expect_nothing_outside_touched();
  EXPECT_TRUE(std::filesystem::exists(agent.target("e")));
}

TEST_F(HostilePoint, AFileBelowALinkIsNotVerifiedThroughIt) {
  ASSERT_OK(restore_all({{"", directory()}, {"d", link()}, {"d/a", file()}, {"d/none", file()}}));
  ASSIGN(const RestoreReport report, verify_all());
  std::map<std::string, std::string> problems;
  for (const auto& p : report.problems) problems[p.path] = p.reason;
  for (const char* name : {"d/a", "d/none"}) {
    EXPECT_EQ(problems[agent.target(name)], "verify: its directory is missing from the point");
  }
  EXPECT_EQ(report.files_verified, 0u);
}

TEST_F(HostilePoint, ADirectoryBelowALinkIsNotEntered) {
  ASSIGN(const RestoreReport report, restore_all({{"", directory()},
                                                  {"d", link()},
                                                  {"d/evil", directory()},
                                                  {"d/evil/f", file()},
                                                  {"e", file()}}));
  EXPECT_GE(report.problem_count, 1u);
  expect_nothing_outside_touched();
  EXPECT_TRUE(std::filesystem::exists(agent.target("e")));
}

TEST_F(HostilePoint, MissingDirectoriesAreNotMadeUp) {
  ASSIGN(const RestoreReport report,
         restore_all({{"", directory()}, {"d/f", file()}, {"d/g/h", file()}, {"e", file()}}));
  EXPECT_EQ(report.problem_count, 2u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("e")));
}

TEST_F(HostilePoint, KeysThatLeadOut) {
  for (const char* key : {"..", "../evil", "d/../../evil", ".", "d//e", "/absolute"}) {
    SCOPED_TRACE(key);
    testing::remove_all(agent.target());
    const auto result = restore_all({{"", directory()}, {key, file()}});
    if (result.ok()) {
      EXPECT_EQ(result->files_written, 0u);
      EXPECT_GE(result->problem_count, 1u);
    }
    EXPECT_FALSE(std::filesystem::exists(agent.path("evil")));
  }
}

TEST_F(HostilePoint, HardLinksToWhatIsNotThere) {
  vault::Entry linked = file();
  linked.link_to = "../outside/a";
  const auto result = restore_all({{"", directory()}, {"f", linked}, {"g", linked}});
  expect_nothing_outside_touched();
  struct stat st {};
  ASSERT_EQ(::stat(agent.path("outside/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_nlink, 1u);
}

}  // namespace
}  // namespace holdfast::backup_agent
