#include "backup-agent/scan/file_cache.h"

#include <algorithm>

#include "base/crypto/random.h"
#include "vault/format/key_wrap.h"

namespace holdfast::backup_agent {
namespace {

constexpr std::string_view kCacheMagic = "HFCACHE1";
constexpr size_t kFlushBytes = 256 * 1024;
constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kRecordBytesMax = 64 * 1024 * 1024;
constexpr size_t kRecordHeaderBytes = 5;
constexpr size_t kRecordCheckBytes = 8;

enum Record : uint8_t {
  kIdentity = 1,
  kLeaf = 2,
  kInner = 3,
  kPart = 4,
  kEnd = 5,
  kPack = 6,
};

uint64_t record_hash(const crypto::SipKey& key, uint8_t type, ByteView payload) {
  crypto::SipKey k = key;
  k.k1 ^= type;
  return crypto::siphash24(k, payload);
}

void encode_stat(wire::Encoder& out, const CachedStat& s) {
  out.varint(s.inode);
  out.i64(s.ctime_s);
  out.u32(s.ctime_ns);
  out.varint(uint64_t{s.file_system} << 1 | (s.trusted ? 1 : 0));
}

CachedStat decode_stat(wire::Decoder& in) {
  CachedStat s;
  s.inode = in.varint();
  s.ctime_s = in.i64();
  s.ctime_ns = in.u32();
  const uint64_t v = in.varint_max(uint64_t{UINT32_MAX} << 1 | 1);
  s.file_system = static_cast<uint32_t>(v >> 1);
  s.trusted = (v & 1) != 0;
  return s;
}

}  // namespace

Result<std::unique_ptr<CacheWriter>> CacheWriter::create(io::FileSystem& fs,
                                                         const std::string& path,
                                                         const CacheOwner& owner,
                                                         const vault::SessionId& session) {
  TRY(auto file, fs.create(path));
  const auto key_bytes = crypto::random_array<16>();
  std::unique_ptr<CacheWriter> writer(new CacheWriter(std::move(file), crypto::sip_key(key_bytes)));
  writer->buffer_.raw(kCacheMagic);
  writer->buffer_.raw(owner.vault.view());
  writer->buffer_.raw(owner.item.view());
  writer->buffer_.raw(owner.domain.view());
  writer->buffer_.raw(session.view());
  writer->buffer_.raw(key_bytes);
  return writer;
}

Status CacheWriter::record(uint8_t type, ByteView payload) {
  buffer_.u8(type);
  buffer_.u32(static_cast<uint32_t>(payload.size()));
  buffer_.raw(payload);
  buffer_.u64(record_hash(key_, type, payload));
  if (buffer_.size() >= kFlushBytes) return flush_locked();
  return {};
}

uint32_t CacheWriter::file_system(const std::string& identity) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < file_systems_.size(); ++i) {
    if (file_systems_[i] == identity) return static_cast<uint32_t>(i);
  }
  file_systems_.push_back(identity);
  // A failed flush shows at the next record.
  (void)record(kIdentity, as_bytes(identity));
  return static_cast<uint32_t>(file_systems_.size() - 1);
}

Status CacheWriter::leaf(const vault::ChunkId& id, std::span<const vault::ChunkId> edges,
                         ByteView payload, std::span<const CachedStat> stats) {
  wire::Encoder out;
  out.raw(id.view());
  out.varint(edges.size());
  out.raw(vault::edge_bytes(edges));
  out.block(payload);
  out.varint(stats.size());
  for (const CachedStat& s : stats) encode_stat(out, s);
  const std::lock_guard lock(mutex_);
  return record(kLeaf, out.view());
}

Status CacheWriter::inner_node(const vault::ChunkId& id) {
  const std::lock_guard lock(mutex_);
  return record(kInner, id.view());
}

Status CacheWriter::pack(const vault::PackId& pack) {
  wire::Encoder out;
  out.raw(pack.session.view());
  out.raw(pack.footer_sha256);
  const std::lock_guard lock(mutex_);
  TRYV(record(kPack, out.view()));
  return flush_locked();
}

Status CacheWriter::file_part(std::string_view key, const FileStat& st, uint64_t offset,
                              std::span<const vault::Extent> extents) {
  wire::Encoder out;
  out.block(key);
  out.varint(st.inode);
  out.u64(st.size);
  out.i64(st.mtime_s);
  out.u32(st.mtime_ns);
  out.i64(st.ctime_s);
  out.u32(st.ctime_ns);
  out.u64(offset);
  out.varint(extents.size());
  for (const vault::Extent& x : extents) {
    out.varint(x.bytes << 1 | (x.chunk ? 0 : 1));
    if (x.chunk) out.raw(x.chunk->view());
  }
  const std::lock_guard lock(mutex_);
  TRYV(record(kPart, out.view()));
  return flush_locked();
}

Status CacheWriter::flush() {
  const std::lock_guard lock(mutex_);
  return flush_locked();
}

Status CacheWriter::flush_locked() {
  const Status written = file_->write(buffer_.view());
  buffer_.clear();
  return written;
}

Status CacheWriter::finish() {
  const std::lock_guard lock(mutex_);
  TRYV(record(kEnd, {}));
  TRYV(flush_locked());
  return file_->close();
}

std::unique_ptr<CacheReader> CacheReader::open(io::FileSystem& fs, const std::string& path,
                                               const CacheOwner& owner, Parts parts) {
  auto file = fs.open(path);
  if (!file.ok()) return nullptr;
  std::unique_ptr<CacheReader> reader(new CacheReader(std::move(*file), parts));
  if (!reader->read_header(owner)) return nullptr;
  return reader;
}

// Makes at least `bytes` available in the buffer.
bool CacheReader::fill(size_t bytes) {
  if (buffer_.size() - buffer_at_ >= bytes) return true;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(buffer_at_));
  buffer_at_ = 0;
  const size_t have = buffer_.size();
  buffer_.resize(std::max(bytes, kReadBytes));
  const auto got = file_->read_at(file_at_, MutableByteView(buffer_).subspan(have));
  buffer_.resize(have + (got.ok() ? *got : 0));
  file_at_ += buffer_.size() - have;
  return buffer_.size() >= bytes;
}

bool CacheReader::read_header(const CacheOwner& owner) {
  constexpr size_t kHeaderBytes = 8 + 5 * 16;
  if (!fill(kHeaderBytes)) return false;
  wire::Decoder in(ByteView(buffer_).first(kHeaderBytes), "cache");
  in.expect(kCacheMagic);
  CacheOwner found;
  found.vault = vault::read_id<vault::VaultId>(in);
  found.item = vault::read_id<vault::ItemId>(in);
  found.domain = vault::read_id<vault::DomainId>(in);
  session_ = vault::read_id<vault::SessionId>(in);
  key_ = crypto::sip_key(in.array<16>());
  buffer_at_ = kHeaderBytes;
  return in.finish().ok() && found == owner;
}

bool CacheReader::next_record(uint8_t& type, Bytes& payload) {
  if (ended_) return false;
  ended_ = true;  // unless everything below holds
  if (!fill(kRecordHeaderBytes)) return false;
  wire::Decoder head(ByteView(buffer_).subspan(buffer_at_, kRecordHeaderBytes), "cache");
  type = head.u8();
  const size_t length = head.u32();
  if (length > kRecordBytesMax || !fill(kRecordHeaderBytes + length + kRecordCheckBytes)) {
    return false;
  }
  const ByteView record = ByteView(buffer_).subspan(buffer_at_ + kRecordHeaderBytes, length);
  wire::Decoder check(
      ByteView(buffer_).subspan(buffer_at_ + kRecordHeaderBytes + length, kRecordCheckBytes),
      "cache");
  if (check.u64() != record_hash(key_, type, record)) return false;
  payload.assign(record.begin(), record.end());
  buffer_at_ += kRecordHeaderBytes + length + kRecordCheckBytes;
  ended_ = type == kEnd;
  return !ended_;
}

// Takes in everything up to and including the next leaf record, which stays ahead undecoded, so
// that inner pages that closed with the leaf before are known when that leaf is in use.
void CacheReader::read_to_next_leaf() {
  leaf_ahead_.reset();
  uint8_t type = 0;
  Bytes payload;
  while (next_record(type, payload)) {
    switch (type) {
      case kIdentity:
        identities_.emplace_back(as_text(payload));
        break;
      case kInner:
        if (payload.size() == vault::ChunkId::kSize) {
          vault::ChunkId id;
          std::memcpy(id.bytes.data(), payload.data(), payload.size());
          nodes_.insert(id);
        }
        break;
      case kPart:
        if (keeps_parts_) take_part(payload);
        break;
      case kPack: {
        wire::Decoder in(payload, "cache pack");
        vault::PackId pack;
        pack.session = vault::read_id<vault::SessionId>(in);
        pack.footer_sha256 = in.array<32>();
        if (in.finish().ok()) packs_.push_back(pack);
        break;
      }
      case kLeaf:
        leaf_ahead_ = std::move(payload);
        return;
      default:
        break;
    }
  }
}

bool CacheReader::take_leaf(ByteView payload, std::vector<CacheEntry>& out) {
  wire::Decoder in(payload, "cache leaf");
  const auto id = vault::read_id<vault::ChunkId>(in);
  std::vector<vault::ChunkId> edges(in.count(in.varint(), vault::ChunkId::kSize));
  for (vault::ChunkId& e : edges) e = vault::read_id<vault::ChunkId>(in);
  const ByteView page = in.block(kRecordBytesMax);
  auto entries = vault::decode_path_leaf(page, edges);
  const uint64_t stats = in.varint();
  if (!in.ok() || !entries.ok() || entries->size() != stats) return false;
  out.clear();
  out.reserve(entries->size());
  for (vault::PathEntry& e : *entries) {
    CachedStat s = decode_stat(in);
    if (s.file_system >= identities_.size()) return false;
    out.push_back({std::move(e), s});
  }
  if (!in.finish().ok()) return false;
  nodes_.insert(id);
  return true;
}

void CacheReader::take_part(ByteView payload) {
  wire::Decoder in(payload, "cache part");
  CachedPart part;
  part.key = in.text(vault::kKeyBytesMax);
  part.stat.inode = in.varint();
  part.stat.size = in.u64();
  part.stat.mtime_s = in.i64();
  part.stat.mtime_ns = in.u32();
  part.stat.ctime_s = in.i64();
  part.stat.ctime_ns = in.u32();
  part.offset = in.u64();
  const uint64_t n = in.count(in.varint(), 1);
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const uint64_t v = in.varint();
    vault::Extent x;
    x.bytes = v >> 1;
    if ((v & 1) == 0) x.chunk = vault::read_id<vault::ChunkId>(in);
    part.extents.push_back(x);
  }
  if (in.finish().ok()) parts_.push_back(std::move(part));
}

bool CacheReader::next_leaf() {
  if (!leaf_ahead_) {
    read_to_next_leaf();  // the very first
    if (!leaf_ahead_) return false;
  }
  const Bytes payload = std::move(*leaf_ahead_);
  if (!take_leaf(payload, leaf_)) {
    ended_ = true;
    leaf_ahead_.reset();
    leaf_.clear();
    leaf_at_ = 0;
    return false;
  }
  leaf_at_ = 0;
  read_to_next_leaf();
  return true;
}

const CacheEntry* CacheReader::find(std::string_view key) {
  for (;;) {
    while (leaf_at_ < leaf_.size()) {
      const int order = vault::compare_keys(leaf_[leaf_at_].entry.key, key);
      if (order == 0) return &leaf_[leaf_at_];
      if (order > 0) return nullptr;
      ++leaf_at_;
    }
    if (ended_ && !leaf_ahead_) return nullptr;
    if (!next_leaf()) return nullptr;
  }
}

const std::string& CacheReader::identity(uint32_t index) const {
  static const std::string kNone;
  return index < identities_.size() ? identities_[index] : kNone;
}

void CacheReader::drain() {
  while (next_leaf()) {
  }
}

}  // namespace holdfast::backup_agent
