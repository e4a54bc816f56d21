#include "vault/store/disk_set.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/crypto/random.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFV1STRP";
constexpr size_t kPathMax = 4096;
constexpr size_t kLayoutBytesMax = 256 * 1024;

std::string file_of(const std::string& directory) {
  return io::join_path(directory, kStripeFileName);
}

Result<DecodedLayout> read_layout(io::FileSystem& fs, const std::string& directory) {
  TRY(const Bytes bytes, io::read_file(fs, file_of(directory), kLayoutBytesMax));
  auto decoded = decode_stripe_layout(bytes);
  if (!decoded.ok()) return std::move(decoded).error().in(file_of(directory));
  return decoded;
}

// Where a directory is that the layout has at `listed`, if this one was at `own_listed` and is at
// `own` now: disks that were mounted elsewhere, all alike. Empty if that says nothing.
std::string moved_alike(const std::string& own_listed, const std::string& own,
                        const std::string& listed) {
  const auto relative = std::filesystem::path(listed).lexically_relative(own_listed);
  if (relative.empty()) return {};
  return (std::filesystem::path(own) / relative).lexically_normal().string();
}

// What a layout that was cut off while it was written leaves (io::write_file).
bool is_temporary_layout(std::string_view name) {
  return name.starts_with(std::string(kStripeFileName) + ".tmp-");
}

// An empty directory, or one in which nothing but the layout was written before.
Status check_unused(io::FileSystem& fs, const std::string& path, const StripeSetId* set) {
  TRY(const auto entries, fs.list(path));
  for (const io::DirectoryEntry& e : entries) {
    if (e.name == "lost+found" || is_temporary_layout(e.name)) continue;
    if (e.name == kStripeFileName && set != nullptr) {
      const auto layout = read_layout(fs, path);
      if (layout.ok() && layout->layout.set == *set) continue;
    }
    return errno_error(ENOTEMPTY, path);
  }
  return {};
}

}  // namespace

Bytes StripeLayout::encode(unsigned number) const {
  wire::Encoder out;
  out.raw(kMagic);
  out.raw(set);
  out.u64(generation);
  out.u8(data_shards);
  out.u8(parity_shards);
  out.u8(static_cast<uint8_t>(number));
  out.u8(0);
  for (const Member& member : members) {
    out.raw(member.id);
    out.u8(member.filling ? 1 : 0);
    out.block(member.path);
  }
  out.raw(crypto::sha256(out.view()));
  return out.take();
}

Result<DecodedLayout> decode_stripe_layout(ByteView bytes) {
  if (bytes.size() < 32) return Error{Errc::malformed, "stripe layout ends too early"};
  const ByteView body = bytes.first(bytes.size() - 32);
  if (!equal(crypto::sha256(body), bytes.last(32))) {
    return Error{Errc::authentication_failed, "stripe layout"};
  }
  wire::Decoder in(body, "stripe layout");
  DecodedLayout out;
  StripeLayout& layout = out.layout;
  in.expect(kMagic);
  layout.set = in.array<16>();
  layout.generation = in.u64();
  layout.data_shards = in.u8();
  layout.parity_shards = in.u8();
  out.number = in.u8();
  if (in.u8() != 0) in.fail("has a reserved field set");
  if (layout.data_shards == 0 || layout.data_shards > kDataShardsMax || layout.parity_shards == 0 ||
      layout.parity_shards > kParityShardsMax) {
    in.fail("has an impossible number of shards");
  }
  const unsigned n = layout.data_shards + layout.parity_shards;
  if (out.number >= n) in.fail("has an impossible number");
  for (unsigned i = 0; i < n && in.ok(); ++i) {
    StripeLayout::Member member;
    member.id = in.array<16>();
    const uint8_t flags = in.u8();
    if (flags > 1) in.fail("has an unknown flag");
    member.filling = flags == 1;
    member.path = in.text(kPathMax);
    layout.members.push_back(std::move(member));
  }
  TRYV(in.finish());
  return out;
}

Result<DiskSet> DiskSet::create(io::FileSystem& fs, unsigned data_shards, unsigned parity_shards,
                                const std::vector<std::string>& paths) {
  const unsigned n = data_shards + parity_shards;
  if (data_shards < 1 || data_shards > kDataShardsMax || parity_shards < 1 ||
      parity_shards > kParityShardsMax) {
    return errno_error(EINVAL, "redundancy is 1 to 32 data shards and 1 to 8 parity shards");
  }
  if (paths.size() != n || std::set(paths.begin(), paths.end()).size() != n) {
    return errno_error(EINVAL, "redundancy " + std::to_string(data_shards) + "+" +
                                   std::to_string(parity_shards) + " needs " + std::to_string(n) +
                                   " different directories, not " + std::to_string(paths.size()));
  }
  DiskSet set(fs);
  set.layout_.set = crypto::random_array<16>();
  set.layout_.data_shards = static_cast<uint8_t>(data_shards);
  set.layout_.parity_shards = static_cast<uint8_t>(parity_shards);
  for (const std::string& path : paths) {
    if (path.size() > kPathMax) return errno_error(ENAMETOOLONG, path);
    TRYV(io::make_directories(fs, path));
    TRYV(check_unused(fs, path, nullptr));
    set.layout_.members.push_back({crypto::random_array<16>(), false, path});
  }
  set.disks_.resize(n);
  for (unsigned i = 0; i < n; ++i) {
    TRYV(io::write_file(fs, file_of(paths[i]), set.layout_.encode(i)));
    TRYV(set.open_disk(i, paths[i]));
  }
  return set;
}

Status DiskSet::open_disk(unsigned number, const std::string& path) {
  Disk& disk = disks_[number];
  TRY(disk.store, LocalStore::open(*fs_, path));
  disk.path = path;
  disk.why_missing.clear();
  disk.filling = layout_.members[number].filling;
  disk.moved = path != layout_.members[number].path;
  return {};
}

Result<bool> DiskSet::is_member(io::FileSystem& fs, const std::string& path) {
  const auto info = fs.info(file_of(path));
  if (info.ok()) return true;
  if (info.error().code == std::errc::no_such_file_or_directory ||
      info.error().code == std::errc::not_a_directory) {
    return false;
  }
  return info.error();
}

Result<DiskSet> DiskSet::open(io::FileSystem& fs, const std::string& path,
                              const std::vector<std::string>& hints) {
  TRY(DecodedLayout own, read_layout(fs, path));
  const std::string own_listed = own.layout.members[own.number].path;
  DiskSet set(fs);
  set.layout_ = std::move(own.layout);
  // A newer layout may name other places; it is found within as many steps as there are
  // directories.
  for (bool newer = true; newer;) {
    newer = false;
    const StripeLayout layout = set.layout_;
    set.disks_.clear();
    set.disks_.resize(layout.size());
    for (unsigned i = 0; i < layout.size() && !newer; ++i) {
      const StripeLayout::Member& member = layout.members[i];
      set.disks_[i].path = member.path;
      std::vector<std::string> places{member.path, path,
                                      moved_alike(own_listed, path, member.path)};
      places.insert(places.end(), hints.begin(), hints.end());
      for (const std::string& place : places) {
        if (place.empty() || set.disks_[i].store != nullptr) continue;
        const auto found = read_layout(fs, place);
        if (!found.ok()) {
          if (place == member.path) set.disks_[i].why_missing = found.error().message();
          continue;
        }
        if (found->layout.set != layout.set) {
          if (place == member.path) {
            set.disks_[i].why_missing = place + " belongs to another vault";
          }
          continue;
        }
        if (found->layout.generation > layout.generation) {
          set.layout_ = found->layout;
          newer = true;
          break;
        }
        if (found->layout.members[found->number].id != member.id) {
          if (place == member.path) {
            set.disks_[i].why_missing = place + " holds another directory of the vault";
          }
          continue;
        }
        if (const Status opened = set.open_disk(i, place); !opened.ok()) {
          set.disks_[i].why_missing = opened.error().message();
        }
      }
    }
  }
  const unsigned have = set.size() - set.missing();
  if (have < set.layout_.data_shards) {
    std::string missing;
    for (const Disk& d : set.disks_) {
      if (d.store == nullptr) missing += (missing.empty() ? "" : ", ") + d.path;
    }
    return Error{std::make_error_code(std::errc::no_such_device),
                 "only " + std::to_string(have) + " of the " + std::to_string(set.size()) +
                     " directories of the vault are there, and " +
                     std::to_string(set.layout_.data_shards) + " are needed; missing: " + missing +
                     ". Mount them, or name their new places with 'holdfast vault repair --moved "
                     "DIR'"};
  }
  return set;
}

bool DiskSet::is_present(unsigned i) const {
  return disks_[i].store != nullptr && fs_->info(file_of(disks_[i].path)).ok();
}

unsigned DiskSet::missing() const {
  return static_cast<unsigned>(std::count_if(disks_.begin(), disks_.end(),
                                             [](const Disk& d) { return d.store == nullptr; }));
}

Status DiskSet::replace(unsigned number, const std::string& path) {
  CHECK(number < size() && disks_[number].store == nullptr);
  if (path.size() > kPathMax) return errno_error(ENAMETOOLONG, path);
  TRYV(io::make_directories(*fs_, path));
  TRYV(check_unused(*fs_, path, &layout_.set));
  StripeLayout before = layout_;
  layout_.members[number] = {crypto::random_array<16>(), true, path};
  ++layout_.generation;
  Status done = io::write_file(*fs_, file_of(path), layout_.encode(number));
  if (done.ok()) done = open_disk(number, path);
  if (done.ok()) done = write_layout();
  if (!done.ok()) {
    layout_ = std::move(before);
    disks_[number].store.reset();
  }
  return done;
}

Status DiskSet::settle() {
  bool changed = false;
  for (unsigned i = 0; i < size(); ++i) {
    StripeLayout::Member& member = layout_.members[i];
    if (disks_[i].store == nullptr) continue;
    changed = changed || member.filling || member.path != disks_[i].path;
    member.filling = false;
    member.path = disks_[i].path;
    const auto stored = read_layout(*fs_, disks_[i].path);
    changed = changed || !stored.ok() || stored->layout.generation != layout_.generation;
  }
  if (!changed) return {};
  ++layout_.generation;
  TRYV(write_layout());
  for (Disk& d : disks_) {
    d.filling = false;
    d.moved = false;
  }
  return {};
}

Status DiskSet::write_layout() {
  for (unsigned i = 0; i < size(); ++i) {
    if (disks_[i].store == nullptr) continue;
    TRYV(io::write_file(*fs_, file_of(disks_[i].path), layout_.encode(i)));
  }
  return {};
}

}  // namespace holdfast::vault
