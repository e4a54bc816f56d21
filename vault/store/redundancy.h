// What a store with redundancy of its own can do beyond keeping objects: say what state its parts
// (shards and copies) are in, and make lost ones again. Scrub and repair use it; on a store without
// it they look at objects only.
//
// Thread safety: as the store, except that repair work (replace_missing, repair, finish_repair) is
// for one thread at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::vault {

// One of the directories.
struct PlaceStatus {
  unsigned number = 0;
  std::string path;
  bool present = false;
  bool filling = false;  // took the place of a lost one, and does not have everything yet
  bool moved = false;    // found elsewhere than where it was last
  std::string why;       // why it is not present
};

// What a look at every byte of an object's parts found.
struct PartsReport {
  // False: what is there is too little to be an object, and no directory is missing that could hold
  // the rest. Remains of a put or a remove that did not end.
  bool is_object = true;
  // Whether the object can be read whole from what is there now.
  bool readable = true;
  unsigned parts_wanted = 0;
  unsigned parts_good = 0;
  unsigned parts_rebuilt = 0;    // by repair; with dry_run: that it would rebuild
  unsigned parts_missing = 0;    // not there, in a directory that is there
  unsigned parts_elsewhere = 0;  // in directories that are missing
  uint64_t bytes_read = 0;
  // What is wrong with parts: which, in which directory. Not for parts in missing directories.
  std::vector<std::string> faults;
  // Parts that could not be read for a reason that may pass. Nothing is concluded from these.
  std::vector<std::string> unread;

  bool whole() const { return faults.empty() && unread.empty() && parts_good == parts_wanted; }
};

class Redundancy {
 public:
  virtual ~Redundancy() = default;

  // How much may be lost: so many directories.
  virtual unsigned losses_survived() const = 0;
  virtual std::vector<PlaceStatus> places() const = 0;
  // What went wrong with directories since this was last asked, once each.
  virtual std::vector<std::string> take_warnings() = 0;

  // Every name of which any part is there, whether an object or remains, in order.
  virtual Result<std::vector<std::string>> part_names() = 0;
  // Called with the bytes about to be read; false ends the work (Errc::interrupted).
  using Pace = std::function<bool(uint64_t bytes)>;
  // Reads all parts and holds them against their hashes. Errors: Errc::interrupted.
  virtual Result<PartsReport> verify_parts(const std::string& name, const Pace& pace) = 0;
  // The same, and makes every part again that is damaged or not there: from others, each block of
  // which was just held against its hash. Never touches a good part. Errors: Errc::interrupted.
  virtual Result<PartsReport> repair_parts(const std::string& name, bool dry_run,
                                           const Pace& pace) = 0;

  // Puts an empty directory in the place of a missing one. Errors: std::errc::directory_not_empty;
  // std::errc::invalid_argument if none is missing.
  virtual Result<PlaceStatus> replace_missing(const std::string& path) = 0;
  // Everything was repaired: new directories count as full, moved ones are written down, and what
  // was removed while directories were missing is removed there too.
  virtual Status finish_repair() = 0;
};

}  // namespace holdfast::vault
