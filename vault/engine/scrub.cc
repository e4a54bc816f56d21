#include "vault/engine/scrub.h"

#include <algorithm>
#include <chrono>

#include "base/io/rate_limiter.h"
#include "vault/engine/check_objects.h"
#include "vault/engine/pack_hash.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/store/redundancy.h"

namespace holdfast::vault {
namespace {

// So much work a kill may undo.
constexpr auto kSaveInterval = std::chrono::seconds(20);
// A store that answers nothing more ends the scrub.
constexpr size_t kUnreadInARowMax = 20;
// Small objects are looked at together, under this name, which no object has.
constexpr std::string_view kSmallObjects = "/objects";

class Scrub {
 public:
  Scrub(Store& store, const Description& description, const crypto::PublicKey& vault_key,
        uint32_t generation, io::FileSystem& fs, const std::string& path,
        const ScrubOptions& options, ScrubProgress& progress, std::stop_token stop)
      : store_(store),
        description_(description),
        vault_key_(vault_key),
        generation_(generation),
        fs_(fs),
        path_(path),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)) {
    if (options.bytes_per_second > 0) limiter_.emplace(options.bytes_per_second);
  }

  Result<ScrubReport> run() {
    TRY(memory_, ScrubMemory::load(fs_, path_, description_.vault));
    TRY(std::vector<std::string> names, all_names());
    memory_.keep_only(names);
    report_.objects = names.size();
    const std::vector<std::string> due = oldest_first(std::move(names));
    progress_.objects_due = report_.due = due.size();
    const std::stop_callback end_waiting(stop_, [this] {
      if (limiter_) limiter_->stop();
    });
    saved_ = std::chrono::steady_clock::now();
    for (const std::string& name : due) {
      if (stop_.stop_requested() || report_.bytes_read >= options_.bytes_max) break;
      TRY(const bool go_on, look_at(name));
      if (!go_on) break;
      ++progress_.objects;
      if (std::chrono::steady_clock::now() - saved_ > kSaveInterval) TRYV(save());
    }
    TRYV(save());
    find_oldest(due);
    return std::move(report_);
  }

 private:
  Result<std::vector<std::string>> all_names() {
    if (Redundancy* redundancy = store_.redundancy()) {
      TRY(auto names, redundancy->part_names());
      names.emplace_back(kSmallObjects);
      return names;
    }
    std::vector<std::string> names{std::string(kSmallObjects)};
    for (const std::string_view prefix : {kPacksPrefix, kIndexPrefix}) {
      TRY(const auto objects, store_.list(std::string(prefix)));
      for (const ObjectInfo& object : objects) names.push_back(object.name);
    }
    return names;
  }

  std::vector<std::string> oldest_first(std::vector<std::string> names) {
    std::vector<std::pair<io::TimeNs, std::string>> due;
    const io::TimeNs now = fs_.now_ns();
    for (std::string& name : names) {
      const io::TimeNs when = memory_.verified_ns(name);
      // A time in the future is of a clock that was wrong: that says nothing.
      const bool is_due =
          !options_.max_age_ns || when == 0 || when > now || now - when >= *options_.max_age_ns;
      if (is_due) {
        due.emplace_back(when > now ? 0 : when, std::move(name));
      } else {
        oldest_of_rest_ = std::min(oldest_of_rest_, when);
      }
    }
    std::stable_sort(due.begin(), due.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string> out;
    for (auto& [when, name] : due) out.push_back(std::move(name));
    return out;
  }

  enum class Seen {
    whole,
    damaged,  // and reported
    unknown,  // gone, waiting for a missing directory, or not readable now: nothing is concluded
    stopped,
  };

  // False if the scrub was asked to stop meanwhile.
  Result<bool> look_at(const std::string& name) {
    auto seen = name == kSmallObjects ? small_objects()
                : store_.redundancy() ? parts(name)
                                      : object(name);
    if (!seen.ok()) {
      if (seen.error().code == holdfast::Errc::interrupted) return false;
      if (is_absent(seen.error())) {  // removed since it was listed
        seen = Seen::unknown;
      } else if (is_verdict(seen.error())) {
        report_.damage.push_back({name, seen.error().message()});
        seen = Seen::damaged;
      } else {
        report_.unread.push_back({name, seen.error().message()});
        memory_.forget(name);
        if (++unread_in_a_row_ >= kUnreadInARowMax) return seen.error();
        return true;
      }
    }
    unread_in_a_row_ = 0;
    if (*seen == Seen::stopped) return false;
    if (*seen == Seen::whole) {
      ++report_.verified;
      memory_.set_verified(name, fs_.now_ns());
    } else {
      memory_.forget(name);
    }
    return true;
  }

  bool pace(uint64_t bytes) {
    report_.bytes_read += bytes;
    progress_.bytes = report_.bytes_read;
    if (stop_.stop_requested()) return false;
    return !limiter_ || limiter_->acquire(bytes);
  }

  Seen report(const std::string& name, const std::vector<std::string>& faults) {
    for (const std::string& fault : faults) report_.damage.push_back({name, fault});
    return faults.empty() ? Seen::whole : Seen::damaged;
  }

  Result<Seen> object(const std::string& name) {
    if (name.starts_with(kPacksPrefix)) {
      const auto id = parse_pack_name(name);
      if (!id.ok()) return report(name, {"not the name of a pack"});
      TRY(const auto faults, verify_pack(store_, description_.vault, *id,
                                         [this](uint64_t bytes) { return pace(bytes); }));
      return report(name, faults);
    }
    TRY(const auto view, store_.view(name));
    if (!pace(view->bytes().size())) return Seen::stopped;
    if (name.ends_with(to_hex(crypto::sha256(view->bytes())))) return Seen::whole;
    return report(name, {"its content does not hash to its name; restores read the packs instead"});
  }

  Result<Seen> parts(const std::string& name) {
    TRY(const PartsReport parts,
        store_.redundancy()->verify_parts(name, [this](uint64_t bytes) { return pace(bytes); }));
    // Remains of what is no object are nobody's concern.
    if (!parts.is_object) return Seen::unknown;
    for (const std::string& why : parts.unread) report_.unread.push_back({name, why});
    if (!parts.faults.empty()) {
      if (parts.readable) ++report_.degraded;
      report(name, parts.faults);
      if (!parts.readable && parts.unread.empty()) {
        report(name, {"too much of it is damaged or missing: it cannot be read"});
      }
      return Seen::damaged;
    }
    // Parts in missing directories, of which the store warns, wait for them.
    return parts.whole() ? Seen::whole : Seen::unknown;
  }

  // Everything that has no hash in its name: forms, signatures, links.
  Result<Seen> small_objects() {
    const CheckOptions check_options;
    CheckProgress check_progress;
    CheckContext context{store_, description_, check_options, check_progress, stop_, 1, {}, {}};
    TRY(const Roster roster, check_objects(context, vault_key_, generation_));
    TRY(const PointList points, list_points(store_, description_, roster));
    for (const PointDefect& d : points.defects) context.damage(d.name, d.reason);
    for (const CheckFinding& f : context.report.damage) report(f.object, {f.what});
    return context.report.damage.empty() ? Seen::whole : Seen::damaged;
  }

  void find_oldest(const std::vector<std::string>& due) {
    io::TimeNs oldest = oldest_of_rest_;
    for (const std::string& name : due) oldest = std::min(oldest, memory_.verified_ns(name));
    report_.oldest_ns = oldest == INT64_MAX ? 0 : oldest;
  }

  Status save() {
    saved_ = std::chrono::steady_clock::now();
    return memory_.save(fs_, path_);
  }

  Store& store_;
  const Description& description_;
  const crypto::PublicKey& vault_key_;
  const uint32_t generation_;
  io::FileSystem& fs_;
  const std::string path_;
  const ScrubOptions& options_;
  ScrubProgress& progress_;
  const std::stop_token stop_;
  std::optional<io::RateLimiter> limiter_;
  ScrubMemory memory_;
  ScrubReport report_;
  io::TimeNs oldest_of_rest_ = INT64_MAX;
  size_t unread_in_a_row_ = 0;
  std::chrono::steady_clock::time_point saved_;
};

}  // namespace

Result<ScrubReport> scrub_vault(Store& store, const Description& description,
                                const crypto::PublicKey& vault_key, uint32_t generation,
                                io::FileSystem& fs, const std::string& path,
                                const ScrubOptions& options, ScrubProgress& progress,
                                std::stop_token stop) {
  return Scrub(store, description, vault_key, generation, fs, path, options, progress,
               std::move(stop))
      .run();
}

}  // namespace holdfast::vault
