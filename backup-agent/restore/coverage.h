// What a recovery point vouches for: a name that it does not have was not there, or it was, and the
// backup or this restore could not read it.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vault/client/vault.h"
#include "vault/format/map_reader.h"

namespace holdfast::backup_agent {

class Coverage {
 public:
  explicit Coverage(const vault::RecoveryPoint& point);

  // Pages of the map that cannot be read.
  void add_lost(const vault::LostEntries& lost) { lost_.push_back(lost); }
  const std::vector<vault::LostEntries>& lost() const { return lost_; }
  // Whether the entry `key` itself may be on such a page.
  bool is_lost(std::string_view key) const;

  // Why no absence says anything; empty if some do.
  const std::string& doubt() const { return doubt_; }
  // Whether the backup was asked for all of this directory.
  bool has_whole(std::string_view directory) const;
  // Whether `key`, which the point does not have, was not there.
  bool is_absent(const std::string& key) const;

 private:
  std::string doubt_;
  std::vector<std::string> backed_up_;
  std::set<std::string, std::less<>> unread_;  // keys of what the backup could not read
  std::vector<vault::LostEntries> lost_;
};

}  // namespace holdfast::backup_agent
