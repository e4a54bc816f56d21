// What a restore does with what is there already: overwrite rules, delta, deletion, dry run.

#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "backup-agent/restore/temporary.h"
#include "base/io/fd.h"
#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct RestoreModes : testing::AgentTest {
  RestoreModes() : AgentTest(testing::TempDirectory::fast_place()) {}

  void SetUp() override {
    write_file(agent.source("a"), "content of a");
    write_file(agent.source("d/b"), random_bytes(1, 700'000));
    write_file(agent.source("d/e/c"), "content of c");
    testing::make_symlink("a", agent.source("link"));
    testing::set_mtime(agent.source("a"), 1'500'000'000, 5);
    ASSERT_OK(agent.backup());
    tree = testing::describe_tree(agent.source());
  }
  RestoreReport restore(const RestoreOptions& options) {
    auto report = agent.restore(options);
    EXPECT_OK(report);
    return report.ok() ? *report : RestoreReport{};
  }
  void expect_same() { EXPECT_EQ(testing::describe_tree(agent.target()), tree); }

  std::map<std::string, std::string> tree;
};

TEST_F(RestoreModes, OverwriteRules) {
  struct Case {
    const char* what;
    Overwrite overwrite;
    int64_t mtime_s;  // of the target's "a"; the point has 1'500'000'000 and 12 bytes
    const char* content;
    bool is_replaced;
  };
  const Case cases[] = {
      {"never, other content", Overwrite::never, 1, "x", false},
      {"always, same size and time", Overwrite::always, 1'500'000'000, "CONTENT OF A", true},
      {"if changed, same size and time", Overwrite::if_changed, 1'500'000'000, "CONTENT OF A",
       false},
      {"if changed, other time", Overwrite::if_changed, 1'500'000'001, "CONTENT OF A", true},
      {"if changed, other size", Overwrite::if_changed, 1'500'000'000, "x", true},
      {"if newer, target older", Overwrite::if_newer, 1'400'000'000, "x", true},
      {"if newer, target newer", Overwrite::if_newer, 1'600'000'000, "x", false},
      {"if newer, same time", Overwrite::if_newer, 1'500'000'000, "x", false},
  };
  for (const Case& c : cases) {
    for (const bool delta : {false, true}) {
      SCOPED_TRACE(std::string(c.what) + (delta ? ", delta" : ""));
      testing::remove_all(agent.target());
      write_file(agent.target("a"), c.content);
      testing::set_mtime(agent.target("a"), c.mtime_s, 5);
      RestoreOptions options;
      options.overwrite = c.overwrite;
      options.delta = delta;
      const RestoreReport report = restore(options);
      EXPECT_EQ(report.problem_count, 0u);
      const Bytes now = testing::file_content(agent.target("a"));
      EXPECT_EQ(std::string(as_text(now)), c.is_replaced ? "content of a" : c.content);
      EXPECT_TRUE(std::filesystem::exists(agent.target("d/e/c")));
    }
  }
}

// The first name is restored, and the others are to become names of the same file.
TEST_F(RestoreModes, OverwriteRulesForHardLinks) {
  for (const char* name : {"d/a2", "d/a3", "d/a4"}) {
    testing::make_hard_link(agent.source("a"), agent.source(name));
  }
  ASSERT_OK(agent.backup());
  for (const Overwrite overwrite :
       {Overwrite::always, Overwrite::if_changed, Overwrite::if_newer, Overwrite::never}) {
    SCOPED_TRACE(static_cast<int>(overwrite));
    testing::remove_all(agent.target());
    const std::pair<const char*, int64_t> there[] = {
        {"d/a2", 1'400'000'000}, {"d/a3", 1'500'000'000}, {"d/a4", 1'600'000'000}};
    for (const auto& [name, mtime_s] : there) {
      write_file(agent.target(name), "x");
      testing::set_mtime(agent.target(name), mtime_s, 5);
    }
    RestoreOptions options;
    options.overwrite = overwrite;
    const RestoreReport report = restore(options);
    EXPECT_EQ(report.problem_count, 0u);
    for (const auto& [name, mtime_s] : there) {
      const bool stays = overwrite == Overwrite::never ||
                         (overwrite == Overwrite::if_newer && mtime_s >= 1'500'000'000);
      const Bytes now = testing::file_content(agent.target(name));
      EXPECT_EQ(std::string(as_text(now)), stays ? "x" : "content of a") << name;
      EXPECT_EQ(std::filesystem::equivalent(agent.target(name), agent.target("a")), !stays);
    }
    EXPECT_EQ(report.files_skipped, overwrite == Overwrite::never      ? 3u
                                    : overwrite == Overwrite::if_newer ? 2u
                                                                       : 0u);
    const auto entries = std::filesystem::directory_iterator(agent.target("d"));
    EXPECT_EQ(std::distance(begin(entries), end(entries)), 5) << "no temporary names";
  }
}

// The system makes no further names: too many, another file system, one without hard links.
TEST_F(RestoreModes, CopiesWhereHardLinksCannotBe) {
  testing::make_hard_link(agent.source("d/b"), agent.source("d/b2"));
  ASSERT_EQ(::mkfifo(agent.source("p").c_str(), 0640), 0);
  testing::make_hard_link(agent.source("p"), agent.source("p2"));
  ASSERT_OK(agent.backup());
  for (const int error : {EMLINK, EXDEV, EPERM, EOPNOTSUPP, EIO}) {
    for (const bool exists : {false, true}) {
      SCOPED_TRACE(std::generic_category().message(error) + (exists ? ", exists" : ""));
      testing::remove_all(agent.target());
      if (exists) write_file(agent.target("d/b2"), "x");
      const auto is_link = [&](const std::string& path) {
        return path == agent.target("d/b2") || path == agent.target("p2") ||
               path == agent.target("d/" + temporary_name("b2"));
      };
      // Then the copy gets its name.
      std::map<std::string, int> left = {{"b2", exists ? 2 : 1}, {"p2", 1}};
      if (error == EPERM) left = {{"b2", exists ? 3 : 2}, {"p2", 1}};
      RestoreReport report;
      {
        const SystemCalls calls(
            agent.target(), [&](const std::string& call, const std::string& path) {
              if (call != "linkat" || !is_link(path)) return 0;
              return left[path == agent.target("p2") ? "p2" : "b2"]-- > 0 ? error : 0;
            });
        report = restore({});
      }
      if (error == EIO) {
        EXPECT_EQ(report.problem_count, 2u);
        EXPECT_EQ(std::filesystem::exists(agent.target("d/b2")), exists);
        if (exists) {
          EXPECT_EQ(as_text(testing::file_content(agent.target("d/b2"))), "x");
        }
        continue;
      }
      EXPECT_EQ(report.problem_count, 0u);
      EXPECT_EQ(testing::file_content(agent.target("d/b2")),
                testing::file_content(agent.source("d/b2")));
      EXPECT_FALSE(std::filesystem::equivalent(agent.target("d/b2"), agent.target("d/b")));
      EXPECT_EQ(std::filesystem::last_write_time(agent.target("d/b2")),
                std::filesystem::last_write_time(agent.source("d/b2")));
      EXPECT_TRUE(std::filesystem::is_fifo(agent.target("p2")));
    }
  }
}

TEST_F(RestoreModes, ANewerFileInPlaceOfADirectoryStaysWithIfNewer) {
  struct stat st {};
  ASSERT_EQ(::stat(agent.source("d").c_str(), &st), 0);
  for (const bool is_newer : {true, false}) {
    testing::remove_all(agent.target());
    write_file(agent.target("d"), "x");
    testing::set_mtime(agent.target("d"), st.st_mtim.tv_sec + (is_newer ? 5 : -5));
    RestoreOptions options;
    options.overwrite = Overwrite::if_newer;
    const RestoreReport report = restore(options);
    EXPECT_EQ(report.problem_count, is_newer ? 1u : 0u);
    EXPECT_EQ(std::filesystem::is_regular_file(agent.target("d")), is_newer);
    if (is_newer) {
      EXPECT_EQ(report.problems[0].path, agent.target("d"));
      EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr("newer"));
      EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr("--overwrite"));
    }
    EXPECT_TRUE(std::filesystem::exists(agent.target("a")));
  }
}

TEST_F(RestoreModes, ASecondRestoreWritesNothing) {
  restore({});
  expect_same();
  const RestoreReport again = restore({});
  EXPECT_EQ(again.files_written, 0u);
  EXPECT_EQ(again.files_unchanged, 3u);
  EXPECT_EQ(again.bytes_written, 0u);
  expect_same();
}

TEST_F(RestoreModes, MetadataOfAnUnchangedFileIsPutRight) {
  restore({});
  ASSERT_EQ(::chmod(agent.target("a").c_str(), 0), 0);
  ASSERT_EQ(::chmod(agent.target("d").c_str(), 0700), 0);
  testing::set_mtime(agent.target("d"), 5);
  const RestoreReport again = restore({});
  EXPECT_EQ(again.bytes_written, 0u);
  expect_same();
}

TEST_F(RestoreModes, DeltaRewritesOnlyDifferingRanges) {
  const Bytes content = random_bytes(33, 8'000'000);
  write_file(agent.source("large"), content);
  ASSERT_OK(agent.backup());
  tree = testing::describe_tree(agent.source());
  restore({});
  struct stat before {};
  ASSERT_EQ(::stat(agent.target("large").c_str(), &before), 0);
  for (const uint64_t size : {uint64_t{8'000'000}, uint64_t{7'000'000}, uint64_t{8'500'000}}) {
    SCOPED_TRACE(size);
    {
      const io::Fd fd(::open(agent.target("large").c_str(), O_WRONLY | O_CLOEXEC));
      ASSERT_EQ(::pwrite(fd.get(), "difference", 10, 3'000'000), 10);
      ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    }
    RestoreOptions options;
    options.delta = true;
    const RestoreReport report = restore(options);
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(report.files_patched, 1u);
    EXPECT_LE(report.bytes_written, (8'000'000 - std::min<uint64_t>(size, 8'000'000)) + 600'000);
    EXPECT_GT(report.bytes_written, 0u);
    expect_same();
    struct stat after {};
    ASSERT_EQ(::stat(agent.target("large").c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino) << "in place";
  }
}

TEST_F(RestoreModes, DeltaMakesHolesAgain) {
  {
    const io::Fd fd(::open(agent.source("sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(fd.get(), 6'000'000), 0);
    ASSERT_EQ(::pwrite(fd.get(), "data", 4, 4'000'000), 4);
  }
  ASSERT_OK(agent.backup());
  tree = testing::describe_tree(agent.source());
  write_file(agent.target("sparse"), random_bytes(3, 6'000'000));
  RestoreOptions options;
  options.delta = true;
  restore(options);
  expect_same();
  EXPECT_LT(testing::allocated_bytes(agent.target("sparse")), 500'000u);
}

// Two names of one file in the target are two files in the point: rewriting one in place would
// write into the other.
TEST_F(RestoreModes, DeltaDoesNotWriteThroughHardLinks) {
  write_file(agent.path("outside"), random_bytes(8, 700'000));
  testing::make_directory(agent.target("d/e"));
  testing::make_hard_link(agent.path("outside"), agent.target("d/b"));
  write_file(agent.target("a"), "x");
  testing::make_hard_link(agent.target("a"), agent.target("d/e/c"));
  const Bytes outside = testing::file_content(agent.path("outside"));
  RestoreOptions options;
  options.delta = true;
  EXPECT_EQ(restore(options).problem_count, 0u);
  expect_same();
  EXPECT_EQ(testing::file_content(agent.path("outside")), outside);
}

TEST_F(RestoreModes, OtherTypesInTheWay) {
  for (const bool delete_extra : {false, true}) {
    testing::remove_all(agent.target());
    write_file(agent.target("d"), "a file where a directory belongs");
    testing::make_directory(agent.target("a"));
    testing::make_directory(agent.target("link"));
    RestoreOptions options;
    options.delete_extra = delete_extra;
    EXPECT_EQ(restore(options).problem_count, 0u) << "empty directories make way";
    expect_same();

    testing::remove_all(agent.target());
    write_file(agent.target("a/inside"), "of a directory where a file belongs");
    const RestoreReport report = restore(options);
    if (delete_extra) {
      EXPECT_EQ(report.problem_count, 0u);
      expect_same();
    } else {
      ASSERT_EQ(report.problems.size(), 1u);
      EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr("--delete"));
      EXPECT_TRUE(std::filesystem::exists(agent.target("a/inside")));
      EXPECT_TRUE(std::filesystem::exists(agent.target("d/e/c")));
    }
  }
}

TEST_F(RestoreModes, DeleteRemovesWhatThePointLacksAndNothingElse) {
  restore({});
  write_file(agent.target("extra"), "x");
  write_file(agent.target("d/extra/deep/f"), "x");
  testing::make_symlink(agent.source(), agent.target("d/extra-link"));
  RestoreOptions options;
  options.delete_extra = true;
  const RestoreReport report = restore(options);
  EXPECT_EQ(report.deleted, 3u);
  expect_same();
  EXPECT_EQ(testing::describe_tree(agent.source()), tree) << "links are removed, not followed";
}

TEST_F(RestoreModes, DeleteSparesWhatIsExcluded) {
  restore({});
  write_file(agent.target("keep.log"), "x");
  write_file(agent.target("d/keep.log"), "x");
  write_file(agent.target("go"), "x");
  RestoreOptions options;
  options.delete_extra = true;
  options.exclude = {"*.log"};
  EXPECT_EQ(restore(options).deleted, 1u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("keep.log")));
  EXPECT_TRUE(std::filesystem::exists(agent.target("d/keep.log")));
}

// The vault lies where a backup left it out, and so an empty directory in the point; below what the
// point does not have; or around the target.
TEST_F(RestoreModes, DeleteSparesTheVault) {
  testing::make_directory(agent.source("vault"));
  ASSERT_OK(agent.backup());
  restore({});
  RestoreOptions options;
  options.delete_extra = true;
  for (const bool dry_run : {true, false}) {
    options.dry_run = dry_run;
    for (const std::string name : {"vault", "extra/vault", "d/vault"}) {
      SCOPED_TRACE(name);
      write_file(agent.target(name + "/packs/1"), "x");
      write_file(agent.target("extra/x"), "x");
      options.vault = agent.target(name);
      const RestoreReport report = restore(options);
      EXPECT_TRUE(std::filesystem::exists(agent.target(name + "/packs/1")));
      EXPECT_EQ(std::filesystem::exists(agent.target("extra/x")), dry_run);
      ASSERT_EQ(report.problem_count, name == "vault" ? 0u : 1u);
      if (name != "vault") {
        EXPECT_EQ(report.problems[0].path, agent.target(name));
        EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr("vault"));
      }
      EXPECT_EQ(report.deleted, name == "extra/vault" ? 0u : 1u);
      testing::remove_all(agent.target(name));
    }
    write_file(agent.target("extra/x"), "x");
    options.vault = agent.path("");
    const RestoreReport report = restore(options);
    ASSERT_EQ(report.problem_count, 1u);
    EXPECT_THAT(report.problems[0].reason, ::testing::HasSubstr("vault"));
    EXPECT_TRUE(std::filesystem::exists(agent.target("extra/x")));
  }
}

TEST_F(RestoreModes, AVaultInTheWayOfAFileStays) {
  write_file(agent.target("a/vault/packs/1"), "x");
  RestoreOptions options;
  options.delete_extra = true;
  options.vault = agent.target("a/vault");
  EXPECT_EQ(restore(options).problem_count, 2u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("a/vault/packs/1")));
  EXPECT_TRUE(std::filesystem::exists(agent.target("d/e/c")));
}

// A file and a directory could not be opened: the one is not in the point, the other is empty.
TEST_F(RestoreModes, DeleteSparesWhatTheBackupCouldNotRead) {
  restore({});
  write_file(agent.source("a"), "changed, so that it is opened");
  {
    const SystemCalls calls(agent.source(), [&](const std::string& call, const std::string& path) {
      const bool is_closed = path == agent.source("a") || path == agent.source("d/e");
      return call == "openat" && is_closed ? EACCES : 0;
    });
    ASSIGN(const BackupResult result, agent.backup());
    ASSERT_EQ(result.problem_count, 2u);
  }
  for (const bool part : {false, true}) {
    for (const char* name : {"extra", "d/extra", "d/e/extra"}) write_file(agent.target(name), "x");
    RestoreOptions options;
    options.delete_extra = true;
    options.subpath = part ? agent.key("d") : "";
    options.target = part ? agent.target("d") : "";
    EXPECT_EQ(restore(options).deleted, part ? 1u : 2u);
    EXPECT_FALSE(std::filesystem::exists(agent.target("d/extra")));
    EXPECT_EQ(std::filesystem::exists(agent.target("extra")), part);
    for (const char* name : {"a", "d/e/c", "d/e/extra"}) {
      EXPECT_TRUE(std::filesystem::exists(agent.target(name))) << name;
    }
  }
}

TEST_F(RestoreModes, NothingIsDeletedIfThePointDoesNotNameAllItLacks) {
  write_file(agent.target("extra"), "x");
  write_file(agent.target("a/inside"), "of a directory where a file belongs");
  ASSIGN(testing::OpenPoint open, agent.open_point());
  RestoreOptions options;
  options.target = agent.target();
  options.subpath = agent.key();
  options.delete_extra = true;
  for (const bool has_body : {true, false}) {
    if (has_body) {
      open.point.manifest.incomplete = true;
      open.point.body->problem_count = 2;
      open.point.body->problems = {{agent.source("gone"), "Permission denied"}};
    } else {
      open.point.body.reset();
    }
    RestoreProgress progress;
    ASSIGN(const RestoreReport report,
           run_restore(*open.reader, open.point, options, progress, {}, {}));
    EXPECT_EQ(report.deleted, 0u);
    ASSERT_EQ(report.problem_count, 2u) << "and the directory in the way";
    EXPECT_THAT(report.problems[0].reason, ::testing::StartsWith("nothing was deleted: "));
    EXPECT_TRUE(std::filesystem::exists(agent.target("extra")));
    EXPECT_TRUE(std::filesystem::exists(agent.target("a/inside")));
  }
}

TEST_F(RestoreModes, DeleteTouchesNothingThatIsNotIncluded) {
  restore({});
  write_file(agent.target("d/extra"), "x");
  write_file(agent.target("d/e/extra"), "x");
  ASSERT_EQ(::chmod(agent.target("d/e").c_str(), 0700), 0);
  const auto before = testing::describe_tree(agent.target());
  RestoreOptions options;
  options.delete_extra = true;
  options.include = {"/" + agent.key("a")};
  options.vault = agent.path("vault");
  testing::make_directory(options.vault);
  EXPECT_EQ(restore(options).deleted, 0u);
  EXPECT_EQ(testing::describe_tree(agent.target()), before);
}

// One file is asked for: what else lies in the target is not the point's to judge.
TEST_F(RestoreModes, DeleteWithASingleFileLeavesItsNeighbours) {
  write_file(agent.target("neighbour"), "x");
  RestoreOptions options;
  options.delete_extra = true;
  options.subpath = agent.key("a");
  EXPECT_EQ(restore(options).deleted, 0u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("neighbour")));
  EXPECT_TRUE(std::filesystem::exists(agent.target("a")));
}

// A page of the map cannot be read: what it would name must not count as absent.
TEST_F(RestoreModes, DeleteSparesWhatTheMapMayHaveNamed) {
  // Several segments of metadata.
  for (int i = 0; i < 8'000; ++i) {
    // Pages leave out what a name has in common with the one before: random ones.
    write_file(agent.source("many/" + to_hex(random_bytes(static_cast<uint64_t>(i), 100))), "x");
  }
  ASSERT_OK(agent.backup());
  restore({});
  tree = testing::describe_tree(agent.target(), {.directory_times = false});
  ASSIGN(const testing::OpenPoint open, agent.open_point());
  int hit = 0;
  const auto packs = store.list(std::string(vault::kPacksPrefix));
  for (const vault::ObjectInfo& o : *packs) {
    ASSIGN(Bytes bytes, store.get(o.name, 100'000'000));
    ASSIGN(const vault::IndexedPack pack,
           open.reader->catalog().describe(*vault::parse_pack_name(o.name)));
    if (pack.kind != vault::PackKind::metadata) continue;
    // The middle: some leaves, neither the first ones nor the root, which is stored last.
    if (pack.pack_bytes < 50'000) continue;
    bytes[bytes.size() / 2] ^= 1;
    store.tamper(o.name, bytes);
    ++hit;
  }
  ASSERT_GT(hit, 0);
  RestoreOptions options;
  options.delete_extra = true;
  ASSIGN(const RestoreReport report, agent.restore(options));
  EXPECT_GE(report.problem_count, 1u);
  EXPECT_EQ(report.deleted, 0u);
  EXPECT_EQ(testing::describe_tree(agent.target(), {.directory_times = false}), tree);
}

TEST_F(RestoreModes, ADryRunTouchesNothing) {
  RestoreOptions options;
  options.dry_run = true;
  const RestoreReport fresh = restore(options);
  EXPECT_EQ(fresh.files_written, 3u);
  EXPECT_FALSE(std::filesystem::exists(agent.target()));

  write_file(agent.target("a"), "other");
  write_file(agent.target("extra"), "x");
  write_file(agent.target("link"), "in the way");
  const auto before = testing::describe_tree(agent.target());
  options.delete_extra = true;
  options.delta = true;
  const RestoreReport report = restore(options);
  EXPECT_EQ(report.files_patched, 1u);
  EXPECT_EQ(report.files_written, 2u);
  EXPECT_EQ(report.deleted, 1u);
  EXPECT_EQ(report.others, 1u);
  EXPECT_EQ(testing::describe_tree(agent.target()), before);
}

TEST_F(RestoreModes, IncludeAndExclude) {
  RestoreOptions options;
  options.include = {"c"};
  EXPECT_EQ(restore(options).files_written, 1u);
  EXPECT_TRUE(std::filesystem::exists(agent.target("d/e/c")));
  EXPECT_FALSE(std::filesystem::exists(agent.target("a")));
  testing::remove_all(agent.target());
  options.include = {};
  options.exclude = {"/" + agent.key("d/e")};
  EXPECT_EQ(restore(options).files_written, 2u);
  EXPECT_FALSE(std::filesystem::exists(agent.target("d/e")));
}

TEST_F(RestoreModes, ASubPathThatIsNotThere) {
  RestoreOptions options;
  options.subpath = agent.key("nothing");
  EXPECT_ERROR(std::errc::no_such_file_or_directory, agent.restore(options));
}

}  // namespace
}  // namespace holdfast::backup_agent
