#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backup-agent/restore/restore.h"
#include "backup-agent/scan/directory.h"
#include "backup-agent/scan/metadata.h"
#include "base/async/parallel.h"

namespace holdfast::backup_agent {
namespace {

constexpr size_t kBatchFiles = 1024;

// What differs between an entry's metadata and the object on disk, as words; empty if nothing does.
std::string metadata_difference(const vault::Entry& e, const FileStat& st) {
  std::string out;
  const auto differs = [&](bool yes, const char* what) {
    if (!yes) return;
    if (!out.empty()) out += ", ";
    out += what;
  };
  const auto type = st.entry_type();
  if (!type.ok() || *type != e.type) return "is of another type";
  const bool root = ::geteuid() == 0;
  differs(e.type != vault::EntryType::symlink && (st.mode & 07777) != e.mode &&
              (root || (st.mode & 0777) != (e.mode & 0777)),
          "mode");
  differs(root && (st.uid != e.uid || st.gid != e.gid), "owner");
  differs(st.mtime_s != e.mtime_s || st.mtime_ns != e.mtime_ns, "time");
  differs(e.type == vault::EntryType::file && st.size != e.size, "size");
  differs((e.type == vault::EntryType::char_device || e.type == vault::EntryType::block_device) &&
              (st.device_major != e.device_major || st.device_minor != e.device_minor),
          "device number");
  return out;
}

class Verifier {
 public:
  Verifier(vault::DomainReader& domain, const RestoreOptions& options, RestoreProgress& progress,
           RestoreReport& report)
      : domain_(domain), options_(options), progress_(progress), report_(report) {}

  Status run(const vault::ChunkId& root, const Filter& filter, const std::stop_token& stop) {
    auto pool = std::make_shared<DirectoryPool>();
    TRY(auto target, DirectoryHandle::open_root(pool, options_.target));
    vault::PathCursor cursor(domain_, root);
    TRYV(cursor.seek(options_.subpath));
    std::string base = options_.subpath;
    if (!cursor.at_end() && cursor->key == base &&
        cursor->entry.type != vault::EntryType::directory) {
      const size_t slash = base.rfind('/');
      base = slash == std::string::npos ? "" : base.substr(0, slash);
    }
    frames_.push_back({base, std::move(target), filter.includes(base, true)});
    while (!cursor.at_end() && vault::is_within(cursor->key, options_.subpath)) {
      if (stop.stop_requested()) return Error{Errc::interrupted, ""};
      const vault::PathEntry e = *cursor;
      if (e.key == base) {
        TRYV(cursor.next());
        continue;
      }
      while (!vault::is_within(e.key, frames_.back().key)) frames_.pop_back();
      const bool is_directory = e.entry.type == vault::EntryType::directory;
      if (filter.excludes(e.key, is_directory)) {
        TRYV(cursor.skip_subtree());
        continue;
      }
      const bool included = frames_.back().included || filter.includes(e.key, is_directory);
      TRY(const bool entered, look_at(e, included));
      if (is_directory && !entered) {
        TRYV(cursor.skip_subtree());
        continue;
      }
      TRYV(cursor.next());
      if (batch_.size() >= kBatchFiles) compare_batch();
    }
    compare_batch();
    return {};
  }

 private:
  struct Frame {
    std::string key;
    DirectoryHandle::Ptr directory;
    bool included;
  };
  struct FileToCompare {
    DirectoryHandle::Ptr directory;
    std::string name;
    vault::PathEntry entry;
  };

  void problem(const std::string& path, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    progress_.problems = ++report_.problem_count;
    report_.problems.push_back({path, reason});
  }

  // Compares metadata, and queues files. For a directory: whether to go on below it.
  Result<bool> look_at(const vault::PathEntry& e, bool included) {
    const Frame& parent = frames_.back();
    const std::string name = parent.key.empty() ? e.key : e.key.substr(parent.key.size() + 1);
    const std::string path = io::join_path(parent.directory->path(), name);
    TRY(const auto fd, parent.directory->fd());
    const auto st = stat_at(fd->get(), name.c_str());
    if (!st.ok()) {
      if (included) problem(path, "verify: " + st.error().code.message());
      return false;
    }
    if (included) {
      std::string difference = metadata_difference(e.entry, *st);
      if (e.entry.type == vault::EntryType::symlink && difference.empty()) {
        const auto target = read_symlink_at(fd->get(), name);
        if (!target.ok() || *target != e.entry.symlink_target) difference = "link target";
      }
      if (!difference.empty()) problem(path, "verify: differs in " + difference);
    }
    if (e.entry.type == vault::EntryType::directory) {
      auto directory = parent.directory->open_child(name);
      if (!directory.ok()) {
        problem(path, "verify: " + directory.error().code.message());
        return false;
      }
      frames_.push_back({e.key, std::move(*directory), included});
      return true;
    }
    if (e.entry.type == vault::EntryType::file && included) {
      batch_.push_back({parent.directory, name, e});
    }
    return true;
  }

  void compare_batch() {
    const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
    async::parallel_for(threads, batch_.size(), [&](size_t i) { compare(batch_[i]); });
    batch_.clear();
  }

  void compare(const FileToCompare& file) {
    const std::string path = io::join_path(file.directory->path(), file.name);
    const auto run = [&]() -> Status {
      TRY(const auto directory, file.directory->fd());
      const io::Fd fd(::openat(directory->get(), file.name.c_str(),
                               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!fd) return errno_error("");
      thread_local Bytes buffer;
      return vault::for_each_extent(
          domain_, file.entry.entry, [&](uint64_t offset, const vault::Extent& x) -> Status {
            if (!x.chunk) return {};
            buffer.resize(x.bytes);
            size_t have = 0;
            while (have < buffer.size()) {
              const ssize_t n = ::pread(fd.get(), buffer.data() + have, buffer.size() - have,
                                        static_cast<off_t>(offset + have));
              if (n < 0 && errno == EINTR) continue;
              if (n < 0) return errno_error("");
              if (n == 0) break;
              have += static_cast<size_t>(n);
            }
            if (have != x.bytes ||
                !domain_.id_matches(*x.chunk, vault::ChunkKind::data, {}, buffer)) {
              return Error{Errc::authentication_failed,
                           "content differs at byte " + std::to_string(offset)};
            }
            return {};
          });
    };
    if (const Status same = run(); !same.ok()) {
      problem(path, "verify: " + (same.error().code == Errc::authentication_failed
                                      ? same.error().context
                                      : same.error().message()));
      return;
    }
    const std::lock_guard lock(mutex_);
    ++report_.files_verified;
    ++progress_.entries;
    progress_.bytes += file.entry.entry.size;
  }

  vault::DomainReader& domain_;
  const RestoreOptions& options_;
  RestoreProgress& progress_;
  std::mutex mutex_;
  RestoreReport& report_;
  std::vector<Frame> frames_;
  std::vector<FileToCompare> batch_;
};

}  // namespace

Status verify_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                      const RestoreOptions& options, RestoreProgress& progress,
                      RestoreReport& report, std::stop_token stop) {
  TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
  TRY(const Filter filter, restore_filter(options));
  progress.verifying = true;
  progress.entries = 0;
  progress.bytes = 0;
  return Verifier(*domain, options, progress, report).run(point.manifest.roots.at(0), filter, stop);
}

}  // namespace holdfast::backup_agent
