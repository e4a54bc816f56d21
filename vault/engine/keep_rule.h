// Which copies of a chunk are needed, see mark.h.
#pragma once

#include <map>
#include <vector>

#include "vault/engine/survey.h"

namespace holdfast::vault {

struct MarkRoot;

struct CopyOfChunk {
  const SurveyedPack* pack = nullptr;
  const SegmentClaim* claim = nullptr;  // who vouches for it, if somebody does
  bool doubtful = false;                // in a pack that another run is about to delete
  bool keep = true;                     // the answer
};

class KeepRule {
 public:
  KeepRule(Store& store, const std::vector<MarkRoot>& roots) : store_(store), roots_(roots) {}

  // Decides for all copies of one chunk, whose oldest point is number `rank`. At least one is kept.
  // Errors: the store's.
  Status choose(size_t rank, std::vector<CopyOfChunk>& copies);

 private:
  // Whether the point shows that this one of its own or another item was committed before it.
  Result<bool> is_before(const ItemId& item, uint64_t sequence, size_t rank);
  Status choose_among(size_t rank, std::vector<CopyOfChunk*>& copies);

  Store& store_;
  const std::vector<MarkRoot>& roots_;
  size_t heads_of_ = SIZE_MAX;  // the point whose heads are loaded
  std::map<ItemId, uint64_t> heads_;
};

}  // namespace holdfast::vault
