// The reading half of StripedStore.

#include <algorithm>

#include "base/async/parallel.h"
#include "vault/errc.h"
#include "vault/store/striped_store.h"

namespace holdfast::vault {
namespace {

constexpr size_t kRecentMax = 64;
// Larger objects are index runs, hints that are checked where they are used: mapping one must not
// mean reading all of it.
constexpr uint64_t kVerifiedViewMax = 64 * 1024 * 1024;
constexpr unsigned kListThreads = 8;

// Files at the top of each directory that are no objects.
bool is_own_file(std::string_view name) {
  // No object's name has a dot; a layout that was cut off while it was written has.
  return name == kStripeFileName || name.starts_with(kRemovedPrefix) ||
         name.find('.') != std::string_view::npos;
}

class PartOfView final : public ObjectView {
 public:
  PartOfView(std::unique_ptr<ObjectView> whole, ByteView bytes)
      : whole_(std::move(whole)), bytes_(bytes) {}
  explicit PartOfView(Bytes copy) : copy_(std::move(copy)), bytes_(copy_) {}
  ByteView bytes() const override { return bytes_; }

 private:
  std::unique_ptr<ObjectView> whole_;
  Bytes copy_;
  ByteView bytes_;
};

bool view_is_good(const ShardHeader& header, ByteView file) {
  if (file.size() != header.file_bytes()) return false;
  if (header.shard_bytes() > kVerifiedViewMax) return true;
  const ByteView table = file.subspan(header.header_bytes(), header.table_bytes());
  if (crypto::sha256(table) != header.tables[0]) return false;
  for (uint64_t b = 0; b < header.blocks(); ++b) {
    const ByteView block =
        file.subspan(header.data_offset() + b * kStripeBlockBytes, header.block_bytes(b));
    if (!equal(crypto::sha256(block), table.subspan(b * 32, 32))) return false;
  }
  return true;
}

}  // namespace

void StripedStore::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  recent_.remove_if([&](const StripedObjectPtr& o) { return o->name == name; });
}

Result<StripedObjectPtr> StripedStore::lookup(const std::string& name) {
  const bool keep = name.starts_with(kStripedPrefix);
  if (keep) {
    const std::lock_guard lock(mutex_);
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
      if ((*it)->name != name) continue;
      recent_.splice(recent_.begin(), recent_, it);
      return recent_.front();
    }
  }
  Examination ex = parts_.examine(name, ObjectParts::Depth::until_certain);
  if (ex.object == nullptr) return std::move(*ex.error);
  if (keep) {
    const std::lock_guard lock(mutex_);
    recent_.push_front(ex.object);
    if (recent_.size() > kRecentMax) recent_.pop_back();
  }
  return std::move(ex.object);
}

Result<ObjectInfo> StripedStore::head(const std::string& name) {
  const Examination ex = parts_.examine(name, ObjectParts::Depth::until_certain);
  if (ex.object == nullptr) return *ex.error;
  return ObjectInfo{name, ex.object->header.object_bytes, ex.object->stored_ns};
}

Status StripedStore::get_range(const std::string& name, uint64_t offset, MutableByteView out) {
  TRY(const StripedObjectPtr object, lookup(name));
  Status read = parts_.read(*object, offset, out);
  if (read.ok() || read.error().code == holdfast::Errc::malformed) return read;
  // Since it was looked up it may have been removed, or repaired.
  forget(name);
  TRY(const StripedObjectPtr again, lookup(name));
  return parts_.read(*again, offset, out);
}

Result<Bytes> StripedStore::get(const std::string& name, uint64_t bytes_max) {
  TRY(const StripedObjectPtr object, lookup(name));
  if (object->header.object_bytes > bytes_max) {
    return Error{holdfast::Errc::limit_exceeded, "object " + name};
  }
  Bytes out(object->header.object_bytes);
  TRYV(get_range(name, 0, out));
  return out;
}

Result<std::unique_ptr<ObjectView>> StripedStore::view(const std::string& name) {
  TRY(const StripedObjectPtr object, lookup(name));
  const ShardHeader& header = object->header;
  if (object->is_copies()) {
    for (const unsigned disk : object->disks) {
      auto whole = disks_[disk].store->view(name);
      if (!whole.ok() || !view_is_good(header, (*whole)->bytes())) continue;
      const ByteView bytes = (*whole)->bytes().subspan(header.data_offset(), header.object_bytes);
      return std::unique_ptr<ObjectView>(new PartOfView(std::move(*whole), bytes));
    }
  }
  TRY(Bytes copy, get(name, kShardedBytesMax));
  return std::unique_ptr<ObjectView>(new PartOfView(std::move(copy)));
}

Result<std::map<std::string, uint64_t>> StripedStore::list_files(const std::string& prefix) {
  std::map<std::string, uint64_t> names;
  unsigned unread = 0;
  std::optional<Error> error;
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (!disks_.is_present(d)) {
      ++unread;
      continue;
    }
    auto listed = disks_[d].store->list(prefix);
    // Gone while it was listed: it looks the less full for it.
    if (!listed.ok() || !disks_.is_present(d)) {
      ++unread;
      if (!listed.ok()) error = std::move(listed).error().in("directory " + disks_[d].path);
      continue;
    }
    for (ObjectInfo& info : *listed) {
      if (!is_own_file(info.name)) names[std::move(info.name)] |= uint64_t{1} << d;
    }
  }
  // Every object has a part on one of any k directories.
  if (unread > code_.rows() - code_.data_rows()) {
    if (error) return std::move(*error);
    return Error{std::make_error_code(std::errc::no_such_device),
                 "too many directories of the vault at " + location_ + " are missing to list it"};
  }
  if (error) warn(error->message() + "; " + degraded_text());
  return names;
}

// Nothing for remains of what is no object. The disks that have a file tell most; where they are
// fewer than usual, or the first header is bad, all are looked at.
Result<std::optional<ObjectInfo>> StripedStore::list_one(const std::string& name, uint64_t disks) {
  const unsigned files = static_cast<unsigned>(__builtin_popcountll(disks));
  const bool stripe_certain =
      files >= code_.data_rows() &&
      (code_.data_rows() > code_.rows() - code_.data_rows() || files == code_.rows());
  const bool copies_certain = files == parts_.copies_wanted();
  if (stripe_certain || copies_certain) {
    const auto first = parts_.first_header(name, disks);
    if (first && (first->kind == ShardKind::shard ? stripe_certain : copies_certain)) {
      return std::optional(ObjectInfo{name, first->object_bytes, first->stored_ns});
    }
  }
  const Examination ex = parts_.examine(name, ObjectParts::Depth::all);
  if (ex.object != nullptr) {
    return std::optional(ObjectInfo{name, ex.object->header.object_bytes, ex.object->stored_ns});
  }
  if (is_absent(*ex.error)) return std::optional<ObjectInfo>();
  // It is there, but cannot be had, or not now. Hiding it would make a gap of it.
  for (const Examination::Part& part : ex.parts) {
    if (part.state != Examination::State::good) continue;
    return std::optional(ObjectInfo{name, part.header.object_bytes, part.header.stored_ns});
  }
  if (is_verdict(*ex.error)) return std::optional(ObjectInfo{name, 0, 0});
  return *ex.error;
}

Result<std::vector<ObjectInfo>> StripedStore::list(const std::string& prefix) {
  TRY(const auto files, list_files(prefix));
  std::vector<std::pair<const std::string*, uint64_t>> names;
  for (const auto& [name, disks] : files) names.emplace_back(&name, disks);
  std::vector<Result<std::optional<ObjectInfo>>> found(names.size());
  // The headers lie on several disks, which work at the same time.
  const bool parallel = options_.parallel && names.size() > 64;
  async::parallel_for(parallel ? kListThreads : 1, names.size(),
                      [&](size_t i) { found[i] = list_one(*names[i].first, names[i].second); });
  std::vector<ObjectInfo> out;
  out.reserve(names.size());
  for (auto& info : found) {
    if (!info.ok()) return std::move(info).error();
    if (*info) out.push_back(std::move(**info));
  }
  return out;
}

}  // namespace holdfast::vault
