#include "backup-agent/upload/backup.h"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <unistd.h>

#include <sys/stat.h>

#include "backup-agent/upload/hook.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

int64_t now_ns() {
  return io::posix_file_system().now_ns();
}
int64_t today() {
  return now_ns() / (int64_t{86400} * 1'000'000'000);
}

// A given path as a root: absolute, without "." and "..", links in it as they are.
Result<ScanRoot> root_of(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  if (error) return Error{error, path};
  std::string clean = absolute.lexically_normal().string();
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  ScanRoot root;
  root.path = clean;
  root.key = clean.substr(1);
  if (!vault::is_valid_key(root.key)) return errno_error(EINVAL, path);
  return root;
}

struct Roots {
  std::vector<ScanRoot> roots;  // sorted by key, none inside another
  std::vector<std::string> keys;
  std::vector<vault::PointProblem> missing;
};

Result<Roots> find_roots(const std::vector<std::string>& paths) {
  Roots out;
  std::vector<ScanRoot> all;
  for (const std::string& path : paths) {
    TRY(ScanRoot root, root_of(path));
    struct stat st {};
    if (::lstat(root.path.c_str(), &st) != 0) {
      out.missing.push_back({root.path, std::generic_category().message(errno)});
      continue;
    }
    all.push_back(std::move(root));
  }
  std::sort(all.begin(), all.end(), [](const ScanRoot& a, const ScanRoot& b) {
    return vault::compare_keys(a.key, b.key) < 0;
  });
  for (ScanRoot& root : all) {
    if (!out.roots.empty() && vault::is_within(root.key, out.roots.back().key)) continue;
    out.keys.push_back(root.key);
    out.roots.push_back(std::move(root));
  }
  if (out.roots.empty()) {
    const std::string which = out.missing.empty() ? "no path was given" : out.missing[0].path;
    return errno_error(ENOENT, which);
  }
  return out;
}

Result<Filter> make_filter(const BackupOptions& options, const std::vector<std::string>& keys) {
  Filter filter(keys);
  TRYV(filter.exclude.add(std::string(kSnapshotDirectory) + "/"));
  for (const std::string& p : options.exclude) TRYV(filter.exclude.add(p));
  for (const std::string& f : options.exclude_from) TRYV(filter.exclude.add_file(f));
  for (const std::string& p : options.include) TRYV(filter.include.add(p));
  filter.larger_than = options.exclude_larger_than;
  filter.exclude_caches = options.exclude_caches;
  return filter;
}

ScanOptions scan_options(const BackupOptions& options,
                         const std::vector<std::string>& vault_locations) {
  ScanOptions scan;
  scan.one_file_system = options.one_file_system;
  struct stat st {};
  for (const std::string& location : vault_locations) {
    if (::stat(location.c_str(), &st) == 0) scan.skip.insert({st.st_dev, st.st_ino});
  }
  return scan;
}

// Calls session.advance() every so often while a backup runs.
class Heartbeat {
 public:
  Heartbeat(vault::Session& session, std::chrono::milliseconds every)
      : thread_([this, &session, every] {
          std::unique_lock lock(mutex_);
          while (!ended_.wait_for(lock, every, [&] { return end_; })) {
            lock.unlock();
            // A failure here is no reason to stop: commit looks for itself.
            (void)session.advance();
            lock.lock();
          }
        }) {}
  ~Heartbeat() {
    {
      const std::lock_guard lock(mutex_);
      end_ = true;
    }
    ended_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

class BackupRun {
 public:
  BackupRun(vault::Vault& vault, const vault::AgentKeys& keys, const BackupOptions& options,
            BackupProgress& progress, std::stop_token stop)
      : vault_(vault),
        keys_(keys),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)),
        item_(keys.item_id(options.item)),
        started_ns_(now_ns()) {}

  Result<BackupResult> run() {
    if (options_.stdin_name.empty()) {
      TRY(roots_, find_roots(options_.paths));
      for (ScanRoot& root : roots_.roots) {
        TRYV(snapshots_.take(options_.snapshot, root, result_.notes));
      }
    }
    TRY(const auto cache,
        ItemCache::open(options_.cache_directory, {keys_.vault, item_, keys_.domain.id}));
    if (options_.force_read) TRYV(cache->clear());
    Status done = attempt(*cache);
    if (!done.ok() && done.error().code == vault::Errc::missing && options_.stdin_name.empty()) {
      // What this backup built on went away under it: once more, from the files alone.
      result_.warnings.push_back(done.error().message() + "; reading everything again");
      TRYV(cache->clear());
      done = attempt(*cache);
    }
    if (!done.ok()) return std::move(done).error();
    return std::move(result_);
  }

 private:
  Status attempt(ItemCache& cache) {
    vault::SessionRequest request;
    request.item = item_;
    request.base = cache.base();
    for (const InterruptedBackup& b : cache.interrupted()) request.adopts.push_back(b.session);
    vault::SessionOptions session_options;
    session_options.compression = options_.compression;
    session_options.uploads = options_.uploads;
    session_options.write_bytes_per_second = options_.write_bytes_per_second;
    session_options.program = "holdfast " HOLDFAST_VERSION;
    session_options.on_pack_stored = [this](const vault::PackId& pack) {
      // If it cannot be written down, an interruption costs storing the pack again.
      if (writer_) (void)writer_->pack(pack);
    };
    TRY(const auto session,
        vault_.begin_session(keys_, std::move(request), std::move(session_options)));
    result_.used_base = session->base_is_valid();
    result_.resumed_sessions = cache.interrupted().size();
    for (const std::string& w : session->warnings()) result_.warnings.push_back(w);

    const std::stop_callback hurry(stop_, [&] { session->stop_waiting(); });
    auto produced = produce(*session, cache);
    Status done = produced.ok() ? commit(*session, cache, std::move(*produced)) : produced.error();
    if (!produced.ok() || (!done.ok() && done.error().code == Errc::interrupted)) {
      // Keep what was stored for the next run; if even that fails, it only has to store it again.
      (void)session->give_up();
    }
    return done;
  }

  Result<PipelineResult> produce(vault::Session& session, ItemCache& cache) {
    const Heartbeat heartbeat(session, options_.advance_every);
    CacheSet remembered(cache);
    PipelineOptions pipeline_options;
    pipeline_options.readers = options_.readers;
    pipeline_options.read_bytes_per_second = options_.read_bytes_per_second;
    if (!options_.stdin_name.empty()) {
      Pipeline pipeline(session, remembered, nullptr, progress_, pipeline_options);
      return pipeline.run_stream(stdin_entry(), STDIN_FILENO, stop_);
    }
    TRY(writer_, cache.start(session.id()));
    Pipeline pipeline(session, remembered, writer_.get(), progress_, pipeline_options);
    TRY(const Filter filter, make_filter(options_, roots_.keys));
    Scanner scanner(roots_.roots, filter, scan_options(options_, vault_.store().locations()));
    PlannerOptions planner;
    planner.snapshots = &snapshots_;
    if (options_.audit_one_in != 0 && cache.audit_day() != today()) {
      planner.audit_one_in = options_.audit_one_in;
      planner.audit_turn = static_cast<uint64_t>(today());
    }
    TRY(PipelineResult produced, pipeline.run(scanner, planner, stop_));
    TRYV(writer_->flush());
    return produced;
  }

  vault::PathEntry stdin_entry() const {
    vault::PathEntry e;
    e.key = options_.stdin_name;
    e.entry.mode = 0600;
    e.entry.uid = ::geteuid();
    e.entry.gid = ::getegid();
    OwnerNames names;
    e.entry.user = names.user(e.entry.uid);
    e.entry.group = names.group(e.entry.gid);
    e.entry.mtime_s = started_ns_ / 1'000'000'000;
    e.entry.mtime_ns = static_cast<uint32_t>(started_ns_ % 1'000'000'000);
    return e;
  }

  Status commit(vault::Session& session, ItemCache& cache, PipelineResult produced) {
    result_.totals = produced.totals;
    result_.problem_count = produced.problem_count + roots_.missing.size();
    result_.problems = roots_.missing;
    result_.problems.insert(result_.problems.end(), produced.problems.begin(),
                            produced.problems.end());
    for (std::string& w : produced.warnings) result_.warnings.push_back(std::move(w));
    result_.left_out = std::move(produced.left_out);

    vault::ManifestDraft draft;
    draft.time_ns = started_ns_;
    draft.incomplete = result_.problem_count > 0;
    draft.entries = produced.totals.entries;
    draft.roots = {produced.root};
    draft.labels = options_.labels;
    vault::PointBody& body = draft.body;
    body.item_name = options_.item;
    body.host = options_.host;
    for (const ScanRoot& root : roots_.roots) body.paths.push_back("/" + root.key);
    if (!options_.stdin_name.empty()) body.paths.push_back(options_.stdin_name);
    body.started_ns = started_ns_;
    body.finished_ns = now_ns();
    body.files = produced.totals.files;
    body.directories = produced.totals.directories;
    body.others = produced.totals.others;
    body.bytes = produced.totals.bytes;
    body.program = "holdfast " HOLDFAST_VERSION;
    body.source = !options_.stdin_name.empty() ? "stdin"
                  : snapshots_.count() > 0     ? "btrfs snapshot"
                                               : "files";
    body.problem_count = result_.problem_count;
    body.problems = result_.problems;

    const size_t warnings_before = session.warnings().size();
    TRY(result_.point, session.commit(std::move(draft)));
    Status kept = writer_ ? writer_->finish() : Status();
    writer_.reset();
    for (size_t i = warnings_before; i < session.warnings().size(); ++i) {
      result_.warnings.push_back(session.warnings()[i]);
    }
    // The point stands; what follows only makes the next backup fast and watchful.
    if (kept.ok()) kept = vault_.remember(session, item_, result_.point);
    if (kept.ok() && options_.stdin_name.empty()) {
      kept = cache.commit(session.id(), {result_.point.sequence, result_.point.sha256}, today());
    }
    if (!kept.ok()) {
      result_.warnings.push_back("the next backup will read every file: " + kept.error().message());
    }
    return {};
  }

  vault::Vault& vault_;
  const vault::AgentKeys& keys_;
  const BackupOptions& options_;
  BackupProgress& progress_;
  const std::stop_token stop_;
  const vault::ItemId item_;
  const int64_t started_ns_;
  Roots roots_;
  SnapshotSet snapshots_;
  // The cache of the next backup, while this one writes it. Outlives the sessions that tell it
  // packs.
  std::unique_ptr<CacheWriter> writer_;
  BackupResult result_;
};

}  // namespace

Result<BackupResult> run_backup(vault::Vault& vault, const vault::AgentKeys& keys,
                                const BackupOptions& options, BackupProgress& progress,
                                std::stop_token stop) {
  if (!options.stdin_name.empty() && (!vault::is_valid_key(options.stdin_name) ||
                                      options.stdin_name.find('/') != std::string::npos)) {
    return errno_error(EINVAL, "'" + options.stdin_name + "' is not a file name");
  }
  const auto run = [&]() -> Result<BackupResult> {
    if (!options.before.empty()) {
      TRYV(run_hook(options.before, {{"HOLDFAST_ITEM", options.item}}));
    }
    return BackupRun(vault, keys, options, progress, std::move(stop)).run();
  };
  auto result = run();
  // Also after a `before` that failed: half of what it did may have to be undone.
  if (!options.after.empty()) {
    const Status after =
        run_hook(options.after, {{"HOLDFAST_ITEM", options.item},
                                 {"HOLDFAST_RESULT", result.ok() ? "committed" : "failed"}});
    if (!after.ok() && result.ok()) result->warnings.push_back(after.error().message());
  }
  return result;
}

namespace {

class DryRunVisitor final : public ScanVisitor {
 public:
  DryRunVisitor(CacheSet& cache, const std::function<void(const std::string&, bool)>& visit,
                DryRunReport& report)
      : cache_(cache), visit_(visit), report_(report) {}

  Status entry(ScannedEntry e) override {
    if (e.stat.is_directory()) {
      ++report_.directories;
      return {};
    }
    if (!e.stat.is_regular()) {
      ++report_.others;
      return {};
    }
    SeenBefore before;
    const std::string identity = e.file_system != nullptr ? e.file_system->identity : "";
    report_.bytes += e.stat.size;
    if (cache_.find_unchanged(e.key, e.stat, identity, before)) {
      ++report_.files_unchanged;
      return {};
    }
    ++(before.existed ? report_.files_changed : report_.files_new);
    report_.bytes_to_read += e.stat.size;
    visit_("/" + e.key, !before.existed);
    return {};
  }
  void problem(const std::string& key, const Error& error) override {
    report_.problems.push_back({"/" + key, error.message()});
  }
  void left_out(const std::string& key, std::string_view reason) override {
    report_.left_out.emplace_back("/" + key, reason);
  }

 private:
  CacheSet& cache_;
  const std::function<void(const std::string&, bool)>& visit_;
  DryRunReport& report_;
};

}  // namespace

Result<DryRunReport> dry_run(vault::Vault& vault, const vault::AgentKeys& keys,
                             const BackupOptions& options,
                             const std::function<void(const std::string&, bool)>& visit,
                             std::stop_token stop) {
  TRY(Roots roots, find_roots(options.paths));
  TRY(const Filter filter, make_filter(options, roots.keys));
  TRY(const auto cache, ItemCache::open(options.cache_directory,
                                        {keys.vault, keys.item_id(options.item), keys.domain.id}));
  CacheSet remembered(*cache);
  DryRunReport report;
  report.problems = roots.missing;
  DryRunVisitor visitor(remembered, visit, report);
  Scanner scanner(roots.roots, filter, scan_options(options, vault.store().locations()));
  TRYV(scanner.scan(visitor, std::move(stop)));
  return report;
}

}  // namespace holdfast::backup_agent
