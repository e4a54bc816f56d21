#include "vault/engine/claimed_chunks.h"

namespace holdfast::vault {

ClaimedChunks::Key ClaimedChunks::key_of(const ChunkId& id) {
  Key key;
  std::memcpy(key.data(), id.bytes.data(), sizeof key);
  return key;
}

bool ClaimedChunks::contains(const ChunkId& id) const {
  const Key key = key_of(id);
  Shard& s = shard(key);
  const std::lock_guard lock(s.mutex);
  return s.keys.contains(key);
}

bool ClaimedChunks::claim(const ChunkId& id) {
  const Key key = key_of(id);
  Shard& s = shard(key);
  const std::lock_guard lock(s.mutex);
  return s.keys.insert(key).second;
}

void ClaimedChunks::release(const ChunkId& id) {
  const Key key = key_of(id);
  Shard& s = shard(key);
  const std::lock_guard lock(s.mutex);
  s.keys.erase(key);
}

size_t ClaimedChunks::size() const {
  size_t n = 0;
  for (Shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    n += s.keys.size();
  }
  return n;
}

}  // namespace holdfast::vault
