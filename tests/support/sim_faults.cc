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

const Bytes* StaleReads::cached(const std::string& name) {
  if (!name.starts_with("packs/")) return nullptr;
  auto it = cache_.find(name);
  if (it == cache_.end()) {
    auto bytes = behind_.get(name, UINT64_MAX);
    if (!bytes.ok()) return nullptr;
    it = cache_.emplace(name, std::move(*bytes)).first;
  }
  return &it->second;
}

Result<vault::ObjectInfo> StaleReads::head(const std::string& name) {
  if (const Bytes* bytes = cached(name)) return vault::ObjectInfo{name, bytes->size(), 0};
  return behind_.head(name);
}

Status StaleReads::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  const Bytes* bytes = cached(name);
  if (bytes == nullptr || offset > bytes->size() || out.size() > bytes->size() - offset) {
    return behind_.get_range(name, offset, out);
  }
  std::copy_n(bytes->begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

}  // namespace holdfast::testing
