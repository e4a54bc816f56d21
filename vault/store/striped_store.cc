#include "vault/store/striped_store.h"

#include <algorithm>
#include <thread>

#include "base/async/parallel.h"
#include "base/crypto/random.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

// Smaller packs are not worth n files.
constexpr uint64_t kStripeMin = kStripeBlockBytes;

uint64_t total_bytes(std::span<const ByteView> parts) {
  uint64_t n = 0;
  for (const ByteView part : parts) n += part.size();
  return n;
}

bool is_full(const Error& error) {
  return error.code == std::errc::no_space_on_device ||
         error.code == std::error_code(EDQUOT, std::generic_category());
}

// Parts in a row, read by position.
class Row {
 public:
  explicit Row(std::span<const ByteView> parts) {
    uint64_t at = 0;
    for (const ByteView part : parts) {
      if (part.empty()) continue;
      pieces_.push_back({at, part});
      at += part.size();
    }
    size_ = at;
  }
  // The bytes from `begin` to `end`; nothing behind the last one.
  std::vector<ByteView> range(uint64_t begin, uint64_t end) const {
    std::vector<ByteView> out;
    end = std::min(end, size_);
    auto it = std::upper_bound(pieces_.begin(), pieces_.end(), begin,
                               [](uint64_t at, const Piece& p) { return at < p.begin; });
    if (it != pieces_.begin()) --it;
    for (; it != pieces_.end() && it->begin < end; ++it) {
      const uint64_t from = std::max(begin, it->begin);
      const uint64_t to = std::min(end, it->begin + it->bytes.size());
      if (from < to) out.push_back(it->bytes.subspan(from - it->begin, to - from));
    }
    return out;
  }
  // `size` bytes in one piece, zeros behind the last: a view of a part, or of `scratch`.
  ByteView contiguous(uint64_t begin, size_t size, Bytes& scratch) const {
    const auto pieces = range(begin, begin + size);
    if (pieces.size() == 1 && pieces[0].size() == size) return pieces[0];
    scratch.clear();
    for (const ByteView p : pieces) append(scratch, p);
    scratch.resize(size);
    return scratch;
  }

 private:
  struct Piece {
    uint64_t begin;
    ByteView bytes;
  };
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

}  // namespace

StripedStore::StripedStore(io::FileSystem& fs, DiskSet disks, std::string location,
                           StripedOptions options)
    : fs_(fs),
      disks_(std::move(disks)),
      code_(disks_.layout().data_shards, disks_.layout().parity_shards),
      parts_(disks_, code_),
      location_(std::move(location)),
      options_(std::move(options)) {
  traits_.kind = std::to_string(disks_.layout().data_shards) + "+" +
                 std::to_string(disks_.layout().parity_shards) + " directories";
  for (unsigned i = 0; i < disks_.size(); ++i) {
    if (disks_[i].store == nullptr) {
      warn("directory " + disks_[i].path + " of the vault is missing (" + disks_[i].why_missing +
           "); " + degraded_text());
      continue;
    }
    traits_.network_file_system |= disks_[i].store->traits().network_file_system;
  }
}

Result<std::unique_ptr<StripedStore>> StripedStore::create(io::FileSystem& fs, unsigned data_shards,
                                                           unsigned parity_shards,
                                                           const std::vector<std::string>& paths,
                                                           StripedOptions options) {
  TRY(DiskSet disks, DiskSet::create(fs, data_shards, parity_shards, paths));
  return std::unique_ptr<StripedStore>(
      new StripedStore(fs, std::move(disks), paths[0], std::move(options)));
}

Result<std::unique_ptr<StripedStore>> StripedStore::open(io::FileSystem& fs,
                                                         const std::string& path,
                                                         StripedOptions options) {
  TRY(DiskSet disks, DiskSet::open(fs, path, options.hints));
  return std::unique_ptr<StripedStore>(
      new StripedStore(fs, std::move(disks), path, std::move(options)));
}

std::vector<std::string> StripedStore::locations() const {
  std::vector<std::string> out{location_};
  for (unsigned i = 0; i < disks_.size(); ++i) {
    if (disks_[i].path != location_) out.push_back(disks_[i].path);
  }
  return out;
}

void StripedStore::warn(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (warned_.insert(text).second) warnings_.push_back(text);
}

std::string StripedStore::degraded_text() const {
  return "redundancy is degraded: put the directory back, or give an empty one with 'holdfast "
         "vault repair --new-disk DIR', then run 'holdfast vault repair'";
}

std::vector<std::string> StripedStore::take_warnings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

// --- Writing ---

ShardHeader StripedStore::new_header(const std::string& name, ShardKind kind, uint64_t size) {
  ShardHeader header;
  header.kind = kind;
  if (kind == ShardKind::shard) {
    header.data_shards = disks_.layout().data_shards;
    header.parity_shards = disks_.layout().parity_shards;
  }
  header.object_bytes = size;
  header.stored_ns = fs_.now_ns();
  header.set = disks_.layout().set;
  header.name_hash = shard_name_hash(name);
  return header;
}

Status StripedStore::missing_error(unsigned disk) const {
  return Error{std::make_error_code(std::errc::no_such_device), disks_[disk].path};
}

Status StripedStore::put_part(unsigned disk, const std::string& name,
                              std::span<const ByteView> parts, bool if_absent) {
  // Below a mount point whose disk is gone nothing may be made.
  if (!disks_.is_present(disk)) return missing_error(disk);
  LocalStore& store = *disks_[disk].store;
  return if_absent ? store.put_if_absent(name, parts) : store.put(name, parts);
}

void StripedStore::note_failure(Placed& placed, unsigned disk, Error error) {
  placed.failed.push_back(disk);
  const bool full = is_full(error);
  // Of several errors the one that ends the put is told.
  if (!placed.error || (full && !placed.full)) {
    placed.error = std::move(error).in("directory " + disks_[disk].path);
  }
  placed.full |= full;
}

// Removes parts of a put that failed. Only its own: another writer's may be there by now.
void StripedStore::take_back(const std::string& name, const std::vector<unsigned>& disks,
                             const crypto::Digest& object) {
  if (disks.empty()) return;
  const Examination ex = parts_.examine(name, ObjectParts::Depth::all);
  for (const unsigned d : disks) {
    const Examination::Part& part = ex.parts[d];
    if (part.state == Examination::State::good && part.object == object) {
      (void)disks_[d].store->remove(name);
    }
  }
  forget(name);
}

Status StripedStore::put(const std::string& name, std::span<const ByteView> parts) {
  const uint64_t size = total_bytes(parts);
  forget(name);
  if (name.starts_with(kStripedPrefix) && size >= kStripeMin) return put_shards(name, parts, size);
  return put_copies(name, parts, size);
}

Status StripedStore::put_shards(const std::string& name, std::span<const ByteView> parts,
                                uint64_t size) {
  const unsigned k = code_.data_rows();
  const unsigned n = code_.rows();
  ShardHeader header = new_header(name, ShardKind::shard, size);
  const uint64_t shard_bytes = header.shard_bytes();
  const Row row(parts);
  std::vector<Bytes> tables(n);
  std::vector<Buffer> parity;
  for (unsigned j = k; j < n; ++j) parity.emplace_back(shard_bytes);
  std::vector<Bytes> scratch(k);
  std::vector<const uint8_t*> data_rows(k);
  std::vector<uint8_t*> parity_rows(n - k);
  for (uint64_t b = 0; b < header.blocks(); ++b) {
    const uint64_t at = b * kStripeBlockBytes;
    const size_t bytes = header.block_bytes(b);
    for (unsigned i = 0; i < k; ++i) {
      const ByteView block = row.contiguous(i * shard_bytes + at, bytes, scratch[i]);
      // The last data shard may begin behind the end of the object: all zeros.
      data_rows[i] = block.data();
      append(tables[i], crypto::sha256(block));
    }
    for (unsigned j = k; j < n; ++j) parity_rows[j - k] = parity[j - k].data() + at;
    code_.encode(bytes, data_rows, parity_rows);
    for (unsigned j = k; j < n; ++j) {
      append(tables[j], crypto::sha256(ByteView(parity_rows[j - k], bytes)));
    }
  }
  for (const Bytes& table : tables) header.tables.push_back(crypto::sha256(table));

  std::vector<Status> done(n);
  std::vector<uint8_t> was_there(n);
  const auto put_one = [&](size_t i) {
    const unsigned disk = parts_.disk_of(name, static_cast<unsigned>(i));
    if (disks_[disk].store == nullptr) {
      done[i] = missing_error(disk);
      return;
    }
    ShardHeader own = header;
    own.index = static_cast<uint8_t>(i);
    const Bytes encoded = own.encode();
    std::vector<ByteView> file{encoded, tables[i]};
    Bytes padding;
    if (i < k) {
      uint64_t have = 0;
      for (const ByteView piece : row.range(i * shard_bytes, (i + 1) * shard_bytes)) {
        file.push_back(piece);
        have += piece.size();
      }
      padding.resize(shard_bytes - have);
      file.push_back(padding);
    } else {
      file.push_back(parity[i - k].view());
    }
    was_there[i] = disks_[disk].store->head(name).ok() ? 1 : 0;
    done[i] = put_part(disk, name, file, false);
  };
  async::parallel_for(options_.parallel ? n : 1, n, put_one);

  Placed placed;
  for (unsigned i = 0; i < n; ++i) {
    const unsigned disk = parts_.disk_of(name, i);
    if (done[i].ok()) {
      placed.disks.push_back(disk);
      if (was_there[i] == 0) placed.fresh.push_back(disk);
    } else {
      note_failure(placed, disk, done[i].error());
    }
  }
  if (placed.failed.empty()) return {};
  const unsigned needed = n - k == 1 ? k : k + 1;
  if (!placed.full && placed.disks.size() >= needed) {
    warn(placed.error->message() + "; " + degraded_text());
    return {};
  }
  take_back(name, placed.fresh, header.object_id());
  Error error = std::move(*placed.error);
  if (!placed.full && placed.failed.size() > 1) {
    error.context += " (and " + std::to_string(placed.failed.size() - 1) +
                     " more directories; of " + std::to_string(n) + " a pack needs " +
                     std::to_string(needed) + ")";
  }
  return std::move(error).in("object " + name);
}

Status StripedStore::put_copies(const std::string& name, std::span<const ByteView> parts,
                                uint64_t size) {
  ShardHeader header = new_header(name, ShardKind::copy, size);
  const Row row(parts);
  Bytes table;
  Bytes scratch;
  for (uint64_t b = 0; b < header.blocks(); ++b) {
    append(table,
           crypto::sha256(row.contiguous(b * kStripeBlockBytes, header.block_bytes(b), scratch)));
  }
  header.tables.push_back(crypto::sha256(table));
  const Bytes encoded = header.encode();
  std::vector<ByteView> file{encoded, table};
  file.insert(file.end(), parts.begin(), parts.end());

  Placed placed;
  std::vector<unsigned> order;
  for (unsigned step = 0; step < disks_.size(); ++step) order.push_back(parts_.disk_of(name, step));
  const auto put_one = [&](unsigned disk, Status& done, bool& was_there) {
    if (disks_[disk].store == nullptr) {
      done = missing_error(disk);
      return;
    }
    was_there = disks_[disk].store->head(name).ok();
    done = put_part(disk, name, file, false);
  };
  // The first m + 1 at once, others one by one in the place of those that fail.
  const unsigned wanted = parts_.copies_wanted();
  for (size_t first = 0; first < order.size() && placed.disks.size() < wanted && !placed.full;) {
    const size_t count = std::min<size_t>(wanted - placed.disks.size(), order.size() - first);
    std::vector<Status> done(count);
    std::unique_ptr<bool[]> was_there(new bool[count]());
    async::parallel_for(options_.parallel ? static_cast<unsigned>(count) : 1, count,
                        [&](size_t i) { put_one(order[first + i], done[i], was_there[i]); });
    for (size_t i = 0; i < count; ++i) {
      const unsigned disk = order[first + i];
      if (done[i].ok()) {
        placed.disks.push_back(disk);
        if (!was_there[i]) placed.fresh.push_back(disk);
      } else {
        note_failure(placed, disk, done[i].error());
      }
    }
    first += count;
  }
  if (placed.disks.size() < wanted) {
    take_back(name, placed.fresh, header.object_id());
    return std::move(*placed.error).in("object " + name);
  }
  if (placed.error) warn(placed.error->message() + "; " + degraded_text());
  // Put again after it was removed: a record of that would hide it one day.
  const std::string removal = ObjectParts::removal_name(name, header.object_id());
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (disks_[d].store != nullptr && disks_[d].store->head(removal).ok()) {
      TRYV(disks_[d].store->remove(removal));
    }
  }
  return {};
}

Status StripedStore::put_if_absent(const std::string& name, std::span<const ByteView> parts) {
  const uint64_t size = total_bytes(parts);
  forget(name);
  const Examination ex = parts_.examine(name, ObjectParts::Depth::all);
  if (ex.object != nullptr) return errno_error(EEXIST, "object " + name);
  if (!is_absent(*ex.error)) {
    // Something damaged has the name.
    if (is_verdict(*ex.error)) return errno_error(EEXIST, "object " + name + " (damaged)");
    return *ex.error;
  }
  ShardHeader header = new_header(name, ShardKind::copy, size);
  header.nonce = crypto::random_array<8>();
  const Row row(parts);
  Bytes table;
  Bytes scratch;
  for (uint64_t b = 0; b < header.blocks(); ++b) {
    append(table,
           crypto::sha256(row.contiguous(b * kStripeBlockBytes, header.block_bytes(b), scratch)));
  }
  header.tables.push_back(crypto::sha256(table));
  const Bytes encoded = header.encode();
  std::vector<ByteView> file{encoded, table};
  file.insert(file.end(), parts.begin(), parts.end());

  Placed placed;
  std::vector<unsigned> tried;
  std::optional<Error> refused;
  for (unsigned step = 0; step < disks_.size(); ++step) {
    if (placed.disks.size() == parts_.copies_wanted() || placed.full || refused) break;
    const unsigned disk = parts_.disk_of(name, step);
    if (disks_[disk].store == nullptr) {
      note_failure(placed, disk, missing_error(disk).error());
      continue;
    }
    // What was removed while this disk was away is in the way only here.
    const Examination::Part& part = ex.parts[disk];
    if (part.state == Examination::State::good &&
        std::find(ex.removed.begin(), ex.removed.end(), part.object) != ex.removed.end()) {
      (void)disks_[disk].store->remove(name);
    }
    tried.push_back(disk);
    Status done = put_part(disk, name, file, true);
    if (done.ok()) {
      placed.disks.push_back(disk);
    } else if (done.error().code == std::errc::file_exists) {
      refused = std::move(done).error();
    } else {
      note_failure(placed, disk, std::move(done).error());
    }
  }
  if (placed.disks.size() == parts_.copies_wanted()) {
    if (placed.error) warn(placed.error->message() + "; " + degraded_text());
    return {};
  }
  take_back(name, tried, header.object_id());
  if (refused) return errno_error(EEXIST, "object " + name);
  return std::move(*placed.error).in("object " + name);
}

Status StripedStore::remove(const std::string& name) {
  forget(name);
  unsigned unreachable = 0;
  for (unsigned d = 0; d < disks_.size(); ++d) unreachable += disks_.is_present(d) ? 0 : 1;
  // Which objects are to be recorded as removed, should one be left somewhere.
  const Examination ex = parts_.examine(name, ObjectParts::Depth::all);
  std::optional<Error> failed;
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (!disks_.is_present(d)) continue;
    Status removed = disks_[d].store->remove(name);
    if (removed.ok()) continue;
    ++unreachable;
    failed = std::move(removed).error().in("directory " + disks_[d].path);
  }
  // A repair beside this may have put a part back where it was removed already. It looks, after
  // each part it puts, whether there is any other; this looks after the last one was removed.
  for (unsigned d = 0; d < disks_.size() && !failed; ++d) {
    if (disks_.is_present(d) && disks_[d].store->head(name).ok()) {
      TRYV(disks_[d].store->remove(name));
    }
  }
  if (unreachable == 0) return {};
  std::set<crypto::Digest> objects;
  // Too few shards of a pack say nothing by themselves, unless few are enough.
  bool needs_record = code_.rows() - code_.data_rows() >= code_.data_rows();
  for (const Examination::Part& part : ex.parts) {
    if (part.state != Examination::State::good) continue;
    objects.insert(part.object);
    needs_record = needs_record || part.header.kind == ShardKind::copy;
  }
  // What has no good header cannot be named in a record.
  if (objects.empty() && failed) return *failed;
  if (needs_record) {
    for (const crypto::Digest& object : objects) TRYV(record_removal(name, object));
  } else if (unreachable >= code_.data_rows()) {
    return failed ? *failed
                  : Error{std::make_error_code(std::errc::io_error),
                          "object " + name + ": too many directories are missing to remove it"};
  }
  if (failed) warn(failed->message() + "; " + degraded_text());
  return {};
}

}  // namespace holdfast::vault
