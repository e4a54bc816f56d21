#include "backup-agent/scan/listing.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <sys/syscall.h>

namespace holdfast::backup_agent {
namespace {

constexpr size_t kGetdentsBytes = 64 * 1024;
// Cache Directory Tagging Specification (bford.info/cachedir), section "Tag file".
constexpr std::string_view kCacheTagName = "CACHEDIR.TAG";
constexpr std::string_view kCacheTagSignature = "Signature: 8a477f597d28d172789f06886806bc55";

struct LinuxDirent64 {
  uint64_t inode;
  int64_t offset;
  uint16_t record_bytes;
  uint8_t type;
  char name[1];
};

io::TimeNs coarse_now_ns() {
  // The clock that file systems stamp with, so that a comparison with ctime is exact.
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return static_cast<io::TimeNs>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

bool is_tagged_cache(int fd) {
  const io::Fd tag(::openat(fd, std::string(kCacheTagName).c_str(),
                            O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!tag) return false;
  char text[kCacheTagSignature.size()];
  const ssize_t n = ::pread(tag.get(), text, sizeof text, 0);
  return n == static_cast<ssize_t>(sizeof text) &&
         std::string_view(text, sizeof text) == kCacheTagSignature;
}

bool is_directory_type(int fd, const char* name, uint8_t type) {
  if (type != DT_UNKNOWN) return type == DT_DIR;
  const auto st = stat_at(fd, name);
  return st.ok() && st->is_directory();
}

Status read_names(int fd, const Filter& filter, const std::string& key, Listing& out) {
  std::vector<char> buffer(kGetdentsBytes);
  if (::lseek(fd, 0, SEEK_SET) < 0) return errno_error("");
  for (;;) {
    const long n = ::syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
    if (n < 0) return errno_error("");
    if (n == 0) break;
    for (long at = 0; at < n;) {
      const auto* e = reinterpret_cast<const LinuxDirent64*>(buffer.data() + at);
      at += e->record_bytes;
      const std::string_view name = e->name;
      if (name == "." || name == "..") continue;
      const bool is_directory = is_directory_type(fd, e->name, e->type);
      if (!filter.exclude.empty() && filter.excludes(child_key(key, name), is_directory)) continue;
      out.names.push_back({static_cast<uint32_t>(out.arena.size()),
                           static_cast<uint16_t>(name.size()), is_directory});
      out.arena += name;
    }
  }
  std::sort(out.names.begin(), out.names.end(), [&](const auto& a, const auto& b) {
    const std::string_view all = out.arena;
    return all.substr(a.offset, a.length) < all.substr(b.offset, b.length);
  });
  return {};
}

}  // namespace

const FileSystemInfo* FileSystems::find(uint64_t device) {
  const std::lock_guard lock(mutex_);
  const auto it = by_device_.find(device);
  return it == by_device_.end() ? nullptr : it->second.get();
}

const FileSystemInfo& FileSystems::identify(int fd, const FileStat& st) {
  if (const FileSystemInfo* known = find(st.device)) return *known;
  auto info = std::make_unique<FileSystemInfo>(identify_file_system(fd, st));
  const std::lock_guard lock(mutex_);
  return *by_device_.try_emplace(st.device, std::move(info)).first->second;
}

std::string child_key(std::string_view parent, std::string_view name) {
  std::string key;
  key.reserve(parent.size() + 1 + name.size());
  key = parent;
  if (!key.empty()) key.push_back('/');
  key += name;
  return key;
}

void read_listing(const ListingContext& context, const std::string& key, Listing& out) {
  const auto read = [&]() -> Status {
    TRY(const auto fd, out.directory->fd());
    TRY(out.stat, stat_at(fd->get(), ""));
    out.file_system = &context.file_systems.identify(fd->get(), out.stat);
    if (context.options.skip.contains({out.stat.device, out.stat.inode})) {
      out.left_out = "it is the vault itself";
      return {};
    }
    if (out.file_system->is_pseudo) {
      out.left_out = "its file system holds kernel state, not files";
      return {};
    }
    TRYV(read_names(fd->get(), context.filter, key, out));
    if (context.filter.exclude_caches) {
      const auto tag = std::find_if(out.names.begin(), out.names.end(), [&](const auto& n) {
        return std::string_view(out.arena).substr(n.offset, n.length) == kCacheTagName;
      });
      if (tag != out.names.end() && is_tagged_cache(fd->get())) out.names = {*tag};
    }
    return {};
  };
  if (Status done = read(); !done.ok()) {
    out.error = std::move(done).error();
    out.names.clear();
    return;
  }
  out.first_batch = read_batch(out, 0);
}

Listing::Batch read_batch(const Listing& listing, size_t index) {
  const size_t begin = index * Listing::kBatch;
  const size_t end = std::min(begin + Listing::kBatch, listing.names.size());
  Listing::Batch batch(end > begin ? end - begin : 0);
  if (batch.empty()) return batch;
  const auto fd = listing.directory->fd();
  std::string name;
  for (size_t i = begin; i < end; ++i) {
    Listing::Stat& out = batch[i - begin];
    if (!fd.ok()) {
      out.error = fd.error().code.value();
      continue;
    }
    name = listing.name(i);
    out.seen_ns = coarse_now_ns();
    auto st = stat_at((*fd)->get(), name.c_str());
    if (st.ok()) {
      out.stat = *st;
    } else {
      out.error = st.error().code.value();
    }
  }
  return batch;
}

}  // namespace holdfast::backup_agent
