// One pass that brings a replica up to date; see replica.h and docs/formats/geo.md.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/async/parallel.h"
#include "vault/engine/replica.h"
#include "vault/engine/trust.h"
#include "vault/engine/verify_object.h"
#include "vault/errc.h"
#include "vault/format/manifest.h"
#include "vault/format/object_names.h"
#include "vault/format/pack.h"
#include "vault/index/run.h"

namespace holdfast::vault {
namespace {

using Objects = std::vector<ObjectInfo>;

constexpr std::string_view kTemporaryPrefix = "tmp/";
constexpr uint64_t kIndexBytesMax = uint64_t{4} * 1024 * 1024 * 1024;
constexpr size_t kSyncRecordsKept = 2;

// A family whose numbers only grow: the newest of the replica must be in the primary.
constexpr std::string_view kNumbered[] = {kRosterPrefix, kSuccessionPrefix, "audit/"};

uint64_t bytes_max_of(const std::string& name) {
  if (name.starts_with(kPacksPrefix)) return kPackBytesMax;
  if (name.starts_with(kIndexPrefix)) return kIndexBytesMax;
  return kObjectBytesMax;
}

class SyncPass {
 public:
  SyncPass(Store& primary, Store& replica, const SyncOptions& options, SyncProgress& progress,
           std::stop_token stop)
      : primary_(primary),
        replica_(replica),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)) {}

  Result<SyncReport> run() {
    const int64_t started_ns = io::posix_file_system().now_ns();
    TRY(const Description description, load_description(primary_));
    vault_ = description.vault;
    TRYV(check_roles());
    TRYV(list_all());
    TRYV(refuse_rollback());
    count_kept();
    TRYV(sort_out());
    // Keys first, so that what follows can be opened; the description makes it a vault.
    TRYV(copy(keys_and_others_));
    TRYV(copy(description_));
    TRYV(copy(packs_));
    TRYV(copy(index_));
    TRYV(copy(sessions_));
    TRYV(check_roles());  // a replica that was promoted meanwhile takes no more points
    TRYV(copy(points_));
    report_.points = copied_points_;
    report_.later = packs_later_.size() + index_later_.size();
    TRYV(copy(packs_later_));
    TRYV(copy(index_later_));
    TRY(report_.lag, measure_lag(primary_, replica_));
    TRYV(put_record(started_ns));
    return std::move(report_);
  }

 private:
  Status check_roles() {
    TRY(const ReplicaRole here, load_role(primary_, vault_));
    if (here.is_read_only()) {
      return Error{
          Errc::not_a_vault,
          primary_.location() + " is itself a replica; give the vault at " + here.replica->primary};
    }
    TRY(const ReplicaRole there, load_role(replica_, vault_));
    if (!there.replica) {
      return Error{Errc::not_a_vault, replica_.location() +
                                          " is no replica; 'holdfast vault geo add' makes one in "
                                          "an empty directory"};
    }
    if (there.promoted) return Error{Errc::promoted, "the replica at " + replica_.location()};
    return {};
  }

  // Whatever a listed point needs was put before it, and so is in the lists made after it.
  Status list_all() {
    TRY(points_, primary_.list(std::string(kPointsPrefix)));
    for (const std::string_view prefix : {kSessionsPrefix, kCollectionsPrefix}) {
      TRY(const Objects part, primary_.list(std::string(prefix)));
      sessions_.insert(sessions_.end(), part.begin(), part.end());
    }
    TRY(index_, primary_.list(std::string(kIndexPrefix)));
    TRY(packs_, primary_.list(std::string(kPacksPrefix)));
    TRY(const Objects all, primary_.list(""));
    for (const ObjectInfo& o : all) {
      const auto is = [&](std::string_view prefix) { return o.name.starts_with(prefix); };
      if (is(kPointsPrefix) || is(kSessionsPrefix) || is(kCollectionsPrefix) || is(kIndexPrefix) ||
          is(kPacksPrefix) || is(kGeoPrefix) || is(kTemporaryPrefix)) {
        continue;
      }
      (o.name == kDescriptionName ? description_ : keys_and_others_).push_back(o);
    }
    for (const Objects* part : {&points_, &sessions_, &index_, &packs_, &keys_and_others_}) {
      for (const ObjectInfo& o : *part) here_.insert(o.name);
    }
    here_.insert(std::string(kDescriptionName));
    TRY(const Objects there, replica_.list(""));
    for (const ObjectInfo& o : there) {
      if (!o.name.starts_with(kGeoPrefix)) there_[o.name] = o;
    }
    return {};
  }

  // --- Is the primary what the replica came from? ---

  Error rolled_back(const std::string& what) {
    return Error{Errc::rolled_back,
                 "the vault at " + primary_.location() + ": " + what +
                     ". Was it put back to an older copy, or were points removed? Nothing was "
                     "changed in the replica at " +
                     replica_.location() +
                     ": compare the two ('holdfast points'), then promote the replica if it is "
                     "the better one ('holdfast vault geo promote'), or make a new replica of the "
                     "other ('holdfast vault geo add')"};
  }

  // Whether both stores have the same bytes. Errors: the stores'.
  Result<bool> is_same(const std::string& name) {
    auto here = primary_.get(name, bytes_max_of(name));
    if (!here.ok() && is_verdict(here.error())) return false;
    if (!here.ok()) return std::move(here).error();
    auto there = replica_.get(name, bytes_max_of(name));
    if (!there.ok() && is_verdict(there.error())) return false;
    if (!there.ok()) return std::move(there).error();
    return *here == *there;
  }

  Status refuse_rollback() {
    const std::string description(kDescriptionName);
    if (there_.contains(description)) {
      TRY(const bool same, is_same(description));
      if (!same) return rolled_back("its description is not the one that the replica has");
    }
    for (const std::string_view family : kNumbered) {
      const std::string* newest = nullptr;
      for (const auto& [name, o] : there_) {
        if (name.starts_with(family)) newest = &name;  // names sort as numbers
      }
      if (newest == nullptr) continue;
      if (!here_.contains(*newest)) return rolled_back("it lacks " + *newest);
      TRY(const bool same, is_same(*newest));
      if (!same) return rolled_back("it has another " + *newest);
    }
    return refuse_older_points();
  }

  Status refuse_older_points() {
    std::map<ItemId, uint64_t> newest_here;
    std::map<std::string, io::TimeNs> received;
    for (const ObjectInfo& o : points_) {
      received[o.name] = o.stored_ns;
      if (const auto p = parse_point_name(o.name); p.ok()) {
        newest_here[p->item] = std::max(newest_here[p->item], p->sequence);
      }
    }
    std::map<ItemId, uint64_t> newest_there;
    for (const auto& [name, o] : there_) {
      if (!name.starts_with(kPointsPrefix)) continue;
      if (const auto p = parse_point_name(name); p.ok()) {
        newest_there[p->item] = std::max(newest_there[p->item], p->sequence);
      }
    }
    for (const auto& [item, sequence] : newest_there) {
      const uint64_t here = newest_here.contains(item) ? newest_here[item] : 0;
      if (here < sequence) {
        return rolled_back("item " + item.hex() + " ends at number " + std::to_string(here) +
                           ", the replica has number " + std::to_string(sequence));
      }
    }
    // A number that was written twice: of each item's newest, and of all that the primary received
    // after the replica.
    for (const auto& [name, there] : there_) {
      const auto here = received.find(name);
      if (here == received.end()) continue;
      const auto p = parse_point_name(name);
      const bool is_head = p.ok() && newest_there[p->item] == p->sequence;
      if (!is_head && here->second <= there.stored_ns) continue;
      TRY(const bool same, is_same(name));
      if (!same) return rolled_back("it has another " + name);
    }
    return {};
  }

  // Nothing is removed from a replica: no rule of version 1 says what may be.
  void count_kept() {
    for (const auto& [name, o] : there_) {
      if (!here_.contains(name)) ++report_.kept;
    }
  }

  // --- In which order ---

  // Sets packs of sessions that still run aside: no listed point needs them.
  Status sort_out() {
    std::sort(points_.begin(), points_.end(), [](const ObjectInfo& a, const ObjectInfo& b) {
      return std::pair(a.stored_ns, a.name) < std::pair(b.stored_ns, b.name);
    });
    std::set<SessionId> begun;
    std::set<SessionId> done;
    for (const ObjectInfo& o : sessions_) {
      const auto name = parse_session_name(o.name);
      if (!name.ok()) continue;
      if (name->step == "begin") {
        begun.insert(name->session);
      } else if (!name->step.starts_with("epoch-")) {
        done.insert(name->session);
      }
    }
    // A point whose session has no end yet, and those that it took over.
    for (const ObjectInfo& o : points_) {
      if (is_there(o)) continue;
      auto object = primary_.get(o.name, kObjectBytesMax);
      if (!object.ok() && !is_verdict(object.error())) return std::move(object).error();
      const auto m = object.ok() ? decode_manifest(*object) : Result<Manifest>(object.error());
      if (!m.ok()) continue;
      done.insert(m->session());
      done.insert(m->adopts.begin(), m->adopts.end());
    }
    std::set<PackId> later;
    std::erase_if(packs_, [&](const ObjectInfo& o) {
      const auto id = parse_pack_name(o.name);
      if (!id.ok() || !begun.contains(id->session) || done.contains(id->session)) return false;
      later.insert(*id);
      packs_later_.push_back(o);
      return true;
    });
    if (later.empty()) return {};
    std::erase_if(index_, [&](const ObjectInfo& o) {
      if (is_there(o)) return false;
      const auto view = primary_.view(o.name);
      if (!view.ok()) return false;
      const auto run = IndexRun::parse((*view)->bytes());
      if (!run.ok() || std::none_of(run->packs().begin(), run->packs().end(),
                                    [&](const auto& p) { return later.contains(p.id); })) {
        return false;
      }
      index_later_.push_back(o);
      return true;
    });
    return {};
  }

  bool is_there(const ObjectInfo& o) const {
    const auto it = there_.find(o.name);
    return it != there_.end() && it->second.size_bytes == o.size_bytes;
  }

  // --- Copying ---

  // All of `objects`; points one after the other, as they came. Returns when all are durable.
  Status copy(const Objects& objects) {
    const bool in_order = &objects == &points_;
    Objects todo;
    for (const ObjectInfo& o : objects) {
      if (is_there(o) && !options_.verify) continue;
      todo.push_back(o);
      ++progress_.objects_total;
      progress_.bytes_total += o.size_bytes;
    }
    std::mutex failure_mutex;
    std::optional<Error> failure;
    std::atomic<bool> failed{false};
    async::parallel_for(in_order ? 1 : std::max(1u, options_.workers), todo.size(), [&](size_t i) {
      if (failed) return;
      Status done = stop_.stop_requested() ? Status(Error{holdfast::Errc::interrupted, ""})
                    : is_there(todo[i])    ? verify_one(todo[i])
                                           : copy_one(todo[i]);
      ++progress_.objects;
      progress_.bytes += todo[i].size_bytes;
      if (done.ok()) return;
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::move(done).error();
      failed = true;
    });
    if (failure) return *failure;
    return {};
  }

  void finding(const std::string& object, const Error& error) {
    const std::lock_guard lock(report_mutex_);
    report_.findings.push_back({object, error.message()});
  }

  // The primary's bytes; nothing if the object is gone since, or damaged there.
  Result<std::optional<Bytes>> get_good(const std::string& name) {
    auto bytes = primary_.get(name, bytes_max_of(name));
    if (!bytes.ok()) {
      if (is_absent(bytes.error())) return std::optional<Bytes>();
      if (!is_verdict(bytes.error())) return std::move(bytes).error();
      finding(name, bytes.error());
      return std::optional<Bytes>();
    }
    if (const Status good = verify_object_bytes(name, *bytes, vault_); !good.ok()) {
      finding(name, good.error());
      return std::optional<Bytes>();
    }
    return std::optional(std::move(*bytes));
  }

  Status put(const std::string& name, const Bytes& bytes) {
    TRYV(replica_.put(name, bytes));
    // "Exists" is never trusted without size, and what is small is read back.
    if (has_hash(name)) {
      TRY(const ObjectInfo info, replica_.head(name));
      if (info.size_bytes == bytes.size()) return {};
    } else {
      TRY(const Bytes back, replica_.get(name, bytes.size()));
      if (back == bytes) return {};
    }
    return Error{std::make_error_code(std::errc::io_error),
                 replica_.location() + ": " + name + " reads back different from what was written"};
  }

  static bool has_hash(const std::string& name) {
    return name.starts_with(kPacksPrefix) || name.starts_with(kIndexPrefix);
  }

  // Which of two objects is right cannot be told without a key, and one of them was there first.
  Status differs(const ObjectInfo& o) {
    finding(o.name, Error{{}, "differs between primary and replica; the replica's was kept"});
    return {};
  }

  Status copy_one(const ObjectInfo& o) {
    if (there_.contains(o.name) && !has_hash(o.name)) return differs(o);
    TRY(const auto bytes, get_good(o.name));
    if (!bytes) return {};
    TRYV(put(o.name, *bytes));
    const std::lock_guard lock(report_mutex_);
    ++report_.objects;
    report_.bytes += bytes->size();
    if (o.name.starts_with(kPacksPrefix)) ++report_.packs;
    if (o.name.starts_with(kPointsPrefix)) ++copied_points_;
    return {};
  }

  // What both have: is the replica's as good?
  Status verify_one(const ObjectInfo& o) {
    auto there = replica_.get(o.name, bytes_max_of(o.name));
    if (!there.ok() && !is_verdict(there.error())) return std::move(there).error();
    if (has_hash(o.name) && there.ok() && verify_object_bytes(o.name, *there, vault_).ok()) {
      const std::lock_guard lock(report_mutex_);
      ++report_.verified;
      return {};
    }
    TRY(const auto here, get_good(o.name));
    if (!here) return {};
    if (there.ok() && *there == *here) {
      const std::lock_guard lock(report_mutex_);
      ++report_.verified;
      return {};
    }
    if (!has_hash(o.name)) return differs(o);
    TRYV(put(o.name, *here));
    const std::lock_guard lock(report_mutex_);
    ++report_.repaired;
    return {};
  }

  Status put_record(int64_t started_ns) {
    TRY(const auto before, last_sync(replica_, vault_));
    const bool is_new = !before || report_.objects > 0 || report_.repaired > 0 ||
                        report_.lag.newest_replica_ns != before->newest_point_ns;
    // A watch that finds nothing to do leaves a record at most every minute.
    constexpr int64_t kQuietNs = int64_t{60} * 1'000'000'000;
    const int64_t now_ns = io::posix_file_system().now_ns();
    if (!is_new && now_ns - before->finished_ns < kQuietNs) return {};
    GeoSync record;
    record.vault = vault_;
    record.sequence = before ? before->sequence + 1 : 1;
    record.started_ns = started_ns;
    record.finished_ns = now_ns;
    record.newest_point_ns = report_.lag.newest_replica_ns;
    record.points = report_.lag.points_replica;
    record.objects = report_.objects;
    record.bytes = report_.bytes;
    TRYV(replica_.put(geo_sync_name(record.sequence), record.encode()));
    TRY(const Objects records, replica_.list(std::string(kGeoPrefix)));
    for (const ObjectInfo& o : records) {
      const auto n = parse_geo_sync_name(o.name);
      if (n.ok() && *n + kSyncRecordsKept <= record.sequence) TRYV(replica_.remove(o.name));
    }
    return {};
  }

  Store& primary_;
  Store& replica_;
  const SyncOptions& options_;
  SyncProgress& progress_;
  const std::stop_token stop_;
  VaultId vault_;
  // The primary's, each in the order they are copied.
  Objects keys_and_others_;
  Objects description_;
  Objects packs_;
  Objects index_;
  Objects sessions_;
  Objects points_;
  Objects packs_later_;
  Objects index_later_;
  std::set<std::string> here_;
  std::map<std::string, ObjectInfo> there_;
  std::mutex report_mutex_;
  uint64_t copied_points_ = 0;
  SyncReport report_;
};

}  // namespace

Result<SyncReport> sync_replica(Store& primary, Store& replica, const SyncOptions& options,
                                SyncProgress& progress, std::stop_token stop) {
  return SyncPass(primary, replica, options, progress, std::move(stop)).run();
}

}  // namespace holdfast::vault
