// The ids that a session has taken upon itself to store, so that a chunk found twice is sent once.
// Any number of threads.
#pragma once

#include <array>
#include <mutex>

#include <boost/unordered/unordered_flat_set.hpp>

#include "vault/format/ids.h"

namespace holdfast::vault {

class ClaimedChunks {
 public:
  bool contains(const ChunkId& id) const;
  // True if the caller is the first to claim it.
  bool claim(const ChunkId& id);
  void release(const ChunkId& id);
  size_t size() const;

 private:
  // Half an id suffices: 2^64 chunks of one session before a collision is likely.
  using Key = std::array<uint64_t, 2>;
  struct KeyHash {
    using is_avalanching = void;  // ids are uniform
    size_t operator()(const Key& key) const { return key[0]; }
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    boost::unordered_flat_set<Key, KeyHash> keys;
  };
  static Key key_of(const ChunkId& id);
  Shard& shard(const Key& key) const { return shards_[key[1] % kShards]; }

  static constexpr size_t kShards = 16;
  mutable std::array<Shard, kShards> shards_;
};

}  // namespace holdfast::vault
