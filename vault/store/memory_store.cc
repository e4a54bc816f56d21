#include "vault/store/memory_store.h"

namespace holdfast::vault {
namespace {

std::shared_ptr<const Bytes> joined(std::span<const ByteView> parts) {
  auto bytes = std::make_shared<Bytes>();
  for (const ByteView part : parts) append(*bytes, part);
  return bytes;
}

class MemoryView final : public ObjectView {
 public:
  explicit MemoryView(std::shared_ptr<const Bytes> bytes) : bytes_(std::move(bytes)) {}
  ByteView bytes() const override { return *bytes_; }

 private:
  std::shared_ptr<const Bytes> bytes_;
};

}  // namespace

MemoryStore::MemoryStore() {
  traits_.kind = "memory";
}

Status MemoryStore::put(const std::string& name, std::span<const ByteView> parts) {
  auto bytes = joined(parts);
  TRY(const io::TimeNs now, now_ns());
  const std::lock_guard lock(mutex_);
  objects_[name] = {std::move(bytes), now};
  return {};
}

Status MemoryStore::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  auto bytes = joined(parts);
  TRY(const io::TimeNs now, now_ns());
  const std::lock_guard lock(mutex_);
  if (!objects_.try_emplace(name, Object{std::move(bytes), now}).second) {
    return errno_error(EEXIST, name);
  }
  return {};
}

Result<std::shared_ptr<const Bytes>> MemoryStore::find(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(name);
  if (it == objects_.end()) return errno_error(ENOENT, name);
  return it->second.bytes;
}

Result<ObjectInfo> MemoryStore::head(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(name);
  if (it == objects_.end()) return errno_error(ENOENT, name);
  return ObjectInfo{name, it->second.bytes->size(), it->second.stored_ns};
}

Status MemoryStore::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  TRY(const auto bytes, find(name));
  if (offset > bytes->size() || out.size() > bytes->size() - offset) {
    return Error{holdfast::Errc::malformed, "object " + name + " is shorter than it should be"};
  }
  if (!out.empty()) std::memcpy(out.data(), bytes->data() + offset, out.size());
  return {};
}

Result<Bytes> MemoryStore::get(const std::string& name, uint64_t bytes_max) {
  TRY(const auto bytes, find(name));
  if (bytes->size() > bytes_max) return Error{holdfast::Errc::limit_exceeded, "object " + name};
  return *bytes;
}

Result<std::unique_ptr<ObjectView>> MemoryStore::view(const std::string& name) {
  TRY(auto bytes, find(name));
  return std::unique_ptr<ObjectView>(new MemoryView(std::move(bytes)));
}

Result<std::vector<ObjectInfo>> MemoryStore::list(const std::string& prefix) {
  CHECK(prefix.empty() || prefix.back() == '/');
  const std::lock_guard lock(mutex_);
  std::vector<ObjectInfo> out;
  for (auto it = objects_.lower_bound(prefix);
       it != objects_.end() && it->first.starts_with(prefix); ++it) {
    out.push_back({it->first, it->second.bytes->size(), it->second.stored_ns});
  }
  return out;
}

Status MemoryStore::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  objects_.erase(name);
  return {};
}

Result<io::TimeNs> MemoryStore::now_ns() {
  return io::posix_file_system().now_ns() + clock_ahead_ns_;
}

void MemoryStore::advance_clock(int64_t ns) {
  clock_ahead_ns_ += ns;
}

std::unique_ptr<MemoryStore> MemoryStore::copy() {
  auto out = std::make_unique<MemoryStore>();
  const std::lock_guard lock(mutex_);
  out->objects_ = objects_;
  return out;
}

void MemoryStore::tamper(const std::string& name, Bytes bytes) {
  const std::lock_guard lock(mutex_);
  objects_[name].bytes = std::make_shared<const Bytes>(std::move(bytes));
}

}  // namespace holdfast::vault
