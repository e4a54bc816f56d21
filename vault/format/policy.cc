#include "vault/format/policy.h"

#include <algorithm>

namespace holdfast::vault {
namespace {

constexpr size_t kTextMax = 255;

}  // namespace

bool RetentionPolicy::is_empty() const {
  return keep_last == 0 && keep_hourly == 0 && keep_daily == 0 && keep_weekly == 0 &&
         keep_monthly == 0 && keep_yearly == 0 && keep_within_s == 0 && keep_tags.empty();
}

bool keeps_less(const RetentionPolicy& before, const RetentionPolicy& changed) {
  if (changed.is_empty()) return false;
  if (before.is_empty()) return true;
  const auto has_tag = [&](const std::string& tag) {
    return std::find(changed.keep_tags.begin(), changed.keep_tags.end(), tag) !=
           changed.keep_tags.end();
  };
  // A pause that comes later, or never, lets more expire.
  const auto pauses_less = [](uint32_t was, uint32_t is) {
    return was != 0 && (is == 0 || is > was);
  };
  return changed.keep_last < before.keep_last || changed.keep_hourly < before.keep_hourly ||
         changed.keep_daily < before.keep_daily || changed.keep_weekly < before.keep_weekly ||
         changed.keep_monthly < before.keep_monthly || changed.keep_yearly < before.keep_yearly ||
         changed.keep_within_s < before.keep_within_s ||
         changed.minimum_age_s < before.minimum_age_s ||
         !std::all_of(before.keep_tags.begin(), before.keep_tags.end(), has_tag) ||
         changed.time_zone != before.time_zone ||
         pauses_less(before.burst_factor, changed.burst_factor) ||
         pauses_less(before.shrink_percent, changed.shrink_percent);
}

void encode_policy(wire::Encoder& out, const RetentionPolicy& p) {
  for (const uint32_t count :
       {p.keep_last, p.keep_hourly, p.keep_daily, p.keep_weekly, p.keep_monthly, p.keep_yearly}) {
    out.varint(count);
  }
  out.varint(p.keep_within_s);
  out.varint(p.minimum_age_s);
  out.varint(p.keep_tags.size());
  for (const std::string& tag : p.keep_tags) out.block(tag);
  out.block(p.time_zone);
  out.varint(p.burst_factor);
  out.varint(p.shrink_percent);
}

RetentionPolicy decode_policy(wire::Decoder& in) {
  constexpr uint64_t kCountMax = std::numeric_limits<uint32_t>::max();
  RetentionPolicy p;
  for (uint32_t* count : {&p.keep_last, &p.keep_hourly, &p.keep_daily, &p.keep_weekly,
                          &p.keep_monthly, &p.keep_yearly}) {
    *count = static_cast<uint32_t>(in.varint_max(kCountMax));
  }
  // So that seconds can be counted in nanoseconds: 200 years.
  constexpr uint64_t kSecondsMax = uint64_t{200} * 366 * 86400;
  p.keep_within_s = in.varint_max(kSecondsMax);
  p.minimum_age_s = in.varint_max(kSecondsMax);
  const uint64_t tags = in.count(in.varint_max(kPolicyTagsMax), 1);
  for (uint64_t i = 0; i < tags && in.ok(); ++i) p.keep_tags.push_back(in.text(kTextMax));
  p.time_zone = in.text(kTextMax);
  p.burst_factor = static_cast<uint32_t>(in.varint_max(kCountMax));
  p.shrink_percent = static_cast<uint32_t>(in.varint_max(100));
  return p;
}

}  // namespace holdfast::vault
