#include "backup-agent/restore/restore_planner.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <tuple>
#include <unistd.h>

#include <sys/sysmacros.h>

#include "backup-agent/restore/hard_link.h"
#include "backup-agent/restore/temporary.h"
#include "backup-agent/scan/metadata.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

// The name of `key` in the directory `parent`. A point may lack the directories between (none that
// we write does), or have something else there: names then have slashes, and the system would
// follow whatever lies on the way. Such entries are reported and never touched.
std::string name_in(const std::string& parent, const std::string& key) {
  return parent.empty() ? key : key.substr(parent.size() + 1);
}

// Whether `name` is this very link, device, FIFO or socket, but for its metadata. Of an object with
// other names none is touched: those may not belong to the point.
bool is_same_object(int directory_fd, const std::string& name, const vault::Entry& entry,
                    const struct stat& st) {
  if (st.st_nlink > 1) return false;
  switch (entry.type) {
    case vault::EntryType::symlink: {
      if (!S_ISLNK(st.st_mode)) return false;
      const auto target = read_symlink_at(directory_fd, name);
      return target.ok() && *target == entry.symlink_target;
    }
    case vault::EntryType::fifo:
      return S_ISFIFO(st.st_mode);
    case vault::EntryType::socket:
      return S_ISSOCK(st.st_mode);
    case vault::EntryType::char_device:
    case vault::EntryType::block_device:
      return (entry.type == vault::EntryType::char_device ? S_ISCHR(st.st_mode)
                                                          : S_ISBLK(st.st_mode)) &&
             st.st_rdev == makedev(entry.device_major, entry.device_minor);
    default:
      return false;
  }
}

// Makes what is neither file nor directory. False with errno set.
bool make_object(int directory_fd, const std::string& name, const vault::Entry& entry) {
  const auto node = [&](mode_t type, dev_t device) {
    return ::mknodat(directory_fd, name.c_str(), type | 0600, device) == 0;
  };
  const dev_t device = makedev(entry.device_major, entry.device_minor);
  switch (entry.type) {
    case vault::EntryType::symlink:
      return ::symlinkat(entry.symlink_target.c_str(), directory_fd, name.c_str()) == 0;
    case vault::EntryType::fifo:
      return node(S_IFIFO, 0);
    case vault::EntryType::socket:
      return node(S_IFSOCK, 0);
    default:
      return node(entry.type == vault::EntryType::char_device ? S_IFCHR : S_IFBLK, device);
  }
}

bool same_times(const vault::Entry& entry, const struct stat& st) {
  return entry.size == static_cast<uint64_t>(st.st_size) && entry.mtime_s == st.st_mtim.tv_sec &&
         entry.mtime_ns == static_cast<uint32_t>(st.st_mtim.tv_nsec);
}

}  // namespace

Status RestorePlanner::plan(DirectoryHandle::Ptr target, bool target_is_fresh,
                            std::stop_token stop) {
  vault::PathCursor cursor(context_.domain, root_);
  cursor.pass_over_damage([this](const vault::LostEntries& lost) { take_note(lost); });
  TRYV(cursor.seek(options_.subpath));
  if (cursor.at_end() || !vault::is_within(cursor->key, options_.subpath)) {
    if (!coverage_.lost().empty()) return coverage_.lost().front().reason;
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
  if (options_.delete_extra && target && !target_is_fresh) TRYV(prepare_to_delete(*target));
  push(base_,
       std::make_shared<DirectoryTask>(context_, nullptr, "", base_entry, std::move(target),
                                       target_is_fresh),
       filter_.includes(base_, true));
  // Of a directory whose own entry is not restored the point may know a part only.
  frames_.back().is_whole = frames_.back().is_whole && base_entry.has_value();
  if (base_entry) TRYV(cursor.next());
  Status walked = walk(cursor, stop);
  // Names that were not reached are not absent: without this the open directories would lose them
  // to delete_extra.
  if (!walked.ok()) context_.fail(walked.error());
  while (!frames_.empty()) pop();
  if (walked.ok()) submit();
  return walked;
}

void RestorePlanner::make_links() {
  for (PendingLink& link : pending_links_) {
    if (!context_.stopped) make_link(link);
    link.directory->release();
  }
  pending_links_.clear();
  for (auto& [key, object] : link_objects_) object.directory->release();
  link_objects_.clear();
}

Status RestorePlanner::walk(vault::PathCursor& cursor, const std::stop_token& stop) {
  while (!cursor.at_end() && vault::is_within(cursor->key, options_.subpath)) {
    if (stop.stop_requested()) return Error{Errc::interrupted, ""};
    if (context_.stopped) return {};
    const vault::PathEntry& e = *cursor;
    while (!vault::is_within(e.key, frames_.back().key) || e.key == frames_.back().key) pop();
    const bool is_directory = e.entry.type == vault::EntryType::directory;
    Frame& parent = frames_.back();
    const std::string name = name_in(parent.key, e.key);
    if (deletes_) parent.names.insert(name.substr(0, name.find('/')));
    if (filter_.excludes(e.key, is_directory)) {
      TRYV(cursor.skip_subtree());
      continue;
    }
    const bool included = parent.included || filter_.includes(e.key, is_directory);
    if (name.find('/') != std::string::npos) {
      const std::string way = name.substr(0, name.find('/'));
      const std::string way_key = parent.key.empty() ? way : parent.key + "/" + way;
      const bool wanted = included && !filter_.excludes(way_key, true);
      const bool is_lost = wanted && coverage_.is_lost(way_key);
      if (is_lost && enter_lost_directory(parent, way, way_key)) continue;
      if (wanted) context_.problem("/" + e.key, "its directory is missing from the point");
      TRYV(cursor.skip_subtree());
      continue;
    }
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

void RestorePlanner::take_note(const vault::LostEntries& lost) {
  if (!lost.may_touch(options_.subpath)) return;
  coverage_.add_lost(lost);
  context_.problem("/" + lost.first, lost.text());
}

// Makes the next directory on the way to an entry, whose own entry cannot be read. False if it
// cannot be had; that was reported.
bool RestorePlanner::enter_lost_directory(Frame& parent, const std::string& name,
                                          const std::string& key) {
  auto task = std::make_shared<DirectoryTask>(context_, parent.directory, name, std::nullopt,
                                              nullptr, false);
  if (options_.dry_run) {
    task->open_existing();
  } else if (!task->ensure()) {
    task->release();
    return false;
  }
  context_.problem("/" + key, "its owner, mode and times cannot be read, and were not restored");
  push(key, std::move(task), parent.included || filter_.includes(key, true));
  return true;
}

// Finds the vault, and whether anything may be deleted at all.
Status RestorePlanner::prepare_to_delete(DirectoryHandle& target) {
  std::vector<std::string> places = options_.vault_others;
  if (!options_.vault.empty()) places.push_back(options_.vault);
  for (const std::string& place : places) {
    struct stat st {};
    if (::stat(place.c_str(), &st) == 0) vault_.push_back(DirectoryId{st.st_dev, st.st_ino});
  }
  std::string reason = coverage_.doubt();
  for (const DirectoryId& id : vault_) {
    TRY(const auto fd, target.fd());
    TRY(const bool is_in_vault, is_inside(fd->get(), id));
    if (is_in_vault) reason = "it is in the vault";
  }
  deletes_ = reason.empty();
  if (!deletes_) context_.problem(options_.target, "nothing was deleted: " + reason);
  return {};
}

void RestorePlanner::push(std::string key, DirectoryTask::Ptr directory, bool included) {
  // Of the directories above what was backed up the point knows nothing but the way down.
  const bool is_whole = coverage_.has_whole(key);
  frames_.push_back({std::move(key), std::move(directory), included, is_whole, {}, false, {}});
  if (!deletes_) return;
  // Directories on the way are opened only when something in them is restored.
  size_t next = frames_.size();
  while (next > 0 && frames_[next - 1].id == DirectoryId{}) --next;
  for (; next < frames_.size(); ++next) identify(next);
}

void RestorePlanner::identify(size_t index) {
  Frame& frame = frames_[index];
  if (!frame.directory->handle()) return;
  const auto run = [&]() -> Status {
    TRY(const auto fd, frame.directory->handle()->fd());
    TRY(frame.id, directory_id(fd->get()));
    return {};
  };
  if (const Status known = run(); !known.ok()) {
    context_.failed(frame.directory->path(), known.error());
    frame.is_whole = false;
  }
  frame.is_in_vault = std::find(vault_.begin(), vault_.end(), frame.id) != vault_.end() ||
                      (index > 0 && frames_[index - 1].is_in_vault);
}

void RestorePlanner::pop() {
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (deletes_ && frame.included && frame.is_whole && !context_.stopped) delete_extra(frame);
  frame.directory->release();
}

void RestorePlanner::visit(std::string_view action, const std::string& key) {
  if (context_.visit) context_.visit(action, "/" + key);
}

Status RestorePlanner::take(const vault::PathEntry& e, Frame& parent, const std::string& name) {
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
  // What this restore has made itself holds nothing yet.
  if (parent.directory->handle() && !parent.directory->is_fresh()) {
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

Status RestorePlanner::take_file(const vault::PathEntry& e, Frame& parent, const std::string& name,
                                 bool exists, const struct stat& st) {
  FileTask::Mode mode = FileTask::Mode::create;
  if (exists) {
    if (leaves_existing(options_.overwrite, e.entry, st)) {
      visit("skip", e.key);
      const std::lock_guard lock(context_.mutex);
      ++context_.report.files_skipped;
      return {};
    }
    if (!S_ISREG(st.st_mode)) {
      if (!clear_the_way(parent, name, e.key, st)) return {};
    } else {
      // What has other names is changed by none of them: they may be no names of this file in the
      // point, or lie outside the target.
      const bool is_shared = st.st_nlink > 1;
      const bool is_link = e.entry.has_links || !e.entry.link_to.empty();
      if (options_.overwrite != Overwrite::always && same_times(e.entry, st) &&
          (!is_shared || is_link)) {
        mode = FileTask::Mode::keep;
      } else {
        mode = options_.delta && !is_shared ? FileTask::Mode::patch : FileTask::Mode::replace;
      }
    }
  }
  if (deletes_ && mode == FileTask::Mode::replace) parent.names.insert(temporary_name(name));
  visit(mode == FileTask::Mode::keep    ? "unchanged"
        : mode == FileTask::Mode::patch ? "patch"
                                        : "write",
        e.key);
  if (options_.dry_run) {
    const std::lock_guard lock(context_.mutex);
    ++(mode == FileTask::Mode::keep    ? context_.report.files_unchanged
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

Status RestorePlanner::plan_content(const FileTask::Ptr& file) {
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

void RestorePlanner::remember_link_object(const vault::PathEntry& e, Frame& parent,
                                          const std::string& name, FileTask::Ptr file) {
  if (!e.entry.has_links && e.entry.link_to.empty()) return;
  parent.directory->hold();
  LinkObject object{parent.directory, name, std::move(file), {}};
  if (!object.file) object.other = e.entry;
  link_objects_[e.entry.link_to.empty() ? e.key : e.entry.link_to] = std::move(object);
}

bool RestorePlanner::clear_the_way(Frame& parent, const std::string& name, const std::string& key,
                                   const struct stat& st) {
  const bool is_directory = S_ISDIR(st.st_mode);
  if (is_directory && deletes_ && !parent.is_in_vault) {
    const auto removed = remove(*parent.directory->handle(), name, key);
    if (removed.ok() && *removed == Removed::all) return true;
    context_.problem("/" + key, "a directory is in its place" +
                                    (removed.ok() ? "" : ": " + removed.error().message()));
    return false;
  }
  if (options_.dry_run) return true;
  const auto clear = [&]() -> Status {
    TRY(const auto fd, parent.directory->handle()->fd());
    if (!remove_name(fd->get(), name, is_directory ? AT_REMOVEDIR : 0)) return errno_error("");
    return {};
  };
  const Status removed = clear();
  if (removed.ok()) return true;
  context_.problem("/" + key, is_directory ? "a directory is in its place (--delete removes it)"
                                           : "what is in its place cannot be removed: " +
                                                 removed.error().message());
  return false;
}

Status RestorePlanner::take_other(const vault::PathEntry& e, Frame& parent, const std::string& name,
                                  bool exists, const struct stat& st) {
  if (exists && leaves_existing(options_.overwrite, e.entry, st)) {
    visit("skip", e.key);
    return {};
  }
  bool same = false;
  if (exists) {
    TRY(const auto fd, parent.directory->handle()->fd());
    same = is_same_object(fd->get(), name, e.entry, st);
  }
  if (exists && !same && !clear_the_way(parent, name, e.key, st)) return {};
  visit(same ? "unchanged" : "write", e.key);
  if (options_.dry_run) {
    const std::lock_guard lock(context_.mutex);
    if (!same) ++context_.report.others;
    return {};
  }
  if (const Status made = make_other(*parent.directory, name, e.entry, same); !made.ok()) {
    const std::string path = io::join_path(parent.directory->path(), name);
    const bool is_device = e.entry.type == vault::EntryType::char_device ||
                           e.entry.type == vault::EntryType::block_device;
    const bool told = is_device && made.error().code == std::errc::operation_not_permitted &&
                      context_.metadata.refused(EPERM, "device node", path);
    if (!told) context_.failed(path, made.error());
    return {};
  }
  remember_link_object(e, parent, name, nullptr);
  ++context_.progress.entries;
  if (same) return {};
  const std::lock_guard lock(context_.mutex);
  ++context_.report.others;
  return {};
}

// Makes the object, unless `same` is there already, and gives it its metadata.
Status RestorePlanner::make_other(DirectoryTask& directory, const std::string& name,
                                  const vault::Entry& entry, bool same) {
  TRY(const auto fd, directory.handle()->fd());
  if (!same && !make_object(fd->get(), name, entry)) return errno_error("");
  const auto xattrs = context_.domain.xattrs(entry);
  const bool clean = !same && !directory.gives_acls();
  TRYV(context_.metadata.apply_at(fd->get(), name, entry, xattrs.ok() ? &*xattrs : nullptr, clean,
                                  io::join_path(directory.path(), name)));
  if (!xattrs.ok()) return Error(xattrs.error()).in("extended attributes");
  return {};
}

void RestorePlanner::make_link(const PendingLink& link) {
  const LinkObject& object = link_objects_.at(link.key);
  const std::string path = io::join_path(link.directory->path(), link.name);
  if (object.file && !object.file->is_done()) {
    context_.problem(path, "the file it is a hard link to was not restored");
    return;
  }
  bool exists = false;
  bool is_left = false;
  const auto make = [&]() -> Status {
    TRY(const auto from, object.directory->handle()->fd());
    TRY(const auto to, link.directory->handle()->fd());
    struct stat wanted {};
    struct stat there {};
    if (::fstatat(from->get(), object.name.c_str(), &wanted, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error("");
    }
    exists = ::fstatat(to->get(), link.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && same_object(there, wanted)) return {};
    is_left = exists && leaves_existing(options_.overwrite, object.entry(), there);
    if (is_left || put_hard_link(from->get(), object.name, to->get(), link.name)) return {};
    return errno_error("");
  };
  if (const Status made = make(); !made.ok()) {
    const int error = made.error().code.value();
    if (error == EXDEV || error == EMLINK || error == EPERM || error == EOPNOTSUPP) {
      make_copy(link, object, exists);
    } else {
      context_.failed(path, made.error());
    }
    return;
  }
  ++context_.progress.entries;
  const std::lock_guard lock(context_.mutex);
  ++(is_left ? context_.report.files_skipped : context_.report.links);
}

void RestorePlanner::make_copy(const PendingLink& link, const LinkObject& object, bool exists) {
  const vault::Entry& entry = object.entry();
  const std::string path = io::join_path(link.directory->path(), link.name);
  (void)context_.metadata.refused(EPERM, "hard link", path);  // told once, with how many
  if (!object.file) {
    if (exists) {
      context_.problem(path, "what is there cannot be replaced by a hard link; remove it first");
    } else if (const Status made = make_other(*link.directory, link.name, entry, false);
               !made.ok()) {
      context_.failed(path, made.error());
    }
    return;
  }
  const auto copy =
      std::make_shared<FileTask>(context_, link.directory, link.name, entry,
                                 exists ? FileTask::Mode::replace : FileTask::Mode::create);
  const Status written =
      vault::for_each_extent(context_.domain, entry, [&](uint64_t offset, const vault::Extent& x) {
        if (!x.chunk) return Status();
        if (context_.stopped) return Status(Error{Errc::interrupted, ""});
        return context_.domain.with_chunk(*x.chunk, vault::ChunkKind::data, [&](ByteView bytes) {
          copy->write(offset, bytes);
          return Status();
        });
      });
  if (!written.ok()) copy->fail(written.error());
  copy->release();
}

void RestorePlanner::delete_extra(Frame& frame) {
  if (!frame.directory->handle() || frame.directory->is_fresh() || frame.is_in_vault) return;
  // What is mounted below the target the backup may have left out: it then is an empty directory of
  // the point.
  const bool is_mounted = !frames_.empty() && frame.id.first != frames_.back().id.first;
  if (is_mounted && frame.names.empty()) return;
  const auto run = [&]() -> Status {
    TRY(const auto fd, frame.directory->handle()->fd());
    TRY(const auto names, list_names(*frame.directory->handle()));
    for (const auto& [name, is_directory] : names) {
      const std::string key = frame.key.empty() ? name : frame.key + "/" + name;
      if (frame.names.contains(name) || filter_.excludes(key, is_directory)) continue;
      if (!coverage_.is_absent(key) || is_temporary_in_use(fd->get(), name)) continue;
      if (is_mounted) {
        context_.problem(frame.directory->path(),
                         "is another file system; what the point does not have was left in it");
        return {};
      }
      delete_name(frame, name, key);
    }
    return {};
  };
  if (const Status done = run(); !done.ok()) context_.failed(frame.directory->path(), done.error());
}

void RestorePlanner::delete_name(Frame& frame, const std::string& name, const std::string& key) {
  const auto removed = remove(*frame.directory->handle(), name, key);
  if (!removed.ok()) {
    context_.failed(io::join_path(frame.directory->path(), name), removed.error());
    return;
  }
  if (*removed != Removed::nothing) visit("delete", key);
  if (*removed != Removed::all) return;
  const std::lock_guard lock(context_.mutex);
  ++context_.report.deleted;
}

Result<Removed> RestorePlanner::remove(DirectoryHandle& directory, const std::string& name,
                                       const std::string& key) {
  RemoveOptions how;
  how.spared = vault_;
  how.dry_run = options_.dry_run;
  how.keeps = [&](const std::string& below, bool is_directory) {
    return filter_.excludes(below.empty() ? key : key + "/" + below, is_directory);
  };
  how.on_left = [&](const std::string& path, const std::string& reason) {
    context_.problem(path, reason);
  };
  return remove_tree(directory, name, how);
}

void RestorePlanner::submit() {
  if (window_->files.empty()) return;
  windows_.push(std::exchange(window_, std::make_unique<Window>()));
}

}  // namespace holdfast::backup_agent
