#include "backup-agent/restore/restore.h"

#include <algorithm>
#include <thread>

#include "backup-agent/restore/restore_planner.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

// Opens the target, making it if need be. Null in a dry run if it does not exist.
Result<DirectoryHandle::Ptr> open_target(const RestoreOptions& options, bool& fresh) {
  auto pool = std::make_shared<DirectoryPool>();
  auto target = DirectoryHandle::open_root(pool, options.target);
  if (target.ok() || target.error().code != std::errc::no_such_file_or_directory) return target;
  if (options.dry_run) return DirectoryHandle::Ptr();
  TRYV(io::make_directories(io::posix_file_system(), options.target));
  fresh = true;
  return DirectoryHandle::open_root(pool, options.target);
}

}  // namespace

Result<Filter> restore_filter(const RestoreOptions& options) {
  Filter filter({options.subpath});
  for (const std::string& p : options.exclude) TRYV(filter.exclude.add(p));
  for (const std::string& p : options.include) TRYV(filter.include.add(p));
  return filter;
}

Result<RestoreReport> run_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                                  const RestoreOptions& options, RestoreProgress& progress,
                                  const RestoreVisit& visit, std::stop_token stop) {
  TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
  if (point.manifest.roots.empty()) {
    return Error{vault::Errc::damaged, "recovery point " + point.id() + " without a map"};
  }
  const vault::ChunkId root = point.manifest.roots[0];
  TRY(const vault::MapTotals totals, vault::map_totals(*domain, root));
  progress.entries_total = totals.entries;
  progress.bytes_total = totals.bytes;
  TRY(const Filter filter, restore_filter(options));
  bool fresh = false;
  TRY(DirectoryHandle::Ptr target, open_target(options, fresh));

  RefusedMetadata refused;
  MetadataWriter metadata(options.metadata, refused);
  RestoreContext context{*domain, options, progress, metadata, visit, {}, {}, {}, {}, {}};
  if (target && !options.dry_run) {
    TRY(const auto fd, target->fd());
    context.file_systems.add(fd->get());
  }
  const std::stop_callback on_stop(stop, [&] { context.fail(Error{Errc::interrupted, ""}); });

  async::BoundedQueue<std::unique_ptr<Window>> windows(1);
  std::thread worker([&] {
    WindowRunner runner(context);
    while (auto window = windows.pop()) runner.run(**window);
  });
  RestorePlanner planner(context, root, Coverage(point), filter, windows);
  Status planned = planner.plan(std::move(target), fresh, stop);
  if (!planned.ok()) context.fail(planned.error());
  windows.close();
  worker.join();
  planner.make_links();
  if (!options.dry_run && !context.stopped) {
    if (const Status synced = context.file_systems.sync(); !synced.ok()) {
      context.fail(Error(synced.error())
                       .in("what was written to " + options.target +
                           " could not all be stored; look at the disk, then restore again with "
                           "--overwrite always"));
    }
  }

  const std::lock_guard lock(context.mutex);
  if (context.fatal) return *context.fatal;
  context.report.refused = refused.report();
  return std::move(context.report);
}

}  // namespace holdfast::backup_agent
