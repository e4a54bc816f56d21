#include "vault/format/chunk.h"

#include "tests/support/expect.h"

namespace holdfast::vault {
namespace {

const crypto::HmacSha256 kIdKey(Bytes(32, 7));

TEST(ChunkId, DependsOnKindEdgesTheirOrderAndBytes) {
  const ChunkId a(crypto::sha256(as_bytes("a")));
  const ChunkId b(crypto::sha256(as_bytes("b")));
  const Bytes bytes = to_bytes(as_bytes("content"));
  const ChunkId ab[] = {a, b};
  const ChunkId ba[] = {b, a};
  const ChunkId id = chunk_id(kIdKey, ChunkKind::node, ab, bytes);
  EXPECT_NE(id, chunk_id(kIdKey, ChunkKind::node, ba, bytes));
  EXPECT_NE(id, chunk_id(kIdKey, ChunkKind::node, {ab, 1}, bytes));
  EXPECT_NE(id, chunk_id(kIdKey, ChunkKind::data, ab, bytes));
  EXPECT_NE(id, chunk_id(crypto::HmacSha256(Bytes(32, 8)), ChunkKind::node, ab, bytes));
  EXPECT_EQ(id, chunk_id(kIdKey, ChunkKind::node, ab, bytes));
}

// Bytes that look like edges must not stand for edges.
TEST(ChunkId, BytesCannotPoseAsEdges) {
  const ChunkId a(crypto::sha256(as_bytes("a")));
  Bytes edge_then_bytes = to_bytes(a.view());
  append(edge_then_bytes, as_bytes("x"));
  EXPECT_NE(chunk_id(kIdKey, ChunkKind::node, {&a, 1}, as_bytes("x")),
            chunk_id(kIdKey, ChunkKind::node, {}, edge_then_bytes));
}

}  // namespace
}  // namespace holdfast::vault
