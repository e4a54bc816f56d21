// The parts of objects on a set of disks: finding them, reading through what is damaged or missing,
// and looking at every byte. Nothing here writes.
//
// Shard i of an object lies on disk (home + i) mod n, where home is a hash of its name; copies lie
// on m + 1 disks, the first that were there from home on.
//
// Thread safety: any number of threads, while nobody changes the set of disks.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "vault/store/disk_set.h"
#include "vault/store/redundancy.h"
#include "vault/store/reed_solomon.h"

namespace holdfast::vault {

// Below it, on every disk that was there: what was removed while others were missing.
inline constexpr std::string_view kRemovedPrefix = "removed/";

// Objects below it are stripes, others copies; small ones are copies too.
inline constexpr std::string_view kStripedPrefix = "packs/";

// An object as the headers of its parts describe it.
struct StripedObject {
  std::string name;
  ShardHeader header;           // of one of its parts; its index says nothing
  io::TimeNs stored_ns = 0;     // the earliest that a part says
  std::vector<unsigned> disks;  // with a good header of this object, from home on
  bool is_copies() const { return header.kind == ShardKind::copy; }

  // Tables of parts, by disk, read and checked when first needed.
  std::mutex mutex;
  std::vector<std::shared_ptr<const Bytes>> tables;
};
using StripedObjectPtr = std::shared_ptr<StripedObject>;

// What the disks have under a name.
struct Examination {
  enum class State {
    absent,   // the disk is there, the part is not
    unknown,  // the disk is missing, or still being filled, or does not answer
    damaged,  // something is there, but no good header
    good,
  };
  struct Part {
    State state = State::absent;
    bool disk_present = false;
    std::string why;          // for unknown parts of disks that are there, and damaged ones
    crypto::Digest object{};  // good: whose part this is
    ShardHeader header;       // good
  };
  std::vector<Part> parts;  // by disk
  StripedObjectPtr object;  // null: see error
  std::optional<Error> error;
  std::vector<crypto::Digest> removed;  // objects of this name that were removed, parts of which
                                        // have reappeared with their disk
  bool others = false;                  // parts of another object than the chosen one
};

class ObjectParts {
 public:
  ObjectParts(DiskSet& disks, const ReedSolomon& code) : disks_(disks), code_(code) {}

  unsigned home(std::string_view name) const;
  unsigned disk_of(std::string_view name, unsigned step) const {
    return (home(name) + step) % disks_.size();
  }
  unsigned copies_wanted() const { return disks_.layout().parity_shards + 1u; }
  unsigned data_shards() const { return disks_.layout().data_shards; }

  enum class Depth { until_certain, all };
  Examination examine(const std::string& name, Depth depth) const;

  // The first good header of the disks given as bits, from home on.
  std::optional<ShardHeader> first_header(const std::string& name, uint64_t disks) const;

  // Errors: Errc::malformed past the end; Errc::damaged if too many parts are; else whatever keeps
  // parts from being read.
  Status read(StripedObject& object, uint64_t offset, MutableByteView out) const;
  // Shard `shard` from block `first` on, so many whole blocks as `out` holds (the last may be the
  // shorter one). Good blocks of any parts are used.
  Status read_shard(StripedObject& object, unsigned shard, uint64_t first,
                    MutableByteView out) const;
  // The table of a part: as stored, or made again from its data. Errors: verdicts; the disk's.
  Result<std::shared_ptr<const Bytes>> table(StripedObject& object, unsigned disk,
                                             unsigned shard) const;
  // Whether each block of the part on `disk` has its hash, and what else is wrong with the file.
  // Errors: verdicts; the disk's; Errc::interrupted if `pace` says so.
  struct PartVerdict {
    std::vector<bool> good;
    std::string file_fault;  // of its length or table; empty: nothing
  };
  Result<PartVerdict> verify_part(StripedObject& object, unsigned disk, unsigned shard,
                                  const Redundancy::Pace& pace, uint64_t& bytes_read) const;

  static std::string removal_name(const std::string& name, const crypto::Digest& object);

 private:
  Result<ShardHeader> read_header(unsigned disk, const std::string& name) const;
  bool is_removed(const std::string& name, const crypto::Digest& object) const;
  void choose(const std::string& name, Examination& ex) const;
  // Reads blocks of one part. Which of them are good; an error if nothing can be read.
  Result<std::vector<bool>> read_blocks(StripedObject& object, unsigned disk, unsigned shard,
                                        uint64_t first, MutableByteView out) const;
  Status rebuild_blocks(StripedObject& object, unsigned shard, uint64_t first, MutableByteView out,
                        const Error& why) const;

  DiskSet& disks_;
  const ReedSolomon& code_;
};

}  // namespace holdfast::vault
