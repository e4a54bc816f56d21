// Which paths a backup or restore takes: patterns as in gitignore(5).
//
// A pattern without '/' matches a name at any depth; one with a leading '/' is a path from the root
// of the file system; one with '/' elsewhere is relative to each PATH of the command. A trailing
// '/' matches directories only. '*' and '?' stop at '/', '**' does not, [a-z] and [!a-z] are sets,
// '\' takes the next character as it is, a leading '!' takes back what an earlier pattern excluded.
// The last pattern that matches decides. What is below an excluded directory is not looked at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::backup_agent {

// A path pattern, without gitignore's decorations: '*', '?', sets, '**' and '\' as above.
bool glob_match(std::string_view pattern, std::string_view path);

class PatternList {
 public:
  // `roots` are the keys (paths without leading '/') that relative patterns hang from.
  explicit PatternList(std::vector<std::string> roots) : roots_(std::move(roots)) {}

  // Empty lines and comments ('#') are skipped. Errors: Errc::malformed for an unclosed set.
  Status add(std::string_view line);
  // Every line of a file. Errors: also the system's.
  Status add_file(const std::string& path);

  enum class Verdict { none, matched, taken_back };
  // What the last matching pattern says of this key alone.
  Verdict match(std::string_view key, bool is_directory) const;
  bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    std::string glob;  // matched against the whole key, or the last component
    bool name_only = false;
    bool literal = false;  // no special characters
    bool directories_only = false;
    bool negated = false;
  };
  void add_glob(std::string glob, bool name_only, bool directories_only, bool negated);

  std::vector<std::string> roots_;
  std::vector<Pattern> patterns_;
};

struct Filter {
  PatternList exclude;
  PatternList include;          // if not empty, only what matches, or is below a match
  uint64_t larger_than = 0;     // files above this many bytes are left out; 0: no limit
  bool exclude_caches = false;  // directories marked by a CACHEDIR.TAG

  explicit Filter(const std::vector<std::string>& roots) : exclude(roots), include(roots) {}
  bool excludes(std::string_view key, bool is_directory) const {
    return !exclude.empty() && exclude.match(key, is_directory) == PatternList::Verdict::matched;
  }
  // Whether the key itself matches an include pattern (its ancestors are the caller's matter).
  bool includes(std::string_view key, bool is_directory) const {
    return include.empty() || include.match(key, is_directory) == PatternList::Verdict::matched;
  }
};

}  // namespace holdfast::backup_agent
