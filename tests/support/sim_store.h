// Many clients of one store under one seed: who does what in which order, who is killed when, who
// stalls for how long, what fails. The clients are threads that run real code against a
// vault::Store of their own, but only one runs at a time; at every call of a store the next one is
// drawn. So a seed replays exactly (see sim_random.h).
//
// Fault model, each drawn at every call:
//   - a client is killed: before the call takes effect, after it, or, if it is a put, with the put
//     taking effect some time later, as when it is under way to a server. From then on all its
//     calls fail, until its code calls reboot().
//   - a client stalls, for minutes or for weeks, before the call takes effect or before it returns.
//   - a call fails although its client lives, with or without having taken effect.
//   - the store's clock jumps.
// The objects themselves are as safe as the store behind makes them: a MemoryStore keeps them all;
// a LocalStore on a SimDisk loses power.
//
// Time is simulated: every call takes some, stalls take much, and if everybody sleeps the next one
// wakes. Faults of a store that breaks its promises are in sim_faults.h.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "vault/store/store.h"

namespace holdfast::testing {

inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kHour = 3600 * kSecond;
inline constexpr int64_t kDay = 24 * kHour;

class Simulation;

// Chances out of 10,000, at each call.
struct SimFaults {
  unsigned kill = 0;
  unsigned stall = 0;
  unsigned error = 0;
  unsigned clock_jump = 0;
};

// Objects in memory, dated by the simulation.
class SimObjects final : public vault::Store {
 public:
  explicit SimObjects(std::function<io::TimeNs()> now);

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
  Result<io::TimeNs> now_ns() override { return now_(); }
  const vault::StoreTraits& traits() const override { return traits_; }
  std::string location() const override { return "simulation"; }

 private:
  struct Object {
    std::shared_ptr<const Bytes> bytes;
    io::TimeNs stored_ns = 0;
  };
  const Object* find(const std::string& name) const;

  vault::StoreTraits traits_;
  const std::function<io::TimeNs()> now_;
  mutable std::mutex mutex_;
  std::map<std::string, Object> objects_;
};

// What one client sees of the store. Its code runs in a thread of the simulation.
class SimStore final : public vault::Store {
 public:
  // Killed: every call fails until reboot().
  bool is_killed() const { return killed_; }
  // The machine is back, after some time, with what its disk remembers.
  void reboot();
  // Lets others go on for so long.
  void sleep(int64_t duration_ns);
  // A number below n, from the seed.
  uint64_t random(uint64_t n);
  bool chance(unsigned percent) { return random(100) < percent; }
  Simulation& simulation() { return simulation_; }
  const std::string& name() const { return name_; }

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
  const vault::StoreTraits& traits() const override;
  std::string location() const override { return name_ + "'s store"; }

 private:
  friend class Simulation;
  SimStore(Simulation& simulation, std::string name, SimFaults faults)
      : simulation_(simulation), name_(std::move(name)), faults_(faults) {}
  template <class Call>
  auto run(const char* kind, const std::string& name, const Call& call) -> decltype(call());
  Status put_parts(const std::string& name, std::span<const ByteView> parts, bool if_absent);

  Simulation& simulation_;
  const std::string name_;
  const SimFaults faults_;
  bool killed_ = false;
  Bytes being_put_;  // for a put that takes effect late

  // Of the simulation.
  std::thread thread_;
  std::condition_variable turn_;
  bool has_turn_ = false;
  bool ended_ = false;
  io::TimeNs wake_ns_ = 0;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  ~Simulation();

  // In place of the simulation's own objects, from the next run on.
  void use(vault::Store& behind) { behind_ = &behind; }
  // The objects without faults, for whoever looks on while nobody runs.
  vault::Store& objects() { return *behind_; }
  io::TimeNs now_ns() const { return clock_ns_; }  // by the store's clock
  void pass(int64_t duration_ns) { clock_ns_ += duration_ns; }
  std::mt19937_64& random() { return random_; }

  // A client for the next run.
  void add(const std::string& name, SimFaults faults, std::function<void(SimStore&)> body);
  // Runs everybody until all have ended, and what is under way has arrived. `look` is called now
  // and then while nobody runs.
  void run(const std::function<void()>& look = {});

  uint64_t calls() const { return calls_; }
  // A hash of everything that happened, in its order.
  uint64_t fingerprint() const { return fingerprint_; }
  // The last calls, for people.
  std::string trace(size_t last = 400) const;
  void note(const std::string& text);

 private:
  friend class SimStore;
  struct LatePut {
    io::TimeNs due_ns;
    std::string name;
    Bytes bytes;
    bool if_absent;
  };
  // The client's thread waits until it is its turn again.
  void yield(SimStore& client);
  void maybe_stall(SimStore& client);
  SimStore* next();
  void deliver(bool all);

  std::mt19937_64 random_;
  const uint64_t seed_;
  io::TimeNs clock_ns_ = 1'700'000'000'000'000'000;
  SimObjects own_objects_;
  vault::Store* behind_ = &own_objects_;
  std::vector<std::unique_ptr<SimStore>> clients_;
  std::vector<LatePut> late_;
  std::mutex mutex_;
  std::condition_variable idle_;
  SimStore* running_ = nullptr;
  uint64_t calls_ = 0;
  uint64_t threads_ = 0;
  uint64_t fingerprint_ = 0;
  std::vector<std::string> log_;
};

}  // namespace holdfast::testing
