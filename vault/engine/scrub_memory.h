// What a machine remembers of its scrubs of a vault: when each object was last read and found
// whole. A file of the state directory, replaced as a whole, so that a killed scrub loses only what
// it did since the last save. A damaged or lost file means that everything is due again.
//
// In memory 24 bytes an object, as in the file; names are kept as half of their SHA-256.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/io/file_system.h"
#include "vault/format/ids.h"

namespace holdfast::vault {

class ScrubMemory {
 public:
  using Key = ByteArray<16>;

  // Errors: the system's; a damaged file is an empty memory.
  static Result<ScrubMemory> load(io::FileSystem& fs, const std::string& path,
                                  const VaultId& vault);
  Status save(io::FileSystem& fs, const std::string& path) const;

  // 0: never.
  io::TimeNs verified_ns(const std::string& name) const;
  void set_verified(const std::string& name, io::TimeNs when);
  void forget(const std::string& name) { times_.erase(key_of(name)); }
  size_t size() const { return times_.size(); }
  // Drops everything but these.
  void keep_only(const std::vector<std::string>& names);

  Bytes encode() const;

 private:
  struct KeyHash {
    size_t operator()(const Key& key) const {
      size_t h;
      std::memcpy(&h, key.data(), sizeof h);
      return h;
    }
  };
  static Key key_of(const std::string& name);
  friend Result<ScrubMemory> decode_scrub_memory(ByteView bytes);

  VaultId vault_;
  std::unordered_map<Key, io::TimeNs, KeyHash> times_;
};

// Errors: Errc::malformed, Errc::authentication_failed.
Result<ScrubMemory> decode_scrub_memory(ByteView bytes);

}  // namespace holdfast::vault
