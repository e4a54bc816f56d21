#include "tests/support/sim_faults.h"

#include <algorithm>

namespace holdfast::testing {

Result<std::vector<vault::ObjectInfo>> BlindTo::list(const std::string& prefix) {
  TRY(auto objects, behind_.list(prefix));
  std::erase_if(
      objects, [&](const vault::ObjectInfo& o) { return o.name.find(text_) != std::string::npos; });
  return objects;
}

Result<std::vector<vault::ObjectInfo>> EmptyForErrors::list(const std::string& prefix) {
  if (prefix == "points/" && sim_.random(2) == 0) {
    sim_.simulation().note(sim_.name() + ": a list fails, and counts as empty");
    return std::vector<vault::ObjectInfo>();
  }
  return behind_.list(prefix);
}

bool LosesPuts::loses(const std::string& name) {
  if (name.find(text_) == std::string::npos || sim_.random(one_in_) != 0) return false;
  sim_.simulation().note(sim_.name() + ": lost " + name);
  return true;
}

Status LosesPuts::put(const std::string& name, std::span<const ByteView> parts) {
  if (loses(name)) return {};
  return behind_.put(name, parts);
}

Status LosesPuts::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  if (loses(name)) return {};
  return behind_.put_if_absent(name, parts);
}

}  // namespace holdfast::testing
