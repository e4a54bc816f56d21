// A short code for the state of a vault: which point is the newest of each item. Who noted one, on
// paper or in a mail, can later tell an older or another vault from this one or a successor of it,
// also on a machine that never saw the vault before. docs/omission.md.
//
// The code of a state is the SHA-256 of
//
//   "holdfast v1 head" | vault 16 | audit sequence u64 | audit hash 32
//   | for each item, by id: item 16 | sequence u64 | hash 32
//
// of the item's newest point; audit is the newest entry of the audit log, zeros while there is
// none. People see the first 16 hexadecimal digits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vault/engine/points.h"

namespace holdfast::vault {

// A valid entry of the vault's audit log.
struct AuditHead {
  uint64_t sequence = 0;
  crypto::Digest sha256{};
  io::TimeNs stored_ns = 0;
};

inline constexpr size_t kHeadCodeDigits = 16;
inline constexpr size_t kHeadCodeDigitsMin = 12;

// The present state. `audit`: all entries in order.
std::string head_code(const VaultId& vault, const PointList& list,
                      const std::vector<AuditHead>& audit = {});

// Whether `code` (at least kHeadCodeDigitsMin digits; dashes and blanks do not matter) is of the
// present state or of one that it grew out of: what was there then is there now, but for points
// that expired in order. States are put together from the store's times of arrival; of points that
// arrived within minutes of one another the order may be another. Errors: Errc::malformed for no
// code; Errc::rolled_back.
Status expect_head(const VaultId& vault, const PointList& list, std::string_view code,
                   const std::vector<AuditHead>& audit = {});

}  // namespace holdfast::vault
