// Copying what is needed out of packs that are mostly garbage, or small, into new packs of a
// collector's run. Segments are copied as they stand, so no key is needed.
#pragma once

#include <stop_token>

#include "base/io/rate_limiter.h"
#include "vault/engine/mark.h"

namespace holdfast::vault {

inline constexpr uint64_t kSmallPackBytes = 8 * 1024 * 1024;

struct RepackOptions {
  // A pack is rewritten if this share of its segments' bytes is needed by nobody.
  double dead_share_min = 0.25;
  // Small packs of one kind and domain are merged when there are so many, or so much.
  size_t small_packs_min = 16;
  uint64_t bytes_max = uint64_t{16} << 30;  // to copy in one run
};

// Which packs of the survey to copy from, those that give most back first. `usable[i]`: pack i may
// be touched by this run.
std::vector<size_t> choose_packs_to_copy(const Survey& survey, const Marked& marked,
                                         const std::vector<bool>& usable,
                                         const RepackOptions& options);

struct Repacked {
  std::vector<size_t> sources;  // of the survey; everything needed in them was copied
  std::vector<VouchedPack> packs;
  uint64_t bytes = 0;
  std::vector<std::string> damaged;  // sources that were left alone, and why
};

// Copies, puts index runs for the new packs, and returns what the run can vouch for; nothing is
// vouched for yet. Errors: the store's, also a full disk: what was put is garbage of the run then.
Result<Repacked> repack(Store& store, const VaultId& vault, const RunId& run, const Survey& survey,
                        const Marked& marked, const std::vector<size_t>& sources,
                        io::RateLimiter* limiter, const std::stop_token& stop);

}  // namespace holdfast::vault
