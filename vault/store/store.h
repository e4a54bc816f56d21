// A store keeps objects: bytes under a name, written whole, never changed. It is the seam between
// the vault and where its bytes lie; everything the vault promises rests on what is said here, and
// tests/vault/store/store_contract.h holds every implementation to it.
//
// Names are as in vault/format/object_names.h: components of [a-z0-9-] joined by '/'.
//
// Ordering: once put returns success, the object is durable, and every later get, head and list of
// any client sees it. While put runs, and after it failed, readers see nothing or the whole object,
// never a part. Objects are put once: putting a name again with other bytes is not defined, except
// put_if_absent, and a retry of a put whose outcome is unknown repeats the same bytes.
//
// Errors, all std::errc: no_such_file_or_directory (no such object), file_exists (put_if_absent),
// no_space_on_device, permission_denied, read_only_file_system, and io_error or whatever the system
// said for the rest. An error says nothing about an object's state: absence is only ever
// no_such_file_or_directory. Errors name the object in their context.
//
// Thread safety: every member may be called by any number of threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/io/file_system.h"

namespace holdfast::vault {

class Redundancy;

struct ObjectInfo {
  std::string name;
  uint64_t size_bytes = 0;
  io::TimeNs stored_ns = 0;  // by the store's clock
};

// An object's bytes, mapped or in memory, valid as long as this lives.
class ObjectView {
 public:
  virtual ~ObjectView() = default;
  virtual ByteView bytes() const = 0;
};

struct StoreTraits {
  std::string kind;  // "directory", "memory", "s3", ...
  // put_if_absent refuses an existing object even against a simultaneous one.
  bool enforces_put_if_absent = true;
  // Objects can be locked against deletion until a time, also against the credential in use.
  bool locks_objects = false;
  // Who else could change objects behind our back; for the table of promises.
  bool network_file_system = false;
};

class Store {
 public:
  virtual ~Store() = default;

  // The parts in a row become the object.
  virtual Status put(const std::string& name, std::span<const ByteView> parts) = 0;
  virtual Status put_if_absent(const std::string& name, std::span<const ByteView> parts) = 0;
  Status put(const std::string& name, ByteView bytes) { return put(name, {&bytes, 1}); }
  Status put_if_absent(const std::string& name, ByteView bytes) {
    return put_if_absent(name, {&bytes, 1});
  }

  virtual Result<ObjectInfo> head(const std::string& name) = 0;
  // Fills `out` from `offset`. An object that ends before is an error (Errc::malformed).
  virtual Status get_range(const std::string& name, uint64_t offset, MutableByteView out) = 0;
  // The whole object. Errors: Errc::limit_exceeded if it is larger than `bytes_max`.
  virtual Result<Bytes> get(const std::string& name, uint64_t bytes_max) = 0;
  // The whole object for repeated random access.
  virtual Result<std::unique_ptr<ObjectView>> view(const std::string& name) = 0;

  // Every object whose name starts with `prefix`, in order of names. `prefix` is empty or ends in
  // '/'. Consistent: an object put before the call started and not removed since is in the result.
  virtual Result<std::vector<ObjectInfo>> list(const std::string& prefix) = 0;

  // Success also if there was no such object.
  virtual Status remove(const std::string& name) = 0;

  // The store's own clock.
  virtual Result<io::TimeNs> now_ns() = 0;
  virtual const StoreTraits& traits() const = 0;
  // For messages.
  virtual std::string location() const = 0;
  // Every place from which this store can be opened: one, unless it lies in several directories.
  virtual std::vector<std::string> locations() const { return {location()}; }

  // What the store can do about lost parts of its own (vault/store/redundancy.h); null: nothing.
  virtual Redundancy* redundancy() { return nullptr; }

  // Space that is set aside, so that maintenance can work when the store is full; stores without
  // the notion do nothing. It is no object. set_reserve decides how much and makes it, 0 for none,
  // nothing for the default: 1 % of the file system, 64 MiB at most. release_reserve gives the
  // space free and returns how much that was; restore_reserve makes it again as large as was
  // decided, if need be. Errors: no_space_on_device, after which what could be reserved is.
  virtual Status set_reserve(std::optional<uint64_t>) { return {}; }
  virtual Result<uint64_t> release_reserve() { return uint64_t{0}; }
  virtual Status restore_reserve() { return {}; }
};

}  // namespace holdfast::vault
