#include "vault/lifecycle/retention.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

namespace holdfast::vault {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr size_t kPredecessors = 5;
constexpr uint64_t kEntriesMin = 10;  // fewer come and go
constexpr uint64_t kBurstMin = 10;
constexpr int64_t kRhythmMin = 3 * kDay;  // of history, to speak of a rhythm
constexpr int64_t kRhythmMax = 28 * kDay;
constexpr size_t kAlertsMax = 10;

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

// A moment on the clock of the zone.
struct Local {
  int64_t hour = 0;  // since 1970
  int32_t offset_s = 0;
  int64_t day = 0;
  CivilDate date;
};

Local local_time(const TimeZone& zone, int64_t ns) {
  const int64_t unix_s = floor_div(ns, kSecond);
  Local l;
  l.offset_s = zone.offset_s(unix_s);
  l.hour = floor_div(unix_s + l.offset_s, 3600);
  l.day = floor_div(l.hour, 24);
  l.date = civil_from_days(l.day);
  return l;
}

int64_t slot_key(Rule rule, const Local& l) {
  switch (rule) {
    case Rule::hourly:
      // The same hour at another offset is another hour. 2^18 s is more than any offset's range.
      return l.hour * (int64_t{1} << 18) + l.offset_s;
    case Rule::daily:
      return l.day;
    case Rule::weekly:
      return floor_div(l.day + 3, 7);  // 1970-01-01 was a Thursday
    case Rule::monthly:
      return l.date.year * 12 + l.date.month;
    default:
      return l.date.year;
  }
}

std::string slot_name(Rule rule, const Local& l) {
  char text[64];
  const auto year = static_cast<long long>(l.date.year);
  switch (rule) {
    case Rule::hourly:
      std::snprintf(text, sizeof text, "%04lld-%02d-%02d %02d:00%+03d:%02d", year, l.date.month,
                    l.date.day, static_cast<int>(l.hour - l.day * 24), l.offset_s / 3600,
                    std::abs(l.offset_s) / 60 % 60);
      break;
    case Rule::daily:
      std::snprintf(text, sizeof text, "%04lld-%02d-%02d", year, l.date.month, l.date.day);
      break;
    case Rule::weekly: {
      const CivilDate monday = civil_from_days(floor_div(l.day + 3, 7) * 7 - 3);
      std::snprintf(text, sizeof text, "week of %04lld-%02d-%02d",
                    static_cast<long long>(monday.year), monday.month, monday.day);
      break;
    }
    case Rule::monthly:
      std::snprintf(text, sizeof text, "%04lld-%02d", year, l.date.month);
      break;
    default:
      std::snprintf(text, sizeof text, "%04lld", year);
  }
  return text;
}

class Planner {
 public:
  Planner(const ItemFacts& item, const RetentionPolicy& policy, const TimeZone& zone,
          int64_t now_ns)
      : item_(item), policy_(policy), zone_(zone), now_(now_ns) {
    for (const PointFacts& p : item.points) points_.push_back(&p);
    std::sort(points_.begin(), points_.end(), [](const PointFacts* a, const PointFacts* b) {
      return std::pair(a->received_ns, a->sequence) < std::pair(b->received_ns, b->sequence);
    });
    for (past_ = 0; past_ < points_.size() && points_[past_]->received_ns <= now_;) ++past_;
    plan_.points.resize(points_.size());
    local_.reserve(past_);
  }

  RetentionPlan run() {
    for (size_t i = 0; i < points_.size(); ++i) plan_.points[i].sequence = points_[i]->sequence;
    if (policy_.is_empty()) {
      for (size_t i = 0; i < points_.size(); ++i) keep(i, Rule::no_policy, "");
      return std::move(plan_);
    }
    for (size_t i = past_; i < points_.size(); ++i) keep(i, Rule::future, "");
    for (size_t i = 0; i < past_; ++i) local_.push_back(local_time(zone_, points_[i]->received_ns));
    keep_last();
    for (const auto& [rule, count] :
         {std::pair(Rule::hourly, policy_.keep_hourly), std::pair(Rule::daily, policy_.keep_daily),
          std::pair(Rule::weekly, policy_.keep_weekly),
          std::pair(Rule::monthly, policy_.keep_monthly),
          std::pair(Rule::yearly, policy_.keep_yearly)}) {
      if (count != 0) keep_slots(rule, count);
    }
    keep_single_points();
    keep_newest_complete();
    look_for_bursts();
    look_for_shrinkage();
    plan_.paused = !plan_.alerts.empty();
    for (PointDecision& d : plan_.points) {
      d.keep = !d.reasons.empty();
      if (!d.keep && plan_.paused) {
        d.keep = true;
        d.reasons.push_back({Rule::paused, "expiry pauses until confirmed"});
      }
      if (d.keep) d.represented_by = 0;
      plan_.expiring += d.keep ? 0 : 1;
    }
    return std::move(plan_);
  }

 private:
  void keep(size_t i, Rule rule, std::string slot) {
    plan_.points[i].reasons.push_back({rule, std::move(slot)});
  }

  void keep_last() {
    for (size_t n = 0; n < past_ && n < policy_.keep_last; ++n) {
      const std::string of =
          policy_.keep_last == kKeepAll ? "" : " of " + std::to_string(policy_.keep_last);
      keep(past_ - 1 - n, Rule::last, std::to_string(n + 1) + of);
    }
  }

  void keep_slots(Rule rule, uint32_t count) {
    struct Slot {
      size_t first;
      bool complete;
      bool kept;
    };
    std::unordered_map<int64_t, Slot> slots;
    for (size_t i = 0; i < past_; ++i) {
      const bool complete = points_[i]->complete;
      const auto [it, is_new] =
          slots.try_emplace(slot_key(rule, local_[i]), Slot{i, complete, false});
      if (!is_new && complete && !it->second.complete) it->second = {i, true, false};
    }
    uint32_t kept = 0;
    for (size_t i = past_; i-- > 0;) {
      Slot& slot = slots.at(slot_key(rule, local_[i]));
      PointDecision& d = plan_.points[i];
      if (d.represented_by == 0 && slot.first != i) {
        d.represented_by = points_[slot.first]->sequence;
      }
      if (slot.kept || kept == count) continue;
      slot.kept = true;
      if (count != kKeepAll) ++kept;
      keep(slot.first, rule, slot_name(rule, local_[slot.first]));
    }
  }

  void keep_single_points() {
    const auto within = static_cast<int64_t>(policy_.keep_within_s) * kSecond;
    const auto young = static_cast<int64_t>(policy_.minimum_age_s) * kSecond;
    for (size_t i = 0; i < points_.size(); ++i) {
      const PointFacts& p = *points_[i];
      if (p.held) keep(i, Rule::held, "");
      if (i < past_ && within > 0 && now_ - p.received_ns <= within) keep(i, Rule::within, "");
      if (i < past_ && young > 0 && now_ - p.received_ns < young) keep(i, Rule::minimum_age, "");
      for (const std::string& tag : policy_.keep_tags) {
        if (std::find(p.labels.begin(), p.labels.end(), tag) != p.labels.end()) {
          keep(i, Rule::tag, tag);
        }
      }
    }
  }

  void keep_newest_complete() {
    for (size_t i = past_; i-- > 0;) {
      if (!points_[i]->complete) continue;
      keep(i, Rule::newest_complete, "");
      return;
    }
    if (past_ > 0) keep(past_ - 1, Rule::newest_complete, "none is complete");
  }

  void alert(uint64_t sequence, std::string text) {
    if (plan_.alerts.size() < kAlertsMax) plan_.alerts.push_back({sequence, std::move(text)});
  }

  // Points that count for what is usual: from the one on that somebody looked at.
  std::vector<const PointFacts*> since_confirmed() const {
    std::vector<const PointFacts*> out;
    for (size_t i = 0; i < past_; ++i) {
      if (points_[i]->sequence >= item_.confirmed_sequence) out.push_back(points_[i]);
    }
    return out;
  }

  void look_for_bursts() {
    if (policy_.burst_factor == 0) return;
    std::vector<uint64_t> live;
    for (const PointFacts* p : points_) live.push_back(p->sequence);
    std::sort(live.begin(), live.end());
    const auto rank_in = [](const std::vector<uint64_t>& rising, uint64_t sequence) {
      return std::lower_bound(rising.begin(), rising.end(), sequence) - rising.begin();
    };
    const auto rank = [&](const PointFacts* p) {
      return static_cast<double>(rank_in(live, p->sequence) + rank_in(item_.expired, p->sequence));
    };
    const auto points = since_confirmed();
    // The newest of them received at or before a time; both only move forward.
    const auto last_at = [&](size_t& at, int64_t time_ns) {
      while (at + 1 < points.size() && points[at + 1]->received_ns <= time_ns) ++at;
      return points[at]->received_ns <= time_ns;
    };
    size_t before = 0;
    size_t start = 0;
    for (const PointFacts* p : points) {
      if (!last_at(before, p->received_ns - kDay)) continue;
      const PointFacts* b = points[before];
      const PointFacts* s =
          last_at(start, b->received_ns - kRhythmMax) ? points[start] : points.front();
      if (b->received_ns - s->received_ns < kRhythmMin) continue;
      const auto per_day = [&](const PointFacts* from, const PointFacts* to) {
        return (rank(to) - rank(from)) * static_cast<double>(kDay) /
               static_cast<double>(to->received_ns - from->received_ns);
      };
      const double usual = std::max(1.0, per_day(s, b));
      const double now = per_day(b, p);
      if (rank(p) - rank(b) < static_cast<double>(kBurstMin) ||
          now <= usual * policy_.burst_factor) {
        continue;
      }
      char text[160];
      std::snprintf(text, sizeof text,
                    "%.0f points a day up to this one, where %.0f were usual: a flood, or a "
                    "schedule that was changed",
                    now, usual);
      alert(p->sequence, text);
      return;  // one burst is enough to look
    }
  }

  void look_for_shrinkage() {
    if (policy_.shrink_percent == 0) return;
    const auto points = since_confirmed();
    for (size_t i = 1; i < points.size(); ++i) {
      std::vector<uint64_t> before;
      for (size_t j = i - std::min(i, kPredecessors); j < i; ++j) {
        before.push_back(points[j]->entries);
      }
      std::nth_element(before.begin(), before.begin() + static_cast<long>(before.size() / 2),
                       before.end());
      const uint64_t usual = before[before.size() / 2];
      const auto left = static_cast<double>(100 - policy_.shrink_percent) / 100;
      if (usual < kEntriesMin ||
          static_cast<double>(points[i]->entries) >= static_cast<double>(usual) * left) {
        continue;
      }
      alert(points[i]->sequence, std::to_string(points[i]->entries) +
                                     " entries, where the points before had " +
                                     std::to_string(usual));
    }
  }

  const ItemFacts& item_;
  const RetentionPolicy& policy_;
  const TimeZone& zone_;
  const int64_t now_;
  std::vector<const PointFacts*> points_;  // by receive time
  size_t past_ = 0;                        // so many were received until now
  std::vector<Local> local_;               // of those
  RetentionPlan plan_;
};

}  // namespace

std::string_view name_of(Rule rule) {
  constexpr std::string_view kNames[] = {
      "last",   "hourly",   "daily",       "weekly",          "monthly", "yearly",
      "within", "tag",      "minimum age", "newest complete", "held",    "received in the future",
      "paused", "no policy"};
  return kNames[static_cast<size_t>(rule)];
}

RetentionPlan plan_retention(const ItemFacts& item, const RetentionPolicy& policy,
                             const TimeZone& zone, int64_t now_ns) {
  return Planner(item, policy, zone, now_ns).run();
}

}  // namespace holdfast::vault
