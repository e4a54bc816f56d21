#include "backup-agent/restore/restore.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>
#include <unordered_map>

#include "backup-agent/restore/restore_tasks.h"
#include "base/async/bounded_queue.h"
#include "base/async/parallel.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

constexpr uint64_t kWindowBytes = 256 * 1024 * 1024;
constexpr size_t kWindowPieces = 64 * 1024;
// Files of several pieces stay open while a window is worked on.
constexpr size_t kWindowOpenFiles = 512;

// A piece of a file that has to come from the vault (or, in a patch, perhaps).
struct Piece {
  FileTask* file = nullptr;  // held
  uint64_t offset = 0;
  vault::Extent extent;
  bool compare = false;
  // Where to fetch it; once located.
  vault::ChunkPlace place;
  bool located = false;
};

struct Window {
  std::vector<FileTask::Ptr> files;  // keeps them alive; each is held once by the window
  std::vector<Piece> pieces;
  uint64_t bytes = 0;
  size_t open_files = 0;
  bool is_full() const {
    return bytes >= kWindowBytes || pieces.size() >= kWindowPieces ||
           open_files >= kWindowOpenFiles || files.size() >= kWindowPieces;
  }
};

unsigned worker_count(unsigned wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency()) + 1;
}

// Works a window off: compares, locates, fetches, writes, finishes.
class WindowRunner {
 public:
  explicit WindowRunner(RestoreContext& context)
      : context_(context), threads_(worker_count(context.options.workers)) {}

  void run(Window& window) {
    compare(window);
    locate(window);
    // From here on only its pieces hold a file: it is finished, and its descriptor closed, with the
    // last of them; those without pieces at once.
    async::parallel_for(threads_, window.files.size(),
                        [&](size_t i) { window.files[i]->release(); });
    fetch(window);
  }

 private:
  void compare(Window& window) {
    std::vector<size_t> to_compare;
    for (size_t i = 0; i < window.pieces.size(); ++i) {
      if (window.pieces[i].compare) to_compare.push_back(i);
    }
    async::parallel_for(threads_, to_compare.size(), [&](size_t n) {
      Piece& p = window.pieces[to_compare[n]];
      if (context_.stopped) return drop(p);
      if (p.file->has(p.offset, p.extent)) {
        drop(p);
      } else if (!p.extent.chunk) {
        p.file->punch(p.offset, p.extent.bytes);
        drop(p);
      }
    });
    std::erase_if(window.pieces, [](const Piece& p) { return p.file == nullptr; });
  }

  void locate(Window& window) {
    constexpr size_t kGrain = 256;
    const size_t grains = (window.pieces.size() + kGrain - 1) / kGrain;
    async::parallel_for(threads_, grains, [&](size_t g) {
      const size_t end = std::min((g + 1) * kGrain, window.pieces.size());
      for (size_t i = g * kGrain; i < end; ++i) {
        Piece& p = window.pieces[i];
        if (context_.stopped) return;
        auto places = context_.domain.find(*p.extent.chunk);
        if (places.ok()) {
          p.place = (*places)[0];
          p.located = true;
        } else {
          p.file->fail(places.error());
        }
      }
    });
    for (Piece& p : window.pieces) {
      if (!p.located) drop(p);
    }
    std::erase_if(window.pieces, [](const Piece& p) { return p.file == nullptr; });
    std::sort(window.pieces.begin(), window.pieces.end(), [](const Piece& a, const Piece& b) {
      return std::tie(a.place.pack.id, a.place.segment, a.place.chunk) <
             std::tie(b.place.pack.id, b.place.segment, b.place.chunk);
    });
  }

  void fetch(Window& window) {
    // One group per segment.
    std::vector<std::pair<size_t, size_t>> groups;
    for (size_t i = 0; i < window.pieces.size();) {
      size_t end = i + 1;
      while (end < window.pieces.size() && same_segment(window.pieces[i], window.pieces[end])) ++end;
      groups.emplace_back(i, end);
      i = end;
    }
    async::parallel_for(threads_, groups.size(), [&](size_t g) {
      fetch_segment({window.pieces.data() + groups[g].first,
                     groups[g].second - groups[g].first});
    });
    window.pieces.clear();
  }

  static bool same_segment(const Piece& a, const Piece& b) {
    return a.place.pack.id == b.place.pack.id && a.place.segment == b.place.segment;
  }

  void fetch_segment(std::span<Piece> pieces) {
    std::shared_ptr<const vault::OpenSegment> segment;
    if (!context_.stopped) {
      auto opened = context_.domain.open_segment(pieces[0].place.pack, pieces[0].place.segment);
      if (opened.ok()) segment = std::move(*opened);
    }
    size_t checked = SIZE_MAX;  // pieces of one chunk stand together
    bool good = false;
    for (Piece& p : pieces) {
      if (context_.stopped) {
        drop(p);
        continue;
      }
      if (segment && checked != p.place.chunk) {
        checked = p.place.chunk;
        good = context_.domain.id_matches(*p.extent.chunk, vault::ChunkKind::data, {},
                                          segment->bytes(p.place.chunk));
      }
      if (segment && good) {
        write(p, segment->bytes(p.place.chunk));
      } else {
        // This copy is no good: whatever others there are, or the reason why not.
        auto bytes = context_.domain.read_chunk(*p.extent.chunk, vault::ChunkKind::data);
        if (bytes.ok()) {
          write(p, *bytes);
        } else {
          p.file->fail(bytes.error());
        }
      }
      drop(p);
    }
  }

  void write(Piece& p, ByteView bytes) {
    if (bytes.size() != p.extent.bytes) {
      p.file->fail(Error{vault::Errc::damaged, "chunk of another length than its file says"});
      return;
    }
    p.file->write(p.offset, bytes);
  }

  static void drop(Piece& p) { std::exchange(p.file, nullptr)->release(); }

  RestoreContext& context_;
  const unsigned threads_;
};

// Walks the map and decides for each entry.
class Planner {
 public:
  Planner(RestoreContext& context, const vault::ChunkId& root, const Filter& filter,
          async::BoundedQueue<std::unique_ptr<Window>>& windows)
      : context_(context), options_(context.options), root_(root), filter_(filter),
        windows_(windows) {}

  Status plan(DirectoryHandle::Ptr target, bool target_is_fresh, std::stop_token stop) {
    vault::PathCursor cursor(context_.domain, root_);
    TRYV(cursor.seek(options_.subpath));
    if (cursor.at_end() || !vault::is_within(cursor->key, options_.subpath)) {
      return errno_error(ENOENT, "the recovery point has no /" + options_.subpath);
    }
    base_ = options_.subpath;
    std::optional<vault::Entry> base_entry;
    if (cursor->key == options_.subpath && cursor->entry.type == vault::EntryType::directory) {
      base_entry = cursor->entry;
    } else if (cursor->key == options_.subpath && !options_.subpath.empty()) {
      // A single file goes into the target under its own name.
      const size_t slash = options_.subpath.rfind('/');
      base_ = slash == std::string::npos ? "" : options_.subpath.substr(0, slash);
    }
    push(base_, std::make_shared<DirectoryTask>(context_, nullptr, "", base_entry,
                                                std::move(target), target_is_fresh),
         filter_.includes(base_, true));
    if (base_entry) TRYV(cursor.next());
    Status walked = walk(cursor, stop);
    while (!frames_.empty()) pop();
    if (walked.ok()) submit();
    return walked;
  }

  // Names of files that were restored under another name already. After all windows are done.
  void make_links() {
    for (PendingLink& link : pending_links_) {
      if (!context_.stopped) make_link(link);
      link.directory->release();
    }
    pending_links_.clear();
    for (auto& [key, object] : link_objects_) object.directory->release();
    link_objects_.clear();
  }

 private:
  struct Frame {
    std::string key;
    DirectoryTask::Ptr directory;
    bool included;  // itself or something above it matches an include pattern
    std::set<std::string> names;  // of the point, for delete
  };
  struct LinkObject {
    DirectoryTask::Ptr directory;  // held
    std::string name;
    FileTask::Ptr file;  // null for links to other kinds
  };
  struct PendingLink {
    DirectoryTask::Ptr directory;  // held
    std::string name;
    std::string key;  // of the object
  };

  Status walk(vault::PathCursor& cursor, const std::stop_token& stop) {
    while (!cursor.at_end() && vault::is_within(cursor->key, options_.subpath)) {
      if (stop.stop_requested()) return Error{Errc::interrupted, ""};
      if (context_.stopped) return {};
      const vault::PathEntry& e = *cursor;
      while (!vault::is_within(e.key, frames_.back().key) || e.key == frames_.back().key) pop();
      const bool is_directory = e.entry.type == vault::EntryType::directory;
      Frame& parent = frames_.back();
      const std::string name = name_in(parent, e.key);
      if (options_.delete_extra) parent.names.insert(name.substr(0, name.find('/')));
      if (filter_.excludes(e.key, is_directory)) {
        TRYV(cursor.skip_subtree());
        continue;
      }
      const bool included = parent.included || filter_.includes(e.key, is_directory);
      if (is_directory) {
        auto task = std::make_shared<DirectoryTask>(context_, parent.directory, name, e.entry,
                                                    nullptr, false);
        if (options_.dry_run) {
          task->open_existing();
          if (included) ++context_.report.directories;  // nobody else counts in a dry run
        } else if (included && !task->ensure()) {
          task->release();
          TRYV(cursor.skip_subtree());
          continue;
        }
        if (included) visit("directory", e.key);
        if (included) ++context_.progress.entries;
        push(e.key, std::move(task), included);
      } else if (included) {
        TRYV(take(e, parent, name));
      }
      TRYV(cursor.next());
      if (window_->is_full()) submit();
    }
    return {};
  }

  // A point may lack the directories between (it never should): names then have slashes, which no
  // openat of ours accepts; such entries are reported.
  static std::string name_in(const Frame& parent, const std::string& key) {
    return parent.key.empty() ? key : key.substr(parent.key.size() + 1);
  }

  void push(std::string key, DirectoryTask::Ptr directory, bool included) {
    frames_.push_back({std::move(key), std::move(directory), included, {}});
  }

  void pop() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (options_.delete_extra && frame.included && !context_.stopped) delete_extra(frame);
    frame.directory->release();
  }

  void visit(std::string_view action, const std::string& key) {
    if (context_.visit) context_.visit(action, "/" + key);
  }

  Status take(const vault::PathEntry& e, Frame& parent, const std::string& name) {
    if (name.find('/') != std::string::npos) {
      context_.problem("/" + e.key, "its directory is missing from the recovery point");
      return {};
    }
    if (!options_.dry_run && !parent.directory->ensure()) return {};
    if (e.entry.has_links || !e.entry.link_to.empty()) {
      const std::string& object = e.entry.link_to.empty() ? e.key : e.entry.link_to;
      if (const auto it = link_objects_.find(object); it != link_objects_.end()) {
        visit("link", e.key);
        parent.directory->hold();
        pending_links_.push_back({parent.directory, name, object});
        return {};
      }
    }
    struct stat st {};
    bool exists = false;
    if (parent.directory->handle()) {
      TRY(const auto fd, parent.directory->handle()->fd());
      exists = ::fstatat(fd->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
      if (!exists && errno != ENOENT && errno != ENAMETOOLONG) {
        context_.failed("/" + e.key, errno_error(""));
        return {};
      }
    }
    if (e.entry.type == vault::EntryType::file) return take_file(e, parent, name, exists, st);
    return take_other(e, parent, name, exists, st);
  }

  bool leave_existing(const vault::Entry& entry, const struct stat& st) const {
    if (options_.overwrite == Overwrite::never) return true;
    if (options_.overwrite != Overwrite::if_newer) return false;
    return std::tie(entry.mtime_s, entry.mtime_ns) <=
           std::make_tuple(static_cast<int64_t>(st.st_mtim.tv_sec),
                           static_cast<uint32_t>(st.st_mtim.tv_nsec));
  }

  Status take_file(const vault::PathEntry& e, Frame& parent, const std::string& name, bool exists,
                   const struct stat& st) {
    FileTask::Mode mode = FileTask::Mode::create;
    if (exists) {
      if (leave_existing(e.entry, st)) {
        visit("skip", e.key);
        const std::lock_guard lock(context_.mutex);
        ++context_.report.files_skipped;
        return {};
      }
      if (!S_ISREG(st.st_mode)) {
        if (!clear_the_way(parent, name, e.key, st)) return {};
      } else if (options_.overwrite != Overwrite::always && same_times(e.entry, st)) {
        mode = FileTask::Mode::keep;
      } else {
        mode = options_.delta ? FileTask::Mode::patch : FileTask::Mode::replace;
      }
    }
    visit(mode == FileTask::Mode::keep ? "unchanged" : mode == FileTask::Mode::patch ? "patch"
                                                                                     : "write",
          e.key);
    if (options_.dry_run) {
      const std::lock_guard lock(context_.mutex);
      ++(mode == FileTask::Mode::keep ? context_.report.files_unchanged
         : mode == FileTask::Mode::patch ? context_.report.files_patched
                                         : context_.report.files_written);
      if (mode != FileTask::Mode::keep) context_.report.bytes_written += e.entry.size;
      return {};
    }
    auto file = std::make_shared<FileTask>(context_, parent.directory, name, e.entry, mode);
    remember_link_object(e, parent, name, file);
    window_->files.push_back(file);
    if (mode == FileTask::Mode::keep) return {};
    return plan_content(file);
  }

  static bool same_times(const vault::Entry& entry, const struct stat& st) {
    return entry.size == static_cast<uint64_t>(st.st_size) && entry.mtime_s == st.st_mtim.tv_sec &&
           entry.mtime_ns == static_cast<uint32_t>(st.st_mtim.tv_nsec);
  }

  Status plan_content(const FileTask::Ptr& file) {
    const bool compare = file->mode() == FileTask::Mode::patch;
    const bool several = file->entry().extents_root || file->entry().extents.size() > 1;
    if (several) ++window_->open_files;
    const auto add = [&](uint64_t offset, const vault::Extent& x) -> Status {
      if (!x.chunk && !compare) return {};  // holes come from the file's size
      file->hold();
      window_->pieces.push_back({file.get(), offset, x, compare, {}, false});
      window_->bytes += x.chunk ? x.bytes : 0;
      if (window_->is_full() && several) {
        // The file goes on in the next window, which holds it as well.
        file->hold();
        submit();
        window_->files.push_back(file);
        ++window_->open_files;
      }
      if (context_.stopped) return Error{Errc::interrupted, ""};
      return {};
    };
    Status planned = vault::for_each_extent(context_.domain, file->entry(), add);
    if (planned.ok() || context_.stopped) return {};
    file->fail(planned.error());
    const auto& code = planned.error().code;
    if (code == vault::Errc::damaged || code == vault::Errc::missing) return {};
    return planned;
  }

  void remember_link_object(const vault::PathEntry& e, Frame& parent, const std::string& name,
                            FileTask::Ptr file) {
    if (!e.entry.has_links && e.entry.link_to.empty()) return;
    parent.directory->hold();
    link_objects_[e.entry.link_to.empty() ? e.key : e.entry.link_to] = {parent.directory, name,
                                                                       std::move(file)};
  }

  // Removes what is not a regular file where a file belongs. False if it stays; that was reported.
  bool clear_the_way(Frame& parent, const std::string& name, const std::string& key,
                     const struct stat& st) {
    if (options_.dry_run) return true;
    const auto remove = [&]() -> Status {
      TRY(const auto fd, parent.directory->handle()->fd());
      if (S_ISDIR(st.st_mode) && options_.delete_extra) {
        return remove_tree(*parent.directory->handle(), name);
      }
      if (::unlinkat(fd->get(), name.c_str(), S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0) {
        return errno_error("");
      }
      return {};
    };
    const Status removed = remove();
    if (removed.ok()) return true;
    context_.problem("/" + key, S_ISDIR(st.st_mode)
                                    ? "a directory is in its place (--delete removes it)"
                                    : "what is in its place cannot be removed: " +
                                          removed.error().message());
    return false;
  }

  Status take_other(const vault::PathEntry& e, Frame& parent, const std::string& name, bool exists,
                    const struct stat& st) {
    if (exists && leave_existing(e.entry, st)) {
      visit("skip", e.key);
      return {};
    }
    visit("write", e.key);
    if (options_.dry_run) {
      const std::lock_guard lock(context_.mutex);
      ++context_.report.others;
      return {};
    }
    if (exists && !clear_the_way(parent, name, e.key, st)) return {};
    const std::string path = io::join_path(parent.directory->path(), name);
    const auto make = [&]() -> Status {
      TRY(const auto fd, parent.directory->handle()->fd());
      const vault::Entry& entry = e.entry;
      int result = 0;
      switch (entry.type) {
        case vault::EntryType::symlink:
          result = ::symlinkat(entry.symlink_target.c_str(), fd->get(), name.c_str());
          break;
        case vault::EntryType::fifo:
          result = ::mknodat(fd->get(), name.c_str(), S_IFIFO | 0600, 0);
          break;
        case vault::EntryType::socket:
          result = ::mknodat(fd->get(), name.c_str(), S_IFSOCK | 0600, 0);
          break;
        default:
          result = ::mknodat(
              fd->get(), name.c_str(),
              (entry.type == vault::EntryType::char_device ? S_IFCHR : S_IFBLK) | 0600,
              makedev(entry.device_major, entry.device_minor));
      }
      if (result != 0) return errno_error("");
      TRY(const auto xattrs, context_.domain.xattrs(entry));
      return context_.metadata.apply_at(fd->get(), name, entry, xattrs, true, path);
    };
    if (const Status made = make(); !made.ok()) {
      context_.failed(path, made.error());
      return {};
    }
    remember_link_object(e, parent, name, nullptr);
    ++context_.progress.entries;
    const std::lock_guard lock(context_.mutex);
    ++context_.report.others;
    return {};
  }

  void make_link(const PendingLink& link) {
    const LinkObject& object = link_objects_.at(link.key);
    const std::string path = io::join_path(link.directory->path(), link.name);
    if (object.file && !object.file->is_done()) {
      context_.problem(path, "the file it is a hard link to was not restored");
      return;
    }
    const auto make = [&]() -> Status {
      TRY(const auto from, object.directory->handle()->fd());
      TRY(const auto to, link.directory->handle()->fd());
      struct stat wanted {};
      struct stat there {};
      if (::fstatat(from->get(), object.name.c_str(), &wanted, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno_error("");
      }
      if (::fstatat(to->get(), link.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
        if (there.st_dev == wanted.st_dev && there.st_ino == wanted.st_ino) return {};
        if (options_.overwrite == Overwrite::never) return {};
        if (::unlinkat(to->get(), link.name.c_str(), S_ISDIR(there.st_mode) ? AT_REMOVEDIR : 0) !=
            0) {
          return errno_error("");
        }
      }
      if (::linkat(from->get(), object.name.c_str(), to->get(), link.name.c_str(), 0) != 0) {
        return errno_error("");
      }
      return {};
    };
    if (const Status made = make(); !made.ok()) {
      context_.failed(path, made.error());
      return;
    }
    ++context_.progress.entries;
    const std::lock_guard lock(context_.mutex);
    ++context_.report.links;
  }

  // Below a directory that the point has: names that it does not.
  void delete_extra(Frame& frame) {
    if (!frame.directory->handle() || frame.directory->is_fresh()) return;
    const auto run = [&]() -> Status {
      TRY(const auto names, list_names(*frame.directory->handle()));
      for (const auto& [name, is_directory] : names) {
        const std::string key = frame.key.empty() ? name : frame.key + "/" + name;
        if (frame.names.contains(name) || filter_.excludes(key, is_directory)) continue;
        visit("delete", key);
        if (!options_.dry_run) {
          if (const Status gone = remove_tree(*frame.directory->handle(), name); !gone.ok()) {
            context_.failed(io::join_path(frame.directory->path(), name), gone.error());
            continue;
          }
        }
        const std::lock_guard lock(context_.mutex);
        ++context_.report.deleted;
      }
      return {};
    };
    if (const Status done = run(); !done.ok()) context_.failed(frame.directory->path(), done.error());
  }

  static Result<std::vector<std::pair<std::string, bool>>> list_names(DirectoryHandle& directory) {
    TRY(const auto fd, directory.fd());
    TRY(const auto entries, io::posix_file_system().list("/proc/self/fd/" +
                                                         std::to_string(fd->get())));
    std::vector<std::pair<std::string, bool>> names;
    for (const auto& e : entries) names.emplace_back(e.name, e.is_directory);
    return names;
  }

  static Status remove_tree(DirectoryHandle& parent, const std::string& name) {
    TRY(const auto fd, parent.fd());
    if (::unlinkat(fd->get(), name.c_str(), 0) == 0) return {};
    if (errno != EISDIR && errno != EPERM) return errno_error("");
    auto child = parent.open_child(name);
    if (!child.ok()) return errno_error(EPERM, "");
    TRY(const auto names, list_names(**child));
    for (const auto& [below, is_directory] : names) TRYV(remove_tree(**child, below));
    if (::unlinkat(fd->get(), name.c_str(), AT_REMOVEDIR) != 0) return errno_error("");
    return {};
  }

  void submit() {
    if (window_->files.empty()) return;
    windows_.push(std::exchange(window_, std::make_unique<Window>()));
  }

  RestoreContext& context_;
  const RestoreOptions& options_;
  const vault::ChunkId root_;
  const Filter& filter_;
  async::BoundedQueue<std::unique_ptr<Window>>& windows_;
  std::string base_;
  std::vector<Frame> frames_;
  std::unique_ptr<Window> window_ = std::make_unique<Window>();
  std::unordered_map<std::string, LinkObject> link_objects_;
  std::vector<PendingLink> pending_links_;
};

void raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

Result<Filter> make_filter(const RestoreOptions& options) {
  Filter filter({options.subpath});
  for (const std::string& p : options.exclude) TRYV(filter.exclude.add(p));
  for (const std::string& p : options.include) TRYV(filter.include.add(p));
  return filter;
}

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

Result<RestoreReport> run_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                                  const RestoreOptions& options, RestoreProgress& progress,
                                  const RestoreVisit& visit, std::stop_token stop) {
  raise_open_file_limit();
  TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
  if (point.manifest.roots.empty()) {
    return Error{vault::Errc::damaged, "recovery point " + point.id() + " without a map"};
  }
  const vault::ChunkId root = point.manifest.roots[0];
  TRY(const vault::MapTotals totals, vault::map_totals(*domain, root));
  progress.entries_total = totals.entries;
  progress.bytes_total = totals.bytes;
  TRY(const Filter filter, make_filter(options));
  bool fresh = false;
  TRY(DirectoryHandle::Ptr target, open_target(options, fresh));

  RefusedMetadata refused;
  MetadataWriter metadata(options.metadata, refused);
  RestoreContext context{*domain, options, progress, metadata, visit, {}, {}, {}, {}};
  const std::stop_callback on_stop(stop, [&] { context.fail(Error{Errc::interrupted, ""}); });

  async::BoundedQueue<std::unique_ptr<Window>> windows(1);
  std::thread worker([&] {
    WindowRunner runner(context);
    while (auto window = windows.pop()) runner.run(**window);
  });
  Planner planner(context, root, filter, windows);
  Status planned = planner.plan(std::move(target), fresh, stop);
  if (!planned.ok()) context.fail(planned.error());
  windows.close();
  worker.join();
  planner.make_links();

  const std::lock_guard lock(context.mutex);
  if (context.fatal) return *context.fatal;
  context.report.refused = refused.report();
  return std::move(context.report);
}

}  // namespace holdfast::backup_agent
