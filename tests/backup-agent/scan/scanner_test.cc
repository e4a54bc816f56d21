// The walk: which entries come, in which order, and what is said about the rest.

#include "backup-agent/scan/scanner.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>

#include "backup-agent/scan/metadata.h"
#include "backup-agent/scan/snapshots.h"
#include "tests/backup-agent/system_calls.h"
#include "tests/support/test_agent.h"

namespace holdfast::backup_agent {
namespace {

using testing::write_file;

struct Visitor final : ScanVisitor {
  std::vector<std::string> keys;
  std::map<std::string, ScannedEntry> entries;
  std::map<std::string, std::string> identities;  // of file systems, which go with the scanner
  std::vector<std::string> problems;
  std::vector<std::string> omissions;
  Status entry(ScannedEntry e) override {
    keys.push_back(e.key);
    if (e.file_system != nullptr) identities[e.key] = e.file_system->identity;
    entries[e.key] = std::move(e);
    return {};
  }
  void problem(const std::string& key, const Error&) override { problems.push_back(key); }
  void left_out(const std::string& key, std::string_view) override { omissions.push_back(key); }
};

struct ScannerTest : ::testing::Test {
  testing::TempDirectory directory;
  std::string root = directory.path();

  std::string key(const std::string& name = "") {
    return (name.empty() ? root : root + "/" + name).substr(1);
  }
  Visitor scan(const std::vector<std::string>& names, ScanOptions options = {},
               const std::vector<std::string>& exclude = {},
               const std::vector<std::string>& include = {}) {
    Filter filter({key()});
    for (const std::string& p : exclude) EXPECT_OK(filter.exclude.add(p));
    for (const std::string& p : include) EXPECT_OK(filter.include.add(p));
    std::vector<ScanRoot> roots;
    for (const std::string& n : names) {
      roots.push_back({key(n), n.empty() ? root : root + "/" + n});
    }
    Visitor visitor;
    Scanner scanner(roots, filter, std::move(options));
    EXPECT_OK(scanner.scan(visitor, {}));
    for (size_t i = 1; i < visitor.keys.size(); ++i) {
      EXPECT_LT(vault::compare_keys(visitor.keys[i - 1], visitor.keys[i]), 0) << visitor.keys[i];
    }
    return visitor;
  }
  // Keys below the root, without it.
  std::vector<std::string> below(const Visitor& v) {
    std::vector<std::string> out;
    for (const std::string& k : v.keys) {
      if (k.starts_with(key() + "/")) out.push_back(k.substr(key().size() + 1));
    }
    return out;
  }
};

using Keys = std::vector<std::string>;

TEST_F(ScannerTest, KeysRiseByComponents) {
  for (const char* name : {"a/x", "a-b", "a.b/y", "a/b/c", "A", "\xff", "a\x01"}) {
    write_file(root + "/" + name, "x");
  }
  EXPECT_EQ(below(scan({""})),
            (Keys{"A", "a", "a/b", "a/b/c", "a/x", "a\x01", "a-b", "a.b", "a.b/y", "\xff"}));
}

TEST_F(ScannerTest, AncestorsComeOnceAndFirst) {
  write_file(root + "/a/x", "x");
  write_file(root + "/b/y", "x");
  write_file(root + "/c/z", "x");
  const Visitor v = scan({"a", "c/z"});
  EXPECT_EQ(v.keys.front(), "");
  EXPECT_EQ(std::count(v.keys.begin(), v.keys.end(), key()), 1);
  EXPECT_EQ(below(v), (Keys{"a", "a/x", "c", "c/z"}));
}

TEST_F(ScannerTest, ADirectoryOfManyEntries) {
  // Several batches of reading ahead, and directories among them.
  for (int i = 0; i < 5000; ++i) {
    if (i % 100 == 0) {
      write_file(root + "/many/" + std::to_string(i) + "/f", "x");
    } else {
      write_file(root + "/many/" + std::to_string(i), "x");
    }
  }
  EXPECT_EQ(below(scan({"many"})).size(), 5000u + 50 + 1);
}

TEST_F(ScannerTest, ALinkAsARootIsTakenAsALink) {
  write_file(root + "/d/x", "x");
  testing::make_symlink("d", root + "/link");
  const Visitor v = scan({"link"});
  EXPECT_EQ(below(v), Keys{"link"});
  EXPECT_EQ(v.entries.at(key("link")).stat.mode & S_IFMT, S_IFLNK + 0u);
}

TEST_F(ScannerTest, ExcludesAndIncludes) {
  for (const char* name : {"a/x.o", "a/x.c", "b/deep/y.c", "c/z", ".holdfast/s/f"}) {
    write_file(root + "/" + name, "x");
  }
  EXPECT_EQ(below(scan({""}, {}, {"*.o", "b/", ".holdfast/"})), (Keys{"a", "a/x.c", "c", "c/z"}));
  // Directories come only where something below them is included.
  EXPECT_EQ(below(scan({""}, {}, {}, {"*.c"})), (Keys{"a", "a/x.c", "b", "b/deep", "b/deep/y.c"}));
  EXPECT_EQ(below(scan({""}, {}, {}, {"deep"})), (Keys{"b", "b/deep", "b/deep/y.c"}));
}

TEST_F(ScannerTest, TaggedCachesAndLargeFiles) {
  write_file(root + "/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
  write_file(root + "/cache/data", "x");
  write_file(root + "/not/CACHEDIR.TAG", "Signature: none");
  write_file(root + "/not/data", "x");
  write_file(root + "/large", Bytes(1001));
  write_file(root + "/exact", Bytes(1000));
  Filter filter({key()});
  filter.exclude_caches = true;
  filter.larger_than = 1000;
  Visitor v;
  Scanner scanner({{key(), root}}, filter, {});
  ASSERT_OK(scanner.scan(v, {}));
  EXPECT_EQ(below(v),
            (Keys{"cache", "cache/CACHEDIR.TAG", "exact", "not", "not/CACHEDIR.TAG", "not/data"}));
  EXPECT_EQ(v.omissions, Keys{key("large")});
}

TEST_F(ScannerTest, TheVaultItselfIsLeftOut) {
  write_file(root + "/vault/packs/x", "x");
  write_file(root + "/a", "x");
  struct stat st {};
  ASSERT_EQ(::stat((root + "/vault").c_str(), &st), 0);
  ScanOptions options;
  options.skip.insert({st.st_dev, st.st_ino});
  const Visitor v = scan({""}, options);
  EXPECT_EQ(below(v), (Keys{"a", "vault"}));
  EXPECT_EQ(v.omissions, Keys{key("vault")});
}

TEST_F(ScannerTest, UnreadableDirectoriesAreNamedAndTheRestComes) {
  write_file(root + "/a/x", "x");
  write_file(root + "/b/y", "x");
  write_file(root + "/c/z", "x");
  const SystemCalls calls(root, [&](const std::string& call, const std::string& path) {
    return call == "openat" && path == root + "/b" ? EACCES : 0;
  });
  const Visitor v = scan({""});
  EXPECT_EQ(below(v), (Keys{"a", "a/x", "b", "c", "c/z"}));
  EXPECT_EQ(v.problems, Keys{key("b")});
}

TEST_F(ScannerTest, OtherFileSystems) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  write_file(root + "/a", "x");
  testing::make_directory(root + "/mnt");
  testing::make_directory(root + "/proc");
  if (::mount("none", (root + "/mnt").c_str(), "tmpfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "cannot mount here";
  }
  write_file(root + "/mnt/inside", "x");
  const bool has_proc = ::mount("none", (root + "/proc").c_str(), "proc", 0, nullptr) == 0;
  const Visitor all = scan({""});
  ScanOptions one;
  one.one_file_system = true;
  const Visitor here = scan({""}, one);
  // Detached: another test that walks this machine may be in there.
  if (has_proc) ::umount2((root + "/proc").c_str(), MNT_DETACH);
  ::umount2((root + "/mnt").c_str(), MNT_DETACH);
  EXPECT_EQ(below(all), (Keys{"a", "mnt", "mnt/inside", "proc"}));
  EXPECT_EQ(below(here), (Keys{"a", "mnt", "proc"}));
  EXPECT_EQ(here.omissions.front(), key("mnt"));
  if (has_proc) {
    EXPECT_EQ(all.omissions, Keys{key("proc")});
  }
  EXPECT_NE(all.identities.at(key("a")), all.identities.at(key("mnt/inside")));
  EXPECT_TRUE(all.identities.at(key("mnt/inside")).starts_with("tmpfs:"));
}

TEST_F(ScannerTest, TheRootDirectoryItself) {
  // Everything but one small directory is excluded, or the walk would take minutes.
  write_file(root + "/x", "x");
  Filter filter({""});
  const std::string top = key().substr(0, key().find('/'));
  for (const auto& e : std::filesystem::directory_iterator("/")) {
    const std::string name = e.path().filename().string();
    if (name != top) {
      ASSERT_OK(filter.exclude.add("/" + name));
    }
  }
  ASSERT_OK(filter.exclude.add("/" + top + "/*"));
  ASSERT_OK(filter.exclude.add("!/" + key()));
  Visitor v;
  Scanner scanner({{"", "/"}}, filter, {});
  ASSERT_OK(scanner.scan(v, {}));
  EXPECT_EQ(v.keys, (Keys{"", top, key(), key("x")}));
}

TEST_F(ScannerTest, AStopEndsIt) {
  write_file(root + "/x", "x");
  Filter filter({""});
  Visitor v;
  Scanner scanner({{key(), root}}, filter, {});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_ERROR(Errc::interrupted, scanner.scan(v, stop.get_token()));
}

TEST(BackupRoots, OverlappingPathsAreTakenOnce) {
  vault::MemoryStore store;
  const testing::TestVault vault(store);
  testing::TestAgent agent(store, vault);
  write_file(agent.source("d/x"), "x");
  write_file(agent.source("e"), "x");
  BackupOptions options = agent.options();
  options.paths = {agent.source("d/x"),          agent.source("d"),       agent.source(),
                   agent.source() + "/./d/../e", agent.source() + "//d/", agent.path("none")};
  ASSIGN(const BackupResult result, agent.backup(options));
  EXPECT_EQ(result.totals.files, 2u);
  ASSERT_EQ(result.problems.size(), 1u);
  EXPECT_EQ(result.problems[0].path, agent.path("none"));
  ASSIGN(const testing::OpenPoint open, agent.open_point());
  EXPECT_EQ(open.point.body->paths, std::vector<std::string>{agent.source()});
  options.paths = {agent.path("none")};
  EXPECT_ERROR(std::errc::no_such_file_or_directory, agent.backup(options));
}

TEST(Snapshots, WhereThereIsNoBtrfs) {
  testing::TempDirectory directory;
  ScanRoot root{directory.path().substr(1), directory.path()};
  SnapshotSet set;
  std::vector<std::string> notes;
  if (!btrfs_identity(::open("/tmp", O_RDONLY | O_CLOEXEC), false).empty()) {
    GTEST_SKIP() << "this is btrfs";
  }
  EXPECT_OK(set.take(SnapshotMode::automatic, root, notes));
  EXPECT_OK(set.take(SnapshotMode::none, root, notes));
  EXPECT_EQ(root.path, directory.path());
  EXPECT_TRUE(notes.empty());
  EXPECT_ERROR(Errc::unsupported, set.take(SnapshotMode::btrfs, root, notes));
  EXPECT_EQ(set.nested_subvolume(root.key), "");
  EXPECT_EQ(set.source_identity("ext4:x"), "ext4:x");
  EXPECT_EQ(set.count(), 0u);
}

}  // namespace
}  // namespace holdfast::backup_agent
