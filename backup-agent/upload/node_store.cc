#include "backup-agent/upload/node_store.h"

namespace holdfast::backup_agent {

NodeStore::NodeStore(vault::Session& session, CacheSet* cache)
    : session_(session), cache_(cache), writer_(session, vault::PackKind::metadata) {}

Result<vault::ChunkId> NodeStore::put_node(std::span<const vault::ChunkId> edges,
                                           ByteView payload) {
  return put(vault::ChunkKind::node, edges, payload);
}

Result<vault::ChunkId> NodeStore::put_attributes(ByteView payload) {
  return put(vault::ChunkKind::attributes, {}, payload);
}

Result<vault::ChunkId> NodeStore::put(vault::ChunkKind kind, std::span<const vault::ChunkId> edges,
                                      ByteView payload) {
  const vault::ChunkId id = session_.chunk_id(kind, edges, payload);
  if (session_.base_is_valid() && cache_ != nullptr && cache_->base_has_node(id)) return id;
  TRY(const bool is_new, session_.claim(id));
  if (is_new) {
    const std::lock_guard lock(mutex_);
    TRYV(writer_.add({id, kind, {edges.begin(), edges.end()}}, payload));
  }
  return id;
}

Status NodeStore::flush() {
  const std::lock_guard lock(mutex_);
  return writer_.flush();
}

}  // namespace holdfast::backup_agent
