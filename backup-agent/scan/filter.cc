#include "backup-agent/scan/filter.h"

#include "base/io/file_system.h"

namespace holdfast::backup_agent {
namespace {

// Matches one character against the set at the start of `pattern` ("[...]"), and gives the length
// of the set, or 0 if it is not closed.
size_t match_set(std::string_view pattern, char c, bool& matched) {
  size_t i = 1;
  bool negated = false;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) {
    negated = true;
    ++i;
  }
  bool in_set = false;
  for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const auto low = static_cast<unsigned char>(pattern[i++]);
    auto high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      ++i;
      if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
      high = static_cast<unsigned char>(pattern[i++]);
    }
    const auto value = static_cast<unsigned char>(c);
    if (low <= value && value <= high) in_set = true;
  }
  if (i >= pattern.size()) return 0;
  matched = in_set != negated && c != '/';
  return i + 1;
}

bool has_special(std::string_view glob) {
  return glob.find_first_of("*?[\\") != std::string_view::npos;
}

// "a/**" must not match "a" itself, "**/a" and "a/**/b" match with no directory between.
//
// Every star tries all the lengths that it could have. What failed once fails again, so positions
// are remembered as soon as there are many of them: "*a*a*a*a" against a long name would take
// exponential time otherwise.
class GlobMatcher {
 public:
  GlobMatcher(std::string_view pattern, std::string_view text) : pattern_(pattern), text_(text) {}
  bool match() { return match_here(pattern_, text_, 0); }

 private:
  static constexpr size_t kTriesUnremembered = 64;
  static constexpr int kStarsMax = 1000;

  bool try_at(std::string_view p, std::string_view t, int depth) {
    if (++tries_ <= kTriesUnremembered) return match_here(p, t, depth);
    if (failed_.empty()) failed_.resize((pattern_.size() + 1) * (text_.size() + 1));
    const size_t position = p.size() * (text_.size() + 1) + t.size();
    if (failed_[position]) return false;
    if (match_here(p, t, depth)) return true;
    failed_[position] = true;
    return false;
  }

  // `**` and what follows it.
  bool match_any(std::string_view rest, std::string_view t, int depth) {
    while (rest.starts_with("*")) rest.remove_prefix(1);
    if (rest.empty()) return true;
    if (rest.front() == '/') {
      // Zero or more whole components.
      rest.remove_prefix(1);
      for (;;) {
        if (try_at(rest, t, depth + 1)) return true;
        const size_t slash = t.find('/');
        if (slash == std::string_view::npos) return false;
        t.remove_prefix(slash + 1);
      }
    }
    for (size_t i = 0; i <= t.size(); ++i) {
      if (try_at(rest, t.substr(i), depth + 1)) return true;
    }
    return false;
  }

  bool match_here(std::string_view p, std::string_view t, int depth) {
    if (depth > kStarsMax) return false;
    while (!p.empty()) {
      if (p.starts_with("**")) return match_any(p.substr(2), t, depth);
      if (p.front() == '*') {
        p.remove_prefix(1);
        for (size_t i = 0;; ++i) {
          if (try_at(p, t.substr(i), depth + 1)) return true;
          if (i >= t.size() || t[i] == '/') return false;
        }
      }
      if (t.empty()) return false;
      if (p.front() == '?') {
        if (t.front() == '/') return false;
        p.remove_prefix(1);
      } else if (p.front() == '[') {
        bool matched = false;
        const size_t length = match_set(p, t.front(), matched);
        if (length == 0 || !matched) return false;
        p.remove_prefix(length);
      } else {
        if (p.front() == '\\' && p.size() > 1) p.remove_prefix(1);
        if (p.front() != t.front()) return false;
        p.remove_prefix(1);
      }
      t.remove_prefix(1);
    }
    return t.empty();
  }

  const std::string_view pattern_;
  const std::string_view text_;
  size_t tries_ = 0;
  std::vector<bool> failed_;  // by what is left of both
};

std::string_view last_component(std::string_view key) {
  const size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

bool sets_are_closed(std::string_view glob) {
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '\\') {
      ++i;
    } else if (glob[i] == '[') {
      bool ignored = false;
      const size_t length = match_set(glob.substr(i), 'x', ignored);
      if (length == 0) return false;
      i += length - 1;
    }
  }
  return true;
}

// A path as a glob that matches exactly it.
std::string escaped(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view path) {
  return GlobMatcher(pattern, path).match();
}

void PatternList::add_glob(std::string glob, bool name_only, bool directories_only, bool negated) {
  const bool literal = !has_special(glob);
  patterns_.push_back({std::move(glob), name_only, literal, directories_only, negated});
}

Status PatternList::add(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  while (line.size() > 1 && line.back() == ' ' && line[line.size() - 2] != '\\') {
    line.remove_suffix(1);
  }
  if (line.empty() || line == " " || line.front() == '#') return {};
  bool negated = false;
  if (line.front() == '!') {
    negated = true;
    line.remove_prefix(1);
  }
  bool directories_only = false;
  if (line.size() > 1 && line.back() == '/') {
    directories_only = true;
    line.remove_suffix(1);
  }
  if (!sets_are_closed(line)) {
    return Error{Errc::malformed, "pattern '" + std::string(line) + "' has a '[' without ']'"};
  }
  if (line.starts_with("/")) {
    add_glob(std::string(line.substr(1)), false, directories_only, negated);
  } else if (line.starts_with("**/") && line.find('/', 3) == std::string_view::npos) {
    add_glob(std::string(line.substr(3)), true, directories_only, negated);
  } else if (line.find('/') == std::string_view::npos) {
    add_glob(std::string(line), true, directories_only, negated);
  } else {
    for (const std::string& root : roots_) {
      const std::string base = root.empty() ? "" : escaped(root) + "/";
      add_glob(base + std::string(line), false, directories_only, negated);
    }
  }
  return {};
}

Status PatternList::add_file(const std::string& path) {
  TRY(const Bytes content, io::read_file(io::posix_file_system(), path, 64 << 20));
  std::string_view rest = as_text(content);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    if (Status added = add(line); !added.ok()) return std::move(added).error().in(path);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return {};
}

PatternList::Verdict PatternList::match(std::string_view key, bool is_directory) const {
  const std::string_view name = last_component(key);
  for (auto it = patterns_.rbegin(); it != patterns_.rend(); ++it) {
    if (it->directories_only && !is_directory) continue;
    const std::string_view subject = it->name_only ? name : key;
    if (it->literal ? it->glob == subject : glob_match(it->glob, subject)) {
      return it->negated ? Verdict::taken_back : Verdict::matched;
    }
  }
  return Verdict::none;
}

}  // namespace holdfast::backup_agent
