// The agent's memory of a recovery point: what every entry looked like on disk, beside what was
// stored for it. A hint, never the truth: losing it costs one full read.
//
// A file of records, each u8 type | u32 length | payload | u64 SipHash of type and payload under
// the file's key. A leaf record is a leaf page of the path map as it was stored, with inode, ctime
// and so on of each of its entries, which have no place in the map. It is written as the backup
// goes on, so that what is left of an interrupted one says what is already stored. Read as a
// stream, in key order: a mapped cache would cost 1.1 GB of resident memory at 10 million files
// (measured).
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "backup-agent/scan/metadata.h"
#include "base/crypto/siphash.h"
#include "base/io/file_system.h"
#include "vault/format/map_builder.h"

namespace holdfast::backup_agent {

// What a cache file belongs to; another of any of these makes it useless.
struct CacheOwner {
  vault::VaultId vault;
  vault::ItemId item;
  vault::DomainId domain;
  bool operator==(const CacheOwner&) const = default;
};

// Beside each entry: identity of the object on disk when its content was read.
struct CachedStat {
  uint64_t inode = 0;
  int64_t ctime_s = 0;
  uint32_t ctime_ns = 0;
  uint32_t file_system = 0;  // index into the file's table of identities
  // False if the file might have changed within the clock tick in which it was looked at, or was
  // not read cleanly: then equal times prove nothing.
  bool trusted = true;
};

// Any number of threads.
class CacheWriter {
 public:
  static Result<std::unique_ptr<CacheWriter>> create(io::FileSystem& fs, const std::string& path,
                                                     const CacheOwner& owner,
                                                     const vault::SessionId& session);

  // The index of an identity, written down at its first use.
  uint32_t file_system(const std::string& identity);
  Status leaf(const vault::ChunkId& id, std::span<const vault::ChunkId> edges, ByteView payload,
              std::span<const CachedStat> stats);
  Status inner_node(const vault::ChunkId& id);
  // Extents of a large file that is not finished: from `offset` on, everything stored. Written
  // through.
  Status file_part(std::string_view key, const FileStat& st, uint64_t offset,
                   std::span<const vault::Extent> extents);
  // A pack that this session put: what it may adopt if it is interrupted. Written through.
  Status pack(const vault::PackId& pack);
  // Hands everything to the operating system; not synced.
  Status flush();
  // Marks the file complete and closes it.
  Status finish();

 private:
  CacheWriter(std::unique_ptr<io::WritableFile> file, const crypto::SipKey& key)
      : file_(std::move(file)), key_(key) {}
  Status record(uint8_t type, ByteView payload);
  Status flush_locked();

  std::mutex mutex_;
  std::unique_ptr<io::WritableFile> file_;
  crypto::SipKey key_;
  wire::Encoder buffer_;
  std::vector<std::string> file_systems_;
};

struct CacheEntry {
  vault::PathEntry entry;
  CachedStat stat;
};

// Large files of which an interrupted backup stored a part.
struct CachedPart {
  std::string key;
  FileStat stat;
  uint64_t offset = 0;
  std::vector<vault::Extent> extents;
};

class CacheReader {
 public:
  // Whether parts of large files are gathered: a few dozen bytes for each of their chunks.
  enum class Parts { skip, keep };
  // Nothing if there is no such file, it belongs to something else, or its beginning is damaged.
  static std::unique_ptr<CacheReader> open(io::FileSystem& fs, const std::string& path,
                                           const CacheOwner& owner, Parts parts = Parts::skip);

  const vault::SessionId& session() const { return session_; }
  // The entry with this key, or null. Keys must be asked for in rising order. Damage ends the
  // stream: everything behind it counts as unknown.
  const CacheEntry* find(std::string_view key);
  // The identity that a stat's index stands for.
  const std::string& identity(uint32_t index) const;
  // Whether the page with this id was met so far (records are read a leaf ahead).
  bool has_node(const vault::ChunkId& id) const { return nodes_.contains(id); }
  // Reads to the end, for has_node.
  void drain();
  // Parts and packs met so far; complete after drain().
  std::vector<CachedPart> take_parts() { return std::exchange(parts_, {}); }
  const std::vector<vault::PackId>& packs() const { return packs_; }

 private:
  CacheReader(std::unique_ptr<io::ReadableFile> file, Parts parts)
      : file_(std::move(file)), keeps_parts_(parts == Parts::keep) {}
  bool read_header(const CacheOwner& owner);
  bool next_record(uint8_t& type, Bytes& payload);
  bool fill(size_t bytes);
  bool next_leaf();
  void read_to_next_leaf();
  bool take_leaf(ByteView payload, std::vector<CacheEntry>& out);
  void take_part(ByteView payload);

  std::unique_ptr<io::ReadableFile> file_;
  const bool keeps_parts_;
  crypto::SipKey key_{};
  vault::SessionId session_;
  Bytes buffer_;
  size_t buffer_at_ = 0;
  uint64_t file_at_ = 0;
  bool ended_ = false;
  std::vector<std::string> identities_;
  std::vector<CacheEntry> leaf_;
  size_t leaf_at_ = 0;
  std::optional<Bytes> leaf_ahead_;
  boost::unordered_flat_set<vault::ChunkId, vault::IdHash> nodes_;
  std::vector<CachedPart> parts_;
  std::vector<vault::PackId> packs_;
};

}  // namespace holdfast::backup_agent
