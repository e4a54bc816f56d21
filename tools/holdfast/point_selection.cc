#include "tools/holdfast/point_selection.h"

#include <map>

#include "vault/errc.h"

namespace holdfast::cli {
namespace {

constexpr size_t kPrefixMin = 4;

std::string trim_slashes(std::string_view path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return std::string(path);
}

}  // namespace

Result<PointSpec> parse_point_spec(std::string_view text) {
  PointSpec spec;
  const size_t path = text.find(":/");
  std::string_view head = text.substr(0, path);
  if (path != std::string_view::npos) {
    spec.key = trim_slashes(text.substr(path + 1));
    if (!vault::is_valid_key(spec.key)) {
      return Error{Errc::malformed, "'" + std::string(text) +
                                        "': the path must be absolute and "
                                        "without '.' and '..'"};
    }
  }
  if (head == "latest" || head.starts_with("latest:")) {
    spec.point = "latest";
    if (head.size() > 7) spec.item = head.substr(7);
    return spec;
  }
  if (head.size() < kPrefixMin || head.size() > 64 ||
      head.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
    return Error{Errc::malformed,
                 "'" + std::string(head) +
                     "' is not a recovery point: give an id, at least four of its first digits, "
                     "latest or latest:ITEM; a path follows as ':/PATH'"};
  }
  for (const char c : head) {
    spec.point.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return spec;
}

std::string item_name(const vault::RecoveryPoint& point) {
  return point.body ? point.body->item_name : point.manifest.item().hex();
}

Result<const vault::RecoveryPoint*> select_point(const vault::PointList& list,
                                                 const PointSpec& spec) {
  const vault::RecoveryPoint* found = nullptr;
  if (spec.point == "latest") {
    // By id: any agent may give an item of its own the name of another's, and any time.
    std::map<std::string, std::string> items;
    for (const vault::RecoveryPoint& p : list.points) {
      // Nobody vouches for what its body does not open; that was reported when the list was made.
      if (!p.body || p.deleted) continue;
      const std::string name = item_name(p);
      if (!spec.item.empty() && name != spec.item && p.manifest.item().hex() != spec.item) continue;
      items[p.manifest.item().hex()] = name + " of " + p.body->host;
      if (found == nullptr || p.manifest.time_ns >= found->manifest.time_ns) found = &p;
    }
    if (items.size() > 1) {
      std::string names;
      for (const auto& [id, name] : items) {
        names += (names.empty() ? "" : ", ") + name + " (" + id + ")";
      }
      return Error{vault::Errc::ambiguous, "the vault has several such items: " + names +
                                               "; say which, by name or id: latest:ITEM"};
    }
    if (found == nullptr) {
      return Error{vault::Errc::no_such_point,
                   spec.item.empty() ? "the vault has none yet" : "item '" + spec.item + "'"};
    }
    return found;
  }
  for (const vault::RecoveryPoint& p : list.points) {
    if (!p.id().starts_with(spec.point)) continue;
    if (found != nullptr) {
      return Error{vault::Errc::ambiguous, "'" + spec.point + "' (give more of its digits)"};
    }
    found = &p;
  }
  if (found == nullptr) {
    return Error{vault::Errc::no_such_point, "'" + spec.point + "' ('holdfast points' lists them)"};
  }
  return found;
}

}  // namespace holdfast::cli
