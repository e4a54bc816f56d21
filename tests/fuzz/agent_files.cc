// What the agent reads back from its own disk, and patterns that people write. The cache's records
// carry a hash that keeps out accidents; it is made right here, so that their decoders are reached.
// Layout: u8 kind | for the cache: records, each u8 type | u16 length | payload; for a pattern:
// u8 length | pattern | path.
#include <cstring>
#include <unistd.h>

#include <sys/mman.h>

#include "backup-agent/scan/file_cache.h"
#include "backup-agent/scan/filter.h"
#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/client/copy_journal.h"

namespace holdfast::fuzz {
namespace {

using backup_agent::CacheOwner;
using backup_agent::CacheReader;

const CacheOwner kOwner{};

// A memory file with its name in /proc.
struct MemoryFile {
  explicit MemoryFile(ByteView content) : fd(::memfd_create("cache", MFD_CLOEXEC)) {
    CHECK(fd >= 0);
    CHECK(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  ~MemoryFile() { ::close(fd); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd); }
  const int fd;
};

void read_cache(ByteView content, bool seek) {
  const MemoryFile file(content);
  const auto reader =
      CacheReader::open(io::posix_file_system(), file.path(), kOwner, CacheReader::Parts::keep);
  if (!reader) return;
  if (seek) {
    for (const char* key : {"", "etc", "etc/hosts", "home/a", "usr/share", "zz"}) {
      if (const auto* entry = reader->find(key)) {
        CHECK(entry->entry.key == key);
        (void)reader->identity(entry->stat.file_system);
      }
    }
  }
  reader->drain();
}

void try_cache(ByteView records) {
  wire::Encoder file;
  file.raw(as_bytes("HFCACHE1"));
  for (const ByteView id : {kOwner.vault.view(), kOwner.item.view(), kOwner.domain.view()}) {
    file.raw(id);
  }
  file.raw(vault::SessionId().view());
  const ByteArray<16> key_bytes{};
  file.raw(key_bytes);
  while (records.size() >= 3) {
    const uint8_t type = records[0];
    const size_t length = std::min<size_t>(records[1] | records[2] << 8, records.size() - 3);
    const ByteView payload = records.subspan(3, length);
    file.u8(type);
    file.u32(static_cast<uint32_t>(payload.size()));
    file.raw(payload);
    crypto::SipKey key = crypto::sip_key(key_bytes);
    key.k1 ^= type;
    file.u64(crypto::siphash24(key, payload));
    records = records.subspan(3 + length);
  }
  read_cache(file.view(), false);
  read_cache(file.view(), true);
}

void try_pattern(ByteView bytes) {
  if (bytes.empty()) return;
  const size_t length = std::min<size_t>(bytes[0], bytes.size() - 1);
  const std::string_view pattern = as_text(bytes.subspan(1, length));
  const std::string_view path = as_text(bytes.subspan(1 + length));
  (void)backup_agent::glob_match(pattern, path.substr(0, 300));
  backup_agent::PatternList list({"home", ""});
  if (list.add(pattern).ok()) {
    (void)list.match(path.substr(0, 300), true);
    (void)list.match(path.substr(0, 300), false);
  }
}

// What vault copy left: as it is, and with every record's code made right.
void try_journal(ByteView bytes) {
  const crypto::HmacSha256 key(as_bytes("key"));
  (void)vault::decode_copy_records(bytes, key);
  Bytes file = to_bytes(as_bytes("HFV1COPY"));
  size_t records = 0;
  while (!bytes.empty()) {
    const size_t sizes[] = {16, 48, 64};
    const uint8_t type = bytes[0] % 3;
    if (bytes.size() <= sizes[type]) break;
    const size_t at = file.size();
    file.push_back(static_cast<uint8_t>(type + 1));
    append(file, bytes.subspan(1, sizes[type]));
    append(file, ByteView(key.mac(ByteView(file).subspan(at))).first(16));
    bytes = bytes.subspan(1 + sizes[type]);
    ++records;
  }
  const vault::CopyRecords read = vault::decode_copy_records(file, key);
  CHECK(records == 0 || !read.pages.empty() || !read.sessions.empty());
}

void add_record(Bytes& to, uint8_t type, ByteView payload) {
  to.push_back(type);
  to.push_back(static_cast<uint8_t>(payload.size()));
  to.push_back(static_cast<uint8_t>(payload.size() >> 8));
  append(to, payload);
}

}  // namespace

void run(ByteView input) {
  if (input.empty()) return;
  switch (input[0] % 4) {
    case 0:
      try_cache(input.subspan(1));
      break;
    case 1:
      read_cache(input.subspan(1), true);
      break;
    case 2:
      try_pattern(input.subspan(1));
      break;
    default:
      try_journal(input.subspan(1));
  }
}

std::vector<Bytes> seeds(const Vectors& vectors) {
  std::vector<Bytes> out;
  out.push_back(Bytes(300, 3));
  const auto leaf = vectors.find("map.leaf1.bytes");
  const auto edges = vectors.find("map.leaf1.edges");
  if (leaf == vectors.end() || edges == vectors.end()) return out;
  // A leaf record as CacheWriter::leaf writes it, with as many stats as the page may have entries.
  for (size_t stats = 1; stats < 20; ++stats) {
    wire::Encoder record;
    record.raw(vault::ChunkId().view());
    record.varint(edges->second.size() / vault::ChunkId::kSize);
    record.raw(edges->second);
    record.block(leaf->second);
    record.varint(stats);
    for (size_t i = 0; i < stats; ++i) {
      record.varint(1000 + i);
      record.i64(1'700'000'000);
      record.u32(5);
      record.varint(1);
    }
    Bytes seed{0};
    add_record(seed, 1, as_bytes("ext4 some-uuid"));
    add_record(seed, 3, vault::ChunkId().view());
    add_record(seed, 2, record.view());
    wire::Encoder part;
    part.block(std::string_view("home/big"));
    part.varint(77);
    part.u64(1 << 30);
    for (int i = 0; i < 2; ++i) {
      part.i64(1'700'000'000);
      part.u32(5);
    }
    part.u64(1 << 20);
    part.varint(1);
    part.varint(uint64_t{1 << 20} << 1);
    part.raw(vault::ChunkId().view());
    add_record(seed, 4, part.view());
    add_record(seed, 6, Bytes(48, 1));
    add_record(seed, 5, {});
    out.push_back(std::move(seed));
  }
  for (const std::string_view text :
       {"*.o", "/home/**/cache/", "!a[!b-d]?\\*x", "**/a/**", "[[]"}) {
    Bytes seed{2, static_cast<uint8_t>(text.size())};
    append(seed, as_bytes(text));
    append(seed, as_bytes("home/x/cache/a/b.o"));
    out.push_back(std::move(seed));
  }
  return out;
}

}  // namespace holdfast::fuzz
