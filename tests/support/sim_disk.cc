#include "tests/support/sim_disk.h"

#include <algorithm>

namespace holdfast::testing {
namespace {

Error error_of(std::errc code, const std::string& context) {
  return Error{std::make_error_code(code), context};
}

}  // namespace

class SimWritableFile final : public io::WritableFile {
 public:
  SimWritableFile(SimDisk& disk, SimDisk::InodePtr inode, std::string path, uint64_t epoch)
      : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), epoch_(epoch) {}

  Status write(ByteView bytes) override {
    const std::lock_guard lock(disk_.mutex_);
    std::optional<std::errc> fail_after;
    TRYV(check());
    TRYV(disk_.begin("write " + path_, fail_after));
    if (disk_.used_bytes() + bytes.size() > disk_.capacity_) {
      return error_of(std::errc::no_space_on_device, "cannot write " + path_);
    }
    append(inode_->data, bytes);
    inode_->sync_lost = false;
    inode_->modified_ns = ++disk_.clock_ns_;
    if (fail_after) return error_of(*fail_after, "cannot write " + path_);
    return {};
  }
  Status sync() override {
    const std::lock_guard lock(disk_.mutex_);
    std::optional<std::errc> fail_after;
    TRYV(check());
    if (Status begun = disk_.begin("sync " + path_, fail_after); !begun.ok()) {
      inode_->sync_lost = true;
      return begun;
    }
    if (!inode_->sync_lost) {
      inode_->synced = inode_->data;
      inode_->was_synced = true;
    }
    if (fail_after) return error_of(*fail_after, "cannot sync " + path_);
    return {};
  }
  Status close() override {
    const std::lock_guard lock(disk_.mutex_);
    std::optional<std::errc> fail_after;
    TRYV(check());
    TRYV(disk_.begin("close " + path_, fail_after));
    if (fail_after) return error_of(*fail_after, "cannot close " + path_);
    return {};
  }

 private:
  Status check() const {
    if (epoch_ != disk_.epoch_) return error_of(std::errc::io_error, path_ + " (power was cut)");
    return {};
  }

  SimDisk& disk_;
  SimDisk::InodePtr inode_;
  std::string path_;
  uint64_t epoch_;
};

class SimReadableFile final : public io::ReadableFile {
 public:
  SimReadableFile(SimDisk& disk, SimDisk::InodePtr inode, std::string path)
      : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), size_(inode_->data.size()) {}

  uint64_t size_bytes() const override { return size_; }
  Result<size_t> read_at(uint64_t offset, MutableByteView out) const override {
    const std::lock_guard lock(disk_.mutex_);
    std::optional<std::errc> fail_after;
    TRYV(disk_.begin("read " + path_, fail_after));
    if (fail_after) return error_of(*fail_after, "cannot read " + path_);
    const Bytes& data = inode_->data;
    if (offset >= data.size()) return size_t{0};
    const size_t n = std::min<uint64_t>(out.size(), data.size() - offset);
    if (n > 0) std::memcpy(out.data(), data.data() + offset, n);
    return n;
  }
  Result<ByteView> map() override { return ByteView{}; }  // cannot be mapped

 private:
  SimDisk& disk_;
  SimDisk::InodePtr inode_;
  std::string path_;
  uint64_t size_;
};

SimDisk::SimDisk(uint64_t) : root_(std::make_shared<Inode>()) {
  root_->is_directory = true;
}

uint64_t SimDisk::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void SimDisk::fail_operation(uint64_t number, std::errc error, bool after_effect) {
  const std::lock_guard lock(mutex_);
  faults_[number] = {error, after_effect};
}

void SimDisk::cut_power_at(uint64_t number) {
  const std::lock_guard lock(mutex_);
  cut_at_ = number;
}

bool SimDisk::has_power() const {
  const std::lock_guard lock(mutex_);
  return power_;
}

void SimDisk::set_capacity(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void SimDisk::set_read_only(bool yes) {
  const std::lock_guard lock(mutex_);
  read_only_ = yes;
}

std::vector<std::string> SimDisk::log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

Status SimDisk::begin(const std::string& what, std::optional<std::errc>& fail_after) {
  if (!power_) return error_of(std::errc::io_error, what + " (no power)");
  const uint64_t number = operations_++;
  log_.push_back(what);
  if (cut_at_ && number >= *cut_at_) {
    power_ = false;
    return error_of(std::errc::io_error, what + " (power cut)");
  }
  if (const auto it = faults_.find(number); it != faults_.end()) {
    if (!it->second.after_effect) return error_of(it->second.error, what);
    fail_after = it->second.error;
  }
  const bool changes = !what.starts_with("read ") && !what.starts_with("open ") &&
                       !what.starts_with("info ") && !what.starts_with("list ");
  if (read_only_ && changes) return error_of(std::errc::read_only_file_system, what);
  return {};
}

Result<SimDisk::InodePtr> SimDisk::find(const std::string& path) const {
  InodePtr at = root_;
  size_t begin = 0;
  while (begin < path.size()) {
    size_t end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    if (!at->is_directory) return error_of(std::errc::not_a_directory, path);
    const auto it = at->entries.find(name);
    if (it == at->entries.end()) return error_of(std::errc::no_such_file_or_directory, path);
    at = it->second;
  }
  return at;
}

Result<SimDisk::InodePtr> SimDisk::parent_of(const std::string& path, std::string& name) const {
  const size_t slash = path.rfind('/');
  name = slash == std::string::npos ? path : path.substr(slash + 1);
  return find(slash == std::string::npos ? "" : path.substr(0, slash));
}

void SimDisk::change(std::vector<NameChange> changes) {
  for (const NameChange& c : changes) {
    if (c.after) {
      c.directory->entries[c.name] = c.after;
    } else {
      c.directory->entries.erase(c.name);
    }
  }
  pending_.push_back({std::move(changes)});
}

uint64_t SimDisk::used_bytes() const {
  std::vector<std::string> files;
  uint64_t n = 0;
  const auto add = [&](const auto& self, const InodePtr& directory) -> void {
    for (const auto& [name, inode] : directory->entries) {
      if (inode->is_directory) {
        self(self, inode);
      } else {
        n += inode->data.size();
      }
    }
  };
  add(add, root_);
  return n;
}

Result<std::unique_ptr<io::WritableFile>> SimDisk::create(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("create " + path, fail_after));
  std::string name;
  TRY(const InodePtr parent, parent_of(path, name));
  if (parent->entries.contains(name)) return error_of(std::errc::file_exists, path);
  auto inode = std::make_shared<Inode>();
  inode->modified_ns = ++clock_ns_;
  change({{parent, name, inode}});
  if (fail_after) return error_of(*fail_after, path);
  return std::unique_ptr<io::WritableFile>(new SimWritableFile(*this, inode, path, epoch_));
}

Result<std::unique_ptr<io::ReadableFile>> SimDisk::open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("open " + path, fail_after));
  if (fail_after) return error_of(*fail_after, path);
  TRY(const InodePtr inode, find(path));
  if (inode->is_directory) return error_of(std::errc::is_a_directory, path);
  return std::unique_ptr<io::ReadableFile>(new SimReadableFile(*this, inode, path));
}

Status SimDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("rename " + to, fail_after));
  TRYV(rename_locked(from, to, true));
  if (fail_after) return error_of(*fail_after, to);
  return {};
}

Status SimDisk::rename_new(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("rename-new " + to, fail_after));
  TRYV(rename_locked(from, to, false));
  if (fail_after) return error_of(*fail_after, to);
  return {};
}

Status SimDisk::rename_locked(const std::string& from, const std::string& to, bool replace) {
  std::string from_name;
  std::string to_name;
  TRY(const InodePtr from_parent, parent_of(from, from_name));
  TRY(const InodePtr to_parent, parent_of(to, to_name));
  const auto it = from_parent->entries.find(from_name);
  if (it == from_parent->entries.end()) {
    return error_of(std::errc::no_such_file_or_directory, from);
  }
  if (!replace && to_parent->entries.contains(to_name)) {
    return error_of(std::errc::file_exists, to);
  }
  const InodePtr inode = it->second;
  change({{from_parent, from_name, nullptr}, {to_parent, to_name, inode}});
  return {};
}

Status SimDisk::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("remove " + path, fail_after));
  std::string name;
  TRY(const InodePtr parent, parent_of(path, name));
  const auto it = parent->entries.find(name);
  if (it == parent->entries.end()) return error_of(std::errc::no_such_file_or_directory, path);
  if (it->second->is_directory && !it->second->entries.empty()) {
    return error_of(std::errc::directory_not_empty, path);
  }
  change({{parent, name, nullptr}});
  if (fail_after) return error_of(*fail_after, path);
  return {};
}

Status SimDisk::make_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("mkdir " + path, fail_after));
  std::string name;
  TRY(const InodePtr parent, parent_of(path, name));
  if (!parent->entries.contains(name)) {
    auto inode = std::make_shared<Inode>();
    inode->is_directory = true;
    change({{parent, name, inode}});
  }
  if (fail_after) return error_of(*fail_after, path);
  return {};
}

Status SimDisk::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("sync-directory " + path, fail_after));
  TRY(const InodePtr directory, find(path));
  // Every pending operation that touches this directory becomes durable, whole.
  std::erase_if(pending_, [&](const PendingOperation& op) {
    const bool touches = std::any_of(op.changes.begin(), op.changes.end(),
                                     [&](const NameChange& c) { return c.directory == directory; });
    if (!touches) return false;
    for (const NameChange& c : op.changes) {
      if (c.after) {
        c.directory->durable_entries[c.name] = c.after;
      } else {
        c.directory->durable_entries.erase(c.name);
      }
    }
    return true;
  });
  if (fail_after) return error_of(*fail_after, path);
  return {};
}

Result<io::FileInfo> SimDisk::info(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("info " + path, fail_after));
  if (fail_after) return error_of(*fail_after, path);
  TRY(const InodePtr inode, find(path));
  return io::FileInfo{inode->data.size(), inode->modified_ns, inode->is_directory};
}

Result<std::vector<io::DirectoryEntry>> SimDisk::list(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("list " + path, fail_after));
  if (fail_after) return error_of(*fail_after, path);
  TRY(const InodePtr inode, find(path));
  if (!inode->is_directory) return error_of(std::errc::not_a_directory, path);
  std::vector<io::DirectoryEntry> out;
  for (const auto& [name, child] : inode->entries) out.push_back({name, child->is_directory});
  return out;
}

Result<io::Space> SimDisk::space(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::optional<std::errc> fail_after;
  TRYV(begin("info " + path, fail_after));
  if (fail_after) return error_of(*fail_after, path);
  const uint64_t used = used_bytes();
  return io::Space{capacity_, used < capacity_ ? capacity_ - used : 0};
}

io::TimeNs SimDisk::now_ns() {
  const std::lock_guard lock(mutex_);
  return ++clock_ns_;
}

// Makes the current state of a directory, and of everything below it, what survived.
void SimDisk::settle(const InodePtr& directory, std::mt19937_64& random) {
  directory->entries = directory->durable_entries;
  for (const auto& [name, inode] : directory->entries) {
    if (inode->is_directory) {
      settle(inode, random);
      continue;
    }
    if (inode->data.size() > inode->synced.size() || !inode->was_synced) {
      const size_t safe = inode->synced.size();
      Bytes survived = inode->data;
      switch (random() % 4) {
        case 0:
          survived.resize(safe);
          break;
        case 1:
          survived.resize(safe + random() % (survived.size() - safe + 1));
          break;
        case 2:
          // Size made it to disk, the blocks did not.
          std::fill(survived.begin() + static_cast<ptrdiff_t>(safe), survived.end(), uint8_t{0});
          break;
        default:
          break;
      }
      inode->data = std::move(survived);
    }
    inode->synced = inode->data;
    inode->was_synced = true;
    inode->sync_lost = false;
  }
}

void SimDisk::reboot(uint64_t seed) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  // Of each name, a prefix of its pending changes survives: once one is lost, so are later ones.
  std::vector<std::pair<InodePtr, std::string>> lost_names;
  const auto is_lost = [&](const NameChange& c) {
    return std::any_of(lost_names.begin(), lost_names.end(),
                       [&](const auto& n) { return n.first == c.directory && n.second == c.name; });
  };
  for (const PendingOperation& op : pending_) {
    const bool blocked = std::any_of(op.changes.begin(), op.changes.end(), is_lost);
    if (!blocked && random() % 2 == 0) {
      for (const NameChange& c : op.changes) {
        if (c.after) {
          c.directory->durable_entries[c.name] = c.after;
        } else {
          c.directory->durable_entries.erase(c.name);
        }
      }
    } else {
      for (const NameChange& c : op.changes) lost_names.emplace_back(c.directory, c.name);
    }
  }
  pending_.clear();
  settle(root_, random);
  power_ = true;
  cut_at_.reset();
  faults_.clear();
  ++epoch_;
}

std::optional<Bytes> SimDisk::peek(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  if (!inode.ok() || (*inode)->is_directory) return std::nullopt;
  return (*inode)->data;
}

void SimDisk::poke(const std::string& path, Bytes bytes) {
  const std::lock_guard lock(mutex_);
  const auto inode = find(path);
  CHECK(inode.ok());
  (*inode)->data = bytes;
  (*inode)->synced = std::move(bytes);
}

void SimDisk::collect(const InodePtr& directory, const std::string& prefix,
                      std::vector<std::string>& out) const {
  for (const auto& [name, inode] : directory->entries) {
    if (inode->is_directory) {
      collect(inode, prefix + name + "/", out);
    } else {
      out.push_back(prefix + name);
    }
  }
}

std::vector<std::string> SimDisk::all_files() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  collect(root_, "", out);
  return out;
}

}  // namespace holdfast::testing
