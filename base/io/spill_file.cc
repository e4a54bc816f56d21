#include "base/io/spill_file.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace holdfast::io {

Result<SpillFile> SpillFile::create(const std::string& directory) {
  SpillFile file;
  file.directory_ = directory;
  file.fd_ = Fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.fd_ && (errno == EOPNOTSUPP || errno == EISDIR)) {
    // Some network and FUSE file systems have no O_TMPFILE.
    std::string name = directory + "/holdfast-spill-XXXXXX";
    file.fd_ = Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (file.fd_) ::unlink(name.c_str());
  }
  if (!file.fd_) return errno_error("temporary file in " + directory);
  return file;
}

Status SpillFile::append(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("temporary file in " + directory_);
    size_ += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<size_t> SpillFile::read(uint64_t offset, MutableByteView out) const {
  auto n = read_at(fd_.get(), offset, out);
  if (!n.ok()) return std::move(n).error().in("temporary file in " + directory_);
  return n;
}

}  // namespace holdfast::io
