// The tree that a mount shows: fixed directories on top, entries of recovery points below, each
// under a number of its own. Any number of threads.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "vault/client/vault.h"

namespace holdfast::backup_agent {

using NodeId = uint64_t;
inline constexpr NodeId kRootNode = 1;

// One thing in the tree.
struct TreeNode {
  NodeId id = 0;
  uint64_t inode = 0;  // shared by hard links; id is not
  // Entries of a point:
  const vault::RecoveryPoint* point = nullptr;
  vault::DomainReader* domain = nullptr;
  vault::PathEntry entry;
  // Fixed directories: names below, in order. A link if entry.entry is one.
  std::vector<std::pair<std::string, NodeId>> children;
  bool is_fixed = false;
};
using TreeNodePtr = std::shared_ptr<const TreeNode>;

// Reads a directory in order, from any position.
class DirectoryStream {
 public:
  virtual ~DirectoryStream() = default;
  // The name at `position` (0 is the first), or nothing at the end. Fast for rising positions.
  struct Item {
    std::string name;
    vault::Entry entry;
    uint64_t inode = 0;  // as lookup gives it; readdir(3) skips names that have none
  };
  virtual Result<std::optional<Item>> at(uint64_t position) = 0;
};

class PointTree {
 public:
  static Result<std::unique_ptr<PointTree>> create(vault::VaultReader& vault,
                                                   const vault::PointList& points);

  // Null if the kernel asks for something it was never given.
  TreeNodePtr find(NodeId id);
  // Errors: std::errc::no_such_file_or_directory; the vault's. Counts as one use of the child.
  Result<TreeNodePtr> lookup(const TreeNode& parent, const std::string& name);
  // Gives back `count` uses.
  void forget(NodeId id, uint64_t count);
  std::unique_ptr<DirectoryStream> open_directory(const TreeNodePtr& directory);
  // What stat shows as the inode of an entry: the same for all names of a file.
  uint64_t inode_of(const vault::RecoveryPoint& point, const vault::PathEntry& entry) const;
  // Fills `out` from `offset`, less at the end of the file.
  Result<size_t> read(const TreeNode& file, uint64_t offset, MutableByteView out);

 private:
  PointTree() = default;
  NodeId add_fixed(vault::Entry entry, std::vector<std::pair<std::string, NodeId>> children,
                   const vault::RecoveryPoint* point, vault::DomainReader* domain);
  struct Used {
    TreeNodePtr node;
    uint64_t uses = 0;
    std::string name;  // point and key, for by_name_
  };
  std::mutex mutex_;
  std::unordered_map<NodeId, Used> nodes_;
  std::unordered_map<std::string, NodeId> by_name_;
  NodeId next_ = kRootNode + 1;
  std::vector<vault::RecoveryPoint> points_;
};

}  // namespace holdfast::backup_agent
