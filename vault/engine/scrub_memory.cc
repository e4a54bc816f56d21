#include "vault/engine/scrub_memory.h"

#include <algorithm>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/digest.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFV1SCRB";
constexpr size_t kEntryBytes = 16 + 8;
constexpr size_t kFileBytesMax = size_t{4} << 30;

}  // namespace

ScrubMemory::Key ScrubMemory::key_of(const std::string& name) {
  const crypto::Digest digest = crypto::sha256(as_bytes(name));
  Key key;
  std::memcpy(key.data(), digest.data(), key.size());
  return key;
}

Result<ScrubMemory> ScrubMemory::load(io::FileSystem& fs, const std::string& path,
                                      const VaultId& vault) {
  ScrubMemory fresh;
  fresh.vault_ = vault;
  auto bytes = io::read_file(fs, path, kFileBytesMax);
  if (!bytes.ok()) {
    if (bytes.error().code == std::errc::no_such_file_or_directory) return fresh;
    return std::move(bytes).error();
  }
  auto memory = decode_scrub_memory(*bytes);
  if (!memory.ok() || memory->vault_ != vault) return fresh;
  return memory;
}

Status ScrubMemory::save(io::FileSystem& fs, const std::string& path) const {
  TRYV(io::make_directories(fs, io::parent_path(path)));
  return io::write_file(fs, path, encode());
}

io::TimeNs ScrubMemory::verified_ns(const std::string& name) const {
  const auto it = times_.find(key_of(name));
  return it == times_.end() ? 0 : it->second;
}

void ScrubMemory::set_verified(const std::string& name, io::TimeNs when) {
  times_[key_of(name)] = when;
}

void ScrubMemory::keep_only(const std::vector<std::string>& names) {
  std::unordered_map<Key, io::TimeNs, KeyHash> kept;
  for (const std::string& name : names) {
    if (const auto it = times_.find(key_of(name)); it != times_.end()) kept.insert(*it);
  }
  times_ = std::move(kept);
}

Bytes ScrubMemory::encode() const {
  std::vector<std::pair<Key, io::TimeNs>> sorted(times_.begin(), times_.end());
  std::sort(sorted.begin(), sorted.end());
  wire::Encoder out;
  out.raw(kMagic);
  out.raw(vault_.view());
  out.u64(sorted.size());
  for (const auto& [key, time] : sorted) {
    out.raw(key);
    out.i64(time);
  }
  return with_digest(out.take());
}

Result<ScrubMemory> decode_scrub_memory(ByteView bytes) {
  TRY(const ByteView body, without_digest(bytes, "memory of scrubs"));
  wire::Decoder in(body, "memory of scrubs");
  ScrubMemory memory;
  in.expect(kMagic);
  memory.vault_ = VaultId(in.array<16>());
  const uint64_t count = in.count(in.u64(), kEntryBytes);
  memory.times_.reserve(count);
  ScrubMemory::Key last{};
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    const ScrubMemory::Key key = in.array<16>();
    if (i > 0 && key <= last) in.fail("has entries out of order");
    last = key;
    memory.times_[key] = in.i64();
  }
  TRYV(in.finish());
  return memory;
}

}  // namespace holdfast::vault
