#include "backup-agent/scan/scanner.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <map>

#include "backup-agent/scan/listing.h"

namespace holdfast::backup_agent {
namespace {

// Sub-directories of the current directory that are read ahead.
constexpr size_t kDirectoriesAhead = 12;
// btrfs gives a subvolume's place inside a snapshot of its parent this inode
// (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID).
constexpr uint64_t kEmptySubvolumeInode = 2;

std::string_view last_name(std::string_view key) {
  const size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

}  // namespace

// One run of the walk: a stack of directories, each a listing and a position in it.
class Scanner::Walk {
 public:
  Walk(const std::vector<ScanRoot>& roots, const Filter& filter, const ScanOptions& options,
       ScanVisitor& visitor, std::stop_token stop)
      : roots_(roots),
        filter_(filter),
        options_(options),
        visitor_(visitor),
        stop_(std::move(stop)),
        context_{filter_, options_, file_systems_},
        pool_(options.threads) {}

  Status run() {
    for (const ScanRoot& root : roots_) {
      TRYV(visit_ancestors(root.key));
      TRYV(visit_root(root));
    }
    return {};
  }

 private:
  struct Ahead {
    std::shared_ptr<Listing> listing;
    async::JobPool::JobPtr job;
  };
  struct BatchAhead {
    std::shared_ptr<Listing::Batch> batch;
    async::JobPool::JobPtr job;
  };
  struct Frame {
    std::string key;
    std::shared_ptr<Listing> listing;
    size_t next = 0;
    size_t next_ahead = 0;          // names before this one were considered for reading ahead
    std::map<size_t, Ahead> ahead;  // by index of the name
    Listing::Batch batch;
    size_t batch_index = 0;
    std::optional<BatchAhead> batch_ahead;
    bool included = true;      // the directory, or one above it, matches an include pattern
    bool has_pending = false;  // its own entry waits until something below it is included
  };

  // Directories above the trees: their own entries only, each once.
  Status visit_ancestors(const std::string& key) {
    for (size_t end = 0; end < key.size(); ++end) {
      if (end != 0 && key[end] != '/') continue;
      const std::string ancestor = key.substr(0, end);
      if (!ancestors_.insert(ancestor).second) continue;
      const std::string path = "/" + ancestor;
      ScannedEntry entry;
      entry.key = ancestor;
      // Without an entry for it nothing below could be restored: what cannot be opened is asked by
      // name. The last component makes stat follow a link, as opening does.
      const auto seen = stat_at(AT_FDCWD, (path + "/.").c_str());
      if (!seen.ok()) {
        visitor_.problem(ancestor, seen.error());
        continue;
      }
      entry.stat = *seen;
      const auto directory =
          DirectoryHandle::open_root(handles_, path, DirectoryHandle::Access::reach);
      if (!directory.ok()) {
        visitor_.problem(ancestor, directory.error());
      } else if ((*directory)->is_readable()) {
        TRY(const auto fd, (*directory)->fd());
        if (const auto st = stat_at(fd->get(), ""); st.ok()) entry.stat = *st;
        entry.directory = *directory;
        entry.file_system = &file_systems_.identify(fd->get(), entry.stat);
      }
      TRYV(emit(std::move(entry), true));
    }
    return {};
  }

  Status visit_root(const ScanRoot& root) {
    ScannedEntry entry;
    entry.key = root.key;
    entry.seen_ns = io::posix_file_system().now_ns();
    if (root.key.empty()) {
      TRY(entry.stat, stat_at(AT_FDCWD, "/"));
    } else {
      const auto parent = DirectoryHandle::open_root(handles_, io::parent_path(root.path),
                                                     DirectoryHandle::Access::reach);
      if (!parent.ok()) {
        visitor_.problem(root.key, parent.error());
        return {};
      }
      entry.parent = *parent;
      entry.name = last_name(root.path);
      TRY(const auto fd, entry.parent->fd());
      auto st = stat_at(fd->get(), entry.name.c_str());
      if (!st.ok()) {
        visitor_.problem(root.key, st.error());
        return {};
      }
      entry.stat = *st;
      // A directory is asked itself, when it is listed: it may be a mount point or a subvolume, and
      // `fd` is in another file system then. A file mounted on its own stays unknown.
      TRY(const FileStat above, stat_at(fd->get(), ""));
      if (!st->is_directory() && above.device == st->device && entry.parent->is_readable()) {
        entry.file_system = &file_systems_.identify(fd->get(), *st);
      }
    }
    const bool included =
        filter_.include.empty() || filter_.includes(root.key, entry.stat.is_directory());
    if (!entry.stat.is_directory()) return emit(std::move(entry), included);
    root_device_ = entry.stat.device;
    auto directory = DirectoryHandle::open_root(handles_, root.path);
    if (!directory.ok()) {
      visitor_.problem(root.key, directory.error());
      return emit(std::move(entry), included);
    }
    auto listing = std::make_shared<Listing>();
    listing->directory = *directory;
    read_listing(context_, root.key, *listing);
    TRYV(enter(std::move(entry), std::move(listing), included));
    return walk();
  }

  Status walk() {
    while (!stack_.empty()) {
      if (stop_.stop_requested()) return Error{Errc::interrupted, ""};
      Frame& frame = stack_.back();
      if (frame.next == frame.listing->names.size()) {
        if (frame.has_pending) pending_.pop_back();
        stack_.pop_back();
        continue;
      }
      read_ahead(frame);
      const size_t index = frame.next++;
      TRYV(visit(frame, index));
    }
    return {};
  }

  Status visit(Frame& frame, size_t index) {
    const Listing::Stat& seen = stat_of(frame, index);
    const Listing& listing = *frame.listing;
    std::optional<Ahead> ahead;
    if (const auto it = frame.ahead.find(index); it != frame.ahead.end()) {
      ahead = std::move(it->second);
      frame.ahead.erase(it);
    }
    ScannedEntry entry;
    entry.key = child_key(frame.key, listing.name(index));
    if (seen.error != 0) {
      // Vanished since it was listed: as if it had gone before.
      if (seen.error != ENOENT) visitor_.problem(entry.key, errno_error(seen.error, ""));
      return {};
    }
    entry.parent = listing.directory;
    entry.name = listing.name(index);
    entry.stat = seen.stat;
    entry.seen_ns = seen.seen_ns;
    entry.file_system = seen.stat.device == listing.stat.device
                            ? listing.file_system
                            : file_systems_.find(seen.stat.device);
    const bool included = frame.included || filter_.includes(entry.key, seen.stat.is_directory());
    if (!seen.stat.is_directory()) {
      if (seen.stat.is_regular() && filter_.larger_than != 0 &&
          seen.stat.size > filter_.larger_than) {
        visitor_.left_out(entry.key, "it is larger than --exclude-larger-than allows");
        return {};
      }
      return emit(std::move(entry), included);
    }
    return visit_directory(std::move(entry), std::move(ahead), included);
  }

  Status visit_directory(ScannedEntry entry, std::optional<Ahead> ahead, bool included) {
    if (options_.one_file_system && entry.stat.device != root_device_) {
      visitor_.left_out(entry.key, "it is another file system");
      return emit(std::move(entry), included);
    }
    if (entry.stat.inode == kEmptySubvolumeInode) {
      if (const std::string other = visitor_.nested_subvolume(entry.key); !other.empty()) {
        return visit_elsewhere(std::move(entry), other, included);
      }
    }
    std::shared_ptr<Listing> listing;
    if (ahead) {
      ahead->job->finish();
      listing = std::move(ahead->listing);
    } else {
      listing = std::make_shared<Listing>();
      list_child(entry.parent, entry.name, entry.key, *listing);
    }
    // The directory may have been exchanged since it was looked at; what was opened is what counts.
    if (!listing->error) entry.stat = listing->stat;
    return enter(std::move(entry), std::move(listing), included);
  }

  // A nested subvolume, read from a snapshot of its own.
  Status visit_elsewhere(ScannedEntry entry, const std::string& path, bool included) {
    auto listing = std::make_shared<Listing>();
    auto directory = DirectoryHandle::open_root(handles_, path);
    if (directory.ok()) {
      listing->directory = *directory;
      read_listing(context_, entry.key, *listing);
      if (!listing->error) entry.stat = listing->stat;
    } else {
      listing->error = directory.error();
    }
    return enter(std::move(entry), std::move(listing), included);
  }

  // Emits a directory and makes it the current one.
  Status enter(ScannedEntry entry, std::shared_ptr<Listing> listing, bool included) {
    Frame frame;
    frame.key = entry.key;
    frame.included = included;
    if (listing->error) {
      if (listing->error->code == std::errc::no_such_file_or_directory) return {};
      visitor_.problem(entry.key, *listing->error);
    } else {
      entry.directory = listing->directory;
      entry.file_system = listing->file_system;
      if (!listing->left_out.empty()) visitor_.left_out(entry.key, listing->left_out);
    }
    if (included) {
      TRYV(emit(std::move(entry), true));
    } else {
      pending_.push_back(std::move(entry));
      frame.has_pending = true;
    }
    frame.batch = std::move(listing->first_batch);
    frame.listing = std::move(listing);
    stack_.push_back(std::move(frame));
    return {};
  }

  // Passes an entry on, after the directories above it that were waiting for one to be included.
  Status emit(ScannedEntry entry, bool included) {
    if (!included) return {};
    for (ScannedEntry& directory : pending_) TRYV(visitor_.entry(std::move(directory)));
    if (!pending_.empty()) {
      pending_.clear();
      for (Frame& frame : stack_) frame.has_pending = false;
    }
    return visitor_.entry(std::move(entry));
  }

  void list_child(const DirectoryHandle::Ptr& parent, const std::string& name,
                  const std::string& key, Listing& out) {
    auto directory = parent->open_child(name);
    if (!directory.ok()) {
      out.error = std::move(directory).error();
      return;
    }
    out.directory = std::move(*directory);
    read_listing(context_, key, out);
  }

  void read_ahead(Frame& frame) {
    const Listing& listing = *frame.listing;
    frame.next_ahead = std::max(frame.next_ahead, frame.next);
    while (frame.ahead.size() < kDirectoriesAhead && frame.next_ahead < listing.names.size() &&
           frame.next_ahead < frame.next + Listing::kBatch) {
      const size_t index = frame.next_ahead++;
      if (!listing.names[index].is_directory) continue;
      auto child = std::make_shared<Listing>();
      std::string name(listing.name(index));
      std::string key = child_key(frame.key, name);
      auto job = pool_.submit([this, parent = listing.directory, name = std::move(name),
                               key = std::move(key), child, device = listing.stat.device] {
        // Opening a directory of another file system could mount something.
        if (options_.one_file_system) {
          const auto fd = parent->fd();
          if (!fd.ok()) {
            child->error = fd.error();
            return;
          }
          const auto st = stat_at((*fd)->get(), name.c_str());
          if (st.ok() && st->device != device) return;
        }
        list_child(parent, name, key, *child);
      });
      frame.ahead.emplace(index, Ahead{std::move(child), std::move(job)});
    }
    if (listing.batch_count() > 1 && !frame.batch_ahead &&
        frame.batch_index + 1 < listing.batch_count()) {
      BatchAhead ahead;
      ahead.batch = std::make_shared<Listing::Batch>();
      ahead.job =
          pool_.submit([batch = ahead.batch, of = frame.listing, index = frame.batch_index + 1] {
            *batch = read_batch(*of, index);
          });
      frame.batch_ahead = std::move(ahead);
    }
  }

  const Listing::Stat& stat_of(Frame& frame, size_t index) {
    const size_t wanted = index / Listing::kBatch;
    if (wanted != frame.batch_index) {
      if (frame.batch_ahead) {
        frame.batch_ahead->job->finish();
        frame.batch = std::move(*frame.batch_ahead->batch);
        frame.batch_ahead.reset();
      } else {
        frame.batch = read_batch(*frame.listing, wanted);
      }
      frame.batch_index = wanted;
    }
    return frame.batch[index % Listing::kBatch];
  }

  const std::vector<ScanRoot>& roots_;
  const Filter& filter_;
  const ScanOptions& options_;
  ScanVisitor& visitor_;
  const std::stop_token stop_;
  FileSystems file_systems_;
  const ListingContext context_;
  std::shared_ptr<DirectoryPool> handles_ = std::make_shared<DirectoryPool>();
  std::set<std::string> ancestors_;
  std::vector<Frame> stack_;
  std::vector<ScannedEntry> pending_;
  uint64_t root_device_ = 0;
  async::JobPool pool_;  // last: its threads use everything above
};

Scanner::Scanner(std::vector<ScanRoot> roots, const Filter& filter, ScanOptions options)
    : roots_(std::move(roots)), filter_(filter), options_(std::move(options)) {}

Scanner::~Scanner() = default;

Status Scanner::scan(ScanVisitor& visitor, std::stop_token stop) {
  walk_ = std::make_unique<Walk>(roots_, filter_, options_, visitor, std::move(stop));
  return walk_->run();
}

}  // namespace holdfast::backup_agent
