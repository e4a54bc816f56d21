// Locks between processes (and within one): a file that is held locked as long as its descriptor is
// open. A process that dies lets go.
#pragma once

#include <string>

#include "base/io/fd.h"
#include "base/result.h"

namespace holdfast::io {

enum class IfLocked { fail, wait };

// Makes the file at `path`, mode 0600, if need be. Errors:
// std::errc::resource_unavailable_try_again if somebody holds it and IfLocked::fail is given; the
// system's.
Result<Fd> lock_file(const std::string& path, IfLocked if_locked);

}  // namespace holdfast::io
