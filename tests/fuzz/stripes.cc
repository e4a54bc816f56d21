// What a vault over several directories keeps beside its objects' bytes, and the memory of scrubs.
// The digests that end these keep out accidents only, so they are made right.
#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/engine/scrub_memory.h"
#include "vault/store/disk_set.h"
#include "vault/store/removal_record.h"
#include "vault/store/shard.h"

namespace holdfast::fuzz {

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  const size_t n = bytes.size() < 32 ? 0 : bytes.size() - 32;
  Bytes object = to_bytes(bytes.first(n));
  append(object, crypto::sha256(object));
  switch (input[0] % 4) {
    case 0: {
      (void)vault::shard_header_bytes(bytes);
      const auto header = vault::decode_shard_header(object);
      if (!header.ok()) break;
      CHECK(equal(header->encode(), object));
      CHECK(header->header_bytes() == object.size());
      CHECK(header->blocks() * vault::kStripeBlockBytes >= header->shard_bytes());
      CHECK(header->shard_bytes() * header->data_shards >= header->object_bytes);
      if (header->blocks() > 0) CHECK(header->block_bytes(header->blocks() - 1) > 0);
      break;
    }
    case 1: {
      const auto layout = vault::decode_stripe_layout(object);
      if (!layout.ok()) break;
      CHECK(equal(layout->layout.encode(layout->number), object));
      CHECK(layout->number < layout->layout.size());
      break;
    }
    case 2: {
      const auto record = vault::decode_removal_record(object);
      if (record.ok()) CHECK(equal(record->encode(), object));
      break;
    }
    default: {
      const auto memory = vault::decode_scrub_memory(object);
      if (memory.ok()) CHECK(equal(memory->encode(), object));
    }
  }
}

std::vector<Bytes> seeds(const Vectors&) {
  std::vector<Bytes> out;
  const auto add = [&](uint8_t selector, const Bytes& object) {
    Bytes seed{selector};
    append(seed, object);
    out.push_back(std::move(seed));
  };
  vault::ShardHeader header;
  header.object_bytes = 100'000;
  header.name_hash = vault::shard_name_hash("points/a");
  header.tables.resize(1);
  add(0, header.encode());
  header.kind = vault::ShardKind::shard;
  header.data_shards = 4;
  header.parity_shards = 2;
  header.index = 5;
  header.tables.resize(6);
  add(0, header.encode());
  vault::StripeLayout layout;
  layout.data_shards = 2;
  layout.parity_shards = 1;
  for (const char* path : {"/mnt/a/vault", "/mnt/b/vault", ""}) {
    layout.members.push_back({{}, *path == '\0', path});
  }
  add(1, layout.encode(1));
  add(2, vault::RemovalRecord{{}, {}, 1'700'000'000'000'000'000, "points/a/1"}.encode());
  vault::ScrubMemory memory;
  for (const char* name : {"packs/a", "packs/b", "index/c"}) memory.set_verified(name, 12345);
  add(3, memory.encode());
  return out;
}

}  // namespace holdfast::fuzz
