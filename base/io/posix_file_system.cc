#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "base/io/fd.h"
#include "base/io/file_system.h"

namespace holdfast::io {

Result<size_t> read_at(int fd, uint64_t offset, MutableByteView out) {
  size_t have = 0;
  while (have < out.size()) {
    const ssize_t n =
        ::pread(fd, out.data() + have, out.size() - have, static_cast<off_t>(offset + have));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno_error("");
    }
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  return have;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

namespace {

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status write(ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        return errno_error("cannot write " + path_);
      }
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return {};
  }
  Status write_parts(std::span<const ByteView> parts) override {
    uint64_t total = 0;
    for (const ByteView part : parts) total += part.size();
    const Memory buffer(total < kDirectMin ? nullptr : std::aligned_alloc(kBlock, kBufferBytes));
    if (buffer == nullptr || !set_direct(true)) return WritableFile::write_parts(parts);
    const MutableByteView room(static_cast<uint8_t*>(buffer.get()), kBufferBytes);
    size_t used = 0;
    for (ByteView part : parts) {
      while (!part.empty()) {
        const size_t n = std::min(part.size(), room.size() - used);
        std::memcpy(room.data() + used, part.data(), n);
        used += n;
        part = part.subspan(n);
        if (used < room.size()) continue;
        TRYV(write_blocks(room));
        used = 0;
      }
    }
    set_direct(false);
    return write(room.first(used));
  }
  Status sync() override {
    // An interrupted sync (NFS, FUSE) says nothing about the data: unlike after an error, the next
    // one still saves it.
    while (::fdatasync(fd_.get()) != 0) {
      if (errno != EINTR) return errno_error("cannot sync " + path_);
    }
    return {};
  }
  Status close() override {
    // Network file systems report write errors here. Linux has closed it also when it says EINTR:
    // the number may be somebody else's already, and what matters was synced.
    if (::close(fd_.release()) != 0 && errno != EINTR) return errno_error("cannot close " + path_);
    return {};
  }

 private:
  // Of memory, offset and length for O_DIRECT; no device wants more.
  static constexpr size_t kBlock = 4096;
  static constexpr size_t kBufferBytes = 4 * 1024 * 1024;
  static constexpr uint64_t kDirectMin = 2 * kBufferBytes;
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  using Memory = std::unique_ptr<void, Free>;

  bool set_direct(bool on) {
    const int flags = ::fcntl(fd_.get(), F_GETFL);
    return flags >= 0 &&
           ::fcntl(fd_.get(), F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
  }

  // As long as all goes well these are whole blocks; a short write may end anywhere.
  Status write_blocks(ByteView bytes) {
    const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
    if (n == static_cast<ssize_t>(bytes.size())) return {};
    if (n < 0 && errno != EINVAL && errno != EINTR) return errno_error("cannot write " + path_);
    set_direct(false);
    return write(bytes.subspan(n < 0 ? 0 : static_cast<size_t>(n)));
  }

  Fd fd_;
  std::string path_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(Fd fd, uint64_t size, std::string path)
      : fd_(std::move(fd)), size_(size), path_(std::move(path)) {}
  ~PosixReadableFile() override {
    if (map_ != nullptr) ::munmap(map_, size_);
  }

  uint64_t size_bytes() const override { return size_; }
  Result<size_t> read_at(uint64_t offset, MutableByteView out) const override {
    if (map_ != nullptr) {
      const size_t n = offset < size_ ? std::min<uint64_t>(out.size(), size_ - offset) : 0;
      if (n > 0) std::memcpy(out.data(), static_cast<const uint8_t*>(map_) + offset, n);
      return n;
    }
    auto have = io::read_at(fd_.get(), offset, out);
    if (!have.ok()) return Error{have.error().code, "cannot read " + path_};
    return have;
  }
  Result<ByteView> map() override {
    if (map_ == nullptr && size_ > 0) {
      void* p = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_.get(), 0);
      if (p == MAP_FAILED) return errno_error("cannot map " + path_);
      map_ = p;
      fd_.reset();  // thousands of files may stay mapped, and descriptors are few
    }
    return ByteView(static_cast<const uint8_t*>(map_), size_);
  }

 private:
  Fd fd_;
  uint64_t size_;
  std::string path_;
  void* map_ = nullptr;
};

TimeNs to_ns(const timespec& t) {
  return static_cast<TimeNs>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override {
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return errno_error("cannot create " + path);
    return std::unique_ptr<WritableFile>(new PosixWritableFile(std::move(fd), path));
  }

  Result<std::unique_ptr<ReadableFile>> open(const std::string& path) override {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return errno_error("cannot open " + path);
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return errno_error("cannot open " + path);
    if (S_ISDIR(st.st_mode)) return errno_error(EISDIR, path);
    return std::unique_ptr<ReadableFile>(
        new PosixReadableFile(std::move(fd), static_cast<uint64_t>(st.st_size), path));
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return errno_error("cannot rename to " + to);
    return {};
  }

  Status rename_new(const std::string& from, const std::string& to) override {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno != EINVAL && errno != ENOSYS) return errno_error("cannot rename to " + to);
    // File systems without the flag (NFS among them): link refuses an existing name everywhere.
    if (::link(from.c_str(), to.c_str()) != 0) return errno_error("cannot create " + to);
    if (::unlink(from.c_str()) != 0) return errno_error("cannot remove " + from);
    return {};
  }

  Status remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return errno_error("cannot remove " + path);
    return {};
  }

  Status make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return errno_error("cannot create directory " + path);
  }

  Status sync_directory(const std::string& path) override {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return errno_error("cannot sync directory " + path);
    while (::fsync(fd.get()) != 0) {
      // The file system has no such thing as syncing a directory (some FUSE ones).
      if (errno == EINVAL) break;
      if (errno != EINTR) return errno_error("cannot sync directory " + path);
    }
    return {};
  }

  Result<FileInfo> info(const std::string& path) override {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return errno_error("cannot find " + path);
    return FileInfo{static_cast<uint64_t>(st.st_size), to_ns(st.st_mtim), S_ISDIR(st.st_mode)};
  }

  Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return errno_error("cannot list " + path);
    std::vector<DirectoryEntry> entries;
    errno = 0;
    while (const dirent* e = ::readdir(dir)) {
      const std::string_view name = e->d_name;
      if (name != "." && name != "..") {
        bool is_directory = e->d_type == DT_DIR;
        if (e->d_type == DT_UNKNOWN) {
          auto entry_info = info(join_path(path, name));
          is_directory = entry_info.ok() && entry_info->is_directory;
        }
        entries.push_back({std::string(name), is_directory});
      }
      errno = 0;
    }
    const int error = errno;  // an error in the middle must not look like a short directory
    ::closedir(dir);
    if (error != 0) return errno_error(error, "cannot list " + path);
    return entries;
  }

  Result<bool> is_network(const std::string& path) override {
    struct statfs fs {};
    if (::statfs(path.c_str(), &fs) != 0) return errno_error("cannot find " + path);
    switch (static_cast<uint32_t>(fs.f_type)) {
      case 0x6969:      // NFS_SUPER_MAGIC
      case 0x517b:      // SMB_SUPER_MAGIC
      case 0xff534d42:  // CIFS_SUPER_MAGIC
      case 0xfe534d42:  // SMB2_SUPER_MAGIC
      case 0x65735546:  // FUSE_SUPER_MAGIC
      case 0x00c36400:  // CEPH_SUPER_MAGIC
      case 0x01021997:  // V9FS_MAGIC
        return true;
      default:
        return false;
    }
  }

  Result<Space> space(const std::string& path) override {
    struct statvfs fs {};
    if (::statvfs(path.c_str(), &fs) != 0) return errno_error("cannot find " + path);
    return Space{uint64_t{fs.f_blocks} * fs.f_frsize, uint64_t{fs.f_bavail} * fs.f_frsize};
  }

  TimeNs now_ns() override {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    return to_ns(t);
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem* const fs = new PosixFileSystem;
  return *fs;
}

}  // namespace holdfast::io
