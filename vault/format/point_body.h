// The sealed part of a manifest: what only holders of the vault secret may know of a recovery
// point. docs/formats/manifest.md.
#pragma once

#include <vector>

#include "base/bytes.h"

namespace holdfast::vault {

// One entry that could not be taken as it was.
struct PointProblem {
  std::string path;    // raw bytes, absolute
  std::string reason;  // for people
};

struct PointBody {
  std::string item_name;
  std::string host;
  std::vector<std::string> paths;  // as given, absolute; raw bytes
  int64_t started_ns = 0;
  int64_t finished_ns = 0;
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t others = 0;
  uint64_t bytes = 0;         // logical size of all files
  uint64_t new_bytes = 0;     // of chunks that were not in the vault before
  uint64_t stored_bytes = 0;  // that this point added to the store
  std::string program;
  std::string source;                  // "files", "stdin", "btrfs snapshot"
  uint64_t problem_count = 0;          // may exceed problems.size()
  std::vector<PointProblem> problems;  // the first ones

  // Keeps at most kPointProblemsMax problems, and at most 8 MiB of them. Item name and host must be
  // at most 64 KiB.
  Bytes encode() const;
};

inline constexpr size_t kPointProblemsMax = 10'000;

// Errors: Errc::malformed.
Result<PointBody> decode_point_body(ByteView bytes);

}  // namespace holdfast::vault
