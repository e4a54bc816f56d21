// A retention policy: which recovery points of an item stay. What the rules mean, slot by slot, is
// said in vault/lifecycle/retention.h; docs/formats/audit.md has the bytes.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {

inline constexpr size_t kPolicyNameBytesMax = 255;
inline constexpr size_t kPolicyTagsMax = 64;
inline constexpr uint32_t kKeepAll = std::numeric_limits<uint32_t>::max();

// A policy without any rule (is_empty) keeps everything.
struct RetentionPolicy {
  // Numbers of slots; 0: no such rule; kKeepAll: as many as there are.
  uint32_t keep_last = 0;
  uint32_t keep_hourly = 0;
  uint32_t keep_daily = 0;
  uint32_t keep_weekly = 0;  // weeks begin on Monday
  uint32_t keep_monthly = 0;
  uint32_t keep_yearly = 0;
  uint64_t keep_within_s = 0;          // everything received in so many seconds before now
  uint64_t minimum_age_s = 0;          // nothing younger expires, whatever else says
  std::vector<std::string> keep_tags;  // points with one of these labels stay
  std::string time_zone;               // IANA name; empty: UTC
  // Expiry pauses if a day brings more than so many times the item's usual number of points, or if
  // a point has lost more than this percentage of its entries. 0: never.
  uint32_t burst_factor = 10;
  uint32_t shrink_percent = 50;

  bool operator==(const RetentionPolicy&) const = default;
  bool is_empty() const;
};

// Whether `changed` may expire something that `before` keeps. Errs on the side of yes: another time
// zone moves the slots, so it counts.
bool keeps_less(const RetentionPolicy& before, const RetentionPolicy& changed);

void encode_policy(wire::Encoder& out, const RetentionPolicy& policy);
RetentionPolicy decode_policy(wire::Decoder& in);

}  // namespace holdfast::vault
