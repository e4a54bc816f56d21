#include "vault/engine/keep_rule.h"

#include <algorithm>
#include <tuple>

#include "vault/engine/mark.h"
#include "vault/errc.h"
#include "vault/format/description.h"

namespace holdfast::vault {

Result<bool> KeepRule::is_before(const ItemId& item, uint64_t sequence, size_t rank) {
  const MarkRoot& point = roots_[rank];
  if (item == point.item) return sequence <= point.sequence;
  if (heads_of_ != rank) {
    heads_.clear();
    heads_of_ = rank;
    const auto object = store_.get(point.name, kObjectBytesMax);
    if (!object.ok() && !is_verdict(object.error())) return object.error();
    if (object.ok()) {
      const auto manifest = decode_manifest(*object);
      if (manifest.ok()) {
        for (const ItemHead& h : manifest->heads) heads_[h.item] = h.sequence;
      }
    }
  }
  const auto head = heads_.find(item);
  return head != heads_.end() && sequence <= head->second;
}

// Copies of one agent for one item: all but the newest of those that are older than the point go.
Status KeepRule::choose_among(size_t rank, std::vector<CopyOfChunk*>& copies) {
  const auto key = [](const CopyOfChunk* c) {
    // Of equal claims the copy that a collector made last comes last, to let the others go.
    return std::tuple(c->claim->agent, c->claim->item, c->claim->sequence, c->pack->is_copy,
                      c->pack->stored_ns, c->pack->pack.id);
  };
  std::sort(copies.begin(), copies.end(),
            [&](const auto* a, const auto* b) { return key(a) < key(b); });
  for (size_t i = 0; i + 1 < copies.size(); ++i) {
    const SegmentClaim& older = *copies[i]->claim;
    const SegmentClaim& newer = *copies[i + 1]->claim;
    if (older.agent != newer.agent || older.item != newer.item || newer.item.is_zero()) continue;
    if (older.sequence == newer.sequence) {
      copies[i]->keep = false;  // the very same claim
      continue;
    }
    TRY(const bool before, is_before(newer.item, newer.sequence, rank));
    if (before) copies[i]->keep = false;
  }
  return {};
}

Status KeepRule::choose(size_t rank, std::vector<CopyOfChunk>& copies) {
  std::vector<CopyOfChunk*> vouched;
  bool any_own = false;
  for (CopyOfChunk& c : copies) {
    c.keep = true;
    if (c.doubtful) continue;
    if (c.claim != nullptr) vouched.push_back(&c);
    if (c.pack->claim == Claim::own) any_own = true;
  }
  if (vouched.empty() && !any_own) return {};
  for (CopyOfChunk& c : copies) {
    if (!c.doubtful && c.claim == nullptr && c.pack->claim != Claim::own) c.keep = false;
  }
  return choose_among(rank, vouched);
}

}  // namespace holdfast::vault
