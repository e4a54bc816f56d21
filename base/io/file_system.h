// The seam between Holdfast and the directory trees it keeps for itself (local vaults, caches,
// credentials). One implementation calls the kernel; tests have one that loses unsynced writes,
// fills up and fails on demand. Trees that belong to the user (what is backed up or restored to)
// do not go through here: they need the system's own details.
//
// Thread safety: a FileSystem may be used by many threads; one file object by one at a time, except
// that ReadableFile::read_at is safe for any number.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace holdfast::io {

// Nanoseconds since 1970-01-01 UTC.
using TimeNs = int64_t;

struct FileInfo {
  uint64_t size_bytes = 0;
  TimeNs modified_ns = 0;
  bool is_directory = false;
};

// Of the file system that holds a path.
struct Space {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for this user
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Appends everything or fails; after a failure the file's content is undefined.
  virtual Status write(ByteView bytes) = 0;
  // Appends all parts, or fails likewise. Much at once goes past the page cache where the file
  // system lets it: nobody reads it soon, and what others have there is not pushed out.
  virtual Status write_parts(std::span<const ByteView> parts);
  // Data and size are on stable storage when this succeeds. After a failure the written data may
  // be lost even if a later sync succeeds (Linux reports a write-back error once): give the file up
  // and write another.
  virtual Status sync() = 0;
  virtual Status close() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size_bytes() const = 0;
  // Reads up to out.size() bytes; fewer only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, MutableByteView out) const = 0;
  // The whole file as memory that lives as long as this object, or an empty view where the
  // implementation cannot map it. A map of a file that somebody truncates faults when touched. A
  // mapped file needs no descriptor; read_at copies from the map then.
  virtual Result<ByteView> map() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // Creates a file that must not exist (std::errc::file_exists).
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;
  virtual Result<std::unique_ptr<ReadableFile>> open(const std::string& path) = 0;
  // Atomic; replaces `to`.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  // Atomic; fails with std::errc::file_exists if `to` exists.
  virtual Status rename_new(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  // Succeeds if the directory is already there. Mode 0700.
  virtual Status make_directory(const std::string& path) = 0;
  // Makes earlier creations, renames and removals in this directory durable.
  virtual Status sync_directory(const std::string& path) = 0;
  virtual Result<FileInfo> info(const std::string& path) = 0;
  // In no particular order, without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
  // Whether other hosts may write to this directory too (NFS, SMB, FUSE and the like).
  virtual Result<bool> is_network(const std::string& path) = 0;
  virtual Result<Space> space(const std::string& path) = 0;
  virtual TimeNs now_ns() = 0;
};

// The kernel's. Never deleted.
FileSystem& posix_file_system();

// make_directory for every missing component, and sync_directory of each parent that gained one.
Status make_directories(FileSystem& fs, const std::string& path);

// The content of a file of at most `bytes_max` bytes. Errors: Errc::limit_exceeded; the system's.
Result<Bytes> read_file(FileSystem& fs, const std::string& path, uint64_t bytes_max);

// Replaces `path` with `bytes`: a temporary beside it, sync, rename, sync of the directory. After a
// failure the old content stands. Mode 0600.
Status write_file(FileSystem& fs, const std::string& path, ByteView bytes);

// "a/b" from "a" and "b", without doubling a slash.
std::string join_path(std::string_view a, std::string_view b);
// The part before the last slash; "." if there is none, "/" for entries of the root.
std::string parent_path(std::string_view path);

}  // namespace holdfast::io
