// Further names of objects.
#pragma once

#include <string>

namespace holdfast::backup_agent {

// Gives `object` the name `name` as well. What has that name loses it only when there is something
// to take its place, all at once; an empty directory just before. False with errno set.
bool put_hard_link(int object_directory_fd, const std::string& object, int directory_fd,
                   const std::string& name);

}  // namespace holdfast::backup_agent
