// The directories (= disks) over which a vault with `local` redundancy lies, and the file `stripe`
// that each of them has: how many there are, which one this is, and where the others were last.
// docs/formats/stripes.md.
//
// A directory is known by the random id in its `stripe` file, never by its path: an empty directory
// in the place of a lost disk, or the mount point of a disk that is not mounted, is not taken for
// it, and nothing is written there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vault/store/local_store.h"
#include "vault/store/shard.h"

namespace holdfast::vault {

inline constexpr std::string_view kStripeFileName = "stripe";
using DiskId = ByteArray<16>;

struct StripeLayout {
  struct Member {
    DiskId id{};
    // It replaced a lost directory and does not have everything yet: that something is not in it
    // says nothing.
    bool filling = false;
    std::string path;
  };
  StripeSetId set{};
  uint64_t generation = 1;  // the highest of all directories is in force
  uint8_t data_shards = 0;
  uint8_t parity_shards = 0;
  std::vector<Member> members;

  unsigned size() const { return static_cast<unsigned>(members.size()); }
  Bytes encode(unsigned number) const;
};

struct DecodedLayout {
  StripeLayout layout;
  unsigned number = 0;  // of the directory that holds this file
};
// Errors: Errc::malformed, Errc::authentication_failed.
Result<DecodedLayout> decode_stripe_layout(ByteView bytes);

struct Disk {
  std::string path;                   // where it is, or was last
  std::unique_ptr<LocalStore> store;  // null: not there
  std::string why_missing;
  bool filling = false;
  bool moved = false;  // it is not where the layout says
};

class DiskSet {
 public:
  // Makes the directories, which must be empty. Errors: std::errc::invalid_argument for an
  // impossible layout; std::errc::directory_not_empty; the system's.
  static Result<DiskSet> create(io::FileSystem& fs, unsigned data_shards, unsigned parity_shards,
                                const std::vector<std::string>& paths);
  // From any one of the directories. Others are looked for where the layout says, at the same place
  // relative to `path`, and at `hints`. A directory that is not there is no error; fewer than k are
  // (std::errc::no_such_device), and say which are missing.
  static Result<DiskSet> open(io::FileSystem& fs, const std::string& path,
                              const std::vector<std::string>& hints = {});
  // Whether `path` holds a `stripe` file.
  static Result<bool> is_member(io::FileSystem& fs, const std::string& path);

  const StripeLayout& layout() const { return layout_; }
  unsigned size() const { return layout_.size(); }
  Disk& operator[](unsigned i) { return disks_[i]; }
  const Disk& operator[](unsigned i) const { return disks_[i]; }
  // Whether the directory is there at this moment; a stat.
  bool is_present(unsigned i) const;
  unsigned missing() const;

  // Puts the empty directory `path` in the place of the missing directory `number`. Errors:
  // std::errc::directory_not_empty; the system's.
  Status replace(unsigned number, const std::string& path);
  // Nothing is being filled any more, and everything is where the layout says: writes that down,
  // everywhere.
  Status settle();

 private:
  explicit DiskSet(io::FileSystem& fs) : fs_(&fs) {}
  Status open_disk(unsigned number, const std::string& path);
  Status write_layout();

  io::FileSystem* fs_;
  StripeLayout layout_;
  std::vector<Disk> disks_;
};

}  // namespace holdfast::vault
