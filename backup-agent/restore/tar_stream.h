// A recovery point as a tar stream: pax format, with extended attributes, hard links and holes.
#pragma once

#include "backup-agent/restore/restore.h"

namespace holdfast::backup_agent {

// Writes what `options` choose (sub-path, patterns) to `fd`. Names are relative: without a leading
// slash. Errors: those of writing, and of reading content once its header is out: a stream that
// ended so must not be used. Entries whose content cannot be found are left out and reported.
Result<RestoreReport> write_tar(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                                const RestoreOptions& options, int fd, std::stop_token stop);

}  // namespace holdfast::backup_agent
