// Which recovery points of an item stay, by a policy. Pure: facts in, a decision and its reason for
// each point out; nothing is read or written here.
//
// Rules. Each keeps points; what no rule keeps expires.
// - last N: the N points received last.
// - hourly, daily, weekly, monthly, yearly N: a slot is an hour, day, week from Monday, month or
//   year of the policy's time zone; the hour that comes twice in autumn is two. The N newest slots
//   that have points are kept, each by its *first* complete point (the first one if none is
//   complete). The first, because it stays the first: a point that represents its year is kept from
//   the moment it is received, and running often or rarely ends with the same points.
// - within S: everything received in the last S seconds. Tags: points with one of these labels.
//
// Whatever the rules say, these stay: held points; points younger than the minimum age; the newest
// complete point (the newest one if none is complete); points received after `now`, which take no
// slot from others either, so that a clock that was ahead empties nothing; and everything, if the
// policy has no rules, or if expiry pauses.
//
// Expiry of an item pauses, until somebody confirms, when a stretch of at least a day brought more
// than burst_factor times the usual number of points (and at least ten), or when a point has lost
// more than shrink_percent of the entries that the five points before it had (the median, if that
// is ten or more): an attacker who floods an item, or empties it, pushes nothing out.
#pragma once

#include "vault/format/policy.h"
#include "vault/lifecycle/time_zone.h"

namespace holdfast::vault {

struct PointFacts {
  uint64_t sequence = 0;
  int64_t received_ns = 0;  // by the vault
  uint64_t entries = 0;
  bool complete = true;
  bool held = false;
  std::vector<std::string> labels;
};

struct ItemFacts {
  std::vector<PointFacts> points;  // live ones, in any order
  // Numbers of points that are soft-deleted or purged, rising: they belong to the usual rhythm.
  std::vector<uint64_t> expired;
  uint64_t confirmed_sequence = 0;  // up to here somebody looked
};

enum class Rule {
  last,
  hourly,
  daily,
  weekly,
  monthly,
  yearly,
  within,
  tag,
  minimum_age,
  newest_complete,
  held,
  future,
  paused,
  no_policy,
};
std::string_view name_of(Rule rule);

struct Reason {
  Rule rule = Rule::last;
  std::string slot;  // "2026-03-29", "2026-W13", "#2 of 3", the label ...
};

struct PointDecision {
  uint64_t sequence = 0;
  bool keep = true;
  std::vector<Reason> reasons;  // why it stays; all of them
  uint64_t represented_by = 0;  // if it expires: the point that its finest slot keeps, or 0
};

struct RetentionAlert {
  uint64_t sequence = 0;
  std::string text;
};

struct RetentionPlan {
  std::vector<PointDecision> points;  // by receive time
  std::vector<RetentionAlert> alerts;
  bool paused = false;  // because of them
  size_t expiring = 0;
};

RetentionPlan plan_retention(const ItemFacts& item, const RetentionPolicy& policy,
                             const TimeZone& zone, int64_t now_ns);

}  // namespace holdfast::vault
