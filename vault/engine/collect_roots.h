// The points that a collector has to keep, and those it cannot tell.
#pragma once

#include "vault/engine/mark.h"
#include "vault/engine/points.h"

namespace holdfast::vault {

struct CollectRoots {
  std::vector<MarkRoot> roots;           // from the oldest to the newest
  std::set<SessionId> named;             // sessions of these points, and those they adopted
  std::vector<SeenManifest> tombstoned;  // those of sessions that `run` gave up
  std::vector<std::string> defects;      // objects and gaps that may hide a point
  uint64_t points = 0;
};

// Everything that counts; bases of open sessions; manifests of sessions that `run` gave up; and
// what could be a point whose signature suffered. `sessions` was surveyed before; it is surveyed
// again if one of them went on meanwhile. Errors: the store's.
Result<CollectRoots> gather_roots(const SurveyContext& context, const Description& description,
                                  std::map<SessionId, SurveyedSession>& sessions,
                                  const std::optional<RunId>& run);

}  // namespace holdfast::vault
