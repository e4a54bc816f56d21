// Tar streams, unpacked again with libarchive into a tree that must be the source.

#include "backup-agent/restore/tar_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/io/fd.h"
#include "tests/support/test_agent.h"
#include "vault/format/object_names.h"

namespace holdfast::backup_agent {
namespace {

using testing::random_bytes;
using testing::write_file;

struct TarStream : testing::AgentTest {
  Result<RestoreReport> write(RestoreOptions options = {}) {
    if (options.subpath.empty()) options.subpath = agent.key();
    TRY(const testing::OpenPoint open, agent.open_point());
    const io::Fd fd(
        ::open(agent.path("tar").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return write_tar(*open.reader, open.point, options, fd.get(), {});
  }
  // Unpacks into the target; the names in the order of the stream.
  std::vector<std::string> unpack() {
    std::vector<std::string> names;
    testing::make_directory(agent.target());
    archive* in = archive_read_new();
    archive_read_support_format_tar(in);
    archive* out = archive_write_disk_new();
    archive_write_disk_set_options(out, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM |
                                            ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_XATTR |
                                            ARCHIVE_EXTRACT_SPARSE);
    EXPECT_EQ(archive_read_open_filename(in, agent.path("tar").c_str(), 65536), ARCHIVE_OK);
    archive_entry* entry = nullptr;
    int result;
    while ((result = archive_read_next_header(in, &entry)) == ARCHIVE_OK) {
      names.push_back(archive_entry_pathname(entry));
      archive_entry_set_pathname(entry, agent.target(names.back()).c_str());
      if (const char* link = archive_entry_hardlink(entry)) {
        archive_entry_set_hardlink(entry, agent.target(link).c_str());
      }
      EXPECT_EQ(archive_read_extract2(in, entry, out), ARCHIVE_OK)
          << names.back() << ": " << archive_error_string(in);
    }
    EXPECT_EQ(result, ARCHIVE_EOF) << archive_error_string(in);
    archive_write_free(out);
    archive_read_free(in);
    return names;
  }
};

TEST_F(TarStream, ReadsBackAsTheSource) {
  write_file(agent.source("empty"), "");
  write_file(agent.source("large"), random_bytes(1, 2'500'000));
  write_file(agent.source("d/" + std::string(200, 'n') + "/" + std::string(200, 'm')), "long name");
  write_file(agent.source("d/\xc3\xa9\xff\n"), "any bytes");
  testing::make_hard_link(agent.source("large"), agent.source("d/linked"));
  testing::make_symlink("../large", agent.source("d/link"));
  ASSERT_EQ(::mkfifo(agent.source("pipe").c_str(), 0640), 0);
  ASSERT_EQ(::chmod(agent.source("empty").c_str(), 04751), 0);
  testing::set_mtime(agent.source("large"), 1'234'567'890, 123'456'789);
  (void)::setxattr(agent.source("large").c_str(), "user.x", "\0y", 2, 0);
  {
    const io::Fd fd(::open(agent.source("sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(fd.get(), 20'000'000), 0);
    ASSERT_EQ(::pwrite(fd.get(), "island", 6, 10'000'000), 6);
  }
  ASSERT_OK(agent.backup());
  ASSIGN(const RestoreReport report, write());
  EXPECT_EQ(report.problem_count, 0u);
  struct stat st {};
  ASSERT_EQ(::stat(agent.path("tar").c_str(), &st), 0);
  EXPECT_LT(st.st_size, 4'000'000) << "holes and links take no room";
  unpack();
  EXPECT_EQ(testing::describe_tree(agent.target(), {.directory_times = false}),
            testing::describe_tree(agent.source(), {.directory_times = false}));
  EXPECT_LT(testing::allocated_bytes(agent.target("sparse")), 1'000'000u);
}

TEST_F(TarStream, AnyKindOfObjectMayHaveSeveralNames) {
  testing::make_symlink("../nowhere", agent.source("link"));
  ASSERT_EQ(::mkfifo(agent.source("pipe").c_str(), 0640), 0);
  std::vector<std::string> kinds{"link", "pipe"};
  if (::mknod(agent.source("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0) {
    kinds.push_back("null");
  }
  for (const std::string& kind : kinds) {
    testing::make_hard_link(agent.source(kind), agent.source(kind + " too"));
  }
  ASSERT_OK(agent.backup());
  ASSERT_OK(write());
  unpack();
  EXPECT_EQ(testing::describe_tree(agent.target(), {.directory_times = false}),
            testing::describe_tree(agent.source(), {.directory_times = false}));
  for (const std::string& kind : kinds) {
    struct stat st {};
    ASSERT_EQ(::lstat(agent.target(kind).c_str(), &st), 0);
    EXPECT_EQ(st.st_nlink, 2u) << kind;
  }
}

TEST_F(TarStream, NamesAreRelativeAndChosenOnesOnly) {
  write_file(agent.source("d/a.c"), "x");
  write_file(agent.source("d/a.o"), "x");
  write_file(agent.source("e/b.c"), "x");
  ASSERT_OK(agent.backup());
  RestoreOptions options;
  options.exclude = {"*.o"};
  options.subpath = agent.key("d");
  ASSERT_OK(write(options));
  EXPECT_EQ(unpack(), (std::vector<std::string>{"./", "a.c"}));
  options.subpath = agent.key("d/a.c");
  ASSERT_OK(write(options));
  EXPECT_EQ(unpack(), (std::vector<std::string>{"a.c"}));
}

TEST_F(TarStream, AFileWithoutItsPackIsLeftOutAndNamed) {
  write_file(agent.source("a"), random_bytes(1, 10'000));
  ASSERT_OK(agent.backup());
  const auto packs = store.list(std::string(vault::kPacksPrefix));
  write_file(agent.source("b"), random_bytes(2, 10'000));
  testing::let_clock_tick();
  ASSERT_OK(agent.backup());
  vault::PackCatalog catalog(store, vault.keys.vault);
  for (const vault::ObjectInfo& o : *packs) {
    const auto pack = catalog.describe(*vault::parse_pack_name(o.name));
    if (pack->kind == vault::PackKind::data) {
      ASSERT_OK(store.remove(o.name));
    }
  }
  ASSIGN(const RestoreReport report, write());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].path, agent.source("a"));
  EXPECT_EQ(unpack(), (std::vector<std::string>{"./", "b"}));
}

}  // namespace
}  // namespace holdfast::backup_agent
