// A store that fails on demand, over any other store.
//
// Fault model. Every call counts as one operation. An operation can be made to fail before its
// effect, or after it (the caller learns nothing of the success); from a chosen operation on
// everything can be made to fail, as for a client that was killed. Errors are transient: the store
// behind is untouched.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "vault/store/store.h"

namespace holdfast::testing {

class FaultyStore final : public vault::Store {
 public:
  explicit FaultyStore(vault::Store& behind) : behind_(behind) {}

  struct Fault {
    std::errc error = std::errc::io_error;
    bool after_effect = false;
  };
  uint64_t operations() const { return operations_; }
  void fail_operation(uint64_t number, Fault fault);
  // From this operation on, everything fails; that one takes effect first if `after_effect`.
  void kill_at(uint64_t number, bool after_effect);
  bool is_dead() const { return dead_; }
  // Called before each operation with its kind ("put", "list", ...) and object name.
  std::function<void(const std::string& kind, const std::string& name)> on_operation;
  std::map<std::string, uint64_t> counts() const;

  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override;
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override;
  Result<vault::ObjectInfo> head(const std::string& name) override;
  Status get_range(const std::string& name, uint64_t offset, MutableByteView out) override;
  Result<Bytes> get(const std::string& name, uint64_t bytes_max) override;
  Result<std::unique_ptr<vault::ObjectView>> view(const std::string& name) override;
  Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override;
  Status remove(const std::string& name) override;
  Result<io::TimeNs> now_ns() override;
  const vault::StoreTraits& traits() const override { return behind_.traits(); }
  std::string location() const override { return behind_.location(); }

 private:
  template <class Call>
  auto run(const char* kind, const std::string& name, const Call& call) -> decltype(call());

  vault::Store& behind_;
  std::atomic<uint64_t> operations_{0};
  std::atomic<bool> dead_{false};
  mutable std::mutex mutex_;
  std::map<uint64_t, Fault> faults_;
  std::optional<std::pair<uint64_t, bool>> kill_;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace holdfast::testing
