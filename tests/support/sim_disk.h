// A file system in memory that can lose power and fail.
//
// Fault model. Every call counts as one operation. Operation n can be made to fail with a given
// error (with or without having taken effect), or to be the last before a power cut, after which
// every call fails until reboot(). What survives a power cut:
//
//   - file data up to the last successful sync of that file; of later writes nothing, a prefix, or
//     everything with some blocks as zeros (chosen by the seed);
//   - creations, renames and removals up to the last successful sync_directory of the directories
//   they
//     touch; of later ones any subset, each whole or not at all, in order for one and the same
//     name.
//
// So a test that passes for many seeds relies on nothing that POSIX leaves open. Failed syncs lose
// the data that they were to save: a later sync reports success without saving it, as Linux does.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <random>

#include "base/io/file_system.h"

namespace holdfast::testing {

class SimDisk final : public io::FileSystem {
 public:
  explicit SimDisk(uint64_t seed = 1);

  // --- Faults ---
  uint64_t operations() const;
  // From now on, the operation with this number (counted from 0 since construction) fails.
  void fail_operation(uint64_t number, std::errc error, bool after_effect = false);
  // The power goes just before this operation takes effect.
  void cut_power_at(uint64_t number);
  bool has_power() const;
  // Comes back with what survived. Open files are gone.
  void reboot(uint64_t seed);
  // Writes fail with no_space_on_device once the files hold so many bytes.
  void set_capacity(uint64_t bytes);
  void set_read_only(bool yes);
  // Names of the operations so far, for messages.
  std::vector<std::string> log() const;

  // --- Direct access, not counted ---
  std::optional<Bytes> peek(const std::string& path) const;
  void poke(const std::string& path, Bytes bytes);
  std::vector<std::string> all_files() const;

  // --- FileSystem ---
  Result<std::unique_ptr<io::WritableFile>> create(const std::string& path) override;
  Result<std::unique_ptr<io::ReadableFile>> open(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status rename_new(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status make_directory(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<io::FileInfo> info(const std::string& path) override;
  Result<std::vector<io::DirectoryEntry>> list(const std::string& path) override;
  Result<bool> is_network(const std::string&) override { return false; }
  Result<io::Space> space(const std::string& path) override;
  io::TimeNs now_ns() override;

 private:
  friend class SimWritableFile;
  friend class SimReadableFile;
  struct Inode {
    bool is_directory = false;
    Bytes data;
    Bytes synced;  // what survives for certain
    bool was_synced = false;
    bool sync_lost = false;  // a failed sync: the kernel thinks the data is clean
    io::TimeNs modified_ns = 0;
    std::map<std::string, std::shared_ptr<Inode>> entries;
    std::map<std::string, std::shared_ptr<Inode>> durable_entries;
  };
  using InodePtr = std::shared_ptr<Inode>;
  // One name in one directory, before and after.
  struct NameChange {
    InodePtr directory;
    std::string name;
    InodePtr after;  // null: removed
  };
  struct PendingOperation {
    std::vector<NameChange> changes;  // all or none
  };

  // Counts an operation. An error if it fails before its effect; `fail_after` if behind it.
  Status begin(const std::string& what, std::optional<std::errc>& fail_after);
  Status rename_locked(const std::string& from, const std::string& to, bool replace);
  Result<InodePtr> find(const std::string& path) const;
  Result<InodePtr> parent_of(const std::string& path, std::string& name) const;
  void change(std::vector<NameChange> changes);
  uint64_t used_bytes() const;
  void collect(const InodePtr& directory, const std::string& prefix,
               std::vector<std::string>& out) const;
  void settle(const InodePtr& directory, std::mt19937_64& random);

  mutable std::mutex mutex_;
  InodePtr root_;
  std::vector<PendingOperation> pending_;
  uint64_t operations_ = 0;
  uint64_t epoch_ = 0;  // of open files
  bool power_ = true;
  bool read_only_ = false;
  std::optional<uint64_t> cut_at_;
  struct Fault {
    std::errc error;
    bool after_effect;
  };
  std::map<uint64_t, Fault> faults_;
  uint64_t capacity_ = UINT64_MAX;
  io::TimeNs clock_ns_ = 1'700'000'000'000'000'000;
  std::vector<std::string> log_;
};

}  // namespace holdfast::testing
