#include "backup-agent/restore/restore_tasks.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <tuple>
#include <unistd.h>

#include <linux/falloc.h>
#include <sys/xattr.h>

#include "backup-agent/restore/temporary.h"
#include "backup-agent/scan/metadata.h"

namespace holdfast::backup_agent {
namespace {

constexpr size_t kProblemsMax = 10'000;
constexpr size_t kCompareBytes = 256 * 1024;

bool ends_everything(const Error& error) {
  return error.code == std::errc::no_space_on_device || error.code.value() == EDQUOT ||
         error.code == std::errc::read_only_file_system || error.code == Errc::interrupted;
}

Status write_all(int fd, ByteView bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno_error("");
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

void RestoreContext::problem(const std::string& path, const std::string& reason) {
  const std::lock_guard lock(mutex);
  progress.problems = ++report.problem_count;
  if (report.problems.size() < kProblemsMax) report.problems.push_back({path, reason});
}

void RestoreContext::fail(const Error& error) {
  const std::lock_guard lock(mutex);
  if (!fatal) fatal = error;
  stopped = true;
}

void RestoreContext::failed(const std::string& path, const Error& error) {
  if (ends_everything(error)) {
    fail(Error{error.code, error.context.empty() ? path : error.context});
  } else {
    problem(path, error.context.empty() || error.context == path ? error.code.message()
                                                                 : error.message());
  }
}

Status RestoreContext::apply_metadata(int fd, const vault::Entry& entry, bool clean,
                                      const std::string& path) {
  const auto xattrs = domain.xattrs(entry);
  const Status applied = metadata.apply(fd, entry, xattrs.ok() ? &*xattrs : nullptr, clean, path);
  if (!xattrs.ok()) return Error(xattrs.error()).in("extended attributes");
  return applied;
}

bool leaves_existing(Overwrite overwrite, const vault::Entry& entry, const struct stat& st) {
  if (overwrite == Overwrite::never) return true;
  if (overwrite != Overwrite::if_newer) return false;
  return std::make_tuple(entry.mtime_s, entry.mtime_ns) <=
         std::make_tuple(static_cast<int64_t>(st.st_mtim.tv_sec),
                         static_cast<uint32_t>(st.st_mtim.tv_nsec));
}

DirectoryTask::DirectoryTask(RestoreContext& context, Ptr parent, std::string name,
                             std::optional<vault::Entry> entry, DirectoryHandle::Ptr handle,
                             bool fresh)
    : context_(context),
      parent_(std::move(parent)),
      name_(std::move(name)),
      entry_(std::move(entry)),
      handle_(std::move(handle)),
      fresh_(fresh) {
  if (parent_) parent_->hold();
}

std::string DirectoryTask::path() const {
  std::vector<const std::string*> names;
  const DirectoryTask* at = this;
  for (; at->parent_; at = at->parent_.get()) names.push_back(&at->name_);
  std::string out = context_.options.target;
  for (auto it = names.rbegin(); it != names.rend(); ++it) {
    if (!out.ends_with('/')) out.push_back('/');
    out += **it;
  }
  return out;
}

bool DirectoryTask::ensure() {
  if (handle_) {
    lift_protection();
    return true;
  }
  if (failed_) return false;
  const auto make = [&]() -> Status {
    TRY(const auto fd, parent_->handle()->fd());
    if (::mkdirat(fd->get(), name_.c_str(), 0700) == 0) {
      fresh_ = true;
    } else if (errno != EEXIST) {
      return errno_error(path());
    }
    auto opened = parent_->handle()->open_child(name_);
    const bool in_the_way = !opened.ok() && (opened.error().code == std::errc::not_a_directory ||
                                             opened.error().code.value() == ELOOP);
    if (in_the_way) {
      // A file or link where a directory belongs. Links are never followed.
      TRYV(clear_the_way(fd->get()));
      if (::mkdirat(fd->get(), name_.c_str(), 0700) != 0) return errno_error(path());
      fresh_ = true;
      opened = parent_->handle()->open_child(name_);
    }
    if (!opened.ok()) return std::move(opened).error();
    handle_ = std::move(*opened);
    if (!fresh_) {
      TRY(const auto opened_fd, handle_->fd());
      context_.file_systems.add(opened_fd->get());
    }
    return {};
  };
  if (!parent_->ensure()) {
    failed_ = true;
    return false;
  }
  if (const Status made = make(); !made.ok()) {
    failed_ = true;
    context_.failed(path(), made.error());
    return false;
  }
  lift_protection();
  return true;
}

Status DirectoryTask::clear_the_way(int parent_fd) {
  const Overwrite overwrite = context_.options.overwrite;
  struct stat st {};
  if (::fstatat(parent_fd, name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(path());
  }
  if (overwrite == Overwrite::never) return errno_error(ENOTDIR, path());
  // Of a directory whose own entry is lost nothing says that it is newer.
  if (entry_ ? leaves_existing(overwrite, *entry_, st) : overwrite == Overwrite::if_newer) {
    return Error{{}, "what is in this directory's place is newer (--overwrite always replaces it)"};
  }
  if (!remove_name(parent_fd, name_, 0)) return errno_error(path());
  return {};
}

// Nothing can be made or replaced in an immutable directory.
void DirectoryTask::lift_protection() {
  if (lifted_ || fresh_) return;
  if (const auto fd = handle_->fd(); fd.ok() && read_attributes((*fd)->get()) != 0) {
    lifted_ = std::make_unique<ProtectionLifted>((*fd)->get(), ".");
  }
}

bool DirectoryTask::gives_acls() {
  std::call_once(asked_for_acls_, [&] {
    const auto fd = handle_->fd();
    gives_acls_ = fd.ok() && ::fgetxattr((*fd)->get(), "system.posix_acl_default", nullptr, 0) > 0;
  });
  return gives_acls_;
}

void DirectoryTask::open_existing() {
  if (!parent_ || !parent_->handle()) return;
  auto opened = parent_->handle()->open_child(name_);
  if (opened.ok()) handle_ = std::move(*opened);
}

void DirectoryTask::release() {
  if (--holders_ > 0) return;
  finish();
  if (parent_) parent_->release();
}

void DirectoryTask::finish() {
  lifted_.reset();  // what it had before, unless its metadata are put right now
  if (!handle_ || !entry_ || context_.stopped || context_.options.dry_run) return;
  const auto apply = [&]() -> Status {
    TRY(const auto fd, handle_->fd());
    return context_.apply_metadata(fd->get(), *entry_, fresh_ && !gives_acls(), path());
  };
  if (const Status applied = apply(); !applied.ok()) context_.failed(path(), applied.error());
  const std::lock_guard lock(context_.mutex);
  ++context_.report.directories;
}

FileTask::FileTask(RestoreContext& context, DirectoryTask::Ptr directory, std::string name,
                   vault::Entry entry, Mode mode)
    : context_(context),
      directory_(std::move(directory)),
      name_(std::move(name)),
      entry_(std::move(entry)),
      mode_(mode) {
  directory_->hold();
}

FileTask::~FileTask() = default;

std::string FileTask::path() const {
  return io::join_path(directory_->path(), name_);
}

Result<int> FileTask::open() {
  const std::lock_guard lock(mutex_);
  if (fd_) return fd_.get();
  TRY(const auto directory, directory_->handle()->fd());
  constexpr int kCreate = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  constexpr int kOpen = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const mode_t mode = context_.metadata.mode_to_create(entry_);
  switch (mode_) {
    case Mode::create:
      // What takes more than one write has no name until it is whole: a run that is killed leaves
      // no half file that looks like a whole one.
      if (entry_.extents_root || entry_.extents.size() > 1) open_unnamed(directory->get(), mode);
      if (!fd_) fd_ = io::Fd(::openat(directory->get(), name_.c_str(), kCreate, mode));
      break;
    case Mode::replace:
      // No name either while it is written.
      open_unnamed(directory->get(), mode);
      if (!fd_) temporary_ = create_temporary(directory->get(), name_, mode, fd_);
      break;
    case Mode::patch:
      fd_ = io::Fd(::openat(directory->get(), name_.c_str(), O_RDWR | kOpen));
      if (!fd_ && errno == EPERM) {
        lifted_ = std::make_unique<ProtectionLifted>(directory->get(), name_);
        fd_ = io::Fd(::openat(directory->get(), name_.c_str(), O_RDWR | kOpen));
      }
      break;
    case Mode::keep:
      fd_ = io::Fd(::openat(directory->get(), name_.c_str(), O_RDONLY | kOpen));
      break;
  }
  if (!fd_) return errno_error(path());
  made_ = mode_ == Mode::create || mode_ == Mode::replace;
  // Fixes holes at the end, and the size of files that end in one.
  const uint64_t single = entry_.extents.size() == 1 && entry_.extents[0].chunk ? entry_.size : 0;
  if (made_ && entry_.size > 0 && single == 0 &&
      ::ftruncate(fd_.get(), static_cast<off_t>(entry_.size)) != 0) {
    return errno_error(path());
  }
  return fd_.get();
}

// Not every file system has such files, and one with flags could not be linked any more.
void FileTask::open_unnamed(int directory_fd, mode_t mode) {
  if (entry_.attributes != 0) return;
  fd_ = io::Fd(::openat(directory_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, mode));
  unnamed_ = static_cast<bool>(fd_);
}

// Gives it its first name. False with errno set.
bool FileTask::link_unnamed(int directory_fd, const std::string& name) const {
  // The first form needs a capability, the second /proc.
  const std::string proc = "/proc/self/fd/" + std::to_string(fd_.get());
  return ::linkat(fd_.get(), "", directory_fd, name.c_str(), AT_EMPTY_PATH) == 0 ||
         ::linkat(AT_FDCWD, proc.c_str(), directory_fd, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

void FileTask::write(uint64_t offset, ByteView bytes) {
  if (failed_ || context_.stopped) return;
  const auto fd = open();
  if (!fd.ok()) return fail(fd.error());
  if (const Status written = write_all(*fd, bytes, offset); !written.ok()) {
    return fail(Error(written.error()).in(path()));
  }
  changed_ = true;
  const std::lock_guard lock(context_.mutex);
  context_.report.bytes_written += bytes.size();
}

bool FileTask::has(uint64_t offset, const vault::Extent& extent) {
  const auto fd = open();
  if (!fd.ok()) {
    fail(fd.error());
    return true;
  }
  thread_local Bytes buffer;
  if (extent.chunk) {
    buffer.resize(extent.bytes);
    const auto got = io::read_at(*fd, offset, buffer);
    return got.ok() && *got == extent.bytes &&
           context_.domain.id_matches(*extent.chunk, vault::ChunkKind::data, {}, buffer);
  }
  // A hole: zeros will do, wherever they are stored; reading a true hole is cheap.
  buffer.resize(kCompareBytes);
  for (uint64_t at = 0; at < extent.bytes; at += buffer.size()) {
    const off_t data = ::lseek(*fd, static_cast<off_t>(offset + at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return true;
    if (data >= 0 && static_cast<uint64_t>(data) >= offset + extent.bytes) return true;
    const size_t n = std::min<uint64_t>(buffer.size(), extent.bytes - at);
    const auto got = io::read_at(*fd, offset + at, MutableByteView(buffer).first(n));
    if (!got.ok() || !all_zero(ByteView(buffer).first(*got))) return false;
  }
  return true;
}

void FileTask::punch(uint64_t offset, uint64_t bytes) {
  const auto fd = open();
  if (!fd.ok()) return fail(fd.error());
  changed_ = true;
  if (::fallocate(*fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(bytes)) == 0) {
    return;
  }
  // File systems without holes get zeros.
  const Bytes zeros(kCompareBytes);
  for (uint64_t at = 0; at < bytes; at += zeros.size()) {
    const size_t n = std::min<uint64_t>(zeros.size(), bytes - at);
    const Status written = write_all(*fd, ByteView(zeros).first(n), offset + at);
    if (!written.ok()) return fail(Error(written.error()).in(path()));
  }
}

void FileTask::fail(const Error& error) {
  if (failed_.exchange(true)) return;
  context_.failed(path(), error);
}

void FileTask::release() {
  if (--holders_ > 0) return;
  finish();
  directory_->release();
}

Status FileTask::finish_content(int fd) {
  if (mode_ == Mode::patch) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) return errno_error(path());
    if (static_cast<uint64_t>(st.st_size) != entry_.size) {
      if (::ftruncate(fd, static_cast<off_t>(entry_.size)) != 0) return errno_error(path());
      changed_ = true;
    }
  }
  return {};
}

Status FileTask::put_in_place() {
  if (mode_ != Mode::replace && !unnamed_) return {};
  TRY(const auto directory, directory_->handle()->fd());
  if (unnamed_) {
    const auto link = [&](const std::string& name) { return link_unnamed(directory->get(), name); };
    if (mode_ != Mode::replace) {
      if (!link(name_)) return errno_error(path());
    } else {
      (void)lock_temporary(fd_.get());  // nobody else can have it
      temporary_ = make_temporary(directory->get(), name_, link);
      if (temporary_.empty()) return errno_error(path());
    }
    unnamed_ = false;
    if (mode_ != Mode::replace) return {};
  }
  if (!rename_over(directory->get(), temporary_, name_)) return errno_error(path());
  return {};
}

void FileTask::finish() {
  if (!failed_ && !context_.stopped) {
    const auto complete = [&]() -> Status {
      TRY(const int fd, open());
      TRYV(finish_content(fd));
      // Its content is right: it is kept, whatever becomes of its metadata.
      const bool clean = made_ && !directory_->gives_acls();
      const Status applied = context_.apply_metadata(fd, entry_, clean, path());
      if (!applied.ok()) context_.failed(path(), applied.error());
      if (lifted_) lifted_->forget();
      return put_in_place();
    };
    if (const Status completed = complete(); !completed.ok()) fail(completed.error());
  }
  fd_.reset();
  lifted_.reset();
  if (failed_ || context_.stopped) {
    // Half a file under its own name would pass for a whole one.
    if (made_ && !unnamed_) {
      if (const auto directory = directory_->handle()->fd(); directory.ok()) {
        const std::string& made = mode_ == Mode::replace ? temporary_ : name_;
        (void)remove_name((*directory)->get(), made, 0);
      }
    }
    return;
  }
  done_ = true;
  ++context_.progress.entries;
  context_.progress.bytes += entry_.size;
  const std::lock_guard lock(context_.mutex);
  RestoreReport& report = context_.report;
  if (made_) {
    ++report.files_written;
  } else if (changed_) {
    ++report.files_patched;
  } else {
    ++report.files_unchanged;
  }
}

}  // namespace holdfast::backup_agent
