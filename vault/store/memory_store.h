// A store in memory: for tests, and the simplest thing that keeps the contract.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "vault/store/store.h"

namespace holdfast::vault {

class MemoryStore final : public Store {
 public:
  MemoryStore();

  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override;
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override;
  Result<ObjectInfo> head(const std::string& name) override;
  Status get_range(const std::string& name, uint64_t offset, MutableByteView out) override;
  Result<Bytes> get(const std::string& name, uint64_t bytes_max) override;
  Result<std::unique_ptr<ObjectView>> view(const std::string& name) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  Status remove(const std::string& name) override;
  Result<io::TimeNs> now_ns() override;
  const StoreTraits& traits() const override { return traits_; }
  std::string location() const override { return "memory"; }

  // A store of its own with what this one holds now.
  std::unique_ptr<MemoryStore> copy();
  // Lets time pass on the store's clock.
  void advance_clock(int64_t ns);
  // Changes an object behind everybody's back.
  void tamper(const std::string& name, Bytes bytes);

 private:
  struct Object {
    std::shared_ptr<const Bytes> bytes;
    io::TimeNs stored_ns;
  };
  Result<std::shared_ptr<const Bytes>> find(const std::string& name);

  StoreTraits traits_;
  std::mutex mutex_;
  std::map<std::string, Object> objects_;
  std::atomic<int64_t> clock_ahead_ns_{0};
};

}  // namespace holdfast::vault
