// What stands in the clear in a pack, the plaintext of a segment, and index runs. Layout: u8 kind |
// bytes; a footer is tried with the pack size that fits it and with one that does not.
#include <cstring>

#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/format/pack.h"
#include "vault/format/segment.h"
#include "vault/index/run.h"

namespace holdfast::fuzz {
namespace {

using namespace vault;

void try_footer(ByteView bytes) {
  for (const uint64_t size : {uint64_t{1} << 20, uint64_t{bytes.size()}, uint64_t{4096}}) {
    const auto footer = decode_footer(bytes, size);
    if (footer.ok()) CHECK(equal(footer->encode(), bytes));
  }
  if (bytes.size() >= kFooterTailBytes) {
    (void)footer_bytes_from_tail(bytes.last(kFooterTailBytes), uint64_t{1} << 20);
  }
}

// A whole pack, read as a reader does: from its end.
void try_pack(ByteView pack) {
  if (pack.size() < kFooterTailBytes) return;
  const auto bytes = footer_bytes_from_tail(pack.last(kFooterTailBytes), pack.size());
  if (!bytes.ok()) return;
  CHECK(*bytes <= pack.size());
  const ByteView encoded = pack.last(*bytes).first(*bytes - kFooterTailBytes);
  for (const ByteView candidate : {pack.last(*bytes), encoded}) {
    const auto footer = decode_footer(candidate, pack.size());
    if (!footer.ok()) continue;
    for (const PackSegment& s : footer->segments) {
      CHECK(s.offset + s.stored_bytes <= pack.size());
      CHECK(s.chunk_first + s.chunk_count <= footer->chunk_ids.size());
      CHECK(s.session_index < footer->sessions.size());
    }
    CHECK(footer->edges_offset() + footer->edges_bytes() <= pack.size());
  }
}

void try_run(ByteView bytes) {
  const auto run = IndexRun::parse(bytes);
  if (!run.ok()) return;
  std::vector<ChunkLocation> found;
  for (uint8_t i = 0; i < 32; ++i) {
    ChunkId id;
    for (size_t k = 0; k < ChunkId::kSize; ++k) id.bytes[k] = static_cast<uint8_t>(i * 8 + k);
    run->find(id, found);
  }
  if (bytes.size() > 64 + ChunkId::kSize) {
    ChunkId id;
    std::memcpy(id.bytes.data(), bytes.last(64).data(), ChunkId::kSize);
    run->find(id, found);
  }
  for (const ChunkLocation& at : found) CHECK(at.pack < run->packs().size());
  (void)run->check_entries();
}

}  // namespace

void run(ByteView input) {
  if (input.size() < 2) return;
  const ByteView bytes = input.subspan(1);
  switch (input[0] % 4) {
    case 0:
      try_footer(bytes);
      break;
    case 1:
      try_pack(bytes);
      break;
    case 2:
      try_run(bytes);
      break;
    default: {
      const auto plain = parse_segment_plain(bytes.subspan(1), 1 + bytes[0]);
      if (!plain.ok()) break;
      uint64_t total = 0;
      for (const uint32_t n : plain->chunk_lengths) total += n;
      CHECK(total == plain->chunk_bytes);
    }
  }
}

std::vector<Bytes> seeds(const Vectors& vectors) {
  std::vector<Bytes> out;
  for (const auto& [label, value] : vectors) {
    const std::string& name = label;
    const Bytes& bytes = value;
    const auto add = [&](std::initializer_list<uint8_t> before) {
      Bytes seed(before);
      seed.insert(seed.end(), bytes.begin(), bytes.end());
      out.push_back(std::move(seed));
    };
    if (name.starts_with("pack.") && name.ends_with(".footer")) add({0});
    if (name.starts_with("object.packs/")) add({1});
    if (name.starts_with("object.index/")) add({2});
    if (name.starts_with("segment.") && name.ends_with(".plaintext")) add({3, 1});
  }
  return out;
}

}  // namespace holdfast::fuzz
