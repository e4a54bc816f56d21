#include "vault/format/path_page.h"

#include <algorithm>
#include <tuple>

namespace holdfast::vault {
namespace {

// Bits of an entry's field mask; absent fields have their default.
enum Field : uint64_t {
  kXattrsInline = 1 << 0,
  kXattrChunks = 1 << 1,
  kAttributes = 1 << 2,
  kLinkTo = 1 << 3,
  kHasLinks = 1 << 4,
  kInconsistent = 1 << 5,
  kExtentsRoot = 1 << 6,
  kExtentList = 1 << 7,
  kFieldsKnown = (1 << 8) - 1,
};

constexpr size_t kEntryBytesMin = 10;
constexpr size_t kNameBytesMax = 255;
constexpr uint8_t kLevelMax = 32;

// A file of one chunk that covers it needs no list.
bool is_single_chunk(const Entry& e) {
  return !e.extents_root && e.extents.size() == 1 && e.extents[0].chunk &&
         e.extents[0].bytes == e.size;
}

uint64_t field_mask(const Entry& e) {
  uint64_t mask = 0;
  if (!e.xattrs.empty()) mask |= kXattrsInline;
  if (!e.xattr_chunks.empty()) mask |= kXattrChunks;
  if (e.attributes != 0) mask |= kAttributes;
  if (!e.link_to.empty()) mask |= kLinkTo;
  if (e.has_links) mask |= kHasLinks;
  if (e.inconsistent) mask |= kInconsistent;
  if (e.type == EntryType::file) {
    if (e.extents_root) {
      mask |= kExtentsRoot;
    } else if (e.size > 0 && !is_single_chunk(e)) {
      mask |= kExtentList;
    }
  }
  return mask;
}

void encode_extents(wire::Encoder& out, EdgeWriter& edges, const std::vector<Extent>& extents) {
  out.varint(extents.size());
  for (const Extent& x : extents) {
    out.varint(x.bytes << 1 | (x.chunk ? 0 : 1));
    if (x.chunk) edges.put(out, *x.chunk);
  }
}

// The lengths must add up to `size`, without overflow and without empty extents.
std::vector<Extent> decode_extents(wire::Decoder& in, EdgeReader& edges, size_t count_max,
                                   uint64_t size) {
  std::vector<Extent> extents;
  uint64_t sum = 0;
  const uint64_t n = in.count(in.varint_max(count_max), 1);
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const uint64_t v = in.varint();
    Extent x;
    x.bytes = v >> 1;
    if ((v & 1) == 0) x.chunk = edges.get(in);
    if (x.bytes == 0 || x.bytes > size - sum) in.fail("has extents that do not add up");
    if (x.chunk && x.bytes > kChunkBytesMax) {
      in.fail("has an extent longer than a chunk can be");
    }
    sum += x.bytes;
    extents.push_back(x);
  }
  if (in.ok() && sum != size) in.fail("has extents that do not add up");
  return extents;
}

void encode_owner_table(wire::Encoder& out,
                        const std::vector<std::pair<uint32_t, std::string>>& table) {
  out.varint(table.size());
  for (const auto& [id, name] : table) {
    out.varint(id);
    out.block(name);
  }
}

using OwnerTable = std::vector<std::pair<uint32_t, std::string>>;

OwnerTable decode_owner_table(wire::Decoder& in) {
  OwnerTable table;
  const uint64_t n = in.count(in.varint(), 2);
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    const auto id = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
    table.emplace_back(id, in.text(kNameBytesMax));
  }
  return table;
}

// Common prefix with the key before, then the rest.
void encode_key(wire::Encoder& out, std::string_view previous, std::string_view key) {
  const size_t n = std::min(previous.size(), key.size());
  size_t shared = 0;
  while (shared < n && previous[shared] == key[shared]) ++shared;
  out.varint(shared);
  out.block(key.substr(shared));
}

// `key` holds the key before and becomes the next one.
void decode_key(wire::Decoder& in, std::string& key, bool first) {
  const uint64_t shared = in.varint_max(key.size());
  std::string next = key.substr(0, in.ok() ? shared : 0);
  next += as_text(in.block(kKeyBytesMax));
  if (!in.ok()) return;
  if (next.size() > kKeyBytesMax || !is_valid_key(next)) in.fail("has a bad path");
  if (!first && compare_keys(key, next) >= 0) in.fail("has paths out of order");
  key = std::move(next);
}

void decode_entry(wire::Decoder& in, EdgeReader& edges, const OwnerTable& users,
                  const OwnerTable& groups, int64_t base_time_s, std::string_view key, Entry& e) {
  const uint8_t type = in.u8();
  if (type < 1 || type > 7) in.fail("has an entry of an unknown type");
  e.type = static_cast<EntryType>(type);
  const uint64_t mask = in.varint();
  if ((mask & ~uint64_t{kFieldsKnown}) != 0) in.fail("has an entry with unknown fields");
  e.mode = static_cast<uint32_t>(in.varint_max(07777));
  const uint64_t user = in.varint();
  const uint64_t group = in.varint();
  if (in.ok() && (user >= users.size() || group >= groups.size())) {
    in.fail("has an entry without an owner");
  }
  if (!in.ok()) return;
  std::tie(e.uid, e.user) = users[user];
  std::tie(e.gid, e.group) = groups[group];
  // Wraps as the encoder did: any 64-bit time comes back.
  e.mtime_s = static_cast<int64_t>(static_cast<uint64_t>(base_time_s) +
                                   static_cast<uint64_t>(in.signed_varint()));
  e.mtime_ns = in.u32();
  if (e.mtime_ns >= 1'000'000'000) in.fail("has a bad time");
  if (mask & kAttributes) e.attributes = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
  e.inconsistent = (mask & kInconsistent) != 0;
  e.has_links = (mask & kHasLinks) != 0;
  if (mask & kXattrsInline) {
    auto xattrs = decode_xattrs(in.block(kChunkBytesMax));
    if (!xattrs.ok()) {
      in.fail("has bad extended attributes");
    } else {
      e.xattrs = std::move(*xattrs);
    }
  }
  if ((mask & kXattrChunks) && (mask & kXattrsInline)) in.fail("has extended attributes twice");
  if (mask & kXattrChunks) {
    const uint64_t n = in.count(in.varint(), 1);
    for (uint64_t i = 0; i < n && in.ok(); ++i) e.xattr_chunks.push_back(edges.get(in));
  }
  if (mask & kLinkTo) {
    e.link_to = in.text(kKeyBytesMax);
    if (e.type == EntryType::directory) in.fail("has a hard link to a directory");
    if (e.link_to.empty() || !is_valid_key(e.link_to) || compare_keys(e.link_to, key) >= 0) {
      in.fail("has a bad hard link");
    }
  }
  switch (e.type) {
    case EntryType::file:
      e.size = in.varint();
      if (e.size > INT64_MAX) in.fail("has a file of impossible size");
      if (mask & kExtentsRoot) {
        if (e.size == 0) in.fail("has an extents map of an empty file");
        e.extents_root = edges.get(in);
      } else if (mask & kExtentList) {
        e.extents = decode_extents(in, edges, kInlineExtentsMax, e.size);
      } else if (e.size > 0) {
        if (e.size > kChunkBytesMax) in.fail("has an extent longer than a chunk can be");
        e.extents.push_back({e.size, edges.get(in)});
      }
      break;
    case EntryType::symlink:
      e.symlink_target = in.text(kSymlinkBytesMax);
      break;
    case EntryType::char_device:
    case EntryType::block_device:
      e.device_major = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
      e.device_minor = static_cast<uint32_t>(in.varint_max(UINT32_MAX));
      break;
    default:
      break;
  }
  // One encoding for each entry: no field that has its default, or that the type does not have.
  if (in.ok() && field_mask(e) != mask) in.fail("has an entry with fields it should not have");
}

}  // namespace

void EdgeWriter::put(wire::Encoder& out, const ChunkId& id) {
  const auto [it, fresh] = ordinal_.try_emplace(id, edges_.size());
  if (fresh) {
    edges_.push_back(id);
    out.varint(0);
  } else {
    out.varint(it->second + 1);
  }
}

void EdgeWriter::clear() {
  edges_.clear();
  ordinal_.clear();
}

ChunkId EdgeReader::get(wire::Decoder& in) {
  const uint64_t v = in.varint();
  if (!in.ok()) return {};
  if (v == 0) {
    if (next_ < edges_.size()) return edges_[next_++];
  } else if (v - 1 < next_) {
    return edges_[v - 1];
  }
  in.fail("refers to a chunk that it does not list");
  return {};
}

size_t PathLeafEncoder::owner(std::vector<std::pair<uint32_t, std::string>>& table, uint32_t id,
                              const std::string& name) {
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i].first == id && table[i].second == name) return i;
  }
  table.emplace_back(id, name);
  return table.size() - 1;
}

void PathLeafEncoder::add(std::string_view key, const Entry& e) {
  if (count_ == 0) {
    edges_.clear();
    first_key_ = key;
    base_time_s_ = e.mtime_s;
  } else {
    CHECK(compare_keys(last_key_, key) < 0);
  }
  encode_key(body_, last_key_, key);
  if (count_ == 0) first_key_bytes_ = body_.size();
  last_key_ = key;
  ++count_;

  const uint64_t mask = field_mask(e);
  body_.u8(static_cast<uint8_t>(e.type));
  body_.varint(mask);
  body_.varint(e.mode);
  body_.varint(owner(users_, e.uid, e.user));
  body_.varint(owner(groups_, e.gid, e.group));
  body_.signed_varint(
      static_cast<int64_t>(static_cast<uint64_t>(e.mtime_s) - static_cast<uint64_t>(base_time_s_)));
  body_.u32(e.mtime_ns);
  if (mask & kAttributes) body_.varint(e.attributes);
  if (mask & kXattrsInline) body_.block(encode_xattrs(e.xattrs));
  if (mask & kXattrChunks) {
    body_.varint(e.xattr_chunks.size());
    for (const ChunkId& id : e.xattr_chunks) edges_.put(body_, id);
  }
  if (mask & kLinkTo) body_.block(e.link_to);
  switch (e.type) {
    case EntryType::file:
      body_.varint(e.size);
      if (mask & kExtentsRoot) {
        edges_.put(body_, *e.extents_root);
      } else if (mask & kExtentList) {
        CHECK(e.extents.size() <= kInlineExtentsMax);
        encode_extents(body_, edges_, e.extents);
      } else if (e.size > 0) {
        edges_.put(body_, *e.extents[0].chunk);
      }
      break;
    case EntryType::symlink:
      body_.block(e.symlink_target);
      break;
    case EntryType::char_device:
    case EntryType::block_device:
      body_.varint(e.device_major);
      body_.varint(e.device_minor);
      break;
    default:
      break;
  }
}

Bytes PathLeafEncoder::finish() {
  wire::Encoder out;
  out.u8(static_cast<uint8_t>(NodeType::path_leaf));
  out.varint(count_);
  out.i64(base_time_s_);
  encode_owner_table(out, users_);
  encode_owner_table(out, groups_);
  out.raw(body_.view());
  body_.clear();
  users_.clear();
  groups_.clear();
  last_key_.clear();
  count_ = 0;
  return out.take();
}

Result<std::vector<PathEntry>> decode_path_leaf(ByteView payload, std::span<const ChunkId> edges) {
  wire::Decoder in(payload, "path page");
  EdgeReader refs(edges);
  if (in.u8() != static_cast<uint8_t>(NodeType::path_leaf)) in.fail("is of another type");
  const uint64_t n = in.varint();
  const int64_t base_time_s = in.i64();
  const OwnerTable users = decode_owner_table(in);
  const OwnerTable groups = decode_owner_table(in);
  std::vector<PathEntry> out;
  out.reserve(in.count(n, kEntryBytesMin));
  std::string key;
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    decode_key(in, key, i == 0);
    if (!in.ok()) break;
    PathEntry& e = out.emplace_back();
    e.key = key;
    decode_entry(in, refs, users, groups, base_time_s, key, e.entry);
  }
  if (in.ok() && !refs.all_used()) in.fail("lists a chunk that it does not use");
  TRYV(in.finish());
  return out;
}

Bytes encode_path_inner(const PathInner& page) {
  wire::Encoder out;
  out.u8(static_cast<uint8_t>(NodeType::path_inner));
  out.u8(page.level);
  out.varint(page.children.size());
  std::string_view previous;
  for (const PathChild& child : page.children) {
    encode_key(out, previous, child.first_key);
    previous = child.first_key;
    out.varint(child.entries);
    out.varint(child.bytes);
  }
  return out.take();
}

Result<PathInner> decode_path_inner(ByteView payload, std::span<const ChunkId> edges) {
  wire::Decoder in(payload, "path page");
  PathInner page;
  if (in.u8() != static_cast<uint8_t>(NodeType::path_inner)) in.fail("is of another type");
  page.level = in.u8();
  if (page.level < 1 || page.level > kLevelMax) in.fail("is of an impossible level");
  const uint64_t n = in.count(in.varint(), 4);
  if (n == 0 || n != edges.size()) in.fail("has another number of children than edges");
  std::string key;
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    decode_key(in, key, i == 0);
    if (!in.ok()) break;
    PathChild& child = page.children.emplace_back();
    child.first_key = key;
    child.id = edges[i];
    child.entries = in.varint();
    child.bytes = in.varint();
  }
  TRYV(in.finish());
  return page;
}

Result<NodeType> node_type(ByteView payload) {
  if (payload.empty() || payload[0] < 1 || payload[0] > 4) {
    return Error{holdfast::Errc::malformed, "page of an unknown type"};
  }
  return static_cast<NodeType>(payload[0]);
}

}  // namespace holdfast::vault
