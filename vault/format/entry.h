// One file-system object in a recovery point: everything needed to make it again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vault/format/chunk.h"

namespace holdfast::vault {

enum class EntryType : uint8_t {
  file = 1,
  directory = 2,
  symlink = 3,
  char_device = 4,
  block_device = 5,
  fifo = 6,
  socket = 7,
};

// A run of a file's bytes: one chunk, or a hole that reads as zeros and takes no room.
struct Extent {
  uint64_t bytes = 0;
  std::optional<ChunkId> chunk;
  bool operator==(const Extent&) const = default;
};

struct Xattr {
  std::string name;
  Bytes value;
  bool operator==(const Xattr&) const = default;
};

// Linux takes 64 KiB of names of one object, each with a value of at most 64 KiB.
inline constexpr size_t kXattrBytesMax = 64 * 1024 * 1024;

struct Entry {
  EntryType type = EntryType::file;
  uint32_t mode = 0;  // permission bits with set-id and sticky, 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string user;  // names as the source machine knew them; may be empty
  std::string group;
  int64_t mtime_s = 0;  // seconds since 1970, any sign
  uint32_t mtime_ns = 0;
  uint32_t attributes = 0;  // FS_*_FL as in <linux/fs.h>, those that can be set again
  // The file changed while it was read: its content may be from two moments.
  bool inconsistent = false;
  // At most kXattrBytesMax encoded. Small sets stand in the entry; larger ones are encoded
  // (encode_xattrs) and cut into chunks of kind attributes.
  std::vector<Xattr> xattrs;
  std::vector<ChunkId> xattr_chunks;

  // Links: the first of several names in key order has has_links, each later one names the first,
  // and all carry the content, so that any of them can be restored alone.
  bool has_links = false;
  std::string link_to;

  uint64_t size = 0;  // files
  // Files with few extents have them here, in order, adding up to `size`; others have the root of
  // an extents map.
  std::vector<Extent> extents;
  std::optional<ChunkId> extents_root;

  std::string symlink_target;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;

  bool operator==(const Entry&) const = default;
};

inline constexpr size_t kInlineExtentsMax = 8;
inline constexpr size_t kInlineXattrBytesMax = 512;
inline constexpr size_t kKeyBytesMax = 4 * 1024 * 1024;
inline constexpr size_t kSymlinkBytesMax = 64 * 1024;

// Keys are paths without a leading slash ("" is the root directory), ordered by components, so that
// everything below a directory follows it without a gap: '/' sorts before every other byte.
// Negative, zero or positive as with memcmp.
int compare_keys(std::string_view a, std::string_view b);
// `key` is `directory` itself or below it.
bool is_within(std::string_view key, std::string_view directory);
// No component is empty, "." or "..", and no byte is zero.
bool is_valid_key(std::string_view key);

Bytes encode_xattrs(const std::vector<Xattr>& xattrs);
// Errors: Errc::malformed.
Result<std::vector<Xattr>> decode_xattrs(ByteView bytes);

}  // namespace holdfast::vault
