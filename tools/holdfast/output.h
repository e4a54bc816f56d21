// What commands print. For people: lines on standard output, warnings and progress on standard
// error. For programs (--json): one JSON object a line on standard output, the last one of type
// "summary", and nothing else there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include <boost/json.hpp>

#include "base/result.h"
#include "tools/holdfast/command.h"

namespace holdfast::cli {

class Output {
 public:
  explicit Output(const GlobalOptions& options) : json_(options.json), quiet_(options.quiet) {}

  bool json() const { return json_; }
  // A line for people; nothing with --json or --quiet.
  void line(const std::string& text) const;
  // A line for people that --quiet does not suppress: what was asked for.
  void result(const std::string& text) const;
  // An object for programs; nothing without --json.
  void object(boost::json::object o) const;
  // Something that deserves attention; counted, and "warning" objects with --json.
  void warn(const std::string& text);
  // One warning for each "path: reason", of which people see the first few.
  template <class Problems>
  void warn_problems(const Problems& problems, uint64_t count) {
    size_t shown = 0;
    for (const auto& p : problems) {
      if (json_ || shown++ < kProblemsShown) warn(p.path + ": " + p.reason);
    }
    if (count > kProblemsShown && !json_) {
      warn("and " + std::to_string(count - kProblemsShown) + " more (--json names them)");
    }
  }
  size_t warnings() const { return warnings_; }

  // Ends a command: prints the summary object ({"type":"summary","ok":...} and `fields`) and gives
  // the exit code: done, or done with warnings.
  int finish(boost::json::object fields = {});
  // The same for a failure: one line that says what is wrong. Gives `code`.
  int fail(const Error& error, int code = kFailed);

 private:
  static constexpr size_t kProblemsShown = 20;
  const bool json_;
  const bool quiet_;
  size_t warnings_ = 0;
};

// What went wrong with directories of a store that can do without them.
void warn_of_store(vault::Store& store, Output& out);

// Text that may hold any byte, as JSON can have it: invalid UTF-8 is replaced, and where that loses
// something the caller adds the bytes in hexadecimal.
std::string json_text(std::string_view bytes);
// Adds "path", and "path_hex" if the path is not valid UTF-8.
void add_path(boost::json::object& o, std::string_view path);
// For terminals: control characters and invalid UTF-8 are escaped.
std::string printable(std::string_view bytes);

// Redraws a line on standard error while it lives, if that is a terminal and output is for people.
class ProgressLine {
 public:
  ProgressLine(const GlobalOptions& options, std::function<std::string()> text);
  ~ProgressLine();

 private:
  void run();
  void draw();

  const bool active_;
  const std::function<std::string()> text_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

// "[=====     ]" of the given share, 0 to 1.
std::string progress_bar(double share);

}  // namespace holdfast::cli
