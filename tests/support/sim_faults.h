// Stores that break their promises, and clients that do not keep the rules: planted in simulations
// to see that they are found. Each is a layer between one client and its store, so that the code
// under test needs no switches.
#pragma once

#include <set>

#include "tests/support/sim_store.h"

namespace holdfast::testing {

// Hands everything on.
class StoreLayer : public vault::Store {
 public:
  explicit StoreLayer(vault::Store& behind) : behind_(behind) {}
  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override {
    return behind_.put(name, parts);
  }
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override {
    return behind_.put_if_absent(name, parts);
  }
  Result<vault::ObjectInfo> head(const std::string& name) override { return behind_.head(name); }
  Status get_range(const std::string& name, uint64_t offset, MutableByteView out) override {
    return behind_.get_range(name, offset, out);
  }
  Result<Bytes> get(const std::string& name, uint64_t bytes_max) override {
    return behind_.get(name, bytes_max);
  }
  Result<std::unique_ptr<vault::ObjectView>> view(const std::string& name) override {
    return behind_.view(name);
  }
  Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override {
    return behind_.list(prefix);
  }
  Status remove(const std::string& name) override { return behind_.remove(name); }
  Result<io::TimeNs> now_ns() override { return behind_.now_ns(); }
  const vault::StoreTraits& traits() const override { return behind_.traits(); }
  std::string location() const override { return behind_.location(); }

 protected:
  vault::Store& behind_;
};

// Objects whose names contain a text are never in a list: a client that does not look, or a store
// whose lists are not consistent.
class BlindTo final : public StoreLayer {
 public:
  BlindTo(vault::Store& behind, std::string text) : StoreLayer(behind), text_(std::move(text)) {}
  Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override;

 private:
  const std::string text_;
};

// Every other list of points fails, and a list that fails is an empty one.
class EmptyForErrors final : public StoreLayer {
 public:
  explicit EmptyForErrors(SimStore& sim) : StoreLayer(sim), sim_(sim) {}
  Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override;

 private:
  SimStore& sim_;
};

// Says that it put an object, and did not, if the name contains a text; one in `one_in`.
class LosesPuts final : public StoreLayer {
 public:
  LosesPuts(vault::Store& behind, std::string text, uint64_t one_in, SimStore& sim)
      : StoreLayer(behind), text_(std::move(text)), one_in_(one_in), sim_(sim) {}
  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override;
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override;

 private:
  bool loses(const std::string& name);
  const std::string text_;
  const uint64_t one_in_;
  SimStore& sim_;
};

}  // namespace holdfast::testing
