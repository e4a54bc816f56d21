// Snapshots that a backup reads instead of the live trees, so that a tree is taken at one instant.
//
// btrfs: a read-only snapshot of the subvolume that a tree is in, made in a directory ".holdfast"
// at the subvolume's root (a directory of its own, so that the root's times stay) and removed when
// this object goes. Subvolumes nested inside are snapshotted when the scan reaches them: each is
// one instant, but a later one. Snapshots left behind by a killed backup are removed by the next.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backup-agent/scan/scanner.h"

namespace holdfast::backup_agent {

enum class SnapshotMode { none, automatic, btrfs };

inline constexpr std::string_view kSnapshotDirectory = ".holdfast";

class SnapshotSet {
 public:
  SnapshotSet() = default;
  SnapshotSet(const SnapshotSet&) = delete;
  SnapshotSet& operator=(const SnapshotSet&) = delete;
  // Removes the snapshots.
  ~SnapshotSet();

  // Snapshots what the root is in and points root.path into it. With `automatic`, a root that
  // cannot be snapshotted stays as it is, and why is added to `notes` unless its file system has
  // none at all. Errors: with `btrfs`, why it cannot be done.
  Status take(SnapshotMode mode, ScanRoot& root, std::vector<std::string>& notes);

  // For ScanVisitor::nested_subvolume: the key of an empty directory that stands for a subvolume.
  std::string nested_subvolume(const std::string& key);
  // The identity of what was snapshotted, for that of a snapshot; any other as it is.
  const std::string& source_identity(const std::string& identity) const;

  size_t count() const { return snapshots_.size(); }

 private:
  struct Snapshot {
    std::string subvolume;  // path of the source's root
    std::string name;       // below subvolume/.holdfast
    std::string path() const;
  };
  Result<const Snapshot*> snapshot_of(const std::string& subvolume);

  std::vector<std::unique_ptr<Snapshot>> snapshots_;
  std::map<std::string, std::string> identities_;  // of a snapshot -> of its source
};

}  // namespace holdfast::backup_agent
