#include "tests/support/sim_store.h"

#include <algorithm>

#include "base/check.h"
#include "tests/support/sim_random.h"

namespace holdfast::testing {
namespace {

constexpr size_t kLogMax = 20000;
constexpr unsigned kChances = 10'000;

class BytesView final : public vault::ObjectView {
 public:
  explicit BytesView(std::shared_ptr<const Bytes> bytes) : bytes_(std::move(bytes)) {}
  ByteView bytes() const override { return *bytes_; }

 private:
  std::shared_ptr<const Bytes> bytes_;
};

Bytes joined(std::span<const ByteView> parts) {
  Bytes out;
  for (const ByteView part : parts) append(out, part);
  return out;
}

}  // namespace

// --- The objects ---

SimObjects::SimObjects(std::function<io::TimeNs()> now) : now_(std::move(now)) {
  traits_.kind = "simulation";
}

Status SimObjects::put(const std::string& name, std::span<const ByteView> parts) {
  const std::lock_guard lock(mutex_);
  objects_[name] = {std::make_shared<const Bytes>(joined(parts)), now_()};
  return {};
}

Status SimObjects::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  const std::lock_guard lock(mutex_);
  if (objects_.contains(name)) return errno_error(EEXIST, name);
  objects_[name] = {std::make_shared<const Bytes>(joined(parts)), now_()};
  return {};
}

const SimObjects::Object* SimObjects::find(const std::string& name) const {
  const auto it = objects_.find(name);
  return it == objects_.end() ? nullptr : &it->second;
}

Result<vault::ObjectInfo> SimObjects::head(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const Object* o = find(name);
  if (o == nullptr) return errno_error(ENOENT, name);
  return vault::ObjectInfo{name, o->bytes->size(), o->stored_ns};
}

Status SimObjects::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  const std::lock_guard lock(mutex_);
  const Object* o = find(name);
  if (o == nullptr) return errno_error(ENOENT, name);
  if (offset > o->bytes->size() || out.size() > o->bytes->size() - offset) {
    return Error{Errc::malformed, "object " + name + " is shorter than it should be"};
  }
  if (!out.empty()) std::memcpy(out.data(), o->bytes->data() + offset, out.size());
  return {};
}

Result<Bytes> SimObjects::get(const std::string& name, uint64_t bytes_max) {
  const std::lock_guard lock(mutex_);
  const Object* o = find(name);
  if (o == nullptr) return errno_error(ENOENT, name);
  if (o->bytes->size() > bytes_max) return Error{Errc::limit_exceeded, "object " + name};
  return *o->bytes;
}

Result<std::unique_ptr<vault::ObjectView>> SimObjects::view(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const Object* o = find(name);
  if (o == nullptr) return errno_error(ENOENT, name);
  return std::unique_ptr<vault::ObjectView>(new BytesView(o->bytes));
}

Result<std::vector<vault::ObjectInfo>> SimObjects::list(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  std::vector<vault::ObjectInfo> out;
  for (auto it = objects_.lower_bound(prefix);
       it != objects_.end() && it->first.starts_with(prefix); ++it) {
    out.push_back({it->first, it->second.bytes->size(), it->second.stored_ns});
  }
  return out;
}

Status SimObjects::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  objects_.erase(name);
  return {};
}

// --- A client's view ---

template <class Call>
auto SimStore::run(const char* kind, const std::string& name, const Call& call)
    -> decltype(call()) {
  const auto error = [&](const char* why) {
    return Error{std::make_error_code(std::errc::io_error),
                 std::string(why) + ": " + kind + " " + name};
  };
  if (killed_) return error("killed");
  simulation_.yield(*this);
  simulation_.maybe_stall(*this);
  ++simulation_.calls_;
  const bool dies = random(kChances) < faults_.kill;
  const bool fails = random(kChances) < faults_.error;
  const uint64_t how = dies || fails ? random(3) : 0;
  const std::string what = name_ + ": " + kind + " " + name;
  if (dies) {
    killed_ = true;
    const bool late = how == 2 && !being_put_.empty();
    if (late) {
      const int64_t delay = static_cast<int64_t>(random(40 * kHour));
      simulation_.late_.push_back({simulation_.clock_ns_ + delay, name, being_put_,
                                   std::string_view(kind) == "put_if_absent"});
    }
    const bool before = how == 0 || late;
    simulation_.note(what + (late ? " [killed, under way]" : before ? " [killed]" : ""));
    if (before) return error("killed");
    auto ignored = call();
    simulation_.note(what + " [killed after it]");
    return error("killed");
  }
  if (fails && how == 0) {
    simulation_.note(what + " [failed]");
    return error("injected");
  }
  auto result = call();
  simulation_.note(what + (!result.ok() ? ": " + result.error().message() : "") +
                   (fails ? " [failed after it]" : ""));
  // What others do before this client learns of the success.
  if (random(4) == 0) simulation_.yield(*this);
  simulation_.maybe_stall(*this);
  if (fails) return error("injected");
  return result;
}

void SimStore::reboot() {
  simulation_.note(name_ + " reboots");
  killed_ = false;
  sleep(static_cast<int64_t>(random(30 * 60 * kSecond)));
}

void SimStore::sleep(int64_t duration_ns) {
  wake_ns_ = simulation_.clock_ns_ + duration_ns;
  simulation_.yield(*this);
}

uint64_t SimStore::random(uint64_t n) {
  return simulation_.random_() % n;
}

Status SimStore::put_parts(const std::string& name, std::span<const ByteView> parts,
                           bool if_absent) {
  if (faults_.kill > 0) being_put_ = joined(parts);
  const Status result = run(if_absent ? "put_if_absent" : "put", name, [&] {
    vault::Store& behind = *simulation_.behind_;
    return if_absent ? behind.put_if_absent(name, parts) : behind.put(name, parts);
  });
  being_put_.clear();
  return result;
}

Status SimStore::put(const std::string& name, std::span<const ByteView> parts) {
  return put_parts(name, parts, false);
}
Status SimStore::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  return put_parts(name, parts, true);
}
Result<vault::ObjectInfo> SimStore::head(const std::string& name) {
  return run("head", name, [&] { return simulation_.behind_->head(name); });
}
Status SimStore::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  return run("get_range", name, [&] { return simulation_.behind_->get_range(name, offset, out); });
}
Result<Bytes> SimStore::get(const std::string& name, uint64_t bytes_max) {
  return run("get", name, [&] { return simulation_.behind_->get(name, bytes_max); });
}
Result<std::unique_ptr<vault::ObjectView>> SimStore::view(const std::string& name) {
  return run("view", name, [&] { return simulation_.behind_->view(name); });
}
Result<std::vector<vault::ObjectInfo>> SimStore::list(const std::string& prefix) {
  return run("list", prefix, [&] { return simulation_.behind_->list(prefix); });
}
Status SimStore::remove(const std::string& name) {
  return run("remove", name, [&] { return simulation_.behind_->remove(name); });
}
Result<io::TimeNs> SimStore::now_ns() {
  return run("now", "", [&]() -> Result<io::TimeNs> { return simulation_.clock_ns_; });
}
const vault::StoreTraits& SimStore::traits() const {
  return simulation_.behind_->traits();
}

// --- The simulation ---

Simulation::Simulation(uint64_t seed)
    : random_(seed), seed_(seed), own_objects_([this] { return clock_ns_; }) {}

Simulation::~Simulation() {
  CHECK(clients_.empty());
}

void Simulation::add(const std::string& name, SimFaults faults,
                     std::function<void(SimStore&)> body) {
  clients_.emplace_back(new SimStore(*this, name, faults));
  SimStore* client = clients_.back().get();
  const uint64_t thread_seed = seed_ * 1'000'003 + ++threads_;
  client->thread_ = std::thread([this, client, thread_seed, body = std::move(body)] {
    const SeededRandomness seeded(thread_seed);
    {
      std::unique_lock lock(mutex_);
      client->turn_.wait(lock, [&] { return client->has_turn_; });
    }
    body(*client);
    const std::lock_guard lock(mutex_);
    client->ended_ = true;
    client->has_turn_ = false;
    running_ = nullptr;
    idle_.notify_one();
  });
}

void Simulation::run(const std::function<void()>& look) {
  while (SimStore* client = next()) {
    deliver(false);
    if (look && random_() % 512 == 0) look();
    std::unique_lock lock(mutex_);
    running_ = client;
    client->has_turn_ = true;
    client->turn_.notify_one();
    idle_.wait(lock, [&] { return running_ == nullptr; });
  }
  deliver(true);
  for (const auto& client : clients_) client->thread_.join();
  clients_.clear();
}

SimStore* Simulation::next() {
  std::vector<SimStore*> awake;
  SimStore* first = nullptr;
  for (const auto& client : clients_) {
    if (client->ended_) continue;
    if (client->wake_ns_ <= clock_ns_) awake.push_back(client.get());
    if (first == nullptr || client->wake_ns_ < first->wake_ns_) first = client.get();
  }
  if (!awake.empty()) return awake[random_() % awake.size()];
  if (first != nullptr) clock_ns_ = std::max(clock_ns_, first->wake_ns_);
  return first;
}

void Simulation::yield(SimStore& client) {
  clock_ns_ += static_cast<int64_t>(random_() % (2 * kSecond));
  std::unique_lock lock(mutex_);
  client.has_turn_ = false;
  running_ = nullptr;
  idle_.notify_one();
  client.turn_.wait(lock, [&] { return client.has_turn_; });
}

void Simulation::maybe_stall(SimStore& client) {
  if (random_() % kChances < client.faults_.clock_jump) {
    clock_ns_ += static_cast<int64_t>(random_() % (60 * kDay));
    note("the store's clock jumps");
  }
  if (random_() % kChances >= client.faults_.stall) return;
  constexpr int64_t kHowLong[] = {10 * 60 * kSecond, 2 * kHour, 30 * kHour, 60 * kHour, 10 * kDay};
  const int64_t duration = kHowLong[random_() % std::size(kHowLong)];
  note(client.name_ + " stalls for " + std::to_string(duration / kSecond / 60) + " minutes");
  client.sleep(duration);
}

void Simulation::deliver(bool all) {
  for (size_t i = 0; i < late_.size();) {
    if (!all && late_[i].due_ns > clock_ns_) {
      ++i;
      continue;
    }
    const LatePut put = std::move(late_[i]);
    late_.erase(late_.begin() + static_cast<ptrdiff_t>(i));
    note("arrives late: " + put.name);
    const Status ignored = put.if_absent ? behind_->put_if_absent(put.name, put.bytes)
                                         : behind_->put(put.name, put.bytes);
  }
}

void Simulation::note(const std::string& text) {
  for (const char c : text)
    fingerprint_ = (fingerprint_ ^ static_cast<uint8_t>(c)) * 1099511628211u;
  if (log_.size() >= kLogMax) log_.erase(log_.begin(), log_.begin() + kLogMax / 2);
  log_.push_back(std::to_string((clock_ns_ - 1'700'000'000'000'000'000) / kSecond) + " " + text);
}

std::string Simulation::trace(size_t last) const {
  std::string out;
  for (size_t i = log_.size() > last ? log_.size() - last : 0; i < log_.size(); ++i) {
    out += log_[i] + "\n";
  }
  return out;
}

}  // namespace holdfast::testing
