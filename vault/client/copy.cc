#include "vault/client/copy.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "base/io/file_lock.h"
#include "vault/client/copy_journal.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kLabelPrefix = "copy-of-";
constexpr size_t kLabelDigits = 32;
constexpr std::string_view kLabelInfo = "holdfast v1 copy";
constexpr auto kAdvanceEvery = std::chrono::hours(1);

class CopyRun {
 public:
  CopyRun(VaultReader& source, const PointList& list, Vault& target, const AgentKeys& keys,
          const CopyOptions& options, CopyProgress& progress, std::stop_token stop)
      : source_(source),
        list_(list),
        target_(target),
        keys_(keys),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)) {
    for (const RecoveryPoint& p : list_.points) {
      labels_[p.manifest.item()].push_back(
          {copy_label(keys_, source_.description().vault, p.sha256), &p});
    }
  }

  Result<CopyReport> run(const std::vector<const RecoveryPoint*>& points,
                         const std::function<void(const CopiedPoint&)>& visit) {
    TRYV(look_at_target());
    if (!options_.dry_run) {
      TRY(journal_,
          CopyJournal::open(options_.cache_directory, source_.description().vault, keys_));
    }
    progress_.points_total = points.size();
    for (const RecoveryPoint* point : points) {
      CopiedPoint done;
      done.source = point;
      TRYV(copy(*point, done));
      switch (done.outcome) {
        case CopyOutcome::copied:
          ++report_.copied;
          break;
        case CopyOutcome::present:
          ++report_.present;
          break;
        case CopyOutcome::damaged:
          ++report_.damaged;
          break;
      }
      ++progress_.points;
      visit(done);
    }
    report_.bytes_stored = progress_.bytes_stored;
    return std::move(report_);
  }

 private:
  // A point of the target that this agent copied.
  struct Copy {
    ItemId item;
    BasePoint point;
    ChunkId root;
  };

  Status look_at_target() {
    TRY(const Roster roster,
        load_roster(target_.store(), target_.id(), keys_.vault_key, keys_.generation));
    TRY(const PointList list, list_points(target_.store(), target_.description(), roster));
    for (const RecoveryPoint& p : list.points) {
      const Manifest& m = p.manifest;
      // Others' labels are not to be believed, and their maps are in other domains.
      if (m.agent() != keys_.agent) continue;
      taken_items_[m.item()];
      if (m.roots.empty()) continue;
      for (const std::string& label : m.labels) {
        if (is_copy_label(label))
          add_copy(label, {m.item(), {m.sequence, p.sha256}, m.roots[0]},
                   m.domain == keys_.domain.id);
      }
    }
    return {};
  }

  void add_copy(const std::string& label, const Copy& copy, bool same_domain) {
    copies_.insert_or_assign(label, copy);
    if (same_domain) bases_.insert_or_assign(label, copy);
    taken_items_[copy.item].push_back(label);
  }

  std::string label_of(const RecoveryPoint& point) const {
    return copy_label(keys_, source_.description().vault, point.sha256);
  }

  // The source's name for the item, unless this machine has another item of that name there.
  std::string target_item(const RecoveryPoint& point) {
    const ItemId& item = point.manifest.item();
    if (const auto it = names_.find(item); it != names_.end()) return it->second;
    const PointBody& body = *point.body;
    std::string name;
    for (const std::string& candidate :
         {body.item_name, body.item_name + "@" + body.host,
          body.item_name + "@" + body.host + "-" + item.hex().substr(0, 8)}) {
      name = candidate;
      const ItemId id = keys_.item_id(name);
      if (std::any_of(names_.begin(), names_.end(),
                      [&](const auto& other) { return other.second == name; })) {
        continue;
      }
      const auto taken = taken_items_.find(id);
      if (taken == taken_items_.end() || holds_copy_of(item, taken->second)) break;
    }
    if (name != body.item_name) {
      report_.warnings.push_back("item '" + body.item_name + "' of " + body.host + " becomes '" +
                                 name + "': the target has another item of that name");
    }
    return names_[item] = name;
  }

  bool holds_copy_of(const ItemId& item, const std::vector<std::string>& labels) {
    const auto& known = labels_[item];
    return std::any_of(known.begin(), known.end(), [&](const Labelled& l) {
      return std::find(labels.begin(), labels.end(), l.label) != labels.end();
    });
  }

  Status copy(const RecoveryPoint& point, CopiedPoint& done) {
    const std::string label = label_of(point);
    if (const auto it = copies_.find(label); it != copies_.end()) {
      done.outcome = CopyOutcome::present;
      done.target_sha256 = it->second.point.sha256;
      return {};
    }
    const auto leave_out = [&](std::string reason) {
      done.outcome = CopyOutcome::damaged;
      done.reason = std::move(reason);
    };
    if (!point.body) {
      leave_out("its description cannot be opened");
      return {};
    }
    if (point.manifest.roots.empty()) {
      leave_out("it has no map");
      return {};
    }
    done.item_name = target_item(point);
    if (options_.dry_run) return {};
    TRY(DomainReader * domain, source_.domain(point.manifest.domain));
    TRY(const io::Fd lock, lock_item(keys_.item_id(done.item_name)));
    std::optional<Error> damage;
    Status copied = store(point, *domain, label, done, damage);
    if (!copied.ok() && !damage && copied.error().code == Errc::missing) {
      // What it built on in the target went away under it: once more, looking everything up.
      without_base_ = true;
      copied = store(point, *domain, label, done, damage);
      without_base_ = false;
    }
    if (damage) {
      leave_out(damage->message());
      return {};
    }
    return copied;
  }

  // No backup of the item runs meanwhile: it would meet this copy's number. The lock is that of the
  // agent's cache of the item.
  Result<io::Fd> lock_item(const ItemId& item) {
    const std::string folder =
        io::join_path(options_.cache_directory, "vaults/" + keys_.vault.hex() + "/" + item.hex());
    TRYV(io::make_directories(io::posix_file_system(), folder));
    auto lock = io::lock_file(io::join_path(folder, "lock"), io::IfLocked::fail);
    if (!lock.ok() && lock.error().code == std::errc::resource_unavailable_try_again) {
      return Error{std::make_error_code(std::errc::device_or_resource_busy),
                   "a backup of this item is running on this machine (" + folder + "/lock)"};
    }
    return lock;
  }

  struct Base {
    ChunkId source_root;
    Copy copy;
  };
  // The newest earlier copy whose original can still be read.
  std::optional<Base> find_base(const RecoveryPoint& point, const ItemId& item) {
    std::optional<Base> best;
    if (without_base_) return best;
    for (const auto& [label, p] : labels_[point.manifest.item()]) {
      const Manifest& m = p->manifest;
      const auto it = bases_.find(label);
      if (m.roots.empty() || m.domain != point.manifest.domain || it == bases_.end() ||
          it->second.item != item) {
        continue;
      }
      if (!best || best->copy.point.sequence < it->second.point.sequence) {
        best = Base{m.roots[0], it->second};
      }
    }
    return best;
  }

  Status store(const RecoveryPoint& point, DomainReader& domain, const std::string& label,
               CopiedPoint& done, std::optional<Error>& damage) {
    const ItemId item = keys_.item_id(done.item_name);
    const auto base = find_base(point, item);
    SessionRequest request;
    request.item = item;
    if (base) request.base = base->copy.point;
    request.adopts = journal_->records().sessions;
    SessionOptions session_options;
    session_options.compression = options_.compression;
    session_options.write_bytes_per_second = options_.write_bytes_per_second;
    session_options.program = "holdfast " HOLDFAST_VERSION;
    session_options.on_pack_stored = [this](const PackId& pack) {
      // If it cannot be written down, an interruption costs storing the pack again.
      (void)journal_->pack(pack);
    };
    TRY(const auto session, target_.begin_session(keys_, std::move(request), session_options));
    for (const std::string& w : session->warnings()) warn(w);
    const CopyRecords before = journal_->records();
    TRYV(journal_->session(session->id()));

    TreeCopier copier(
        domain, target_.store(), target_.id(), *session, workers(), progress_.counters,
        [this](const ChunkId& from, const ChunkId& to) { (void)journal_->page(from, to); }, stop_);
    for (const CopiedPage& p : before.pages) copier.add_hint(p.source, p.target);
    auto advanced = std::chrono::steady_clock::now();
    copier.on_progress = [&]() -> Status {
      const auto now = std::chrono::steady_clock::now();
      if (now - advanced < kAdvanceEvery) return {};
      advanced = now;
      (void)session->advance();  // a failure here is no reason to stop: commit looks for itself
      return {};
    };
    const std::stop_callback hurry(stop_, [&] { session->stop_waiting(); });
    const auto copy_map = [&]() -> Result<ChunkId> {
      const ChunkId& root = point.manifest.roots[0];
      if (base) TRYV(copier.use_base(base->source_root, base->copy.root, root));
      return copier.copy(root);
    };
    auto root = copy_map();
    const Status flushed = copier.flush();
    if (root.ok() && !flushed.ok()) root = flushed.error();
    Status committed = root.ok() ? commit(point, *session, label, *root, done) : root.error();
    if (!root.ok() || (!committed.ok() && committed.error().code == holdfast::Errc::interrupted)) {
      if (!root.ok()) damage = copier.source_damage();
      // Keep what was stored for the next session; if even that fails, it is stored again.
      (void)session->give_up();
      return committed;
    }
    TRYV(committed);
    add_copy(label, {item, {done.target.sequence, done.target.sha256}, *root}, true);
    const SessionStats& stats = done.target.stats;
    progress_.bytes_stored += stats.data_bytes + stats.metadata_bytes + stats.index_bytes;
    return journal_->clear();
  }

  Status commit(const RecoveryPoint& point, Session& session, const std::string& label,
                const ChunkId& root, CopiedPoint& done) {
    const Manifest& m = point.manifest;
    ManifestDraft draft;
    draft.time_ns = m.time_ns;
    draft.incomplete = m.incomplete;
    draft.entries = m.entries;
    draft.roots = {root};
    for (const std::string& l : m.labels) {
      if (!is_copy_label(l)) draft.labels.push_back(l);
    }
    draft.labels.push_back(label);
    draft.body = *point.body;
    draft.body.item_name = done.item_name;
    draft.body.source += ", copy of " + source_.description().vault.hex() + "/" + point.id();
    TRY(done.target, session.commit(std::move(draft)));
    done.target_sha256 = done.target.sha256;
    const ItemId item = keys_.item_id(done.item_name);
    if (const Status kept = target_.remember(session, item, done.target); !kept.ok()) {
      warn("this machine does not remember the copied point: " + kept.error().message());
    }
    return {};
  }

  void warn(const std::string& text) {
    auto& w = report_.warnings;
    if (std::find(w.begin(), w.end(), text) == w.end()) w.push_back(text);
  }

  unsigned workers() const {
    if (options_.workers != 0) return options_.workers;
    return std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  }

  VaultReader& source_;
  const PointList& list_;
  Vault& target_;
  const AgentKeys& keys_;
  const CopyOptions& options_;
  CopyProgress& progress_;
  const std::stop_token stop_;
  std::unique_ptr<CopyJournal> journal_;
  std::map<std::string, Copy> copies_;                      // by label
  std::map<std::string, Copy> bases_;                       // those of the present domain
  std::map<ItemId, std::vector<std::string>> taken_items_;  // of this agent: labels of its copies
  std::map<ItemId, std::string> names_;                     // of the source's items, in the target
  struct Labelled {
    std::string label;  // that its copy has
    const RecoveryPoint* point;
  };
  std::map<ItemId, std::vector<Labelled>> labels_;  // of all points of the source
  bool without_base_ = false;
  CopyReport report_;
};

}  // namespace

std::string copy_label(const AgentKeys& keys, const VaultId& source, const crypto::Digest& point) {
  const crypto::Digest mac =
      crypto::HmacSha256(keys.item_secret.view()).mac({as_bytes(kLabelInfo), source.view(), point});
  return std::string(kLabelPrefix) + to_hex(mac).substr(0, kLabelDigits);
}

bool is_copy_label(std::string_view label) {
  return label.size() == kLabelPrefix.size() + kLabelDigits && label.starts_with(kLabelPrefix) &&
         label.find_first_not_of("0123456789abcdef", kLabelPrefix.size()) == std::string_view::npos;
}

Result<CopyReport> copy_points(VaultReader& source, const PointList& list,
                               const std::vector<const RecoveryPoint*>& points, Vault& target,
                               const AgentKeys& keys, const CopyOptions& options,
                               CopyProgress& progress,
                               const std::function<void(const CopiedPoint&)>& visit,
                               std::stop_token stop) {
  return CopyRun(source, list, target, keys, options, progress, std::move(stop)).run(points, visit);
}

}  // namespace holdfast::vault
