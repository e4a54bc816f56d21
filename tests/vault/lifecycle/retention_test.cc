// Goal: what stays is what the policy's words say, in every time zone, for thirty years; nothing
// that an agent or a wrong clock does empties an item. Method: single rules by hand; a slow oracle
// that asks the C library for local time; thirty years of hourly points, expired daily; random
// histories in which running often and rarely must end alike.
#include "vault/lifecycle/retention.h"

#include <chrono>
#include <map>
#include <random>
#include <set>

#include "tests/support/expect.h"
#include "tests/support/seeds.h"
#include "tests/support/time_zone.h"

namespace holdfast::vault {
namespace {

constexpr int64_t kSec = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSec;
constexpr int64_t kDayLong = 24 * kHour;
constexpr int64_t kStart = 1'767'225'600 * kSec;  // 2026-01-01 UTC

const char* const kZones[] = {"Europe/Berlin",     "America/New_York",   "Australia/Lord_Howe",
                              "America/Sao_Paulo", "Pacific/Kiritimati", "America/St_Johns",
                              "Asia/Kathmandu",    "Africa/Casablanca",  "America/Havana"};

TimeZone zone(const std::string& name) {
  auto z = TimeZone::load(name);
  CHECK(z.ok());
  return *z;
}

PointFacts point(uint64_t sequence, int64_t received_ns, uint64_t entries = 100) {
  PointFacts p;
  p.sequence = sequence;
  p.received_ns = received_ns;
  p.entries = entries;
  return p;
}

ItemFacts hourly(size_t count, int64_t start = kStart, int64_t step = kHour) {
  ItemFacts item;
  for (size_t i = 0; i < count; ++i) {
    item.points.push_back(point(i + 1, start + static_cast<int64_t>(i) * step));
  }
  return item;
}

std::set<uint64_t> kept(const RetentionPlan& plan) {
  std::set<uint64_t> out;
  for (const PointDecision& d : plan.points) {
    if (d.keep) out.insert(d.sequence);
  }
  return out;
}

std::set<uint64_t> plan(const ItemFacts& item, const RetentionPolicy& policy, int64_t now,
                        const TimeZone& tz = {}) {
  return kept(plan_retention(item, policy, tz, now));
}

int64_t end_of(const ItemFacts& item) {
  return item.points.back().received_ns;
}

// --- Time zones ----------------------------------------------------------------------------------

TEST(TimeZone, AgreesWithTheCLibraryUntil2069) {
  for (const char* name : kZones) {
    const TimeZone z = zone(name);
    const testing::TimeZone local((std::string(":") + name).c_str());
    const auto expect = [&](int64_t s) {
      const time_t t = s;
      tm parts{};
      localtime_r(&t, &parts);
      ASSERT_EQ(z.offset_s(s), parts.tm_gmtoff) << name << " at " << s;
    };
    int32_t before = z.offset_s(0);
    for (int64_t s = 0; s < int64_t{3'150'000'000}; s += 6 * 3600) {
      expect(s);
      const int32_t now = z.offset_s(s);
      if (now != before) {
        for (int64_t near = s - 6 * 3600; near <= s; near += 1799) expect(near);
      }
      before = now;
    }
  }
}

TEST(TimeZone, KnowsDates) {
  for (int64_t day = -200'000; day < 200'000; day += 17) {
    const CivilDate d = civil_from_days(day);
    ASSERT_EQ(days_from_civil(d.year, d.month, d.day), day);
  }
  EXPECT_EQ(days_from_civil(2000, 2, 29), 11'016);
}

TEST(TimeZone, RefusesOtherNamesAndFiles) {
  EXPECT_OK(TimeZone::load(""));
  EXPECT_OK(TimeZone::load("UTC"));
  EXPECT_ERROR(holdfast::Errc::malformed, TimeZone::load("../../etc/passwd"));
  EXPECT_ERROR(holdfast::Errc::malformed, TimeZone::load("/etc/localtime"));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, TimeZone::load("Europe/Nowhere"));
  EXPECT_ERROR(holdfast::Errc::malformed, TimeZone::decode({}));
  EXPECT_ERROR(holdfast::Errc::malformed, TimeZone::decode(as_bytes("TZif2")));
}

// --- Single rules --------------------------------------------------------------------------------

TEST(Retention, EmptyPolicyRemovesNothing) {
  const ItemFacts item = hourly(1000);
  EXPECT_EQ(plan(item, {}, end_of(item)).size(), 1000u);
  EXPECT_TRUE(plan_retention({}, {}, {}, 0).points.empty());
  RetentionPolicy matches_nothing;
  matches_nothing.keep_tags = {"never used"};
  // A rule, but for no point: only the newest complete one is sure to stay.
  EXPECT_EQ(plan(item, matches_nothing, end_of(item)), std::set<uint64_t>{1000});
}

TEST(Retention, EachRuleKeepsItsSlots) {
  const ItemFacts item = hourly(24 * 800);  // to 2028-03-11
  const int64_t now = end_of(item);
  const auto with = [&](auto change) {
    RetentionPolicy p;
    change(p);
    return plan(item, p, now);
  };
  EXPECT_EQ(with([](auto& p) { p.keep_last = 3; }), (std::set<uint64_t>{19'198, 19'199, 19'200}));
  EXPECT_EQ(with([](auto& p) { p.keep_hourly = 2; }), (std::set<uint64_t>{19'199, 19'200}));
  // Midnight's point represents the day; the newest complete point stays besides.
  EXPECT_EQ(with([](auto& p) { p.keep_daily = 2; }), (std::set<uint64_t>{19'153, 19'177, 19'200}));
  const auto years = with([](auto& p) { p.keep_yearly = kKeepAll; });
  EXPECT_EQ(years, (std::set<uint64_t>{1, 365 * 24 + 1, 730 * 24 + 1, 19'200}));
  EXPECT_EQ(with([](auto& p) { p.keep_monthly = 2; }).size(), 3u);
  const auto weeks = with([](auto& p) { p.keep_weekly = 1; });
  EXPECT_EQ(*weeks.begin(), 24u * 795 + 1);  // Monday, 2028-03-06
  EXPECT_EQ(with([](auto& p) { p.keep_within_s = 7200; }).size(), 3u);
}

TEST(Retention, FirstCompletePointRepresentsItsSlot) {
  ItemFacts item = hourly(48);
  item.points[0].complete = item.points[1].complete = false;
  for (size_t i = 24; i < 48; ++i) item.points[i].complete = false;
  RetentionPolicy p;
  p.keep_daily = 7;
  const auto decided = plan_retention(item, p, {}, end_of(item));
  EXPECT_EQ(kept(decided), (std::set<uint64_t>{3, 24, 25}));
  EXPECT_EQ(decided.points[2].reasons[0].slot, "2026-01-01");
  EXPECT_EQ(decided.points[23].reasons[0].rule, Rule::newest_complete);
  EXPECT_EQ(decided.points[5].represented_by, 3u);
  EXPECT_EQ(decided.expiring, 45u);
}

TEST(Retention, NewestCompletePointNeverExpires) {
  ItemFacts item = hourly(500);
  for (size_t i = 100; i < 500; ++i) item.points[i].complete = false;
  RetentionPolicy p;
  p.keep_last = 1;
  EXPECT_EQ(plan(item, p, end_of(item) + 10'000 * kDayLong), (std::set<uint64_t>{100, 500}));
  for (PointFacts& f : item.points) f.complete = false;
  p.keep_last = 0;
  p.keep_tags = {"x"};
  EXPECT_EQ(plan(item, p, end_of(item)), std::set<uint64_t>{500});
}

TEST(Retention, NoCountExpiresAPointBelowTheMinimumAge) {
  const ItemFacts item = hourly(100);
  RetentionPolicy p;
  p.keep_last = 1;
  p.minimum_age_s = 36'000;
  EXPECT_EQ(plan(item, p, end_of(item)).size(), 10u);
}

TEST(Retention, HeldAndTaggedPointsStay) {
  ItemFacts item = hourly(100);
  item.points[3].held = true;
  item.points[4].labels = {"a", "release"};
  RetentionPolicy p;
  p.keep_last = 1;
  p.keep_tags = {"release"};
  EXPECT_EQ(plan(item, p, end_of(item)), (std::set<uint64_t>{4, 5, 100}));
}

TEST(Retention, PointsOfTheFutureStayAndTakeNoSlot) {
  ItemFacts item = hourly(100);
  RetentionPolicy p;
  p.keep_last = 5;
  p.keep_daily = 2;
  const auto before = plan(item, p, end_of(item));
  for (uint64_t i = 0; i < 50; ++i) {
    item.points.push_back(point(101 + i, kStart + (4000 + static_cast<int64_t>(i)) * kDayLong));
  }
  auto after = plan(item, p, kStart + 99 * kHour);
  for (uint64_t i = 101; i <= 150; ++i) EXPECT_EQ(after.erase(i), 1u);
  EXPECT_EQ(after, before);
}

TEST(Retention, TheHourThatComesTwiceIsTwoSlots) {
  // 2026-10-25 in Berlin: 02:00 to 03:00 twice; 2026-03-29: not at all.
  const int64_t autumn = 1'792'879'200 * kSec;  // 2026-10-24 22:00 UTC, local midnight
  const ItemFacts item = hourly(50, autumn, kHour / 2);
  RetentionPolicy p;
  p.keep_hourly = 25;
  const auto decided = plan_retention(item, p, zone("Europe/Berlin"), end_of(item));
  EXPECT_EQ(kept(decided).size(), 26u);  // all 25 hours of the day, and the newest point
  std::set<std::string> names;
  for (const auto& d : decided.points) {
    for (const auto& r : d.reasons) {
      if (r.rule == Rule::hourly) names.insert(r.slot);
    }
  }
  EXPECT_TRUE(names.contains("2026-10-25 02:00+02:00"));
  EXPECT_TRUE(names.contains("2026-10-25 02:00+01:00"));
  RetentionPolicy daily;
  daily.keep_daily = 10;
  EXPECT_EQ(plan(item, daily, end_of(item), zone("Europe/Berlin")).size(), 2u);
}

// --- Pauses --------------------------------------------------------------------------------------

TEST(Retention, FloodPausesExpiryUntilConfirmed) {
  ItemFacts item = hourly(60, kStart, kDayLong);
  const int64_t last = end_of(item);
  RetentionPolicy p;
  p.keep_last = 10;
  EXPECT_EQ(plan(item, p, last).size(), 10u);
  for (uint64_t i = 1; i <= 200; ++i) {
    item.points.push_back(point(60 + i, last + static_cast<int64_t>(i) * 60 * kSec));
  }
  const int64_t now = end_of(item);
  auto decided = plan_retention(item, p, {}, now);
  EXPECT_TRUE(decided.paused);
  EXPECT_EQ(decided.expiring, 0u);
  ASSERT_FALSE(decided.alerts.empty());
  EXPECT_NE(decided.alerts[0].text.find("points a day"), std::string::npos);
  item.confirmed_sequence = 260;
  decided = plan_retention(item, p, {}, now);
  EXPECT_FALSE(decided.paused);
  EXPECT_EQ(kept(decided).size(), 10u);
  item.confirmed_sequence = 0;
  p.burst_factor = 0;
  EXPECT_FALSE(plan_retention(item, p, {}, now).paused);
}

TEST(Retention, ThinnedHistoryIsNoFlood) {
  // Hourly points for a year of which only few are left, as the expired ones are known.
  ItemFacts item;
  const ItemFacts all = hourly(24 * 365);
  RetentionPolicy p;
  p.keep_hourly = 24;
  p.keep_daily = 7;
  p.keep_monthly = 12;
  const auto stay = plan(all, p, end_of(all));
  for (const PointFacts& f : all.points) {
    if (stay.contains(f.sequence)) {
      item.points.push_back(f);
    } else {
      item.expired.push_back(f.sequence);
    }
  }
  EXPECT_FALSE(plan_retention(item, p, {}, end_of(all) + kHour).paused);
}

TEST(Retention, LostEntriesPauseExpiry) {
  ItemFacts item = hourly(50, kStart, kDayLong);
  RetentionPolicy p;
  p.keep_last = 5;
  item.points.back().entries = 49;
  auto decided = plan_retention(item, p, {}, end_of(item));
  EXPECT_TRUE(decided.paused);
  EXPECT_EQ(decided.alerts[0].sequence, 50u);
  EXPECT_EQ(decided.points[0].reasons[0].rule, Rule::paused);
  item.points.back().entries = 50;
  EXPECT_FALSE(plan_retention(item, p, {}, end_of(item)).paused);
  // Confirmed: the small ones are what is usual now.
  item.points.back().entries = 10;
  item.confirmed_sequence = 50;
  for (uint64_t i = 51; i < 60; ++i) {
    item.points.push_back(point(i, kStart + static_cast<int64_t>(i) * kDayLong, 10));
  }
  EXPECT_FALSE(plan_retention(item, p, {}, end_of(item)).paused);
  item.points.back().entries = 1;
  EXPECT_TRUE(plan_retention(item, p, {}, end_of(item)).paused);
}

// --- Against the oracle --------------------------------------------------------------------------

// From the words of retention.h, for each point and rule alone, with the C library's local time.
std::set<uint64_t> oracle(const ItemFacts& item, const RetentionPolicy& p, int64_t now) {
  std::set<uint64_t> out;
  std::map<uint64_t, std::map<std::string, std::string>> names;  // sequence, format: slot
  const std::pair<const char*, uint32_t> rules[] = {{"%Y-%m-%d %H %z", p.keep_hourly},
                                                    {"%Y-%m-%d", p.keep_daily},
                                                    {"%G-%V", p.keep_weekly},
                                                    {"%Y-%m", p.keep_monthly},
                                                    {"%Y", p.keep_yearly}};
  for (const PointFacts& f : item.points) {
    const time_t t = f.received_ns / kSec;
    tm parts{};
    localtime_r(&t, &parts);
    for (const auto& [format, count] : rules) {
      char text[64];
      strftime(text, sizeof text, format, &parts);
      names[f.sequence][format] = text;
    }
  }
  const PointFacts* newest = nullptr;
  for (const PointFacts& f : item.points) {
    size_t later = 0;
    for (const PointFacts& g : item.points) later += g.sequence > f.sequence ? 1 : 0;
    if (later < p.keep_last) out.insert(f.sequence);
    if (now - f.received_ns <= static_cast<int64_t>(p.keep_within_s) * kSec && p.keep_within_s) {
      out.insert(f.sequence);
    }
    if (now - f.received_ns < static_cast<int64_t>(p.minimum_age_s) * kSec) out.insert(f.sequence);
    if (newest == nullptr || f.complete >= newest->complete) newest = &f;
    for (const auto& [format, count] : rules) {
      const std::string& slot = names[f.sequence][format];
      bool represents = true;
      uint64_t last_of_slot = 0;
      for (const PointFacts& g : item.points) {
        if (names[g.sequence][format] != slot) continue;
        last_of_slot = std::max(last_of_slot, g.sequence);
        if (g.complete > f.complete || (g.complete == f.complete && g.sequence < f.sequence)) {
          represents = false;
        }
      }
      std::set<std::string> newer;
      for (const PointFacts& g : item.points) {
        if (g.sequence > last_of_slot) newer.insert(names[g.sequence][format]);
      }
      if (represents && newer.size() < count) out.insert(f.sequence);
    }
  }
  if (newest != nullptr) out.insert(newest->sequence);
  return out;
}

RetentionPolicy random_policy(std::mt19937_64& random) {
  RetentionPolicy p;
  for (uint32_t* count : {&p.keep_last, &p.keep_hourly, &p.keep_daily, &p.keep_weekly,
                          &p.keep_monthly, &p.keep_yearly}) {
    if (random() % 2 == 0) *count = 1 + random() % 12;
  }
  if (p.is_empty()) p.keep_daily = 1;
  if (random() % 3 == 0) p.keep_within_s = random() % (40 * 86'400);
  if (random() % 3 == 0) p.minimum_age_s = random() % (10 * 86'400);
  p.burst_factor = p.shrink_percent = 0;
  return p;
}

TEST(Retention, RandomHistoriesMatchTheOracle) {
  FOR_EACH_SEED(seed, 60) {
    std::mt19937_64 random(seed);
    const char* name = kZones[random() % std::size(kZones)];
    const testing::TimeZone local((std::string(":") + name).c_str());
    const TimeZone tz = zone(name);
    ItemFacts item;
    int64_t at = kStart + static_cast<int64_t>(random() % 8000) * kHour;
    for (uint64_t i = 1; i <= 150; ++i) {
      at += static_cast<int64_t>(random() % (random() % 8 == 0 ? 900 : 20)) * kHour / 4 + kSec;
      item.points.push_back(point(i, at));
      item.points.back().complete = random() % 5 != 0;
    }
    const RetentionPolicy p = random_policy(random);
    ASSERT_EQ(plan(item, p, at + kHour, tz), oracle(item, p, at + kHour)) << name;
  }
}

TEST(Retention, RunningOftenAndRarelyEndAlike) {
  FOR_EACH_SEED(seed, 40) {
    std::mt19937_64 random(seed);
    const TimeZone tz = zone(kZones[random() % std::size(kZones)]);
    const RetentionPolicy p = random_policy(random);
    ItemFacts often;
    ItemFacts rarely;
    std::set<uint64_t> expired_by_often;
    int64_t at = kStart;
    const auto run = [&](ItemFacts& item) {
      const auto stay = plan(item, p, at, tz);
      // The newest complete point is always there.
      const auto newest = std::find_if(item.points.rbegin(), item.points.rend(),
                                       [](const PointFacts& f) { return f.complete; });
      if (newest != item.points.rend()) {
        ASSERT_TRUE(stay.contains(newest->sequence));
      }
      std::erase_if(item.points, [&](const PointFacts& f) { return !stay.contains(f.sequence); });
    };
    for (uint64_t i = 1; i <= 3000; ++i) {
      at += static_cast<int64_t>(1 + random() % 20) * kHour;
      PointFacts f = point(i, at);
      f.complete = random() % 6 != 0;
      often.points.push_back(f);
      rarely.points.push_back(f);
      if (random() % 3 == 0) run(often);
      if (random() % 700 == 0) run(rarely);
    }
    run(often);
    run(rarely);
    std::set<uint64_t> a;
    std::set<uint64_t> b;
    for (const auto& f : often.points) a.insert(f.sequence);
    for (const auto& f : rarely.points) b.insert(f.sequence);
    ASSERT_EQ(a, b);
  }
}

TEST(Retention, ThirtyYearsOfHourlyPoints) {
  RetentionPolicy p;
  p.keep_last = 3;
  p.keep_hourly = 24;
  p.keep_daily = 14;
  p.keep_weekly = 8;
  p.keep_monthly = 24;
  p.keep_yearly = kKeepAll;
  p.minimum_age_s = 3600;
  for (const char* name : kZones) {
    const testing::TimeZone local((std::string(":") + name).c_str());
    const TimeZone tz = zone(name);
    ItemFacts item;
    const int64_t hours = int64_t{30} * 365 * 24 + 7 * 24;
    size_t runs = 0;
    for (int64_t h = 0; h < hours; ++h) {
      item.points.push_back(point(static_cast<uint64_t>(h) + 1, kStart + h * kHour));
      if (h % 24 != 5) continue;
      const int64_t now = kStart + h * kHour + kSec;
      const RetentionPlan decided = plan_retention(item, p, tz, now);
      ASSERT_FALSE(decided.paused) << name << " hour " << h << ": " << decided.alerts[0].text;
      const auto stay = kept(decided);
      if (++runs % 97 == 0) {
        ASSERT_EQ(stay, oracle(item, p, now)) << name << " hour " << h;
      }
      std::erase_if(item.points, [&](const PointFacts& f) {
        if (stay.contains(f.sequence)) return false;
        auto& expired = item.expired;
        expired.insert(std::upper_bound(expired.begin(), expired.end(), f.sequence), f.sequence);
        return true;
      });
    }
    // One point for each of the thirty years, and it is the first of its local year.
    std::map<int, uint64_t> first;
    for (int64_t h = 0; h < hours; ++h) {
      const time_t t = (kStart + h * kHour) / kSec;
      tm parts{};
      localtime_r(&t, &parts);
      first.try_emplace(parts.tm_year + 1900, static_cast<uint64_t>(h) + 1);
    }
    EXPECT_GE(first.size(), 30u);
    std::set<uint64_t> left;
    for (const auto& f : item.points) left.insert(f.sequence);
    for (const auto& [year, sequence] : first) EXPECT_TRUE(left.contains(sequence)) << year;
    EXPECT_LT(item.points.size(), 130u);
  }
}

TEST(Retention, ThirtyYearsAtOnceAreFast) {
  const ItemFacts item = hourly(30 * 365 * 24);
  RetentionPolicy p;
  p.keep_hourly = p.keep_daily = p.keep_weekly = p.keep_monthly = p.keep_yearly = kKeepAll;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(plan(item, p, end_of(item), zone("Europe/Berlin")).size(), item.points.size());
  // Some 0.2 s in a release build; a quadratic loop would take hours.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace holdfast::vault
