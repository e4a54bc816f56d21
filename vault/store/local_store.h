// A directory as a store. docs/formats/objects.md, "Directory".
//
// Objects are files below the directory at their names. put writes a temporary below tmp/, syncs
// it, renames it into place and syncs the directory (and those that it had to create), so that a
// power loss leaves nothing or the whole object. If a sync fails the temporary is given up and the
// object written again from memory under another temporary name, because Linux reports a lost write
// once and would then claim success. The first put of a process removes temporaries that are older
// than a day.
//
// Reserved space is files of random bytes below reserve/, and how much it is meant to be in
// reserve/size.
#pragma once

#include <map>
#include <mutex>
#include <set>

#include "vault/store/store.h"

namespace holdfast::vault {

class LocalStore final : public Store {
 public:
  // `root` must exist. Errors: the system's; std::errc::not_a_directory.
  static Result<std::unique_ptr<LocalStore>> open(io::FileSystem& fs, const std::string& root);
  // Makes `root` if need be; it must be empty. Errors: std::errc::directory_not_empty.
  static Result<std::unique_ptr<LocalStore>> create(io::FileSystem& fs, const std::string& root);

  using Store::put;
  using Store::put_if_absent;
  Status put(const std::string& name, std::span<const ByteView> parts) override;
  Status put_if_absent(const std::string& name, std::span<const ByteView> parts) override;
  Result<ObjectInfo> head(const std::string& name) override;
  Status get_range(const std::string& name, uint64_t offset, MutableByteView out) override;
  Result<Bytes> get(const std::string& name, uint64_t bytes_max) override;
  Result<std::unique_ptr<ObjectView>> view(const std::string& name) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  Status remove(const std::string& name) override;
  Result<io::TimeNs> now_ns() override;
  const StoreTraits& traits() const override { return traits_; }
  std::string location() const override { return root_; }
  Status set_reserve(std::optional<uint64_t> bytes) override;
  Result<uint64_t> release_reserve() override;
  Status restore_reserve() override;

 private:
  LocalStore(io::FileSystem& fs, std::string root);

  enum class Existing { replace, refuse };
  Status write_object(const std::string& name, std::span<const ByteView> parts, Existing existing);
  Status write_temporary(const std::string& path, std::span<const ByteView> parts);
  void remove_abandoned();
  Status ensure_directory(const std::string& directory);
  // The blocks of the reserve that are there, and their bytes.
  Result<std::vector<std::pair<std::string, uint64_t>>> reserve_blocks();
  Status list_below(const std::string& directory, std::vector<ObjectInfo>& out);
  Result<std::shared_ptr<io::ReadableFile>> opened(const std::string& name);
  std::string path_of(const std::string& name) const { return io::join_path(root_, name); }

  io::FileSystem& fs_;
  const std::string root_;
  StoreTraits traits_;
  std::once_flag abandoned_once_;
  std::mutex mutex_;
  std::set<std::string> known_directories_;
  // Packs are read in many pieces; a few stay open. Oldest use first out.
  std::map<std::string, std::pair<std::shared_ptr<io::ReadableFile>, uint64_t>> open_files_;
  uint64_t use_counter_ = 0;
};

}  // namespace holdfast::vault
