#include "vault/lifecycle/clock.h"

#include <algorithm>
#include <time.h>

#include "base/io/file_system.h"
#include "base/units.h"
#include "vault/format/digest.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kClockMagic = "HFV1CLOK";

}  // namespace

Bytes ClockMark::encode() const {
  wire::Encoder out;
  out.raw(kClockMagic);
  out.raw(vault.view());
  out.i64(vault_ns);
  out.raw(at.boot);
  out.i64(at.ns);
  return with_digest(out.take());
}

Result<ClockMark> decode_clock_mark(ByteView bytes) {
  TRY(const ByteView body, without_digest(bytes, "clock mark"));
  wire::Decoder in(body, "clock mark");
  ClockMark mark;
  in.expect(kClockMagic);
  mark.vault = read_id<VaultId>(in);
  mark.vault_ns = in.i64();
  mark.at.boot = in.array<16>();
  mark.at.ns = in.i64();
  constexpr int64_t kMax = int64_t{1} << 61;
  if (mark.vault_ns < 0 || mark.vault_ns > kMax || mark.at.ns < 0 || mark.at.ns > kMax) {
    in.fail("has an impossible time");
  }
  TRYV(in.finish());
  return mark;
}

VaultTime vault_time(int64_t recorded_ns, const std::optional<ClockMark>& mark, int64_t store_ns,
                     const BootTime& now) {
  VaultTime out;
  if (recorded_ns == 0 && !mark) {
    out.now_ns = store_ns;  // nothing to compare with
    return out;
  }
  int64_t expected = recorded_ns;
  bool is_exact = false;
  if (mark) {
    const bool known = !all_zero(mark->at.boot) && !all_zero(now.boot);
    const bool same_start = known && mark->at.boot == now.boot && now.ns >= mark->at.ns;
    const bool restarted = known && mark->at.boot != now.boot;
    // After a restart at least the time since it has gone by.
    const int64_t by_mark = mark->vault_ns + (same_start  ? now.ns - mark->at.ns
                                              : restarted ? now.ns
                                                          : 0);
    is_exact = same_start && by_mark >= recorded_ns;
    expected = std::max(expected, by_mark);
  }
  const int64_t ahead = store_ns - expected;
  out.now_ns = is_exact ? expected : std::max(expected, store_ns);
  if (ahead > kClockDisagreementMaxNs || ahead < -kClockDisagreementMaxNs) {
    out.now_ns = expected;
    out.is_trusted = false;
    const auto days = static_cast<double>(std::abs(ahead)) / kClockDisagreementMaxNs;
    char text[200];
    std::snprintf(text, sizeof text,
                  "the store's clock says %s, which is %.1f days %s the vault's own time, %s",
                  format_time(store_ns).c_str(), days, ahead > 0 ? "ahead of" : "behind",
                  format_time(expected).c_str());
    out.doubt = text;
  }
  return out;
}

BootTime boot_time() {
  BootTime out;
  timespec t{};
  ::clock_gettime(CLOCK_BOOTTIME, &t);
  out.ns = int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  // A file of the kernel's says nothing of its size beforehand.
  const auto file = io::posix_file_system().open("/proc/sys/kernel/random/boot_id");
  if (!file.ok()) return out;
  uint8_t text[64];
  const auto read = (*file)->read_at(0, text);
  if (!read.ok()) return out;
  std::string digits;
  for (const char c : as_text(ByteView(text).first(*read))) {
    if (c != '-' && c != '\n') digits.push_back(c);
  }
  const auto id = from_hex(digits);
  if (id.ok() && id->size() == out.boot.size()) {
    std::memcpy(out.boot.data(), id->data(), id->size());
  }
  return out;
}

}  // namespace holdfast::vault
