#include "vault/engine/check.h"

#include <algorithm>
#include <thread>

#include "vault/engine/check_context.h"
#include "vault/engine/check_objects.h"
#include "vault/engine/check_packs.h"
#include "vault/engine/check_points.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Result<CheckReport> check_vault(Store& store, const Description& description,
                                const crypto::PublicKey& vault_key, uint32_t generation,
                                const VaultSecret* secret, const CheckOptions& options,
                                CheckProgress& progress, std::stop_token stop) {
  const unsigned workers =
      options.workers != 0 ? options.workers : std::max(1u, std::thread::hardware_concurrency());
  CheckContext context{store, description, options, progress, std::move(stop), workers, {}, {}};
  TRY(const Roster roster, check_objects(context, vault_key, generation));
  // A backup that runs beside this puts packs, then index runs, then its manifest. Listing them the
  // other way round finds all that each of them needs.
  std::unique_ptr<VaultReader> reader;
  PointList points;
  if (secret != nullptr) {
    TRY(reader, VaultReader::open(store, description, *secret));
    TRY(points, reader->points());
  } else {
    TRY(points, list_points(store, description, roster));
  }
  TRY(const auto index_runs, store.list(std::string(kIndexPrefix)));
  PackCheck packs(context);
  TRYV(packs.check_packs());
  TRYV(packs.check_index(index_runs));
  if (reader) TRYV(packs.read_data(*reader));
  TRYV(check_points(context, packs, points, reader.get()));
  TRYV(packs.count());
  return std::move(context.report);
}

}  // namespace holdfast::vault
