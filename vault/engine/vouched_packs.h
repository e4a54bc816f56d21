// The packs of other sessions that an agent of this domain vouches for, by the signed end of a
// committed session or as the heir of one that was not; and those of collectors' runs, for which a
// maintainer vouches. A pack without a voucher may vanish with
// its session, or may be a plant that somebody put under the session's name. Any number of threads.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "vault/engine/collections.h"
#include "vault/format/roster.h"
#include "vault/format/session.h"
#include "vault/store/store.h"

namespace holdfast::vault {

class VouchedPacks {
 public:
  VouchedPacks(Store& store, VaultId vault, DomainId domain, std::shared_ptr<const Roster> roster,
               std::shared_ptr<const Maintainers> maintainers)
      : store_(store),
        vault_(vault),
        domain_(domain),
        roster_(std::move(roster)),
        maintainers_(std::move(maintainers)) {}

  // Errors: the store's. A voucher that is absent, damaged or signed by nobody of this domain
  // vouches for nothing.
  Result<bool> contains(const PackId& pack);

 private:
  Result<std::shared_ptr<const PackSet>> packs_of(const SessionId& session);
  Status add(const SessionId& session, const std::string& name, SessionOutcome outcome,
             PackSet& packs);
  Status add_of_run(const RunId& run, PackSet& packs);

  Store& store_;
  const VaultId vault_;
  const DomainId domain_;
  const std::shared_ptr<const Roster> roster_;
  const std::shared_ptr<const Maintainers> maintainers_;
  std::mutex mutex_;
  std::map<SessionId, std::shared_ptr<const PackSet>> read_;
};

}  // namespace holdfast::vault
