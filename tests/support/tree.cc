#include "tests/support/tree.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/check.h"
#include "base/crypto/hash.h"
#include "base/io/fd.h"
#include "base/io/file_system.h"

namespace holdfast::testing {
namespace {

namespace fs = std::filesystem;

void write_all(const std::string& path, ByteView content, int flags) {
  std::error_code ignored;
  fs::create_directories(fs::path(path).parent_path(), ignored);
  const io::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644));
  CHECK(static_cast<bool>(fd));
  while (!content.empty()) {
    const ssize_t n = ::write(fd.get(), content.data(), content.size());
    CHECK(n > 0);
    content = content.subspan(static_cast<size_t>(n));
  }
}

std::string xattrs_of(const std::string& path) {
  std::string names(64 * 1024, '\0');
  const ssize_t n = ::llistxattr(path.c_str(), names.data(), names.size());
  if (n <= 0) return "";
  std::map<std::string, std::string> sorted;
  for (ssize_t at = 0; at < n;) {
    const std::string name(names.c_str() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    std::string value(64 * 1024, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    sorted[name] = to_hex(crypto::sha256(as_bytes(value))).substr(0, 8);
  }
  std::string out;
  for (const auto& [name, value] : sorted) out += " " + name + "=" + value;
  return out;
}

std::string flags_of(const std::string& path) {
  const io::Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  int flags = 0;
  if (!fd || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return "";
  flags &= FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL;
  return flags == 0 ? "" : " flags=" + std::to_string(flags);
}

std::string describe(const std::string& path, const std::string& relative,
                     std::map<std::pair<dev_t, ino_t>, std::string>& links,
                     const DescribeOptions& options) {
  struct stat st {};
  CHECK(::lstat(path.c_str(), &st) == 0);
  std::ostringstream out;
  out << std::oct << st.st_mode << std::dec << " " << st.st_uid << ":" << st.st_gid;
  if (!S_ISDIR(st.st_mode) || options.directory_times) {
    out << " t=" << st.st_mtim.tv_sec << "." << st.st_mtim.tv_nsec;
  }
  if (S_ISREG(st.st_mode)) {
    out << " size=" << st.st_size << " "
        << to_hex(crypto::sha256(file_content(path))).substr(0, 12);
  }
  if (S_ISLNK(st.st_mode)) out << " -> " << fs::read_symlink(path).string();
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    out << " dev=" << major(st.st_rdev) << ":" << minor(st.st_rdev);
  }
  out << xattrs_of(path);
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) out << flags_of(path);
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
    const auto [it, first] = links.try_emplace({st.st_dev, st.st_ino}, relative);
    out << " same as " << it->second;
  }
  return out.str();
}

}  // namespace

void write_file(const std::string& path, ByteView content) {
  write_all(path, content, O_TRUNC);
}
void write_file(const std::string& path, std::string_view content) {
  write_all(path, as_bytes(content), O_TRUNC);
}
void append_to_file(const std::string& path, std::string_view content) {
  write_all(path, as_bytes(content), O_APPEND);
}
void make_directory(const std::string& path) {
  fs::create_directories(path);
}
void make_symlink(const std::string& target, const std::string& path) {
  CHECK(::symlink(target.c_str(), path.c_str()) == 0);
}
void make_hard_link(const std::string& existing, const std::string& path) {
  CHECK(::link(existing.c_str(), path.c_str()) == 0);
}
void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  CHECK(!error);
}

void set_mtime(const std::string& path, int64_t seconds, uint32_t nanoseconds) {
  timespec times[2]{};
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = seconds;
  times[1].tv_nsec = nanoseconds;
  CHECK(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

Bytes file_content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return to_bytes(as_bytes(text));
}

uint64_t allocated_bytes(const std::string& path) {
  struct stat st {};
  CHECK(::lstat(path.c_str(), &st) == 0);
  return static_cast<uint64_t>(st.st_blocks) * 512;
}

void let_clock_tick() {
  std::this_thread::sleep_for(std::chrono::milliseconds(35));
}

std::map<std::string, std::string> describe_tree(const std::string& root,
                                                 const DescribeOptions& options) {
  // By name, so that the first name of a hard link is the same one in both trees.
  std::vector<std::string> names{""};
  for (const auto& e : fs::recursive_directory_iterator(root)) {
    names.push_back(e.path().string().substr(root.size() + 1));
  }
  std::sort(names.begin(), names.end());
  std::map<std::pair<dev_t, ino_t>, std::string> links;
  std::map<std::string, std::string> out;
  for (const std::string& name : names) {
    out[name] = describe(name.empty() ? root : root + "/" + name, name, links, options);
  }
  return out;
}

}  // namespace holdfast::testing
