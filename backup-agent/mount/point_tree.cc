#include "backup-agent/mount/point_tree.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "base/crypto/siphash.h"
#include "base/units.h"
#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

constexpr size_t kIdDigits = 12;

vault::Entry fixed_directory() {
  vault::Entry e;
  e.type = vault::EntryType::directory;
  e.mode = 0755;
  return e;
}

vault::Entry link_to(std::string target) {
  vault::Entry e;
  e.type = vault::EntryType::symlink;
  e.mode = 0777;
  e.symlink_target = std::move(target);
  return e;
}

// "2026-03-29T12-34-56", local time.
std::string time_name(int64_t ns) {
  std::string name = format_time(ns);
  std::replace(name.begin(), name.end(), ' ', 'T');
  std::replace(name.begin(), name.end(), ':', '-');
  return name;
}

// A name that can stand in a directory.
std::string as_file_name(std::string name) {
  for (char& c : name) {
    if (c == '/' || c == '\0') c = '_';
  }
  if (name.empty() || name == "." || name == "..") name = "_" + name;
  return name;
}

std::string own_name(const vault::RecoveryPoint& point) {
  return as_file_name(point.body ? point.body->item_name : point.manifest.item().hex());
}

// What each item's directory is called. Other machines may have items of the same name: then all
// of them have their ids behind it, so that none passes for another.
std::map<vault::ItemId, std::string> directory_names(
    const std::vector<vault::RecoveryPoint>& points) {
  std::map<vault::ItemId, std::string> names;
  for (const vault::RecoveryPoint& p : points) names.try_emplace(p.manifest.item(), own_name(p));
  for (bool unique = false; !unique;) {
    unique = true;
    std::map<std::string, size_t> uses;
    for (const auto& [item, name] : names) ++uses[name];
    for (auto& [item, name] : names) {
      if (uses[name] == 1) continue;
      name += "-" + item.hex().substr(0, kIdDigits);
      unique = false;  // that may be another's name, by chance or on purpose
    }
  }
  return names;
}

class FixedStream final : public DirectoryStream {
 public:
  FixedStream(PointTree& tree, TreeNodePtr directory)
      : tree_(tree), directory_(std::move(directory)) {}
  Result<std::optional<Item>> at(uint64_t position) override {
    if (position >= directory_->children.size()) return std::optional<Item>();
    const auto& [name, id] = directory_->children[position];
    const TreeNodePtr node = tree_.find(id);
    return std::optional(node ? Item{name, node->entry.entry, node->inode}
                              : Item{name, fixed_directory(), id});
  }

 private:
  PointTree& tree_;
  TreeNodePtr directory_;
};

class PointStream final : public DirectoryStream {
 public:
  PointStream(PointTree& tree, TreeNodePtr directory)
      : tree_(tree),
        directory_(std::move(directory)),
        cursor_(*directory_->domain, directory_->point->manifest.roots[0]) {}

  Result<std::optional<Item>> at(uint64_t position) override {
    if (!begun_ || position < position_) TRYV(rewind());
    while (!ended() && position_ < position) {
      TRYV(cursor_.skip_subtree());
      ++position_;
    }
    if (ended()) return std::optional<Item>();
    const std::string& key = cursor_->key;
    const size_t skip = directory_->entry.key.empty() ? 0 : directory_->entry.key.size() + 1;
    return std::optional(
        Item{key.substr(skip), cursor_->entry, tree_.inode_of(*directory_->point, *cursor_)});
  }

 private:
  Status rewind() {
    begun_ = true;
    position_ = 0;
    TRYV(cursor_.seek(directory_->entry.key));
    if (!cursor_.at_end() && cursor_->key == directory_->entry.key) TRYV(cursor_.next());
    return {};
  }
  bool ended() const {
    return cursor_.at_end() || !vault::is_within(cursor_->key, directory_->entry.key);
  }

  PointTree& tree_;
  TreeNodePtr directory_;
  vault::PathCursor cursor_;
  uint64_t position_ = 0;
  bool begun_ = false;
};

}  // namespace

NodeId PointTree::add_fixed(vault::Entry entry,
                            std::vector<std::pair<std::string, NodeId>> children,
                            const vault::RecoveryPoint* point, vault::DomainReader* domain) {
  auto node = std::make_shared<TreeNode>();
  node->id = next_++;
  node->inode = node->id;
  node->entry.entry = std::move(entry);
  node->children = std::move(children);
  node->is_fixed = point == nullptr;
  node->point = point;
  node->domain = domain;
  const NodeId id = node->id;
  nodes_[id] = {std::move(node), UINT64_MAX / 2, ""};  // never forgotten
  return id;
}

Result<std::unique_ptr<PointTree>> PointTree::create(vault::VaultReader& vault,
                                                     const vault::PointList& points) {
  std::unique_ptr<PointTree> tree(new PointTree);
  tree->points_ = points.points;
  std::stable_sort(tree->points_.begin(), tree->points_.end(),
                   [](const vault::RecoveryPoint& a, const vault::RecoveryPoint& b) {
                     return std::pair(a.manifest.time_ns, a.manifest.sequence) <
                            std::pair(b.manifest.time_ns, b.manifest.sequence);
                   });
  std::vector<std::pair<std::string, NodeId>> by_id;
  // Of each item, in the order in which they were made, which is not always that of the names: in
  // autumn an hour of local time comes twice.
  std::map<std::string, std::vector<std::pair<std::string, NodeId>>> by_time;
  std::set<std::string> taken;  // <item>/<time>
  const auto names_of_items = directory_names(tree->points_);
  for (const vault::RecoveryPoint& point : tree->points_) {
    if (point.manifest.roots.empty()) continue;
    TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
    vault::Entry root = fixed_directory();
    const auto stored = vault::find_entry(*domain, point.manifest.roots[0], "");
    // A point whose map cannot be read shows as an empty directory rather than failing the mount.
    if (stored.ok()) root = stored->entry;
    const NodeId id = tree->add_fixed(root, {}, &point, domain);
    by_id.emplace_back(point.id().substr(0, kIdDigits), id);
    const std::string& item = names_of_items.at(point.manifest.item());
    std::string time = time_name(point.manifest.time_ns);
    while (!taken.insert(item + "/" + time).second) {
      time += "-" + std::to_string(point.manifest.sequence);
    }
    by_time[item].emplace_back(time, id);
  }
  std::vector<std::pair<std::string, NodeId>> items;
  std::vector<std::pair<std::string, NodeId>> latest;
  for (const auto& [item, names] : by_time) {
    items.emplace_back(item, tree->add_fixed(fixed_directory(), names, nullptr, nullptr));
    latest.emplace_back(
        item, tree->add_fixed(link_to("../by-time/" + item + "/" + names.back().first), {}, nullptr,
                              nullptr));
  }
  auto root = std::make_shared<TreeNode>();
  root->id = kRootNode;
  root->inode = kRootNode;
  root->is_fixed = true;
  root->entry.entry = fixed_directory();
  root->children = {
      {"by-id", tree->add_fixed(fixed_directory(), by_id, nullptr, nullptr)},
      {"by-time", tree->add_fixed(fixed_directory(), items, nullptr, nullptr)},
      {"latest", tree->add_fixed(fixed_directory(), latest, nullptr, nullptr)},
  };
  tree->nodes_[kRootNode] = {std::move(root), UINT64_MAX / 2, ""};
  return tree;
}

TreeNodePtr PointTree::find(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : it->second.node;
}

uint64_t PointTree::inode_of(const vault::RecoveryPoint& point,
                             const vault::PathEntry& entry) const {
  const std::string& key = entry.entry.link_to.empty() ? entry.key : entry.entry.link_to;
  crypto::SipKey k;
  std::memcpy(&k, point.sha256.data(), sizeof k);
  return crypto::siphash24(k, as_bytes(key)) | (uint64_t{1} << 63);  // not one of the fixed ones
}

Result<TreeNodePtr> PointTree::lookup(const TreeNode& parent, const std::string& name) {
  if (parent.is_fixed) {
    for (const auto& [child, id] : parent.children) {
      if (child == name) return find(id);
    }
    return errno_error(ENOENT, name);
  }
  const std::string key = parent.entry.key.empty() ? name : parent.entry.key + "/" + name;
  if (!vault::is_valid_key(key)) return errno_error(ENOENT, name);
  const std::string full_name = parent.point->id() + "/" + key;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = by_name_.find(full_name); it != by_name_.end()) {
      Used& used = nodes_[it->second];
      ++used.uses;
      return used.node;
    }
  }
  TRY(vault::PathEntry entry,
      vault::find_entry(*parent.domain, parent.point->manifest.roots[0], key));
  auto node = std::make_shared<TreeNode>();
  node->point = parent.point;
  node->domain = parent.domain;
  node->inode = inode_of(*parent.point, entry);
  node->entry = std::move(entry);
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = by_name_.try_emplace(full_name, next_);
  if (fresh) {
    // The right side of an assignment is evaluated first: no `node->id` beside its move.
    const NodeId id = next_++;
    node->id = id;
    nodes_[id] = {std::move(node), 0, full_name};
  }
  Used& used = nodes_[it->second];
  ++used.uses;
  return used.node;
}

void PointTree::forget(NodeId id, uint64_t count) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(id);
  if (it == nodes_.end() || it->second.name.empty()) return;  // fixed nodes stay
  if (it->second.uses > count) {
    it->second.uses -= count;
    return;
  }
  by_name_.erase(it->second.name);
  nodes_.erase(it);
}

std::unique_ptr<DirectoryStream> PointTree::open_directory(const TreeNodePtr& directory) {
  if (directory->is_fixed) return std::make_unique<FixedStream>(*this, directory);
  return std::make_unique<PointStream>(*this, directory);
}

Result<size_t> PointTree::read(const TreeNode& file, uint64_t offset, MutableByteView out) {
  const vault::Entry& entry = file.entry.entry;
  if (offset >= entry.size) return size_t{0};
  const size_t wanted = std::min<uint64_t>(out.size(), entry.size - offset);
  std::memset(out.data(), 0, wanted);  // holes
  TRYV(vault::for_each_extent_in(
      *file.domain, entry, offset, wanted, [&](uint64_t at, const vault::Extent& x) -> Status {
        if (!x.chunk) return {};
        return file.domain->with_chunk(
            *x.chunk, vault::ChunkKind::data, [&](ByteView bytes) -> Status {
              if (bytes.size() != x.bytes) {
                return Error{vault::Errc::damaged, "/" + file.entry.key};
              }
              const uint64_t begin = std::max(at, offset);
              const uint64_t end = std::min(at + x.bytes, offset + wanted);
              std::memcpy(out.data() + (begin - offset), bytes.data() + (begin - at), end - begin);
              return {};
            });
      }));
  return wanted;
}

}  // namespace holdfast::backup_agent
