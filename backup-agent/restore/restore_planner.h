// Walks a recovery point's map beside the target directory, decides for each entry what has to be
// done, makes directories and everything that is not a regular file, and cuts files into windows of
// pieces.
#pragma once

#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include <sys/stat.h>

#include "backup-agent/restore/coverage.h"
#include "backup-agent/restore/remove_tree.h"
#include "backup-agent/restore/window.h"
#include "base/async/bounded_queue.h"

namespace holdfast::backup_agent {

class RestorePlanner {
 public:
  RestorePlanner(RestoreContext& context, const vault::ChunkId& root, Coverage coverage,
                 const Filter& filter, async::BoundedQueue<std::unique_ptr<Window>>& windows)
      : context_(context),
        options_(context.options),
        root_(root),
        coverage_(std::move(coverage)),
        filter_(filter),
        windows_(windows) {}

  // Hands the windows to the queue as they fill up. `target` is where the entries go; null in a dry
  // run if it does not exist. Errors: the vault's; Errc::interrupted. What concerns one entry only,
  // or one page of the map, is reported to the context, and the walk goes on.
  Status plan(DirectoryHandle::Ptr target, bool target_is_fresh, std::stop_token stop);
  // Names of files that were restored under another name already. After all windows are done.
  void make_links();

 private:
  struct Frame {
    std::string key;
    DirectoryTask::Ptr directory;
    bool included;   // itself or something above it matches an include pattern
    bool is_whole;   // the point knows everything that belongs in it
    DirectoryId id;  // zeros if it is not there, or nothing is deleted
    bool is_in_vault;
    std::set<std::string> names;  // of the point, for delete
  };
  struct LinkObject {
    DirectoryTask::Ptr directory;  // held
    std::string name;
    FileTask::Ptr file;                 // null for links to other kinds
    std::optional<vault::Entry> other;  // of those

    const vault::Entry& entry() const { return file ? file->entry() : *other; }
  };
  struct PendingLink {
    DirectoryTask::Ptr directory;  // held
    std::string name;
    std::string key;  // of the object
  };

  Status walk(vault::PathCursor& cursor, const std::stop_token& stop);
  void take_note(const vault::LostEntries& lost);
  bool enter_lost_directory(Frame& parent, const std::string& name, const std::string& key);
  Status prepare_to_delete(DirectoryHandle& target);
  void push(std::string key, DirectoryTask::Ptr directory, bool included);
  void identify(size_t index);  // of frames_
  void pop();
  void visit(std::string_view action, const std::string& key);
  Status take(const vault::PathEntry& e, Frame& parent, const std::string& name);
  Status take_file(const vault::PathEntry& e, Frame& parent, const std::string& name, bool exists,
                   const struct stat& st);
  Status plan_content(const FileTask::Ptr& file);
  void remember_link_object(const vault::PathEntry& e, Frame& parent, const std::string& name,
                            FileTask::Ptr file);
  // Removes what is not a regular file where a file belongs. False if it stays; that was reported.
  bool clear_the_way(Frame& parent, const std::string& name, const std::string& key,
                     const struct stat& st);
  Status make_other(DirectoryTask& directory, const std::string& name, const vault::Entry& entry,
                    bool same);
  Status take_other(const vault::PathEntry& e, Frame& parent, const std::string& name, bool exists,
                    const struct stat& st);
  void make_link(const PendingLink& link);
  // Where the system makes no further name.
  void make_copy(const PendingLink& link, const LinkObject& object, bool exists);
  // Below a directory that the point has: names that it does not.
  void delete_extra(Frame& frame);
  void delete_name(Frame& frame, const std::string& name, const std::string& key);
  Result<Removed> remove(DirectoryHandle& directory, const std::string& name,
                         const std::string& key);
  void submit();

  RestoreContext& context_;
  const RestoreOptions& options_;
  const vault::ChunkId root_;
  Coverage coverage_;
  const Filter& filter_;
  async::BoundedQueue<std::unique_ptr<Window>>& windows_;
  std::string base_;
  std::vector<DirectoryId> vault_;
  bool deletes_ = false;
  std::vector<Frame> frames_;
  std::unique_ptr<Window> window_ = std::make_unique<Window>();
  std::unordered_map<std::string, LinkObject> link_objects_;
  std::vector<PendingLink> pending_links_;
};

}  // namespace holdfast::backup_agent
