#include "backup-agent/upload/cache_set.h"

#include <algorithm>
#include <iterator>

#include "base/io/file_lock.h"
#include "vault/format/key_wrap.h"

namespace holdfast::backup_agent {
namespace {

constexpr std::string_view kBaseMagic = "HFCBASE1";
constexpr size_t kInterruptedMax = 4;

// A change within the same tick leaves the same ctime. Kernel ticks are 1-10 ms; file systems
// without nanoseconds stamp whole seconds (FAT: two).
constexpr io::TimeNs kFineGuardNs = 20'000'000;
constexpr io::TimeNs kCoarseGuardNs = 3'000'000'000;

io::FileSystem& fs() {
  return io::posix_file_system();
}

bool same_times(const FileStat& a, const FileStat& b) {
  return a.inode == b.inode && a.size == b.size && a.mtime_s == b.mtime_s &&
         a.mtime_ns == b.mtime_ns && a.ctime_s == b.ctime_s && a.ctime_ns == b.ctime_ns;
}

}  // namespace

bool is_unchanged(const CacheEntry& cached, const FileStat& st, const std::string& cached_identity,
                  const std::string& identity) {
  const vault::Entry& e = cached.entry.entry;
  const auto type = st.entry_type();
  return cached.stat.trusted && type.ok() && e.type == *type && !identity.empty() &&
         cached.stat.inode == st.inode && cached.stat.ctime_s == st.ctime_s &&
         cached.stat.ctime_ns == st.ctime_ns && e.mtime_s == st.mtime_s &&
         e.mtime_ns == st.mtime_ns && (!st.is_regular() || e.size == st.size) &&
         cached_identity == identity;
}

bool times_can_be_trusted(const FileStat& st, io::TimeNs seen_ns) {
  const io::TimeNs ctime_ns = st.ctime_s * 1'000'000'000 + st.ctime_ns;
  const io::TimeNs guard_ns = st.ctime_ns == 0 ? kCoarseGuardNs : kFineGuardNs;
  return ctime_ns + guard_ns < seen_ns;
}

Result<std::unique_ptr<ItemCache>> ItemCache::open(const std::string& cache_directory,
                                                   const CacheOwner& owner) {
  const std::string path =
      io::join_path(cache_directory, "vaults/" + owner.vault.hex() + "/" + owner.item.hex());
  TRYV(io::make_directories(fs(), path));
  const std::string lock_path = io::join_path(path, "lock");
  auto lock = io::lock_file(lock_path, io::IfLocked::fail);
  if (!lock.ok()) {
    if (lock.error().code != std::errc::resource_unavailable_try_again) {
      return std::move(lock).error();
    }
    return Error{std::make_error_code(std::errc::device_or_resource_busy),
                 "another backup of this item is running on this machine (" + lock_path + ")"};
  }
  std::unique_ptr<ItemCache> cache(new ItemCache(path, owner, std::move(*lock)));
  TRYV(cache->load());
  return cache;
}

std::string ItemCache::file(std::string_view kind, const vault::SessionId& session) const {
  return io::join_path(path_, std::string(kind) + session.hex());
}

Status ItemCache::load() {
  if (auto bytes = io::read_file(fs(), io::join_path(path_, "base"), 4096); bytes.ok()) {
    wire::Decoder in(*bytes, "cache base");
    in.expect(kBaseMagic);
    vault::BasePoint point;
    point.sequence = in.u64();
    point.sha256 = in.array<32>();
    const int64_t day = in.i64();
    const auto session = vault::read_id<vault::SessionId>(in);
    const ByteView check = in.raw(32);
    if (in.finish().ok() &&
        equal(check, crypto::sha256(ByteView(*bytes).first(bytes->size() - 32)))) {
      base_ = point;
      audit_day_ = day;
      base_file_ = file("files-", session);
    }
  }
  TRY(const auto entries, fs().list(path_));
  std::vector<std::pair<io::TimeNs, vault::SessionId>> found;
  for (const io::DirectoryEntry& e : entries) {
    constexpr std::string_view kProgress = "progress-";
    if (!e.name.starts_with(kProgress)) continue;
    auto session = vault::SessionId::parse(std::string_view(e.name).substr(kProgress.size()));
    auto info = fs().info(io::join_path(path_, e.name));
    if (session.ok() && info.ok()) found.emplace_back(info->modified_ns, *session);
  }
  std::sort(found.rbegin(), found.rend());
  for (size_t i = 0; i < found.size(); ++i) {
    const auto reader =
        i < kInterruptedMax ? open_interrupted(found[i].second, CacheReader::Parts::keep) : nullptr;
    if (!reader) {
      (void)fs().remove(file("progress-", found[i].second));
      continue;
    }
    reader->drain();
    interrupted_.push_back({{found[i].second, reader->packs()}, reader->take_parts()});
  }
  return {};
}

std::unique_ptr<CacheReader> ItemCache::open_base() const {
  if (!base_) return nullptr;
  return CacheReader::open(fs(), base_file_, owner_);
}

std::unique_ptr<CacheReader> ItemCache::open_interrupted(const vault::SessionId& session,
                                                         CacheReader::Parts parts) const {
  return CacheReader::open(fs(), file("progress-", session), owner_, parts);
}

std::vector<CachedPart> ItemCache::take_parts() {
  std::vector<CachedPart> all;
  for (InterruptedBackup& backup : interrupted_) {
    std::move(backup.parts.begin(), backup.parts.end(), std::back_inserter(all));
    backup.parts = {};
  }
  return all;
}

Result<std::unique_ptr<CacheWriter>> ItemCache::start(const vault::SessionId& session) const {
  return CacheWriter::create(fs(), file("progress-", session), owner_, session);
}

Status ItemCache::commit(const vault::SessionId& session, const vault::BasePoint& point,
                         int64_t audit_day) {
  const std::string kept = file("files-", session);
  TRYV(fs().rename(file("progress-", session), kept));
  wire::Encoder out;
  out.raw(kBaseMagic);
  out.u64(point.sequence);
  out.raw(point.sha256);
  out.i64(audit_day);
  out.raw(session.view());
  const crypto::Digest check = crypto::sha256(out.view());
  out.raw(check);
  TRYV(io::write_file(fs(), io::join_path(path_, "base"), out.view()));
  TRY(const auto entries, fs().list(path_));
  for (const io::DirectoryEntry& e : entries) {
    const std::string path = io::join_path(path_, e.name);
    const bool is_cache = e.name.starts_with("progress-") || e.name.starts_with("files-");
    if (is_cache && path != kept) TRYV(fs().remove(path));
  }
  base_ = point;
  base_file_ = kept;
  audit_day_ = audit_day;
  interrupted_.clear();
  return {};
}

Status ItemCache::clear() {
  TRY(const auto entries, fs().list(path_));
  for (const io::DirectoryEntry& e : entries) {
    if (e.name != "lock") TRYV(fs().remove(io::join_path(path_, e.name)));
  }
  base_.reset();
  interrupted_.clear();
  return {};
}

CacheSet::CacheSet(ItemCache& cache) {
  for (CachedPart& p : cache.take_parts()) {
    auto& parts = parts_[p.key];
    parts.push_back(std::move(p));
  }
  for (const InterruptedBackup& backup : cache.interrupted()) {
    if (auto reader = cache.open_interrupted(backup.session.session)) {
      sources_.push_back({std::move(reader), false});
    }
  }
  // A backup that was interrupted in its turn went on where the one before had ended.
  for (auto& [key, parts] : parts_) {
    std::stable_sort(parts.begin(), parts.end(),
                     [](const CachedPart& a, const CachedPart& b) { return a.offset < b.offset; });
  }
  if (auto reader = cache.open_base()) sources_.push_back({std::move(reader), true});
}

std::optional<RememberedEntry> CacheSet::find_unchanged(std::string_view key, const FileStat& st,
                                                        const std::string& identity,
                                                        SeenBefore& before) {
  const std::lock_guard lock(mutex_);
  before = {};
  std::optional<RememberedEntry> found;
  for (Source& source : sources_) {
    const CacheEntry* entry = source.reader->find(key);
    if (entry == nullptr) continue;
    if (!before.existed) before = {true, entry->entry.entry.mtime_s};
    if (!is_unchanged(*entry, st, source.reader->identity(entry->stat.file_system), identity)) {
      continue;
    }
    // The base needs no looking up, so it is preferred where both know the same.
    if (!found || source.is_base) found = RememberedEntry{entry, source.is_base};
  }
  return found;
}

bool CacheSet::base_has_node(const vault::ChunkId& id) {
  const std::lock_guard lock(mutex_);
  for (const Source& source : sources_) {
    if (source.is_base && source.reader->has_node(id)) return true;
  }
  return false;
}

std::vector<CachedPart> CacheSet::take_parts(std::string_view key, const FileStat& st) {
  std::vector<CachedPart> parts;
  {
    const std::lock_guard lock(mutex_);
    const auto it = parts_.find(key);
    if (it == parts_.end()) return parts;
    parts = std::move(it->second);
    parts_.erase(it);
  }
  std::vector<CachedPart> chain;
  uint64_t at = 0;
  for (CachedPart& part : parts) {
    if (!same_times(part.stat, st) || part.offset != at) continue;
    for (const vault::Extent& x : part.extents) at += x.bytes;
    chain.push_back(std::move(part));
  }
  return chain;
}

void CacheSet::finish() {
  const std::lock_guard lock(mutex_);
  for (Source& source : sources_) {
    if (source.is_base) source.reader->drain();
  }
}

}  // namespace holdfast::backup_agent
