// The caches that one backup may draw on: that of its base point, and those of interrupted backups
// since. Stored below the cache directory as
//
//   vaults/<vault>/<item>/base              which point the files cache describes
//   vaults/<vault>/<item>/files-<session>   cache of a committed point
//   vaults/<vault>/<item>/progress-<session>  of a backup that has not committed (yet)
//   vaults/<vault>/<item>/lock              held while a backup of the item runs
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backup-agent/scan/file_cache.h"
#include "base/io/fd.h"
#include "vault/client/vault.h"

namespace holdfast::backup_agent {

// What is left of a backup that did not commit.
struct InterruptedBackup {
  vault::AdoptedSession session;  // and the packs it put
  std::vector<CachedPart> parts;  // of large files
};

// The directory of one item's caches.
class ItemCache {
 public:
  // Takes the lock, waiting for nobody. Errors: std::errc::device_or_resource_busy with the reason
  // if another backup of the item is running here; the system's.
  static Result<std::unique_ptr<ItemCache>> open(const std::string& cache_directory,
                                                 const CacheOwner& owner);

  const CacheOwner& owner() const { return owner_; }
  const std::optional<vault::BasePoint>& base() const { return base_; }
  // The day (since 1970) on which a share of unchanged files was last read anyway.
  int64_t audit_day() const { return audit_day_; }
  // Newest first.
  const std::vector<InterruptedBackup>& interrupted() const { return interrupted_; }
  // The parts of all of them, those of the newest first; they are gone from here then.
  std::vector<CachedPart> take_parts();

  std::unique_ptr<CacheReader> open_base() const;
  std::unique_ptr<CacheReader> open_interrupted(
      const vault::SessionId& session, CacheReader::Parts parts = CacheReader::Parts::skip) const;
  Result<std::unique_ptr<CacheWriter>> start(const vault::SessionId& session) const;
  // Makes the finished progress file of `session` the cache of `point`, and removes all others.
  Status commit(const vault::SessionId& session, const vault::BasePoint& point, int64_t audit_day);
  // Forgets everything: the next backup reads every file.
  Status clear();

 private:
  ItemCache(std::string path, CacheOwner owner, io::Fd lock)
      : path_(std::move(path)), owner_(owner), lock_(std::move(lock)) {}
  Status load();
  std::string file(std::string_view kind, const vault::SessionId& session) const;

  const std::string path_;
  const CacheOwner owner_;
  io::Fd lock_;
  std::optional<vault::BasePoint> base_;
  std::string base_file_;
  int64_t audit_day_ = 0;
  std::vector<InterruptedBackup> interrupted_;
};

// An entry as some cache remembers it.
struct RememberedEntry {
  const CacheEntry* entry = nullptr;
  bool from_base = false;  // of the base point, not of an interrupted backup
};

// What some cache knows of a key, whatever is there now.
struct SeenBefore {
  bool existed = false;
  int64_t mtime_s = 0;  // of the newest version that is remembered
};

// Lookups are for one thread, in rising key order; base_has_node and take_parts may be called by
// any.
class CacheSet {
 public:
  // Takes the parts out of `cache`.
  explicit CacheSet(ItemCache& cache);

  // The newest memory of this key whose stat agrees with what is there now, or nothing.
  std::optional<RememberedEntry> find_unchanged(std::string_view key, const FileStat& st,
                                                const std::string& identity, SeenBefore& before);
  bool base_has_node(const vault::ChunkId& id);
  // What is stored already of a large file that an interrupted backup was reading, from its
  // beginning without a gap. To be asked once: it may be much, and is given away.
  std::vector<CachedPart> take_parts(std::string_view key, const FileStat& st);
  // To be called when nothing more is looked up, so that the last pages are known.
  void finish();

 private:
  struct Source {
    std::unique_ptr<CacheReader> reader;
    bool is_base = false;
  };
  std::mutex mutex_;
  std::vector<Source> sources_;  // newest first
  std::map<std::string, std::vector<CachedPart>, std::less<>> parts_;
};

// Whether `cached` shows that the object has not changed: same inode on the same file system, same
// times, and the times prove something.
bool is_unchanged(const CacheEntry& cached, const FileStat& st, const std::string& cached_identity,
                  const std::string& identity);

// Whether equal times will prove that nothing changed, for an object looked at at `seen_ns`: false
// if its ctime is so near that another change could leave the same time.
bool times_can_be_trusted(const FileStat& st, io::TimeNs seen_ns);

}  // namespace holdfast::backup_agent
