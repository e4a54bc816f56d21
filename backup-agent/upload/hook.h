// Commands that the user wants run before and after a backup.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::backup_agent {

// Runs `command` with /bin/sh, with `environment` added to ours; standard output goes to standard
// error, so that it cannot mix with --json. Errors: with the exit status or signal, if it is not 0.
Status run_hook(const std::string& command,
                const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace holdfast::backup_agent
