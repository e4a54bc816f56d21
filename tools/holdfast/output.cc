#include "tools/holdfast/output.h"

#include <cstdio>
#include <iostream>
#include <unistd.h>

#include <sys/ioctl.h>

#include "base/bytes.h"
#include "vault/errc.h"
#include "vault/store/redundancy.h"
#include "vault/store/store.h"

namespace holdfast::cli {
namespace {

// The length of the valid UTF-8 sequence at the start of `text`, or 0.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  size_t length = 0;
  uint32_t code = 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
    code = first & 0x1f;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    code = first & 0x0f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    code = first & 0x07;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return overlong || surrogate || code > 0x10ffff ? 0 : length;
}

// What to do next, for errors where it is always the same.
std::string advice(const Error& error) {
  if (error.code == vault::Errc::not_a_vault) {
    return " (is its disk mounted? --vault names another; 'holdfast vault create' makes a new one)";
  }
  if (error.code == vault::Errc::damaged || error.code == vault::Errc::missing) {
    return " (run 'holdfast vault check' to see what is affected)";
  }
  if (error.code == std::errc::no_space_on_device) return " (free some space and run it again)";
  return "";
}

}  // namespace

void Output::line(const std::string& text) const {
  if (!json_ && !quiet_) std::cout << text << '\n';
}

void Output::result(const std::string& text) const {
  if (!json_) std::cout << text << '\n';
}

void Output::object(boost::json::object o) const {
  if (json_) std::cout << boost::json::serialize(o) << '\n';
}

void Output::warn(const std::string& text) {
  ++warnings_;
  if (json_) {
    object({{"type", "warning"}, {"message", json_text(text)}});
  } else {
    std::cout.flush();
    std::cerr << "warning: " << printable(text) << '\n';
  }
}

int Output::finish(boost::json::object fields) {
  const int code = warnings_ > 0 ? kDoneWithWarnings : kDone;
  boost::json::object summary{{"type", "summary"}, {"ok", true}, {"exit_code", code}};
  for (auto& f : fields) summary[f.key()] = std::move(f.value());
  summary["warnings"] = warnings_;
  object(std::move(summary));
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "holdfast: cannot write to standard output\n";
    return kFailed;
  }
  return code;
}

int Output::fail(const Error& error, int code) {
  const std::string text = error.code == Errc::interrupted && error.context.empty()
                               ? "interrupted"
                               : error.message() + advice(error);
  object({{"type", "summary"}, {"ok", false}, {"exit_code", code}, {"error", json_text(text)}});
  std::cout.flush();
  if (!json_) std::cerr << "holdfast: " << printable(text) << '\n';
  return code;
}

void warn_of_store(vault::Store& store, Output& out) {
  vault::Redundancy* redundancy = store.redundancy();
  if (redundancy == nullptr) return;
  for (const std::string& text : redundancy->take_warnings()) out.warn(printable(text));
}

std::string json_text(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t n = utf8_length(bytes);
    if (n == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD
      bytes.remove_prefix(1);
    } else {
      out += bytes.substr(0, n);
      bytes.remove_prefix(n);
    }
  }
  return out;
}

void add_path(boost::json::object& o, std::string_view path) {
  const std::string text = json_text(path);
  o["path"] = text;
  if (text != path) o["path_hex"] = to_hex(as_bytes(path));
}

std::string printable(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t n = utf8_length(bytes);
    const auto c = static_cast<uint8_t>(bytes[0]);
    if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f))) {
      char text[8];
      std::snprintf(text, sizeof text, "\\x%02x", c);
      out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : text;
      bytes.remove_prefix(1);
    } else {
      out += bytes.substr(0, n);
      bytes.remove_prefix(n);
    }
  }
  return out;
}

ProgressLine::ProgressLine(const GlobalOptions& options, std::function<std::string()> text)
    : active_(!options.json && !options.quiet && ::isatty(STDERR_FILENO) != 0),
      text_(std::move(text)) {
  if (active_) thread_ = std::thread([this] { run(); });
}

ProgressLine::~ProgressLine() {
  if (!active_) return;
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  thread_.join();
  std::cerr << "\r\x1b[K" << std::flush;
}

void ProgressLine::run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::milliseconds(200), [&] { return end_; })) draw();
}

void ProgressLine::draw() {
  winsize size{};
  size_t columns = 80;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) columns = size.ws_col;
  std::string text = text_();
  if (text.size() >= columns) text.resize(columns - 1);
  std::cerr << '\r' << text << "\x1b[K" << std::flush;
}

std::string progress_bar(double share) {
  constexpr int kWidth = 24;
  const int filled = static_cast<int>(std::min(1.0, std::max(0.0, share)) * kWidth);
  return "[" + std::string(static_cast<size_t>(filled), '=') +
         std::string(static_cast<size_t>(kWidth - filled), ' ') + "]";
}

}  // namespace holdfast::cli
