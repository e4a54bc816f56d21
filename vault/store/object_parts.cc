#include "vault/store/object_parts.h"

#include <algorithm>

#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr uint64_t kRunBlocks = 64;  // read and rebuilt at once: 4 MiB of each part

bool is_transient(const Error& error) {
  return !is_verdict(error);
}

bool all_good(const std::vector<bool>& blocks) {
  return std::find(blocks.begin(), blocks.end(), false) == blocks.end();
}

}  // namespace

unsigned ObjectParts::home(std::string_view name) const {
  const ByteArray<16> hash = shard_name_hash(name);
  return (hash[0] | unsigned{hash[1]} << 8) % disks_.size();
}

std::string ObjectParts::removal_name(const std::string& name, const crypto::Digest& object) {
  return std::string(kRemovedPrefix) + to_hex(crypto::sha256({as_bytes(name), object}));
}

Result<ShardHeader> ObjectParts::read_header(unsigned disk, const std::string& name) const {
  LocalStore& store = *disks_[disk].store;
  Bytes bytes(kShardHeaderBytesMin);
  if (const Status got = store.get_range(name, 0, bytes); !got.ok()) {
    // Other names begin with this one.
    if (got.error().code == std::errc::is_a_directory) return errno_error(ENOENT, name);
    return got.error();
  }
  TRY(const size_t size, shard_header_bytes(bytes));
  if (size > bytes.size()) {
    bytes.resize(size);
    TRYV(store.get_range(name, 0, bytes));
  }
  TRY(ShardHeader header, decode_shard_header(bytes));
  const StripeLayout& layout = disks_.layout();
  if (header.set != layout.set || header.name_hash != shard_name_hash(name)) {
    return Error{Errc::damaged, "it belongs elsewhere"};
  }
  if (header.kind == ShardKind::shard &&
      (header.data_shards != layout.data_shards || header.parity_shards != layout.parity_shards ||
       disk_of(name, header.index) != disk)) {
    return Error{Errc::damaged, "it belongs elsewhere"};
  }
  return header;
}

std::optional<ShardHeader> ObjectParts::first_header(const std::string& name,
                                                     uint64_t disks) const {
  for (unsigned step = 0; step < disks_.size(); ++step) {
    const unsigned d = disk_of(name, step);
    if ((disks >> d & 1) == 0) continue;
    auto header = read_header(d, name);
    if (header.ok()) return std::move(*header);
  }
  return std::nullopt;
}

bool ObjectParts::is_removed(const std::string& name, const crypto::Digest& object) const {
  const std::string removal = removal_name(name, object);
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (disks_[d].store != nullptr && disks_[d].store->head(removal).ok()) return true;
  }
  return false;
}

Examination ObjectParts::examine(const std::string& name, Depth depth) const {
  Examination ex;
  ex.parts.resize(disks_.size());
  unsigned shards_good = 0;
  for (unsigned step = 0; step < disks_.size(); ++step) {
    const unsigned d = disk_of(name, step);
    Examination::Part& part = ex.parts[d];
    if (disks_[d].store == nullptr) {
      part.state = Examination::State::unknown;
      continue;
    }
    part.disk_present = true;
    auto header = read_header(d, name);
    if (header.ok()) {
      part.state = Examination::State::good;
      part.object = header->object_id();
      part.header = std::move(*header);
      // Shards of one name are of one object: packs are named by their content.
      if (part.header.kind == ShardKind::shard && ++shards_good == data_shards() &&
          depth == Depth::until_certain && data_shards() > disks_.layout().parity_shards) {
        break;
      }
    } else if (is_absent(header.error())) {
      part.disk_present = disks_.is_present(d);
      if (!part.disk_present || disks_[d].filling) part.state = Examination::State::unknown;
    } else {
      const bool transient = is_transient(header.error());
      part.state = transient ? Examination::State::unknown : Examination::State::damaged;
      part.why = header.error().message();
    }
  }
  choose(name, ex);
  return ex;
}

// Which object the name stands for. Several differ only after a put-if-absent was cut off while
// others saw other directories, and after a disk came back that missed a removal.
void ObjectParts::choose(const std::string& name, Examination& ex) const {
  struct Group {
    crypto::Digest id;
    StripedObjectPtr object;
  };
  std::vector<Group> groups;
  unsigned unknown = 0;
  unsigned damaged = 0;
  for (unsigned step = 0; step < disks_.size(); ++step) {
    const unsigned d = disk_of(name, step);
    const Examination::Part& part = ex.parts[d];
    unknown += part.state == Examination::State::unknown ? 1 : 0;
    damaged += part.state == Examination::State::damaged ? 1 : 0;
    if (part.state != Examination::State::good) continue;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Group& g) { return g.id == part.object; });
    if (group == groups.end()) {
      auto object = std::make_shared<StripedObject>();
      object->name = name;
      object->header = part.header;
      object->stored_ns = part.header.stored_ns;
      object->tables.resize(disks_.size());
      group = groups.insert(groups.end(), {part.object, std::move(object)});
    }
    group->object->disks.push_back(d);
    group->object->stored_ns = std::min(group->object->stored_ns, part.header.stored_ns);
  }
  const unsigned k = data_shards();
  const unsigned m = disks_.layout().parity_shards;
  std::erase_if(groups, [&](const Group& g) {
    const size_t have = g.object->disks.size();
    // Where k shards remain only on disks that were there, no record is needed.
    const bool may_be_stale =
        g.object->is_copies() ? have < copies_wanted() : k <= m && have < k + m;
    if (!may_be_stale || !is_removed(name, g.id)) return false;
    ex.removed.push_back(g.id);
    return true;
  });
  const Group* best = nullptr;
  bool elsewhere = false;
  bool broken = damaged > 0;
  for (const Group& g : groups) {
    const size_t have = g.object->disks.size();
    if (!g.object->is_copies() && have < k) {
      if (have + damaged + unknown >= k) (have + damaged >= k ? broken : elsewhere) = true;
      continue;
    }
    const auto rank = [](const Group& x) {
      return std::pair(x.object->disks.size(), x.object->stored_ns);
    };
    if (best == nullptr || rank(g) > rank(*best)) best = &g;
  }
  ex.others = groups.size() > 1;
  if (best != nullptr) {
    ex.object = best->object;
  } else if (elsewhere || unknown > m) {
    std::string why;
    for (const Examination::Part& part : ex.parts) {
      if (!part.why.empty()) why = part.why;
    }
    ex.error = Error{std::make_error_code(std::errc::io_error),
                     "object " + name +
                         ": too many directories of the vault are missing or "
                         "unreadable to have it" +
                         (why.empty() ? "" : " (" + why + ")")};
  } else if (broken) {
    ex.error = Error{Errc::damaged, "object " + name + ", in every directory that has it"};
  } else {
    ex.error = errno_error(ENOENT, "object " + name);
  }
}

Result<std::shared_ptr<const Bytes>> ObjectParts::table(StripedObject& object, unsigned disk,
                                                        unsigned shard) const {
  {
    const std::lock_guard lock(object.mutex);
    if (object.tables[disk] != nullptr) return object.tables[disk];
  }
  if (disks_[disk].store == nullptr) return errno_error(ENODEV, disks_[disk].path);
  const ShardHeader& header = object.header;
  LocalStore& store = *disks_[disk].store;
  auto table = std::make_shared<Bytes>(header.table_bytes());
  Status got = store.get_range(object.name, header.header_bytes(), *table);
  if (!got.ok() && !(is_verdict(got.error()) && !is_absent(got.error()))) {
    return std::move(got).error();
  }
  if (!got.ok() || crypto::sha256(*table) != header.tables[shard]) {
    // Perhaps only the table is damaged: the data prove themselves by it.
    table->clear();
    Bytes block;
    for (uint64_t b = 0; b < header.blocks(); ++b) {
      block.resize(header.block_bytes(b));
      TRYV(store.get_range(object.name, header.data_offset() + b * kStripeBlockBytes, block));
      append(*table, crypto::sha256(block));
    }
    if (crypto::sha256(*table) != header.tables[shard]) {
      return Error{Errc::damaged,
                   "the table of hashes of " + object.name + " in " + disks_[disk].path};
    }
  }
  const std::lock_guard lock(object.mutex);
  object.tables[disk] = table;
  return std::shared_ptr<const Bytes>(table);
}

Result<std::vector<bool>> ObjectParts::read_blocks(StripedObject& object, unsigned disk,
                                                   unsigned shard, uint64_t first,
                                                   MutableByteView out) const {
  TRY(const auto hashes, table(object, disk, shard));
  LocalStore& store = *disks_[disk].store;
  const ShardHeader& header = object.header;
  const uint64_t offset = header.data_offset() + first * kStripeBlockBytes;
  const size_t count = (out.size() + kStripeBlockBytes - 1) / kStripeBlockBytes;
  const Status whole = store.get_range(object.name, offset, out);
  if (!whole.ok() && (count == 1 || is_absent(whole.error()))) return whole.error();
  std::vector<bool> good(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = i * kStripeBlockBytes;
    const MutableByteView block =
        out.subspan(at, std::min<size_t>(kStripeBlockBytes, out.size() - at));
    if (!whole.ok() && !store.get_range(object.name, offset + at, block).ok()) continue;
    good[i] = equal(crypto::sha256(block), ByteView(*hashes).subspan((first + i) * 32, 32));
  }
  if (!whole.ok() && std::find(good.begin(), good.end(), true) == good.end()) return whole.error();
  return good;
}

Status ObjectParts::rebuild_blocks(StripedObject& object, unsigned shard, uint64_t first,
                                   MutableByteView out, const Error& why) const {
  const unsigned k = data_shards();
  const size_t count = (out.size() + kStripeBlockBytes - 1) / kStripeBlockBytes;
  std::vector<Bytes> rows(disks_.size());
  std::vector<std::vector<bool>> good(disks_.size());
  std::vector<unsigned> have_of(count);
  Error reason = why;
  for (unsigned i = 0; i < disks_.size(); ++i) {
    if (i == shard) continue;
    if (std::all_of(have_of.begin(), have_of.end(), [&](unsigned n) { return n >= k; })) break;
    rows[i].resize(out.size());
    auto read = read_blocks(object, disk_of(object.name, i), i, first, rows[i]);
    if (!read.ok()) {
      if (is_transient(read.error()) || !is_transient(reason)) reason = read.error();
      continue;
    }
    good[i] = std::move(*read);
    for (size_t b = 0; b < count; ++b) have_of[b] += good[i][b] ? 1 : 0;
  }
  for (size_t b = 0; b < count; ++b) {
    if (have_of[b] < k) {
      if (is_transient(reason)) return reason;
      return Error{Errc::damaged, "object " + object.name + ": block " + std::to_string(first + b) +
                                      " is left in " + std::to_string(have_of[b]) +
                                      " shards, and " + std::to_string(k) + " are needed"};
    }
    const size_t at = b * kStripeBlockBytes;
    const size_t size = std::min<size_t>(kStripeBlockBytes, out.size() - at);
    std::vector<unsigned> have;
    std::vector<const uint8_t*> sources;
    for (unsigned i = 0; i < disks_.size() && have.size() < k; ++i) {
      if (good[i].empty() || !good[i][b]) continue;
      have.push_back(i);
      sources.push_back(rows[i].data() + at);
    }
    uint8_t* const to = out.data() + at;
    code_.rebuild(size, have, sources, {&shard, 1}, {&to, 1});
  }
  return {};
}

Status ObjectParts::read_shard(StripedObject& object, unsigned shard, uint64_t first,
                               MutableByteView out) const {
  while (!out.empty()) {
    const MutableByteView run =
        out.first(std::min<size_t>(out.size(), kRunBlocks * kStripeBlockBytes));
    std::vector<unsigned> places{disk_of(object.name, shard)};
    if (object.is_copies()) places = object.disks;
    const size_t count = (run.size() + kStripeBlockBytes - 1) / kStripeBlockBytes;
    std::vector<bool> good(count, false);
    Error why{Errc::damaged, "object " + object.name};
    for (const unsigned disk : places) {
      // What an earlier copy gave stays.
      for (size_t b = 0; b < count;) {
        if (good[b]) {
          ++b;
          continue;
        }
        size_t end = b;
        while (end < count && !good[end]) ++end;
        const size_t at = b * kStripeBlockBytes;
        const MutableByteView piece =
            run.subspan(at, std::min(run.size(), end * kStripeBlockBytes) - at);
        auto read = read_blocks(object, disk, object.is_copies() ? 0 : shard, first + b, piece);
        if (!read.ok()) {
          if (is_transient(read.error()) || !is_transient(why)) why = read.error();
          break;
        }
        std::copy(read->begin(), read->end(), good.begin() + static_cast<ptrdiff_t>(b));
        b = end;
      }
      if (all_good(good)) break;
    }
    for (size_t b = 0; b < count;) {
      if (good[b]) {
        ++b;
        continue;
      }
      if (object.is_copies()) {
        if (is_transient(why)) return why;
        return Error{Errc::damaged, "object " + object.name + ": block " +
                                        std::to_string(first + b) + " is good in no copy"};
      }
      size_t end = b;
      while (end < count && !good[end]) ++end;
      const size_t at = b * kStripeBlockBytes;
      TRYV(rebuild_blocks(object, shard, first + b,
                          run.subspan(at, std::min(run.size(), end * kStripeBlockBytes) - at),
                          why));
      b = end;
    }
    out = out.subspan(run.size());
    first += kRunBlocks;
  }
  return {};
}

Status ObjectParts::read(StripedObject& object, uint64_t offset, MutableByteView out) const {
  const ShardHeader& header = object.header;
  if (offset > header.object_bytes || out.size() > header.object_bytes - offset) {
    return Error{holdfast::Errc::malformed,
                 "object " + object.name + " is shorter than it should be"};
  }
  thread_local Bytes buffer;
  const uint64_t shard_bytes = header.shard_bytes();
  while (!out.empty()) {
    const unsigned shard = static_cast<unsigned>(offset / shard_bytes);
    const uint64_t within = offset % shard_bytes;
    const uint64_t first = within / kStripeBlockBytes;
    const uint64_t skip = within - first * kStripeBlockBytes;
    const uint64_t end_max = std::min(shard_bytes, (first + kRunBlocks) * kStripeBlockBytes);
    const uint64_t take = std::min<uint64_t>(out.size(), end_max - within);
    const uint64_t end_block = (within + take + kStripeBlockBytes - 1) / kStripeBlockBytes;
    const uint64_t end = std::min(shard_bytes, end_block * kStripeBlockBytes);
    buffer.resize(end - first * kStripeBlockBytes);
    TRYV(read_shard(object, shard, first, buffer));
    std::memcpy(out.data(), buffer.data() + skip, take);
    out = out.subspan(take);
    offset += take;
  }
  return {};
}

Result<ObjectParts::PartVerdict> ObjectParts::verify_part(StripedObject& object, unsigned disk,
                                                          unsigned shard,
                                                          const Redundancy::Pace& pace,
                                                          uint64_t& bytes_read) const {
  const ShardHeader& header = object.header;
  LocalStore& store = *disks_[disk].store;
  TRY(const ObjectInfo info, store.head(object.name));
  PartVerdict verdict;
  if (info.size_bytes != header.file_bytes()) verdict.file_fault = "its file has the wrong length";
  // What is remembered of the table may have been made from the data.
  Bytes table(header.table_bytes());
  const Status got = store.get_range(object.name, header.header_bytes(), table);
  if (!got.ok() && (is_transient(got.error()) || is_absent(got.error()))) return got.error();
  if (!got.ok() || crypto::sha256(table) != header.tables[shard]) {
    verdict.file_fault = "its table of hashes is damaged";
  }
  Bytes buffer;
  for (uint64_t first = 0; first < header.blocks(); first += kRunBlocks) {
    const uint64_t begin = first * kStripeBlockBytes;
    buffer.resize(std::min(header.shard_bytes() - begin, kRunBlocks * kStripeBlockBytes));
    if (pace && !pace(buffer.size())) return Error{holdfast::Errc::interrupted, ""};
    auto blocks = read_blocks(object, disk, shard, first, buffer);
    // The kernel may have been out of luck once.
    if (!blocks.ok() && is_transient(blocks.error())) {
      blocks = read_blocks(object, disk, shard, first, buffer);
    }
    if (!blocks.ok() && (is_transient(blocks.error()) || is_absent(blocks.error()))) {
      return std::move(blocks).error();
    }
    const size_t count = (buffer.size() + kStripeBlockBytes - 1) / kStripeBlockBytes;
    if (!blocks.ok()) {
      verdict.good.insert(verdict.good.end(), count, false);
    } else {
      verdict.good.insert(verdict.good.end(), blocks->begin(), blocks->end());
    }
    bytes_read += buffer.size();
  }
  return verdict;
}

}  // namespace holdfast::vault
