// A time zone of the IANA database: how many seconds local time is ahead of UTC, for any moment.
// Read from the machine's zoneinfo files (RFC 8536), because the C library knows one zone at a time
// for the whole process. A value; any number of threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace holdfast::vault {

class TimeZone {
 public:
  TimeZone() = default;  // UTC

  // "Europe/Berlin"; empty or "UTC": UTC. Errors: Errc::malformed for what cannot be a name or a
  // damaged file; std::errc::no_such_file_or_directory for a zone that this machine does not know.
  static Result<TimeZone> load(const std::string& name);
  // The content of a zoneinfo file. Errors: Errc::malformed.
  static Result<TimeZone> decode(ByteView file);

  int32_t offset_s(int64_t unix_s) const;

 private:
  // When summer time begins or ends, each year: see "TZ" in POSIX.
  struct Change {
    enum class Kind { month_week_day, day_without_leap, day_of_year } kind = Kind::month_week_day;
    int month = 0, week = 0, day = 0;
    int32_t time_s = 7200;
    int64_t local_s(int year) const;  // seconds since 1970 on the clock before the change
  };
  struct Rule {
    int32_t standard_s = 0;
    int32_t summer_s = 0;
    std::optional<std::pair<Change, Change>> changes;
  };
  static std::optional<Rule> parse_rule(std::string_view text);
  static int32_t offset_by_rule(const Rule& rule, int64_t unix_s);

  std::vector<int64_t> transitions_;  // rising
  std::vector<int32_t> offsets_;      // from each transition on
  int32_t first_offset_ = 0;          // before all of them
  std::optional<Rule> rule_;          // after the last of them
};

// Days since 1970-01-01 of a date of the Gregorian calendar, and back.
int64_t days_from_civil(int64_t year, int month, int day);
struct CivilDate {
  int64_t year = 1970;
  int month = 1;
  int day = 1;
};
CivilDate civil_from_days(int64_t days);

}  // namespace holdfast::vault
