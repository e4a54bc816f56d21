// Files and directories on their way to disk.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include <sys/stat.h>

#include "backup-agent/restore/restore.h"
#include "backup-agent/restore/written_file_systems.h"
#include "backup-agent/scan/directory.h"

namespace holdfast::backup_agent {

// What the tasks of one restore share.
struct RestoreContext {
  vault::DomainReader& domain;
  const RestoreOptions& options;
  RestoreProgress& progress;
  MetadataWriter& metadata;
  const RestoreVisit& visit;

  std::mutex mutex;
  RestoreReport report;        // guarded
  std::optional<Error> fatal;  // guarded
  std::atomic<bool> stopped{false};
  WrittenFileSystems file_systems;

  void problem(const std::string& path, const std::string& reason);
  // A full or read-only disk ends the restore; anything else is this object's problem.
  void failed(const std::string& path, const Error& error);
  void fail(const Error& error);

  // As MetadataWriter::apply, with the attributes that the point has. If those cannot be read the
  // rest is applied.
  Status apply_metadata(int fd, const vault::Entry& entry, bool clean, const std::string& path);
};

// Whether what is there stays, by the overwrite rule.
bool leaves_existing(Overwrite overwrite, const vault::Entry& entry, const struct stat& st);

// A directory: made when first needed, given its metadata when everything in it is done. Whoever
// still has something to do in it holds a reference.
class DirectoryTask : public std::enable_shared_from_this<DirectoryTask> {
 public:
  using Ptr = std::shared_ptr<DirectoryTask>;
  // A directory below `parent`; without one, the target itself, already open.
  DirectoryTask(RestoreContext& context, Ptr parent, std::string name,
                std::optional<vault::Entry> entry, DirectoryHandle::Ptr handle, bool fresh);

  // Opens or makes the directory. The planner's thread only. False if it cannot be had; that was
  // reported.
  bool ensure();
  // Opens it if it is there, for a dry run.
  void open_existing();
  // Whether what is made in it inherits an ACL. Until its own metadata are set: any thread.
  bool gives_acls();
  bool is_fresh() const { return fresh_; }
  const DirectoryHandle::Ptr& handle() const { return handle_; }
  std::string path() const;

  void hold() { ++holders_; }
  void release();

 private:
  // Removes what is there and no directory, unless the overwrite rule leaves it.
  Status clear_the_way(int parent_fd);
  void lift_protection();
  void finish();

  RestoreContext& context_;
  const Ptr parent_;
  const std::string name_;
  const std::optional<vault::Entry> entry_;  // none: an existing directory to be left as it is
  DirectoryHandle::Ptr handle_;
  bool fresh_ = false;
  bool failed_ = false;
  std::unique_ptr<ProtectionLifted> lifted_;  // while something is done in it
  std::once_flag asked_for_acls_;
  bool gives_acls_ = false;
  std::atomic<int> holders_{1};
};

class FileTask : public std::enable_shared_from_this<FileTask> {
 public:
  using Ptr = std::shared_ptr<FileTask>;
  enum class Mode {
    create,   // nothing is there
    replace,  // written beside what is there, then put in its place
    patch,    // differing ranges are rewritten in place
    keep,     // content is right already
  };

  FileTask(RestoreContext& context, DirectoryTask::Ptr directory, std::string name,
           vault::Entry entry, Mode mode);
  ~FileTask();

  const vault::Entry& entry() const { return entry_; }
  Mode mode() const { return mode_; }
  std::string path() const;
  bool is_done() const { return done_; }
  const DirectoryTask::Ptr& directory() const { return directory_; }
  const std::string& name() const { return name_; }

  // Bytes of one extent, already checked against its id. Any thread.
  void write(uint64_t offset, ByteView bytes);
  // Patch mode: whether the file on disk has exactly this there. Any thread.
  bool has(uint64_t offset, const vault::Extent& extent);
  // Patch mode: the range is a hole in the point.
  void punch(uint64_t offset, uint64_t bytes);
  // What was to be written cannot be had.
  void fail(const Error& error);

  // The task is finished when everything held was released.
  void hold() { ++holders_; }
  void release();

 private:
  Result<int> open();  // the descriptor to write to, opened at first use
  void open_unnamed(int directory_fd, mode_t mode);
  bool link_unnamed(int directory_fd, const std::string& name) const;
  void finish();
  Status finish_content(int fd);
  Status put_in_place();

  RestoreContext& context_;
  const DirectoryTask::Ptr directory_;
  const std::string name_;
  const vault::Entry entry_;
  const Mode mode_;
  std::string temporary_;  // its name until it is complete, if it has another then
  bool unnamed_ = false;   // it gets its first name, of those two, when it is complete
  std::mutex mutex_;
  io::Fd fd_;
  std::unique_ptr<ProtectionLifted> lifted_;  // of the file that is patched
  bool made_ = false;
  std::atomic<bool> failed_{false};
  std::atomic<bool> changed_{false};
  std::atomic<bool> done_{false};
  std::atomic<int> holders_{1};
};

}  // namespace holdfast::backup_agent
