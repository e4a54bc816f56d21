// Several directories (= disks) as one store that survives the loss of m of them: `local`
// redundancy. docs/formats/stripes.md.
//
// A pack becomes one Reed-Solomon stripe of k data and m parity shards, everything else m + 1
// copies. Every block of 64 KiB has its SHA-256 beside it, so that what is wrong is read around
// like what is missing. A range of a pack is read from the shards that have it alone, as long as
// these are good.
//
// put succeeds when every directory that is there has its part, synced. If directories are missing
// or fail, k + 1 shards suffice (k where m is 1), and copies go to other directories; that is a
// warning. A full directory is no missing one: the put fails with no_space_on_device.
//
// put_if_absent looks at every directory first, then puts its m + 1 copies one after the other in
// an order that the name fixes, each refused where there is one. Two writers that see different
// directories still meet: as long as each misses m at most, their first m + 1 have one in common.
// Whoever is refused there takes back what it put. So it needs m + 1 directories.
//
// An object that was removed while a directory was missing leaves a record below removed/ in the
// others, by which its parts are ignored when that directory comes back, until repair removes them.
//
// An object is absent only if no directory that is there has a part of it, or too few to read it,
// and those that are missing cannot have it either; otherwise one gets an error.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <set>

#include "vault/store/object_parts.h"
#include "vault/store/store.h"

namespace holdfast::vault {

struct StripedOptions {
  // Write to all disks at once, on threads of their own. Tests that count operations do without.
  bool parallel = true;
  // Where directories may be that are not where they were last.
  std::vector<std::string> hints;
};

class StripedStore final : public Store, public Redundancy {
 public:
  // Makes the directories, which must be empty. Errors: those of DiskSet::create.
  static Result<std::unique_ptr<StripedStore>> create(io::FileSystem& fs, unsigned data_shards,
                                                      unsigned parity_shards,
                                                      const std::vector<std::string>& paths,
                                                      StripedOptions options = {});
  // From any one of the directories. Errors: those of DiskSet::open.
  static Result<std::unique_ptr<StripedStore>> open(io::FileSystem& fs, const std::string& path,
                                                    StripedOptions options = {});

  // --- Store ---
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
  Result<io::TimeNs> now_ns() override { return fs_.now_ns(); }
  const StoreTraits& traits() const override { return traits_; }
  std::string location() const override { return location_; }
  std::vector<std::string> locations() const override;
  Redundancy* redundancy() override { return this; }
  Status set_reserve(std::optional<uint64_t> bytes) override;
  Result<uint64_t> release_reserve() override;
  Status restore_reserve() override;

  // --- Redundancy ---
  unsigned losses_survived() const override { return disks_.layout().parity_shards; }
  std::vector<PlaceStatus> places() const override;
  std::vector<std::string> take_warnings() override;
  Result<std::vector<std::string>> part_names() override;
  Result<PartsReport> verify_parts(const std::string& name, const Pace& pace) override;
  Result<PartsReport> repair_parts(const std::string& name, bool dry_run,
                                   const Pace& pace) override;
  Result<PlaceStatus> replace_missing(const std::string& path) override;
  Status finish_repair() override;

  const DiskSet& disks() const { return disks_; }

 private:
  StripedStore(io::FileSystem& fs, DiskSet disks, std::string location, StripedOptions options);

  struct Placed {
    std::vector<unsigned> disks;   // have their part
    std::vector<unsigned> fresh;   // of these: did not have one before
    std::vector<unsigned> failed;  // with the errors below
    std::optional<Error> error;    // the first
    bool full = false;             // one of the errors says so
  };
  Status put_shards(const std::string& name, std::span<const ByteView> parts, uint64_t size);
  Status put_copies(const std::string& name, std::span<const ByteView> parts, uint64_t size);
  ShardHeader new_header(const std::string& name, ShardKind kind, uint64_t size);
  void note_failure(Placed& placed, unsigned disk, Error error);
  Status missing_error(unsigned disk) const;
  void take_back(const std::string& name, const std::vector<unsigned>& disks,
                 const crypto::Digest& object);
  Status put_part(unsigned disk, const std::string& name, std::span<const ByteView> parts,
                  bool if_absent);
  void warn(const std::string& text);
  std::string degraded_text() const;

  Result<StripedObjectPtr> lookup(const std::string& name);
  void forget(const std::string& name);
  // Names below `prefix` and the disks that have a file of that name, as bits.
  Result<std::map<std::string, uint64_t>> list_files(const std::string& prefix);
  Result<std::optional<ObjectInfo>> list_one(const std::string& name, uint64_t disks);
  Status record_removal(const std::string& name, const crypto::Digest& object);
  Status apply_removals();

  // What verify_parts and repair_parts know of one part.
  struct PartCheck {
    unsigned disk = 0;
    unsigned shard = 0;
    std::vector<bool> good;  // by block; empty: nothing of it can be used
    bool whole = false;
    bool lost = false;  // certainly not right: to be made again
  };
  PartCheck check_part(StripedObject& object, const Examination& ex, unsigned disk, unsigned shard,
                       const Pace& pace, PartsReport& report, Status& status);
  Result<PartsReport> look(const std::string& name, const Pace& pace, Examination& ex,
                           std::vector<PartCheck>& checks);
  Status rebuild_part(StripedObject& object, const PartCheck& check, const Pace& pace);
  Status undo_if_removed(const StripedObject& object, const std::vector<unsigned>& rebuilt_on);

  io::FileSystem& fs_;
  DiskSet disks_;
  const ReedSolomon code_;
  const ObjectParts parts_;
  const std::string location_;
  const StripedOptions options_;
  StoreTraits traits_;

  std::mutex mutex_;
  std::set<std::string> warned_;
  std::vector<std::string> warnings_;
  // Packs are read in many pieces; what is known of a few is kept. Most recent first.
  std::list<StripedObjectPtr> recent_;
};

}  // namespace holdfast::vault
