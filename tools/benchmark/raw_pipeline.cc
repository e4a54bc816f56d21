// The floor for the benchmark: reads all files of a tree and does to their bytes what no encrypting
// backup can leave out, SHA-256, zstd and AES-256-GCM, on blocks of 1 MiB and two threads. No
// deduplication, no metadata, nothing is written.
//
//   raw_pipeline PATH [THREADS]      prints one JSON object

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <zstd.h>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/crypto/hash.h"
#include "base/io/fd.h"

namespace {

using holdfast::ByteView;
using holdfast::MutableByteView;
namespace crypto = holdfast::crypto;
namespace fs = std::filesystem;

constexpr size_t kBlockBytes = 1024 * 1024;
constexpr uint64_t kUnitBytes = 16 * 1024 * 1024;  // what a thread takes of a large file at once
constexpr size_t kUnitFiles = 64;                  // and of small ones
constexpr int kLevel = 1;

struct Range {
  const std::string* path;
  uint64_t offset;
  uint64_t bytes;
};

struct Totals {
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> stored{0};
  std::atomic<uint64_t> unreadable{0};
};

// Data only: holes are left out, as any backup of disk images does.
void add_ranges(const std::string& path, uint64_t size, std::vector<Range>& out) {
  if (size <= kUnitBytes) {
    if (size > 0) out.push_back({&path, 0, size});
    return;
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  for (off_t at = 0; (at = ::lseek(fd, at, SEEK_DATA)) >= 0;) {
    const off_t end = ::lseek(fd, at, SEEK_HOLE);
    for (auto p = static_cast<uint64_t>(at); p < static_cast<uint64_t>(end); p += kUnitBytes) {
      out.push_back({&path, p, std::min(kUnitBytes, static_cast<uint64_t>(end) - p)});
    }
    at = end;
  }
  ::close(fd);
}

class Worker {
 public:
  explicit Worker(Totals& totals)
      : totals_(totals),
        block_(kBlockBytes),
        compressed_(ZSTD_compressBound(kBlockBytes) + crypto::kTagBytes),
        zstd_(ZSTD_createCCtx()) {
    CHECK(zstd_ != nullptr);
  }
  ~Worker() {
    finish_block();
    ZSTD_freeCCtx(zstd_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void read(const Range& range) {
    const int fd = ::open(range.path->c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
      ++totals_.unreadable;
      return;
    }
    uint64_t done = 0;
    while (done < range.bytes) {
      const size_t room = std::min<uint64_t>(kBlockBytes - used_, range.bytes - done);
      const ssize_t n =
          ::pread(fd, block_.data() + used_, room, static_cast<off_t>(range.offset + done));
      if (n <= 0) break;
      used_ += static_cast<size_t>(n);
      done += static_cast<uint64_t>(n);
      if (used_ == kBlockBytes) finish_block();
    }
    ::close(fd);
  }

 private:
  void finish_block() {
    if (used_ == 0) return;
    const crypto::Digest digest = crypto::sha256(ByteView(block_.data(), used_));
    const size_t n = ZSTD_compressCCtx(zstd_, compressed_.data(), compressed_.size(), block_.data(),
                                       used_, kLevel);
    CHECK(ZSTD_isError(n) == 0);
    crypto::Nonce nonce{};
    std::copy_n(digest.begin(), nonce.size(), nonce.begin());
    crypto::aes256gcm_seal(key_, nonce, {}, ByteView(compressed_.data(), n),
                           MutableByteView(compressed_.data(), n + crypto::kTagBytes));
    totals_.bytes += used_;
    totals_.stored += n + crypto::kTagBytes;
    used_ = 0;
  }

  Totals& totals_;
  std::vector<uint8_t> block_;
  std::vector<uint8_t> compressed_;
  size_t used_ = 0;
  ZSTD_CCtx* const zstd_;
  const crypto::Key256 key_{};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: raw_pipeline PATH [THREADS]\n", stderr);
    return 2;
  }
  const int threads = argc == 3 ? std::max(1, std::atoi(argv[2])) : 2;

  std::vector<std::pair<std::string, uint64_t>> files;
  std::error_code error;
  if (fs::is_regular_file(argv[1], error)) {
    files.emplace_back(argv[1], fs::file_size(argv[1], error));
  } else {
    for (fs::recursive_directory_iterator it(argv[1], error), end; !error && it != end;
         it.increment(error)) {
      if (it->is_symlink() || !it->is_regular_file()) continue;
      files.emplace_back(it->path().string(), it->file_size());
    }
  }
  if (error) {
    std::fprintf(stderr, "raw_pipeline: %s: %s\n", argv[1], error.message().c_str());
    return 1;
  }
  std::vector<Range> ranges;
  for (const auto& [path, size] : files) add_ranges(path, size, ranges);

  Totals totals;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    Worker worker(totals);
    for (;;) {
      // Neighbours together where they are small.
      const size_t step = ranges.size() < 4 * kUnitFiles ? 1 : kUnitFiles;
      const size_t first = next.fetch_add(step);
      if (first >= ranges.size()) return;
      for (size_t i = first; i < std::min(first + step, ranges.size()); ++i) worker.read(ranges[i]);
    }
  };
  {
    std::vector<std::jthread> pool;
    for (int i = 0; i < threads; ++i) pool.emplace_back(work);
  }
  std::printf("{\"files\":%zu,\"bytes\":%llu,\"stored\":%llu,\"unreadable\":%llu}\n", files.size(),
              static_cast<unsigned long long>(totals.bytes),
              static_cast<unsigned long long>(totals.stored),
              static_cast<unsigned long long>(totals.unreadable));
  return totals.unreadable == 0 ? 0 : 1;
}
