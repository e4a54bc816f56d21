// Listing and removing what a restore finds in its way, without following symbolic links or going
// into other file systems.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backup-agent/scan/directory.h"

namespace holdfast::backup_agent {

using DirectoryId = std::pair<dev_t, ino_t>;

// Errors: the system's, without context.
Result<DirectoryId> directory_id(int fd);
// Whether an open directory is this one, or below it.
Result<bool> is_inside(int fd, const DirectoryId& directory);

// Every name in the directory, and whether it is a directory itself.
Result<std::vector<std::pair<std::string, bool>>> list_names(DirectoryHandle& directory);

struct RemoveOptions {
  std::vector<DirectoryId> spared;  // stay, with what is in them and the directories above them
  // What stays likewise without being told: `below` is its path from the removed tree's top.
  std::function<bool(const std::string& below, bool is_directory)> keeps;
  bool dry_run = false;
  // What stays, told with the reason. `path` starts at the handles' root.
  std::function<void(const std::string& path, const std::string& reason)> on_left;
};

enum class Removed { all, part, nothing };

// Removes `name` in `parent` with everything below it, but neither `spared` nor what is mounted
// there. An error leaves what was not removed yet. A dry run answers what would be removed.
Result<Removed> remove_tree(DirectoryHandle& parent, const std::string& name,
                            const RemoveOptions& options);

}  // namespace holdfast::backup_agent
