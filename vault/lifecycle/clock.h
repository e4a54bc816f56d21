// Vault time: what expiry goes by. The last time in the audit log plus what has gone by since on a
// clock that nobody sets, checked against the store's. A wall clock that jumps, whoever's, expires
// nothing: a disagreement of a day stops expiry until an administrator confirms the clock.
//
// What has gone by is known to the machine that keeps a mark, and only since its last start; after
// a restart the store's clock is believed as far as it is less than a day ahead.
#pragma once

#include <optional>
#include <string>

#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr int64_t kClockDisagreementMaxNs = int64_t{86'400} * 1'000'000'000;

// A moment on this machine: a clock that counts since the start, sleep included, and which start.
struct BootTime {
  ByteArray<16> boot{};  // the kernel's random id of it
  int64_t ns = 0;
  bool operator==(const BootTime&) const = default;
};

// What a machine notes of a vault's time: vaults/<vault>/clock in its state directory.
struct ClockMark {
  VaultId vault;
  int64_t vault_ns = 0;
  BootTime at;

  Bytes encode() const;
};
// Errors: Errc::malformed.
Result<ClockMark> decode_clock_mark(ByteView bytes);

struct VaultTime {
  int64_t now_ns = 0;
  bool is_trusted = true;
  std::string doubt;  // if it is not
};

// `recorded_ns`: of the audit log; 0 if it is empty. `store_ns`: the store's clock now.
VaultTime vault_time(int64_t recorded_ns, const std::optional<ClockMark>& mark, int64_t store_ns,
                     const BootTime& now);

// Of this machine. An unknown boot id gives zeros, which no mark agrees with.
BootTime boot_time();

}  // namespace holdfast::vault
