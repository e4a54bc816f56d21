#include "vault/store/local_store.h"

#include <algorithm>

#include "base/crypto/random.h"
#include "base/units.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kTemporaryDirectory = "tmp";
constexpr std::string_view kReserveDirectory = "reserve";
constexpr std::string_view kReserveSizeName = "reserve/size";
constexpr uint64_t kReserveBlockBytes = 16 * kMiB;
constexpr uint64_t kReserveDefaultMax = 64 * kMiB;
constexpr uint64_t kReserveMin = 64 * kKiB;  // less is none
// No put takes so long; what is older has no writer any more, whatever the clocks of other hosts
// say.
constexpr io::TimeNs kAbandonedAfterNs = int64_t{24} * 3600 * 1'000'000'000;
constexpr int kWriteAttempts = 3;
constexpr size_t kOpenFilesMax = 32;

class FileView final : public ObjectView {
 public:
  FileView(std::unique_ptr<io::ReadableFile> file, ByteView mapped)
      : file_(std::move(file)), bytes_(mapped) {}
  explicit FileView(Bytes copy) : copy_(std::move(copy)), bytes_(copy_) {}
  ByteView bytes() const override { return bytes_; }

 private:
  std::unique_ptr<io::ReadableFile> file_;
  Bytes copy_;
  ByteView bytes_;
};

}  // namespace

LocalStore::LocalStore(io::FileSystem& fs, std::string root) : fs_(fs), root_(std::move(root)) {
  traits_.kind = "directory";
}

Result<std::unique_ptr<LocalStore>> LocalStore::open(io::FileSystem& fs, const std::string& root) {
  TRY(const io::FileInfo info, fs.info(root));
  if (!info.is_directory) return errno_error(ENOTDIR, root);
  std::unique_ptr<LocalStore> store(new LocalStore(fs, root));
  TRY(store->traits_.network_file_system, fs.is_network(root));
  return store;
}

Result<std::unique_ptr<LocalStore>> LocalStore::create(io::FileSystem& fs,
                                                       const std::string& root) {
  TRYV(io::make_directories(fs, root));
  TRY(const auto entries, fs.list(root));
  for (const io::DirectoryEntry& e : entries) {
    // A file system's own directory at its root is no reason to refuse a fresh disk.
    if (e.name != "lost+found") return errno_error(ENOTEMPTY, root);
  }
  return open(fs, root);
}

Status LocalStore::put(const std::string& name, std::span<const ByteView> parts) {
  return write_object(name, parts, Existing::replace);
}

Status LocalStore::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  return write_object(name, parts, Existing::refuse);
}

Status LocalStore::write_object(const std::string& name, std::span<const ByteView> parts,
                                Existing existing) {
  const std::string path = path_of(name);
  if (existing == Existing::refuse && fs_.info(path).ok()) return errno_error(EEXIST, name);
  const std::string directory = io::parent_path(path);
  TRYV(ensure_directory(directory));
  TRYV(ensure_directory(path_of(std::string(kTemporaryDirectory))));
  std::call_once(abandoned_once_, [this] { remove_abandoned(); });
  Status written;
  std::string temporary;
  for (int attempt = 0; attempt < kWriteAttempts; ++attempt) {
    temporary = path_of(std::string(kTemporaryDirectory) + "/" + to_hex(crypto::random_array<8>()));
    written = write_temporary(temporary, parts);
    if (written.ok()) break;
    (void)fs_.remove(temporary);
    // Only a lost write is worth a second try; a full or read-only disk stays what it is.
    if (written.error().code != std::errc::io_error) break;
  }
  if (!written.ok()) return std::move(written).error().in("object " + name);
  {
    // What is open may be what is about to be replaced.
    const std::lock_guard lock(mutex_);
    open_files_.erase(name);
  }
  const Status renamed =
      existing == Existing::refuse ? fs_.rename_new(temporary, path) : fs_.rename(temporary, path);
  if (!renamed.ok()) {
    (void)fs_.remove(temporary);
    return Error(renamed.error()).in("object " + name);
  }
  return fs_.sync_directory(directory);
}

Status LocalStore::write_temporary(const std::string& path, std::span<const ByteView> parts) {
  TRY(const auto file, fs_.create(path));
  TRYV(file->write_parts(parts));
  TRYV(file->sync());
  return file->close();
}

// What a killed or powered-off writer left. Best effort: nothing depends on it.
void LocalStore::remove_abandoned() {
  const std::string directory = path_of(std::string(kTemporaryDirectory));
  const auto entries = fs_.list(directory);
  if (!entries.ok()) return;
  for (const io::DirectoryEntry& e : *entries) {
    if (e.is_directory) continue;
    const std::string path = io::join_path(directory, e.name);
    const auto info = fs_.info(path);
    if (info.ok() && fs_.now_ns() - info->modified_ns > kAbandonedAfterNs) (void)fs_.remove(path);
  }
}

// make_directories, remembering what is there: sessions put hundreds of objects into one directory.
Status LocalStore::ensure_directory(const std::string& directory) {
  {
    const std::lock_guard lock(mutex_);
    if (known_directories_.contains(directory)) return {};
  }
  TRYV(io::make_directories(fs_, directory));
  const std::lock_guard lock(mutex_);
  known_directories_.insert(directory);
  return {};
}

Result<ObjectInfo> LocalStore::head(const std::string& name) {
  TRY(const io::FileInfo info, fs_.info(path_of(name)));
  if (info.is_directory) return errno_error(ENOENT, name);
  return ObjectInfo{name, info.size_bytes, info.modified_ns};
}

Result<std::shared_ptr<io::ReadableFile>> LocalStore::opened(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = open_files_.find(name); it != open_files_.end()) {
      it->second.second = ++use_counter_;
      return it->second.first;
    }
  }
  TRY(auto file, fs_.open(path_of(name)));
  std::shared_ptr<io::ReadableFile> shared(std::move(file));
  const std::lock_guard lock(mutex_);
  if (open_files_.size() >= kOpenFilesMax) {
    open_files_.erase(std::min_element(
        open_files_.begin(), open_files_.end(),
        [](const auto& a, const auto& b) { return a.second.second < b.second.second; }));
  }
  open_files_[name] = {shared, ++use_counter_};
  return shared;
}

Status LocalStore::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  TRY(const auto file, opened(name));
  TRY(const size_t got, file->read_at(offset, out));
  if (got != out.size()) {
    return Error{holdfast::Errc::malformed, "object " + name + " is shorter than it should be"};
  }
  return {};
}

Result<Bytes> LocalStore::get(const std::string& name, uint64_t bytes_max) {
  auto bytes = io::read_file(fs_, path_of(name), bytes_max);
  if (!bytes.ok()) return std::move(bytes).error().in("object " + name);
  return bytes;
}

Result<std::unique_ptr<ObjectView>> LocalStore::view(const std::string& name) {
  TRY(auto file, fs_.open(path_of(name)));
  TRY(const ByteView mapped, file->map());
  if (mapped.size() == file->size_bytes()) {
    return std::unique_ptr<ObjectView>(new FileView(std::move(file), mapped));
  }
  Bytes copy(file->size_bytes());
  TRY(const size_t got, file->read_at(0, copy));
  if (got != copy.size()) return Error{holdfast::Errc::malformed, "object " + name + " changed"};
  return std::unique_ptr<ObjectView>(new FileView(std::move(copy)));
}

Result<std::vector<ObjectInfo>> LocalStore::list(const std::string& prefix) {
  CHECK(prefix.empty() || prefix.back() == '/');
  std::vector<ObjectInfo> out;
  TRYV(list_below(prefix, out));
  std::sort(out.begin(), out.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
  return out;
}

Status LocalStore::list_below(const std::string& directory, std::vector<ObjectInfo>& out) {
  auto entries = fs_.list(path_of(directory));
  if (!entries.ok()) {
    // No object with this prefix yet, or the directory went with its last object.
    if (entries.error().code == std::errc::no_such_file_or_directory) return {};
    return std::move(entries).error();
  }
  for (const io::DirectoryEntry& e : *entries) {
    const std::string name = directory + e.name;
    if (e.is_directory) {
      if (name != kTemporaryDirectory && name != kReserveDirectory && name != "lost+found") {
        TRYV(list_below(name + "/", out));
      }
      continue;
    }
    auto info = fs_.info(path_of(name));
    if (info.ok()) {
      out.push_back({name, info->size_bytes, info->modified_ns});
    } else if (info.error().code != std::errc::no_such_file_or_directory) {
      return std::move(info).error();
    }
  }
  return {};
}

Status LocalStore::remove(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    open_files_.erase(name);
  }
  const std::string path = path_of(name);
  const Status removed = fs_.remove(path);
  if (!removed.ok()) {
    if (removed.error().code == std::errc::no_such_file_or_directory) return {};
    return removed;
  }
  return fs_.sync_directory(io::parent_path(path));
}

Status LocalStore::set_reserve(std::optional<uint64_t> bytes) {
  if (!bytes) {
    TRY(const io::Space space, fs_.space(root_));
    bytes = std::min(kReserveDefaultMax, space.total_bytes / 100);
  }
  if (*bytes < kReserveMin) bytes = 0;
  const auto before = fs_.info(path_of(std::string(kReserveSizeName)));
  if (*bytes == 0 && !before.ok()) return {};
  TRYV(ensure_directory(path_of(std::string(kReserveDirectory))));
  TRYV(io::write_file(fs_, path_of(std::string(kReserveSizeName)),
                      as_bytes(std::to_string(*bytes) + "\n")));
  TRY(auto blocks, reserve_blocks());
  uint64_t have = 0;
  for (const auto& [path, size] : blocks) have += size;
  for (; have > *bytes && !blocks.empty(); blocks.pop_back()) {
    TRYV(fs_.remove(blocks.back().first));
    have -= blocks.back().second;
  }
  return restore_reserve();
}

Result<std::vector<std::pair<std::string, uint64_t>>> LocalStore::reserve_blocks() {
  std::vector<std::pair<std::string, uint64_t>> out;
  const std::string directory = path_of(std::string(kReserveDirectory));
  const auto entries = fs_.list(directory);
  if (!entries.ok()) {
    if (entries.error().code == std::errc::no_such_file_or_directory) return out;
    return entries.error();
  }
  for (const io::DirectoryEntry& e : *entries) {
    const std::string path = io::join_path(directory, e.name);
    if (e.is_directory || path == path_of(std::string(kReserveSizeName))) continue;
    TRY(const io::FileInfo info, fs_.info(path));
    out.emplace_back(path, info.size_bytes);
  }
  return out;
}

Result<uint64_t> LocalStore::release_reserve() {
  TRY(const auto blocks, reserve_blocks());
  uint64_t freed = 0;
  for (const auto& [path, size] : blocks) {
    TRYV(fs_.remove(path));
    freed += size;
  }
  // Freed for good only when the removal is: some file systems keep the blocks until then.
  if (!blocks.empty()) TRYV(fs_.sync_directory(path_of(std::string(kReserveDirectory))));
  return freed;
}

Status LocalStore::restore_reserve() {
  const auto text = io::read_file(fs_, path_of(std::string(kReserveSizeName)), 64);
  if (!text.ok()) {
    if (text.error().code == std::errc::no_such_file_or_directory) return {};
    return text.error();
  }
  TRY(const uint64_t wanted, parse_size(as_text(*text).substr(0, as_text(*text).find('\n'))));
  TRY(const auto blocks, reserve_blocks());
  uint64_t have = 0;
  for (const auto& [path, size] : blocks) have += size;
  // Bytes that no file system can compress or share.
  Bytes block;
  while (have < wanted) {
    block.resize(std::min(kReserveBlockBytes, wanted - have));
    crypto::random_fill(block);
    const std::string path =
        path_of(std::string(kReserveDirectory) + "/" + to_hex(crypto::random_array<8>()));
    const ByteView part = block;
    if (Status written = write_temporary(path, {&part, 1}); !written.ok()) {
      (void)fs_.remove(path);
      return std::move(written).error().in("reserved space");
    }
    have += block.size();
  }
  return fs_.sync_directory(path_of(std::string(kReserveDirectory)));
}

Result<io::TimeNs> LocalStore::now_ns() {
  return fs_.now_ns();
}

}  // namespace holdfast::vault
