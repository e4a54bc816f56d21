#include "backup-agent/restore/coverage.h"

#include <algorithm>

namespace holdfast::backup_agent {
namespace {

std::string key_of(const std::string& path) {
  return path.starts_with('/') ? path.substr(1) : path;
}

}  // namespace

Coverage::Coverage(const vault::RecoveryPoint& point) {
  if (!point.body) {
    doubt_ = "the point's description cannot be read; use another point";
    return;
  }
  for (const std::string& path : point.body->paths) backed_up_.push_back(key_of(path));
  for (const auto& problem : point.body->problems) unread_.insert(key_of(problem.path));
  const bool names_all = point.body->problem_count <= point.body->problems.size() &&
                         (!point.manifest.incomplete || !point.body->problems.empty());
  if (!names_all) {
    doubt_ = "the point does not name everything that could not be backed up; use a complete one";
  }
}

bool Coverage::is_lost(std::string_view key) const {
  return std::any_of(lost_.begin(), lost_.end(),
                     [&](const auto& lost) { return lost.may_include(key); });
}

bool Coverage::has_whole(std::string_view directory) const {
  return std::any_of(backed_up_.begin(), backed_up_.end(),
                     [&](const auto& path) { return vault::is_within(directory, path); });
}

bool Coverage::is_absent(const std::string& key) const {
  if (!doubt_.empty() || !lost_.empty()) return false;
  if (unread_.empty()) return true;
  for (size_t end = 0; end != std::string::npos;) {
    if (unread_.contains(std::string_view(key).substr(0, end))) return false;
    end = end == key.size() ? std::string::npos : std::min(key.find('/', end + 1), key.size());
  }
  const auto below = unread_.lower_bound(key + "/");
  return below == unread_.end() || !vault::is_within(*below, key);
}

}  // namespace holdfast::backup_agent
