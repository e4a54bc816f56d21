#include "vault/lifecycle/time_zone.h"

#include <algorithm>

#include "base/io/file_system.h"

namespace holdfast::vault {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;
constexpr size_t kNameBytesMax = 255;
constexpr int32_t kOffsetMax = 26 * 3600;  // of what is decoded; Kiritimati has 14 hours

// Big-endian fields of a zoneinfo file.
class Input {
 public:
  explicit Input(ByteView bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  ByteView raw(uint64_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const ByteView out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }
  int64_t number(size_t bytes) {
    const ByteView b = raw(bytes);
    if (b.empty()) return 0;
    uint64_t v = b[0] >= 0x80 ? ~uint64_t{0} : 0;  // the sign
    for (const uint8_t byte : b) v = v << 8 | byte;
    return static_cast<int64_t>(v);
  }
  uint64_t count() { return static_cast<uint64_t>(number(4)) & 0xffff'ffff; }
  ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
  bool ok_ = true;
};

struct Counts {
  uint64_t utc = 0, standard = 0, leaps = 0, times = 0, types = 0, characters = 0;
  uint64_t bytes(size_t time_bytes) const {
    return times * (time_bytes + 1) + types * 6 + characters + leaps * (time_bytes + 4) + standard +
           utc;
  }
};

std::optional<Counts> read_header(Input& in, char& version) {
  const ByteView magic = in.raw(4);
  const ByteView reserved = in.raw(16);
  Counts c;
  for (uint64_t* n : {&c.utc, &c.standard, &c.leaps, &c.times, &c.types, &c.characters}) {
    *n = in.count();
  }
  if (!in.ok() || as_text(magic) != "TZif" || c.types == 0) return std::nullopt;
  version = static_cast<char>(reserved[0]);
  return c;
}

// The parts of a TZ text: "CET-1CEST,M3.5.0,M10.5.0/3".
struct Text {
  std::string_view rest;
  bool ok = true;

  bool take(char c) {
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  int number(int max) {
    int n = 0;
    size_t digits = 0;
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9' && digits < 4) {
      n = n * 10 + (rest.front() - '0');
      rest.remove_prefix(1);
      ++digits;
    }
    if (digits == 0 || n > max) ok = false;
    return n;
  }
  void name() {
    const bool quoted = take('<');
    size_t n = 0;
    while (!rest.empty() && (quoted ? rest.front() != '>' : std::isalpha(rest.front()) != 0)) {
      rest.remove_prefix(1);
      ++n;
    }
    if (quoted && !take('>')) ok = false;
    if (n < 3) ok = false;
  }
  int32_t time() {
    const bool negative = take('-');
    if (!negative) take('+');
    int32_t s = number(167) * 3600;
    if (take(':')) s += number(59) * 60;
    if (take(':')) s += number(59);
    return negative ? -s : s;
  }
};

bool is_leap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

}  // namespace

int64_t days_from_civil(int64_t year, int month, int day) {
  // Years from March, so that the leap day is the last: Hinnant, "chrono-Compatible Low-Level Date
  // Algorithms".
  year -= month <= 2 ? 1 : 0;
  const int64_t era = floor_div(year, 400);
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
}

CivilDate civil_from_days(int64_t days) {
  days += 719'468;
  const int64_t era = floor_div(days, 146'097);
  const int64_t of_era = days - era * 146'097;
  const int64_t year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t month = (5 * of_year + 2) / 153;
  CivilDate d;
  d.day = static_cast<int>(of_year - (153 * month + 2) / 5 + 1);
  d.month = static_cast<int>(month < 10 ? month + 3 : month - 9);
  d.year = year + era * 400 + (d.month <= 2 ? 1 : 0);
  return d;
}

int64_t TimeZone::Change::local_s(int year) const {
  int64_t days = 0;
  if (kind == Kind::month_week_day) {
    const int64_t first = days_from_civil(year, month, 1);
    const int64_t weekday = ((first + 4) % 7 + 7) % 7;  // 0: Sunday
    days = first + (day - weekday + 7) % 7 + (week - 1) * 7;
    const int64_t next =
        month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, month + 1, 1);
    if (days >= next) days -= 7;  // week 5 is the last one
  } else {
    days = days_from_civil(year, 1, 1) + day;
    if (kind == Kind::day_without_leap) days += is_leap(year) && day >= 60 ? 0 : -1;
  }
  return days * 86'400 + time_s;
}

std::optional<TimeZone::Rule> TimeZone::parse_rule(std::string_view text) {
  Text in{text};
  Rule rule;
  in.name();
  rule.standard_s = -in.time();
  if (in.rest.empty()) return in.ok ? std::optional(rule) : std::nullopt;
  in.name();
  rule.summer_s = rule.standard_s + 3600;
  if (!in.rest.empty() && in.rest.front() != ',') rule.summer_s = -in.time();
  const auto change = [&] {
    Change c;
    if (!in.take(',')) in.ok = false;
    if (in.take('M')) {
      c.month = in.number(12);
      if (!in.take('.')) in.ok = false;
      c.week = in.number(5);
      if (!in.take('.')) in.ok = false;
      c.day = in.number(6);
      if (c.month == 0 || c.week == 0) in.ok = false;
    } else {
      c.kind = in.take('J') ? Change::Kind::day_without_leap : Change::Kind::day_of_year;
      c.day = in.number(365);
    }
    if (in.take('/')) c.time_s = in.time();
    return c;
  };
  const Change start = change();
  const Change end = change();
  if (!in.ok || !in.rest.empty()) return std::nullopt;
  rule.changes = std::pair(start, end);
  return rule;
}

int32_t TimeZone::offset_by_rule(const Rule& rule, int64_t unix_s) {
  if (!rule.changes) return rule.standard_s;
  const int year =
      static_cast<int>(civil_from_days(floor_div(unix_s + rule.standard_s, 86'400)).year);
  const int64_t start = rule.changes->first.local_s(year) - rule.standard_s;
  const int64_t end = rule.changes->second.local_s(year) - rule.summer_s;
  const bool summer =
      start < end ? unix_s >= start && unix_s < end : !(unix_s >= end && unix_s < start);
  return summer ? rule.summer_s : rule.standard_s;
}

Result<TimeZone> TimeZone::load(const std::string& name) {
  if (name.empty() || name == "UTC") return TimeZone();
  const bool valid = name.size() <= kNameBytesMax && name.front() != '/' &&
                     name.find("..") == std::string::npos &&
                     std::all_of(name.begin(), name.end(), [](unsigned char c) {
                       return std::isalnum(c) != 0 || c == '/' || c == '_' || c == '-' || c == '+';
                     });
  if (!valid) {
    return Error{holdfast::Errc::malformed,
                 "'" + name.substr(0, 60) + "' is no time zone; give a name like Europe/Berlin"};
  }
  auto file = io::read_file(io::posix_file_system(), "/usr/share/zoneinfo/" + name, kFileBytesMax);
  if (!file.ok()) {
    return Error{file.error().code,
                 "time zone '" + name + "' is not known on this machine (package tzdata has them)"};
  }
  auto zone = decode(*file);
  if (!zone.ok()) return std::move(zone).error().in("time zone " + name);
  return zone;
}

Result<TimeZone> TimeZone::decode(ByteView file) {
  const Error bad{holdfast::Errc::malformed, "not a zoneinfo file"};
  Input in(file);
  char version = 0;
  auto counts = read_header(in, version);
  if (!counts) return bad;
  size_t time_bytes = 4;
  if (version >= '2') {  // the same once more, with times of 64 bits
    in.raw(counts->bytes(4));
    counts = read_header(in, version);
    if (!counts) return bad;
    time_bytes = 8;
  }
  if (counts->bytes(time_bytes) > in.rest().size()) return bad;
  TimeZone zone;
  for (uint64_t i = 0; i < counts->times; ++i) {
    const int64_t t = in.number(time_bytes);
    if (!zone.transitions_.empty() && t <= zone.transitions_.back()) return bad;
    zone.transitions_.push_back(t);
  }
  const ByteView types = in.raw(counts->times);
  std::vector<int32_t> offsets;
  for (uint64_t i = 0; i < counts->types; ++i) {
    const int64_t offset = in.number(4);
    in.raw(2);
    if (offset > kOffsetMax || offset < -kOffsetMax) return bad;
    offsets.push_back(static_cast<int32_t>(offset));
  }
  for (const uint8_t type : types) {
    if (type >= offsets.size()) return bad;
    zone.offsets_.push_back(offsets[type]);
  }
  zone.first_offset_ = offsets[0];
  in.raw(counts->characters + counts->leaps * (time_bytes + 4) + counts->standard + counts->utc);
  if (!in.ok()) return bad;
  if (time_bytes == 8) {
    std::string_view footer = as_text(in.rest());
    if (footer.size() < 2 || footer.front() != '\n' || footer.back() != '\n') return bad;
    footer = footer.substr(1, footer.size() - 2);
    if (!footer.empty()) {
      zone.rule_ = parse_rule(footer);
      if (!zone.rule_) return bad;
    }
  }
  return zone;
}

int32_t TimeZone::offset_s(int64_t unix_s) const {
  const auto after = std::upper_bound(transitions_.begin(), transitions_.end(), unix_s);
  if (after == transitions_.end() && rule_) return offset_by_rule(*rule_, unix_s);
  if (after == transitions_.begin()) return first_offset_;
  return offsets_[static_cast<size_t>(after - transitions_.begin()) - 1];
}

}  // namespace holdfast::vault
