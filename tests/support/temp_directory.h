// A directory that goes with the object, and everything in it.
#pragma once

#include <filesystem>
#include <string>

#include "base/crypto/random.h"

namespace holdfast::testing {

class TempDirectory {
 public:
  TempDirectory() : TempDirectory(std::filesystem::temp_directory_path()) {}
  explicit TempDirectory(const std::filesystem::path& where) {
    path_ = where / ("holdfast-test-" + to_hex(crypto::random_array<8>()));
    std::filesystem::create_directories(path_);
  }
  // In memory where the system has such a place: for files that are synced often and need nothing
  // else of a real disk.
  static std::filesystem::path fast_place() {
    std::error_code ignored;
    return std::filesystem::is_directory("/dev/shm", ignored)
               ? std::filesystem::path("/dev/shm")
               : std::filesystem::temp_directory_path();
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace holdfast::testing
