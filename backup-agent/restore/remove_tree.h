// Listing and removing what a restore finds in its way, without following symbolic links.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "backup-agent/scan/directory.h"

namespace holdfast::backup_agent {

// Every name in the directory, and whether it is a directory itself.
Result<std::vector<std::pair<std::string, bool>>> list_names(DirectoryHandle& directory);

// Removes `name` in `parent` with everything below it. An error leaves what was not removed yet.
Status remove_tree(DirectoryHandle& parent, const std::string& name);

}  // namespace holdfast::backup_agent
