#include "vault/engine/check_points.h"

#include <algorithm>
#include <map>

#include <boost/unordered/unordered_flat_set.hpp>

#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

using IdSet = boost::unordered_flat_set<ChunkId, IdHash>;

class PointChecker {
 public:
  PointChecker(CheckContext& context, PackCheck& packs, VaultReader* reader)
      : c_(context), packs_(packs), reader_(reader) {}

  Status run(const PointList& list) {
    for (const PointDefect& d : list.defects) c_.damage(d.name, d.reason);
    for (const PointDefect& d : list.remarks) c_.remark(d.name, d.reason);
    c_.report.points_checked = list.points.size();
    c_.progress.points_total = list.points.size();
    for (const RecoveryPoint& point : list.points) {
      TRYV(c_.interrupted());
      TRYV(check_point(point));
      ++c_.progress.points;
    }
    return {};
  }

 private:
  // Everything below `root` that has no good copy. Pages whose whole sub-tree is good are
  // remembered in whole_, and not looked at again for later points.
  Status find_lost(const DomainId& domain, const ChunkId& root, IdSet& lost) {
    struct Visit {
      ChunkId id;
      std::vector<ChunkId> edges;
      size_t next = 0;
      bool whole = true;
    };
    std::vector<Visit> stack;
    IdSet& whole = whole_[domain];
    // Descends into a page, or settles a chunk at once. False if it is lost or has lost parts.
    const auto enter = [&](const ChunkId& id) -> Result<bool> {
      if (whole.contains(id)) return true;
      if (lost.contains(id)) return false;
      TRY(const auto copy, packs_.good_copy(domain, id));
      if (!copy) {
        lost.insert(id);
        return false;
      }
      if (copy->pack.kind == PackKind::data) return true;
      TRY(const auto edges, packs_.catalog().edges(copy->pack));
      const auto of_chunk = edges->of(copy->chunk);
      stack.push_back({id, {of_chunk.begin(), of_chunk.end()}});
      return true;
    };
    TRY(const bool entered, enter(root));
    if (!entered) return {};
    while (!stack.empty()) {
      if (stack.back().next == stack.back().edges.size()) {
        const Visit done = std::move(stack.back());
        stack.pop_back();
        if (done.whole) {
          whole.insert(done.id);
        } else if (!stack.empty()) {
          stack.back().whole = false;
        }
        continue;
      }
      const ChunkId child = stack.back().edges[stack.back().next++];
      const size_t depth = stack.size();
      TRY(const bool good, enter(child));
      if (!good) stack[depth - 1].whole = false;
    }
    return {};
  }

  Status check_point(const RecoveryPoint& point) {
    const Manifest& m = point.manifest;
    IdSet lost;
    for (const ChunkId& root : m.roots) {
      TRYV(find_lost(m.domain, root, lost));
      TRY(const bool is_page, packs_.is_page(m.domain, root));
      if (lost.empty() && !is_page) {
        c_.damage(point_name(m.item(), m.sequence), "its root is not a page of a map");
        return {};
      }
    }
    if (lost.empty()) return {};
    DamagedPoint damaged;
    damaged.id = point.id();
    damaged.item = m.item();
    damaged.sequence = m.sequence;
    damaged.time_ns = m.time_ns;
    damaged.chunks_lost = lost.size();
    if (point.body) damaged.item_name = point.body->item_name;
    if (reader_) {
      for (const ChunkId& root : m.roots) {
        const Status named = name_files(m.domain, root, "", lost, damaged);
        if (named.ok()) continue;
        // Pages that decode to nonsense are one agent's doing, and end nobody's check.
        if (!is_verdict(named.error())) return named;
        name_file(damaged, "not to be told: " + named.error().message());
      }
    }
    c_.report.points.push_back(std::move(damaged));
    return {};
  }

  void name_file(DamagedPoint& damaged, std::string name) {
    ++damaged.files_affected;
    if (damaged.files.size() < c_.options.files_named_max) damaged.files.push_back(std::move(name));
  }

  // Whether any chunk below an extents page is lost.
  Result<bool> extents_lost(DomainReader& domain, const ChunkId& root, const IdSet& lost) {
    if (whole_[domain.id()].contains(root)) return false;
    if (lost.contains(root)) return true;
    TRY(const auto node, domain.load_node(root));
    TRY(const NodeType type, node_type(node->payload));
    for (const ChunkId& edge : node->edges) {
      if (type == NodeType::extents_leaf) {
        if (lost.contains(edge)) return true;
      } else {
        TRY(const bool below, extents_lost(domain, edge, lost));
        if (below) return true;
      }
    }
    return false;
  }

  Status name_files(const DomainId& domain_id, const ChunkId& page, const std::string& from,
                    const IdSet& lost, DamagedPoint& damaged) {
    if (whole_[domain_id].contains(page)) return {};
    if (lost.contains(page)) {
      name_file(damaged, "everything from /" + from + " on, up to the next name given here");
      return {};
    }
    TRY(DomainReader * domain, reader_->domain(domain_id));
    TRY(const auto node, domain->load_node(page));
    TRY(const NodeType type, node_type(node->payload));
    if (type == NodeType::path_inner) {
      TRY(const PathInner inner, decode_path_inner(node->payload, node->edges));
      for (const PathChild& child : inner.children) {
        if (lost.contains(child.id)) {
          const auto next = &child + 1;
          const bool last = next == inner.children.data() + inner.children.size();
          damaged.files_affected += child.entries - 1;
          name_file(damaged, "/" + child.first_key + " and what follows" +
                                 (last ? "" : " before /" + next->first_key) + " (" +
                                 std::to_string(child.entries) + " entries)");
          continue;
        }
        TRYV(name_files(domain_id, child.id, child.first_key, lost, damaged));
      }
      return {};
    }
    TRY(const auto entries, decode_path_leaf(node->payload, node->edges));
    for (const PathEntry& e : entries) {
      const Entry& entry = e.entry;
      bool affected = std::any_of(entry.extents.begin(), entry.extents.end(), [&](const Extent& x) {
        return x.chunk && lost.contains(*x.chunk);
      });
      affected = affected || std::any_of(entry.xattr_chunks.begin(), entry.xattr_chunks.end(),
                                         [&](const ChunkId& id) { return lost.contains(id); });
      if (!affected && entry.extents_root) {
        TRY(affected, extents_lost(*domain, *entry.extents_root, lost));
      }
      if (affected) name_file(damaged, "/" + e.key);
    }
    return {};
  }

  CheckContext& c_;
  PackCheck& packs_;
  VaultReader* const reader_;
  // Pages that are good with everything below them, by domain.
  std::map<DomainId, IdSet> whole_;
};

}  // namespace

Status check_points(CheckContext& context, PackCheck& packs, const PointList& points,
                    VaultReader* reader) {
  return PointChecker(context, packs, reader).run(points);
}

}  // namespace holdfast::vault
