#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "backup-agent/restore/restore.h"
#include "backup-agent/scan/directory.h"
#include "backup-agent/scan/metadata.h"
#include "base/async/parallel.h"

namespace holdfast::backup_agent {
namespace {

constexpr size_t kBatchFiles = 1024;
constexpr size_t kCompareBytes = 256 * 1024;

bool has_capability(unsigned number) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  return ::syscall(SYS_capget, &header, data) == 0 &&
         (data[number / 32].effective & (1u << (number % 32))) != 0;
}

// Which metadata this process could have restored, and reads back as it is. What it may not was
// told once by the restore, and is no difference of every single file.
struct Abilities {
  const bool root = ::geteuid() == 0;
  const bool trusted = has_capability(CAP_SYS_ADMIN);
  const bool protect = has_capability(CAP_LINUX_IMMUTABLE);

  bool sees(const std::string& xattr) const {
    if (xattr.starts_with("trusted.")) return trusted;
    if (xattr.starts_with("security.")) return root;
    return true;
  }
};

// Where the first byte that is not zero stands in a range, if there is one. Skips true holes.
Result<std::optional<uint64_t>> first_data(int fd, uint64_t offset, uint64_t bytes) {
  const uint64_t end = offset + bytes;
  thread_local Bytes buffer;
  buffer.resize(kCompareBytes);
  for (uint64_t at = offset; at < end;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data >= 0) at = std::max(at, static_cast<uint64_t>(data));
    if (at >= end) break;
    const size_t n = std::min<uint64_t>(buffer.size(), end - at);
    TRY(const size_t got, io::read_at(fd, at, MutableByteView(buffer).first(n)));
    const auto found = std::find_if(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(got),
                                    [](uint8_t b) { return b != 0; });
    const auto index = static_cast<size_t>(found - buffer.begin());
    if (index < got) return std::optional<uint64_t>(at + index);
    if (got < n) break;  // the file ends here: its size differs
    at += n;
  }
  return std::optional<uint64_t>();
}

void append(std::string& list, const std::string& what) {
  if (!list.empty()) list += ", ";
  list += what;
}

// The names of extended attributes (ACLs are such) that are different, missing or too many.
std::string xattr_difference(const std::vector<vault::Xattr>& wanted,
                             const std::vector<vault::Xattr>& found, const Abilities& abilities) {
  const auto value_in = [](const std::vector<vault::Xattr>& list, const std::string& name) {
    const auto it = std::find_if(list.begin(), list.end(),
                                 [&](const vault::Xattr& x) { return x.name == name; });
    return it == list.end() ? nullptr : &it->value;
  };
  std::string out;
  for (const vault::Xattr& x : wanted) {
    const Bytes* there = value_in(found, x.name);
    if (abilities.sees(x.name) && (there == nullptr || *there != x.value)) {
      append(out, "extended attribute " + x.name);
    }
  }
  for (const vault::Xattr& x : found) {
    // A security module labels what has no stored label.
    if (abilities.sees(x.name) && value_in(wanted, x.name) == nullptr &&
        !x.name.starts_with("security.selinux")) {
      append(out, "extended attribute " + x.name);
    }
  }
  return out;
}

// Flags of the point that are missing. Others may come from the directory or the file system.
bool lacks_flags(const vault::Entry& e, int fd, const Abilities& abilities) {
  constexpr uint32_t kProtecting = 0x00000010 | 0x00000020;                   // immutable, append
  if ((e.attributes & kProtecting) != 0 && !abilities.protect) return false;  // then none were set
  return (e.attributes & ~read_attributes(fd)) != 0;
}

// What differs between an entry's metadata and an object of its type, as words; empty if nothing
// does.
std::string metadata_difference(const vault::Entry& e, const FileStat& st) {
  std::string out;
  const auto differs = [&](bool yes, const char* what) {
    if (yes) append(out, what);
  };
  const bool root = ::geteuid() == 0;
  differs(e.type != vault::EntryType::symlink && (st.mode & 07777) != e.mode &&
              (root || (st.mode & 0777) != (e.mode & 0777)),
          "mode");
  differs(root && (st.uid != e.uid || st.gid != e.gid), "owner");
  differs(st.mtime_s != e.mtime_s || st.mtime_ns != e.mtime_ns, "time");
  differs(e.type == vault::EntryType::file && st.size != e.size, "size");
  differs((e.type == vault::EntryType::char_device || e.type == vault::EntryType::block_device) &&
              (st.device_major != e.device_major || st.device_minor != e.device_minor),
          "device number");
  return out;
}

class Verifier {
 public:
  Verifier(vault::DomainReader& domain, const RestoreOptions& options, RestoreProgress& progress,
           RestoreReport& report)
      : domain_(domain), options_(options), progress_(progress), report_(report) {}

  Status run(const vault::ChunkId& root, const Filter& filter, const std::stop_token& stop) {
    auto pool = std::make_shared<DirectoryPool>();
    TRY(auto target, DirectoryHandle::open_root(pool, options_.target));
    vault::PathCursor cursor(domain_, root);
    cursor.pass_over_damage([this](const vault::LostEntries& lost) {
      if (lost.may_touch(options_.subpath)) problem("/" + lost.first, "verify: " + lost.text());
    });
    TRYV(cursor.seek(options_.subpath));
    std::string base = options_.subpath;
    if (!cursor.at_end() && cursor->key == base &&
        cursor->entry.type != vault::EntryType::directory) {
      const size_t slash = base.rfind('/');
      base = slash == std::string::npos ? "" : base.substr(0, slash);
    }
    frames_.push_back({base, std::move(target), filter.includes(base, true)});
    while (!cursor.at_end() && vault::is_within(cursor->key, options_.subpath)) {
      if (stop.stop_requested()) return Error{Errc::interrupted, ""};
      const vault::PathEntry e = *cursor;
      if (e.key == base) {
        TRYV(cursor.next());
        continue;
      }
      while (!vault::is_within(e.key, frames_.back().key)) frames_.pop_back();
      const bool is_directory = e.entry.type == vault::EntryType::directory;
      if (filter.excludes(e.key, is_directory)) {
        TRYV(cursor.skip_subtree());
        continue;
      }
      const bool included = frames_.back().included || filter.includes(e.key, is_directory);
      if (name_in_frame(e.key).find('/') != std::string::npos) {
        // A directory on the way is missing from the point, or something else in it: the system
        // would follow whatever lies there. The restore does not touch such entries either.
        if (included) {
          problem(io::join_path(options_.target, e.key),
                  "verify: its directory is missing from the point");
        }
        TRYV(cursor.skip_subtree());
        continue;
      }
      TRY(const bool entered, look_at(e, included));
      if (is_directory && !entered) {
        TRYV(cursor.skip_subtree());
        continue;
      }
      TRYV(cursor.next());
      if (batch_.size() >= kBatchFiles) compare_batch();
    }
    compare_batch();
    return {};
  }

 private:
  struct Frame {
    std::string key;
    DirectoryHandle::Ptr directory;
    bool included;
  };
  struct FileToCompare {
    DirectoryHandle::Ptr directory;
    std::string name;
    vault::PathEntry entry;
  };

  void problem(const std::string& path, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    progress_.problems = ++report_.problem_count;
    report_.problems.push_back({path, reason});
  }

  // The name of `key` in the directory that is open.
  std::string name_in_frame(const std::string& key) const {
    const std::string& above = frames_.back().key;
    return above.empty() ? key : key.substr(above.size() + 1);
  }

  // Two names of one object of the point are two names of one object on disk.
  bool breaks_link(const vault::PathEntry& e, const FileStat& st) {
    if (!e.entry.has_links && e.entry.link_to.empty()) return false;
    const auto [it, first] = link_objects_.try_emplace(
        e.entry.link_to.empty() ? e.key : e.entry.link_to, std::make_pair(st.device, st.inode));
    return !first && it->second != std::make_pair(st.device, st.inode);
  }

  // Compares metadata, and queues files. For a directory: whether to go on below it. Never follows
  // a link.
  Result<bool> look_at(const vault::PathEntry& e, bool included) {
    const Frame& parent = frames_.back();
    const std::string name = name_in_frame(e.key);
    const std::string path = io::join_path(parent.directory->path(), name);
    TRY(const auto fd, parent.directory->fd());
    const auto st = stat_at(fd->get(), name.c_str());
    if (!st.ok()) {
      if (included) problem(path, "verify: " + st.error().code.message());
      return false;
    }
    const bool is_directory = e.entry.type == vault::EntryType::directory;
    const auto type = st->entry_type();
    if (!type.ok() || *type != e.entry.type) {
      // There is nothing more to compare, and no link in place of a directory to follow.
      if (included || is_directory) problem(path, "verify: differs in type");
      return false;
    }
    if (included) {
      std::string difference = metadata_difference(e.entry, *st);
      if (e.entry.type == vault::EntryType::symlink && difference.empty()) {
        const auto target = read_symlink_at(fd->get(), name);
        if (!target.ok() || *target != e.entry.symlink_target) difference = "link target";
      }
      if (breaks_link(e, *st)) append(difference, "hard links");
      // Files and directories are asked through descriptors of their own, below.
      const bool opens = e.entry.type == vault::EntryType::file || is_directory;
      if (!opens) {
        const auto wanted = domain_.xattrs(e.entry);
        const auto found = read_xattrs_at(fd->get(), name);
        if (!wanted.ok() || !found.ok()) {
          append(difference, "extended attributes: " +
                                 (wanted.ok() ? found.error() : wanted.error()).message());
        } else if (auto other = xattr_difference(*wanted, *found, abilities_); !other.empty()) {
          append(difference, other);
        }
      }
      if (!difference.empty()) problem(path, "verify: differs in " + difference);
    }
    if (is_directory) {
      auto directory = parent.directory->open_child(name);
      if (!directory.ok()) {
        problem(path, "verify: " + directory.error().code.message());
        return false;
      }
      if (included) {
        TRY(const auto own, (*directory)->fd());
        const auto difference = attribute_difference(own->get(), e.entry);
        if (!difference.ok()) {
          problem(path, "verify: extended attributes: " + difference.error().message());
        } else if (!difference->empty()) {
          problem(path, "verify: differs in " + *difference);
        }
      }
      frames_.push_back({e.key, std::move(*directory), included});
      return true;
    }
    if (e.entry.type == vault::EntryType::file && included) {
      batch_.push_back({parent.directory, name, e});
    }
    return true;
  }

  // Extended attributes and flags of an open file or directory. Errors: the vault's; the system's.
  Result<std::string> attribute_difference(int fd, const vault::Entry& entry) {
    TRY(const auto wanted, domain_.xattrs(entry));
    TRY(const auto found, read_xattrs(fd));
    std::string difference = xattr_difference(wanted, found, abilities_);
    if (lacks_flags(entry, fd, abilities_)) append(difference, "inode flags");
    return difference;
  }

  void compare_batch() {
    const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
    async::parallel_for(threads, batch_.size(), [&](size_t i) { compare(batch_[i]); });
    batch_.clear();
  }

  Status compare_extent(int fd, uint64_t offset, const vault::Extent& x) {
    const auto differs = [](uint64_t at) {
      return Error{Errc::authentication_failed, "content differs at byte " + std::to_string(at)};
    };
    if (!x.chunk) {
      TRY(const auto data, first_data(fd, offset, x.bytes));
      if (data) return differs(*data);
      return {};
    }
    thread_local Bytes buffer;
    buffer.resize(x.bytes);
    TRY(const size_t got, io::read_at(fd, offset, buffer));
    if (got != x.bytes || !domain_.id_matches(*x.chunk, vault::ChunkKind::data, {}, buffer)) {
      return differs(offset);
    }
    return {};
  }

  void compare(const FileToCompare& file) {
    const std::string path = io::join_path(file.directory->path(), file.name);
    const auto run = [&]() -> Status {
      TRY(const auto directory, file.directory->fd());
      const io::Fd fd(::openat(directory->get(), file.name.c_str(),
                               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!fd) return errno_error("");
      // The restore synced it: now it comes from the disk, not from memory.
      ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
      TRY(const std::string difference, attribute_difference(fd.get(), file.entry.entry));
      if (!difference.empty()) problem(path, "verify: differs in " + difference);
      return vault::for_each_extent(domain_, file.entry.entry,
                                    [&](uint64_t offset, const vault::Extent& x) -> Status {
                                      return compare_extent(fd.get(), offset, x);
                                    });
    };
    if (const Status same = run(); !same.ok()) {
      problem(path, "verify: " + (same.error().code == Errc::authentication_failed
                                      ? same.error().context
                                      : same.error().message()));
      return;
    }
    const std::lock_guard lock(mutex_);
    ++report_.files_verified;
    ++progress_.entries;
    progress_.bytes += file.entry.entry.size;
  }

  vault::DomainReader& domain_;
  const RestoreOptions& options_;
  RestoreProgress& progress_;
  std::mutex mutex_;
  RestoreReport& report_;
  std::vector<Frame> frames_;
  std::vector<FileToCompare> batch_;
  const Abilities abilities_;
  // Of what has several names in the point, by the key of its first: device and inode.
  std::unordered_map<std::string, std::pair<uint64_t, uint64_t>> link_objects_;
};

}  // namespace

Status verify_restore(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                      const RestoreOptions& options, RestoreProgress& progress,
                      RestoreReport& report, std::stop_token stop) {
  TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
  TRY(const Filter filter, restore_filter(options));
  progress.verifying = true;
  progress.entries = 0;
  progress.bytes = 0;
  return Verifier(*domain, options, progress, report).run(point.manifest.roots.at(0), filter, stop);
}

}  // namespace holdfast::backup_agent
