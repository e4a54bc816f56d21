// An owned file descriptor.
#pragma once

#include <utility>

#include "base/bytes.h"

namespace holdfast::io {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // Closes now; for read-only descriptors, whose close cannot lose anything.
  void reset();
  // Gives the descriptor away.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// Fills `out` from `offset`, or says how much there is: less only at the end of the file. Errors:
// the system's, without context.
Result<size_t> read_at(int fd, uint64_t offset, MutableByteView out);

}  // namespace holdfast::io
