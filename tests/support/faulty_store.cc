#include "tests/support/faulty_store.h"

namespace holdfast::testing {

void FaultyStore::fail_operation(uint64_t number, Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_[number] = fault;
}

void FaultyStore::kill_at(uint64_t number, bool after_effect) {
  const std::lock_guard lock(mutex_);
  kill_ = {number, after_effect};
}

std::map<std::string, uint64_t> FaultyStore::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

template <class Call>
auto FaultyStore::run(const char* kind, const std::string& name, const Call& call)
    -> decltype(call()) {
  if (on_operation) on_operation(kind, name);
  const uint64_t number = operations_++;
  std::optional<Fault> fault;
  {
    const std::lock_guard lock(mutex_);
    ++counts_[kind];
    if (const auto it = faults_.find(number); it != faults_.end()) fault = it->second;
    if (kill_ && number >= kill_->first) {
      const bool first = !dead_.exchange(true);
      fault = Fault{std::errc::io_error, first && kill_->second};
    }
  }
  const Error error{fault ? std::make_error_code(fault->error) : std::error_code(),
                    std::string("injected: ") + kind + " " + name};
  if (fault && !fault->after_effect) return error;
  auto result = call();
  if (fault) return error;
  return result;
}

Status FaultyStore::put(const std::string& name, std::span<const ByteView> parts) {
  return run("put", name, [&] { return behind_.put(name, parts); });
}
Status FaultyStore::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  return run("put_if_absent", name, [&] { return behind_.put_if_absent(name, parts); });
}
Result<vault::ObjectInfo> FaultyStore::head(const std::string& name) {
  return run("head", name, [&] { return behind_.head(name); });
}
Status FaultyStore::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  return run("get_range", name, [&] { return behind_.get_range(name, offset, out); });
}
Result<Bytes> FaultyStore::get(const std::string& name, uint64_t bytes_max) {
  return run("get", name, [&] { return behind_.get(name, bytes_max); });
}
Result<std::unique_ptr<vault::ObjectView>> FaultyStore::view(const std::string& name) {
  return run("view", name, [&] { return behind_.view(name); });
}
Result<std::vector<vault::ObjectInfo>> FaultyStore::list(const std::string& prefix) {
  return run("list", prefix, [&] { return behind_.list(prefix); });
}
Status FaultyStore::remove(const std::string& name) {
  return run("remove", name, [&] { return behind_.remove(name); });
}
Result<io::TimeNs> FaultyStore::now_ns() {
  return run("now", "", [&] { return behind_.now_ns(); });
}

}  // namespace holdfast::testing
