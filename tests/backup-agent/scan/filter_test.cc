// Patterns as in gitignore(5), in a table of (patterns, path, verdict); where git is installed, it
// is asked the same questions.

#include "backup-agent/scan/filter.h"

#include <cstdio>
#include <cstdlib>

#include "tests/support/expect.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tree.h"

namespace holdfast::backup_agent {
namespace {

using Verdict = PatternList::Verdict;

struct Case {
  std::vector<const char*> patterns;  // one a line
  const char* path;                   // with a trailing '/' for a directory
  bool is_ignored;
};

// Patterns hang from the root "r" here and from the repository there, so that a leading '/' is left
// to Anchored below: it means the root of the file system here.
const Case kCases[] = {
    {{"a"}, "a", true},
    {{"a"}, "x/y/a", true},
    {{"a"}, "ab", false},
    {{"a"}, "a/", true},
    {{"a/"}, "a", false},
    {{"a/"}, "a/", true},
    {{"a/"}, "x/a/", true},
    {{"a/b"}, "a/b", true},
    {{"a/b"}, "x/a/b", false},
    {{"a/b/"}, "a/b", false},
    {{"a/b/"}, "a/b/", true},
    {{"*.o"}, "x.o", true},
    {{"*.o"}, ".o", true},
    {{"*.o"}, "d/x.o", true},
    {{"*.o"}, "x.oo", false},
    {{"d/*.o"}, "d/x.o", true},
    {{"d/*.o"}, "d/e/x.o", false},
    {{"?"}, "x", true},
    {{"?"}, "xy", false},
    {{"d?e"}, "d/e", false},
    {{"d/?"}, "d/e", true},
    {{"**/a"}, "a", true},
    {{"**/a"}, "x/y/a", true},
    {{"**/a/b"}, "a/b", true},
    {{"**/a/b"}, "x/y/a/b", true},
    {{"**/a/b"}, "x/ya/b", false},
    {{"a/**"}, "a/b", true},
    {{"a/**"}, "a/b/c", true},
    {{"a/**"}, "a", false},
    {{"a/**"}, "a/", false},
    {{"a/**"}, "x/a/b", false},
    {{"a/**/b"}, "a/b", true},
    {{"a/**/b"}, "a/x/b", true},
    {{"a/**/b"}, "a/x/y/b", true},
    {{"a/**/b"}, "a/xb", false},
    {{"a/**/b"}, "ab", false},
    {{"**"}, "anything", true},
    {{"a**b"}, "axxb", true},
    {{"a**"}, "abc", true},
    {{"[abc]"}, "b", true},
    {{"[abc]"}, "d", false},
    {{"[a-c]x"}, "bx", true},
    {{"[!a-c]"}, "d", true},
    {{"[!a-c]"}, "a", false},
    {{"[^a-c]"}, "d", true},
    {{"[]]"}, "]", true},
    {{"[]x]"}, "x", true},
    {{"[!]]"}, "x", true},
    {{"[!]]"}, "]", false},
    {{"[a-]"}, "-", true},
    {{"[a-]"}, "b", false},
    {{"[\\]]"}, "]", true},
    {{"[\\a]"}, "a", true},
    {{"d[!x]e"}, "d/e", false},
    {{"[a-z]*"}, "q9", true},
    {{"\\*"}, "*", true},
    {{"\\*"}, "x", false},
    {{"\\?x"}, "?x", true},
    {{"\\[a]"}, "[a]", true},
    {{"\\!x"}, "!x", true},
    {{"\\#x"}, "#x", true},
    {{"#x"}, "#x", false},
    {{"", " "}, "x", false},
    {{"x  "}, "x", true},
    {{"x\\ "}, "x ", true},
    {{"a b"}, "a b", true},
    {{"*", "!a"}, "a", false},
    {{"*", "!a"}, "b", true},
    {{"!a", "*"}, "a", true},
    {{"*.c", "!d/*.c", "d/x.c"}, "d/x.c", true},
    {{"*.c", "!d/*.c", "d/x.c"}, "d/y.c", false},
    {{"a", "!a/"}, "a/", false},
    {{"a", "!a/"}, "a", true},
    {{"foo/*", "!foo/bar"}, "foo/bar", false},
    {{"foo/*", "!foo/bar"}, "foo/baz", true},
    {{"\xc3\xa9*"}, "\xc3\xa9t\xc3\xa9", true},
    {{"x*y*z"}, "xaybz", true},
    {{"x*y*z"}, "xayb", false},
    {{"*a*a*a*a*b"}, "aaaaaaaaaaaaaaaaaaaaaaaaaaac", false},
    {{"."}, "x", false},
};

std::string text_of(const Case& c) {
  std::string text;
  for (const char* p : c.patterns) text += std::string(p) + "\n";
  return text;
}

TEST(Filter, Table) {
  for (const Case& c : kCases) {
    SCOPED_TRACE("'" + text_of(c) + "' and " + c.path);
    PatternList list({"r"});
    for (const char* p : c.patterns) ASSERT_OK(list.add(p));
    std::string path = c.path;
    const bool is_directory = path.back() == '/';
    if (is_directory) path.pop_back();
    EXPECT_EQ(list.match("r/" + path, is_directory) == Verdict::matched, c.is_ignored);
  }
}

TEST(Filter, GitSaysTheSame) {
  if (std::system("git --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "git is not installed";
  testing::TempDirectory repository;
  const std::string git = "git -C " + repository.path() + " ";
  ASSERT_EQ(std::system((git + "init -q . 2> /dev/null").c_str()), 0);
  for (const Case& c : kCases) {
    SCOPED_TRACE("'" + text_of(c) + "' and " + c.path);
    // Asked for a directory that is not there, git takes its slash for content.
    if (text_of(c) == "a/**\n" && std::string(c.path) == "a/") continue;
    testing::write_file(repository / ".gitignore", text_of(c));
    // A directory is told by its slash alone where nothing exists; parents are not asked for.
    std::string quoted;
    for (const char ch : std::string(c.path)) {
      quoted += ch == '\'' ? std::string("'\\''") : std::string(1, ch);
    }
    FILE* out = ::popen((git + "check-ignore --no-index -v -n -- '" + quoted + "'").c_str(), "r");
    ASSERT_NE(out, nullptr);
    char line[4096]{};
    const bool any = std::fgets(line, sizeof line, out) != nullptr;
    ::pclose(out);
    ASSERT_TRUE(any);
    // "<source>:<line>:<pattern>\t<path>": the pattern that decided.
    const std::string answer(line, std::string(line).find('\t'));
    const size_t second = answer.find(':', answer.find(':') + 1);
    const std::string pattern = answer.substr(second + 1);
    EXPECT_EQ(!pattern.empty() && pattern[0] != '!', c.is_ignored) << "git says " << answer;
  }
}

TEST(Filter, Anchored) {
  PatternList list({"home/a", "srv"});
  ASSERT_OK(list.add("/home/a/cache"));
  ASSERT_OK(list.add("build/out"));
  EXPECT_EQ(list.match("home/a/cache", true), Verdict::matched);
  EXPECT_EQ(list.match("home/a/x/home/a/cache", true), Verdict::none);
  EXPECT_EQ(list.match("home/a/build/out", true), Verdict::matched);
  EXPECT_EQ(list.match("srv/build/out", true), Verdict::matched);
  EXPECT_EQ(list.match("home/build/out", true), Verdict::none);
  EXPECT_EQ(list.match("home/a/x/build/out", true), Verdict::none);
}

TEST(Filter, RootsWithSpecialCharactersAreTakenAsTheyAre) {
  PatternList list({"a*[b]\\c"});
  ASSERT_OK(list.add("x/y"));
  EXPECT_EQ(list.match("a*[b]\\c/x/y", false), Verdict::matched);
  EXPECT_EQ(list.match("aab\\c/x/y", false), Verdict::none);
}

TEST(Filter, UnclosedSetsAreRefused) {
  PatternList list({""});
  for (const char* pattern : {"[", "[a", "a/[!", "[]", "x[\\]"}) {
    EXPECT_ERROR(Errc::malformed, list.add(pattern));
  }
  EXPECT_TRUE(list.empty());
}

TEST(Filter, FilesOfPatterns) {
  testing::TempDirectory directory;
  testing::write_file(directory / "patterns", "# comment\r\n\r\n*.tmp\r\n!keep.tmp\nlast");
  PatternList list({""});
  ASSERT_OK(list.add_file(directory / "patterns"));
  EXPECT_EQ(list.match("x.tmp", false), Verdict::matched);
  EXPECT_EQ(list.match("keep.tmp", false), Verdict::taken_back);
  EXPECT_EQ(list.match("last", false), Verdict::matched);
  EXPECT_ERROR(std::errc::no_such_file_or_directory, list.add_file(directory / "none"));
  testing::write_file(directory / "bad", "fine\n[bad\n");
  const Status bad = list.add_file(directory / "bad");
  EXPECT_ERROR(Errc::malformed, bad);
  EXPECT_NE(bad.error().message().find("bad"), std::string::npos);
}

TEST(Filter, HostilePatternsEnd) {
  std::string stars;
  for (int i = 0; i < 12; ++i) stars += "*a";
  EXPECT_FALSE(glob_match(stars + "b", std::string(60, 'a')));
  std::string components;
  for (int i = 0; i < 6; ++i) components += "**/a/";
  std::string path;
  for (int i = 0; i < 40; ++i) path += "a/";
  EXPECT_FALSE(glob_match(components + "b", path + "c"));
}

TEST(Filter, IncludesAndSizes) {
  Filter filter({"r"});
  EXPECT_TRUE(filter.includes("r/x", false));
  ASSERT_OK(filter.include.add("*.txt"));
  EXPECT_TRUE(filter.includes("r/x.txt", false));
  EXPECT_FALSE(filter.includes("r/x", false));
  EXPECT_FALSE(filter.excludes("r/x", false));
}

}  // namespace
}  // namespace holdfast::backup_agent
