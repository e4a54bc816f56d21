// Stores pages of maps and blocks of attributes: claims each, and writes those that are new. Any
// number of threads.
#pragma once

#include <mutex>

#include "backup-agent/upload/cache_set.h"
#include "vault/client/vault.h"
#include "vault/format/map_builder.h"

namespace holdfast::backup_agent {

class NodeStore final : public vault::NodeSink {
 public:
  // `cache` says which pages the base point has; it may be null.
  NodeStore(vault::Session& session, CacheSet* cache);

  Result<vault::ChunkId> put_node(std::span<const vault::ChunkId> edges, ByteView payload) override;
  Result<vault::ChunkId> put_attributes(ByteView payload);
  Status flush();

 private:
  Result<vault::ChunkId> put(vault::ChunkKind kind, std::span<const vault::ChunkId> edges,
                             ByteView payload);

  vault::Session& session_;
  CacheSet* const cache_;
  std::mutex mutex_;
  vault::SegmentWriter writer_;
};

}  // namespace holdfast::backup_agent
