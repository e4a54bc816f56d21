#include "backup-agent/upload/planner.h"

#include "backup-agent/chunk/fastcdc.h"
#include "backup-agent/upload/churn.h"

namespace holdfast::backup_agent {
namespace {

// About one segment of small files.
constexpr uint64_t kUnitBytes = 512 * 1024;
constexpr size_t kUnitFiles = 64;
constexpr size_t kLeftOutMax = 1000;

}  // namespace

Planner::Planner(const Shared& shared, PlannerOptions options)
    : shared_(shared), options_(options) {}

void Planner::problem(const std::string& key, const Error& error) {
  shared_.state.problem(key, error.context.empty() ? error.code.message() : error.message());
}

void Planner::left_out(const std::string& key, std::string_view reason) {
  if (left_out_.size() < kLeftOutMax) left_out_.emplace_back("/" + key, reason);
}

std::string Planner::nested_subvolume(const std::string& key) {
  return options_.snapshots == nullptr ? "" : options_.snapshots->nested_subvolume(key);
}

const std::string& Planner::identity_of(const ScannedEntry& entry) const {
  static const std::string kUnknown;
  if (entry.file_system == nullptr) return kUnknown;
  const std::string& identity = entry.file_system->identity;
  return options_.snapshots == nullptr ? identity : options_.snapshots->source_identity(identity);
}

// Whether everything that an entry of an unconfirmed cache refers to may be referred to.
Result<bool> Planner::content_is_known(const vault::Entry& entry) {
  vault::Session& session = shared_.state.session();
  if (entry.extents_root) {
    TRY(const bool known, session.is_known_deeply(*entry.extents_root));
    if (!known) return false;
  }
  for (const vault::Extent& x : entry.extents) {
    if (!x.chunk) continue;
    TRY(const bool known, session.is_known(*x.chunk));
    if (!known) return false;
  }
  for (const vault::ChunkId& id : entry.xattr_chunks) {
    TRY(const bool known, session.is_known(id));
    if (!known) return false;
  }
  return true;
}

bool Planner::is_audit_turn(std::string_view key) const {
  if (options_.audit_one_in == 0) return false;
  return crypto::siphash24({}, as_bytes(key)) % options_.audit_one_in ==
         options_.audit_turn % options_.audit_one_in;
}

// Whether another name of the same object came before; if so `pending` refers to it.
bool Planner::is_later_link(const ScannedEntry& source, PendingEntry& pending) {
  const FileStat& st = source.stat;
  if (st.is_directory() || st.links < 2) return false;
  const auto [it, first] = linked_.try_emplace({st.device, st.inode});
  LinkedObject& object = it->second;
  if (first) {
    object = {source.key, next_group_++, st.links};
    pending.entry.has_links = true;
  } else {
    pending.entry.link_to = object.first_key;
  }
  pending.link_group = object.group;
  pending.links = object.links_left;
  // All names were seen: the number may be used again by another object.
  if (first) {
    pending.links = st.links;
  } else if (--object.links_left <= 1) {
    linked_.erase(it);
  }
  return !first;
}

void Planner::count(const PendingEntry& pending, bool existed, bool unchanged) {
  BackupProgress& progress = shared_.state.progress();
  ++progress.entries;
  if (pending.entry.type != vault::EntryType::file) return;
  progress.bytes_seen += pending.entry.size;
  ++(unchanged ? progress.files_unchanged : existed ? progress.files_changed : progress.files_new);
}

Status Planner::entry(ScannedEntry source) {
  if (shared_.state.failed()) return shared_.state.status();
  if (const auto type = source.stat.entry_type(); !type.ok()) {
    problem(source.key, type.error());
    return {};
  }
  PendingEntry& pending = block_->entries.emplace_back();
  pending.key = source.key;
  const FileStat& st = source.stat;
  pending.entry.type = *st.entry_type();
  pending.entry.size = st.is_regular() ? st.size : 0;
  const std::string& identity = identity_of(source);
  pending.stat.inode = st.inode;
  pending.stat.ctime_s = st.ctime_s;
  pending.stat.ctime_ns = st.ctime_ns;
  pending.stat.file_system = shared_.sequencer.cached_file_system(identity);
  pending.stat.trusted = times_can_be_trusted(st, source.seen_ns);

  const bool later_link = is_later_link(source, pending);
  SeenBefore before;
  auto remembered = shared_.cache.find_unchanged(source.key, st, identity, before);
  bool unchanged = remembered.has_value() && !remembered->entry->entry.entry.inconsistent;
  if (unchanged && !later_link &&
      !(remembered->from_base && shared_.state.session().base_is_valid())) {
    TRY(unchanged, content_is_known(remembered->entry->entry.entry));
  }
  count(pending, before.existed, unchanged);

  // A later name of an object takes everything from the first one, in the sequencer.
  if (!later_link) {
    const bool audit = unchanged && st.is_regular() && is_audit_turn(source.key);
    if (unchanged) {
      const bool has_links = pending.entry.has_links;
      pending.entry = remembered->entry->entry.entry;
      pending.entry.has_links = has_links;
      pending.entry.link_to.clear();
    }
    if (audit) pending.expected = pending.entry;
    if (!unchanged || audit) {
      const bool replaced = before.existed && !unchanged && st.is_regular();
      TRYV(start_job(std::move(source),
                     replaced ? churn_class(st.mtime_s - before.mtime_s) : kLongLived));
    }
  }
  if (block_->entries.size() == EntryBlock::kEntries) return end_block();
  return {};
}

Status Planner::start_job(ScannedEntry source, size_t churn_class) {
  const uint64_t bytes = source.stat.is_regular() ? source.stat.size : 0;
  auto job = std::make_shared<FileJob>(block_, block_->entries.size() - 1, std::move(source),
                                       shared_.window, shared_.nodes, shared_.state,
                                       shared_.sequencer, churn_class);
  // A large file is a unit of its own, so that smaller ones do not wait behind it.
  if (bytes > kWholeFileMax) {
    TRYV(end_unit());
    unit_.push_back(std::move(job));
    return end_unit();
  }
  unit_.push_back(std::move(job));
  unit_bytes_ += bytes;
  if (unit_bytes_ >= kUnitBytes || unit_.size() >= kUnitFiles) return end_unit();
  return {};
}

Status Planner::end_unit() {
  if (unit_.empty()) return {};
  unit_bytes_ = 0;
  if (!shared_.reads.push(std::exchange(unit_, {}))) {
    TRYV(shared_.state.status());
    return Error{Errc::interrupted, ""};
  }
  return {};
}

Status Planner::end_block() {
  // Jobs of a block that waits for room must not wait themselves.
  TRYV(end_unit());
  if (block_->entries.empty()) return {};
  if (!shared_.window.push(std::exchange(block_, std::make_shared<EntryBlock>()))) {
    TRYV(shared_.state.status());
    return Error{Errc::interrupted, ""};
  }
  return {};
}

Status Planner::finish() {
  return end_block();
}

}  // namespace holdfast::backup_agent
