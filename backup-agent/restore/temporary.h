// Names of what is about to take a file's place.
//
// The name follows from the file's, so that a run finds what a killed one left. Whoever writes such
// a file holds a lock (flock) on it: what can be locked has nobody any more.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/io/fd.h"

namespace holdfast::backup_agent {

std::string temporary_name(std::string_view name);

// Makes a temporary for `name`. `make` is to make the one that it is given, failing if that exists;
// it is called again with another name if that is in use. Returns the name; empty with errno set.
std::string make_temporary(int directory_fd, std::string_view name,
                           const std::function<bool(const std::string&)>& make);
// Makes and locks a file. Returns the name; empty with errno set.
std::string create_temporary(int directory_fd, std::string_view name, mode_t mode, io::Fd& fd);

// Locks a file that is a temporary, or is to be linked as one, until the descriptor is closed.
// False if somebody else has it; file systems without locks let everybody have it.
bool lock_temporary(int fd);
// Whether `name` is a temporary that somebody may be writing.
bool is_temporary_in_use(int directory_fd, const std::string& name);

}  // namespace holdfast::backup_agent
