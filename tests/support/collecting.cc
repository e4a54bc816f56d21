#include "tests/support/collecting.h"

#include "vault/format/object_names.h"
#include "vault/lifecycle/audit_log.h"

namespace holdfast::testing {

using namespace vault;  // NOLINT: test support

Result<CollectReport> run_collect(Store& store, const TestVault& vault,
                                  const CollectOptions& options, const MaintainerKeys* keys,
                                  const std::stop_token& stop) {
  const MaintainerKeys& who = keys != nullptr ? *keys : vault.maintainer;
  TRY(const AuditLog log, AuditLog::load(store, vault.description, vault.description.vault_key, 0));
  const Maintainers maintainers = maintainers_of(log.state());
  CollectProgress progress;
  return collect({store, vault.description, *vault.signed_roster, maintainers, who}, options,
                 progress, stop);
}

void purge_point(Store& store, const TestVault& vault, const ItemId& item, uint64_t sequence,
                 const crypto::Digest& sha256) {
  auto log = AuditLog::load(store, vault.description, vault.description.vault_key, 0);
  ASSERT_OK(log);
  const int64_t deleted_ns = log->state().time_ns + 1;
  const std::vector<PointRef> points{{sequence, sha256}};
  ASSERT_OK(log->append(store, vault_audit_key(vault.secret), deleted_ns,
                        {audit::SoftDelete{item, DeleteReason::by_hand, points}}));
  ASSERT_OK(log->append(store, vault_audit_key(vault.secret), deleted_ns + 15 * kDayNs,
                        {audit::Purge{item, points}}));
  ASSERT_OK(store.remove(point_name(item, sequence)));
}

}  // namespace holdfast::testing
