// A temporary file without a name: written once from the front, then read. It goes away with its
// descriptor, also if the process dies.
#pragma once

#include <string>

#include "base/io/fd.h"
#include "base/result.h"

namespace holdfast::io {

class SpillFile {
 public:
  // In `directory`, which must exist. Errors: the system's.
  static Result<SpillFile> create(const std::string& directory);

  Status append(ByteView bytes);
  // Fills `out` as far as there is something from `offset` on, and says how much that was.
  Result<size_t> read(uint64_t offset, MutableByteView out) const;
  uint64_t size() const { return size_; }

 private:
  Fd fd_;
  std::string directory_;  // for messages
  uint64_t size_ = 0;
};

}  // namespace holdfast::io
