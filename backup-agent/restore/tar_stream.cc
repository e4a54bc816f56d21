#include "backup-agent/restore/tar_stream.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <map>
#include <memory>
#include <set>

#include <sys/sysmacros.h>

#include "vault/errc.h"

namespace holdfast::backup_agent {
namespace {

struct FreeArchive {
  void operator()(archive* a) const { archive_write_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;
using ArchiveEntry = std::unique_ptr<archive_entry, FreeArchive>;

Error archive_error(archive* a, const std::string& what) {
  const int code = archive_errno(a);
  const char* text = archive_error_string(a);
  return errno_error(code != 0 ? code : EIO,
                     what + (text != nullptr ? ": " + std::string(text) : ""));
}

mode_t file_type(vault::EntryType type) {
  switch (type) {
    case vault::EntryType::file:
      return AE_IFREG;
    case vault::EntryType::directory:
      return AE_IFDIR;
    case vault::EntryType::symlink:
      return AE_IFLNK;
    case vault::EntryType::char_device:
      return AE_IFCHR;
    case vault::EntryType::block_device:
      return AE_IFBLK;
    case vault::EntryType::fifo:
      return AE_IFIFO;
    case vault::EntryType::socket:
      return AE_IFSOCK;
  }
  return AE_IFREG;
}

// POSIX ACLs are kept as the extended attributes that Linux shows them as (linux/posix_acl_xattr.h:
// u32 version 2, then u16 tag, u16 permissions, u32 id each); tar has its own form for them, and
// GNU tar takes no other. False if `x` is none.
bool add_acl(archive_entry* entry, const vault::Xattr& x) {
  const bool is_default = x.name == "system.posix_acl_default";
  if (!is_default && x.name != "system.posix_acl_access") return false;
  const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(x.value[i])}; };
  const auto u16 = [&](size_t i) { return byte(i) | byte(i + 1) << 8; };
  const auto u32 = [&](size_t i) { return u16(i) | u16(i + 2) << 16; };
  if (x.value.size() % 8 != 4 || u32(0) != 2) return false;
  const std::map<uint32_t, int> tags{
      {0x01, ARCHIVE_ENTRY_ACL_USER_OBJ},  {0x02, ARCHIVE_ENTRY_ACL_USER},
      {0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {0x08, ARCHIVE_ENTRY_ACL_GROUP},
      {0x10, ARCHIVE_ENTRY_ACL_MASK},      {0x20, ARCHIVE_ENTRY_ACL_OTHER}};
  for (size_t at = 4; at < x.value.size(); at += 8) {
    const auto tag = tags.find(u16(at));
    if (tag == tags.end()) continue;
    const bool named = u16(at) == 0x02 || u16(at) == 0x08;
    archive_entry_acl_add_entry(
        entry, is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS,
        static_cast<int>(u16(at + 2) & 7), tag->second, named ? static_cast<int>(u32(at + 4)) : -1,
        nullptr);
  }
  return true;
}

class TarWriter {
 public:
  TarWriter(vault::DomainReader& domain, RestoreReport& report)
      : domain_(domain), report_(report), archive_(archive_write_new()) {}

  Status open(int fd) {
    archive_write_set_format_pax(archive_.get());
    archive_write_set_bytes_in_last_block(archive_.get(), 1);
    if (archive_write_open_fd(archive_.get(), fd) != ARCHIVE_OK) {
      return archive_error(archive_.get(), "tar stream");
    }
    return {};
  }

  Status add(const vault::PathEntry& e, const std::string& name) {
    if (e.entry.type == vault::EntryType::socket) return {};  // tar has none; nothing is lost
    std::vector<vault::Extent> extents;
    TRY(const bool complete, gather(e, extents));
    if (!complete) return {};
    const ArchiveEntry entry(archive_entry_new());
    fill(entry.get(), e, name);
    // Any object but a directory may have several names; the first of them here brings it.
    const std::string& object = e.entry.link_to.empty() ? e.key : e.entry.link_to;
    const bool has_links = e.entry.type != vault::EntryType::directory &&
                           (e.entry.has_links || !e.entry.link_to.empty());
    const bool is_link = has_links && links_.contains(object);
    if (is_link) {
      archive_entry_set_symlink(entry.get(), nullptr);
      archive_entry_set_hardlink(entry.get(), links_[object].c_str());
      archive_entry_unset_size(entry.get());
    } else if (has_links) {
      links_[object] = name;
    }
    if (e.entry.type == vault::EntryType::file && !is_link) add_holes(entry.get(), extents);
    TRY(const auto xattrs, domain_.xattrs(e.entry));
    for (const vault::Xattr& x : xattrs) {
      if (add_acl(entry.get(), x)) continue;
      archive_entry_xattr_add_entry(entry.get(), x.name.c_str(), x.value.data(), x.value.size());
    }
    if (archive_write_header(archive_.get(), entry.get()) < ARCHIVE_WARN) {
      return archive_error(archive_.get(), "/" + e.key);
    }
    if (is_link || e.entry.type != vault::EntryType::file) return {};
    return write_content(e, extents);
  }

  Status finish() {
    if (archive_write_close(archive_.get()) != ARCHIVE_OK) {
      return archive_error(archive_.get(), "tar stream");
    }
    return {};
  }

 private:
  // The extents of a file, all of whose chunks exist. False, and reported, if one does not.
  Result<bool> gather(const vault::PathEntry& e, std::vector<vault::Extent>& extents) {
    const Status gathered =
        vault::for_each_extent(domain_, e.entry, [&](uint64_t, const vault::Extent& x) -> Status {
          if (x.chunk) {
            const auto places = domain_.find(*x.chunk);
            if (!places.ok()) return places.error();
          }
          extents.push_back(x);
          return {};
        });
    if (gathered.ok()) return true;
    if (gathered.error().code != vault::Errc::missing &&
        gathered.error().code != vault::Errc::damaged) {
      return gathered.error();
    }
    ++report_.problem_count;
    report_.problems.push_back({"/" + e.key, gathered.error().message()});
    return false;
  }

  void fill(archive_entry* entry, const vault::PathEntry& e, const std::string& name) {
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_mode(entry, file_type(e.entry.type) | static_cast<mode_t>(e.entry.mode));
    archive_entry_set_uid(entry, e.entry.uid);
    archive_entry_set_gid(entry, e.entry.gid);
    if (!e.entry.user.empty()) archive_entry_set_uname(entry, e.entry.user.c_str());
    if (!e.entry.group.empty()) archive_entry_set_gname(entry, e.entry.group.c_str());
    // libarchive writes -0.5 s as "-1.5"; it alone reads that as it was meant.
    archive_entry_set_mtime(entry, e.entry.mtime_s, e.entry.mtime_s < 0 ? 0 : e.entry.mtime_ns);
    if (e.entry.type == vault::EntryType::symlink) {
      archive_entry_set_symlink(entry, e.entry.symlink_target.c_str());
    }
    if (e.entry.type == vault::EntryType::char_device ||
        e.entry.type == vault::EntryType::block_device) {
      archive_entry_set_rdev(entry, makedev(e.entry.device_major, e.entry.device_minor));
    }
    if (e.entry.type == vault::EntryType::file) {
      archive_entry_set_size(entry, static_cast<la_int64_t>(e.entry.size));
    }
  }

  // Tells the archive where data lies, if not everywhere.
  static void add_holes(archive_entry* entry, const std::vector<vault::Extent>& extents) {
    if (std::all_of(extents.begin(), extents.end(),
                    [](const vault::Extent& x) { return x.chunk.has_value(); })) {
      return;
    }
    uint64_t at = 0;
    for (const vault::Extent& x : extents) {
      if (x.chunk) {
        archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(at),
                                       static_cast<la_int64_t>(x.bytes));
      }
      at += x.bytes;
    }
  }

  Status write_content(const vault::PathEntry& e, const std::vector<vault::Extent>& extents) {
    static const Bytes zeros(1024 * 1024);
    const auto write = [&](ByteView bytes) -> Status {
      if (archive_write_data(archive_.get(), bytes.data(), bytes.size()) !=
          static_cast<la_ssize_t>(bytes.size())) {
        return archive_error(archive_.get(), "/" + e.key);
      }
      return {};
    };
    for (const vault::Extent& x : extents) {
      if (x.chunk) {
        TRYV(domain_.with_chunk(*x.chunk, vault::ChunkKind::data, [&](ByteView bytes) -> Status {
          if (bytes.size() != x.bytes) return Error{vault::Errc::damaged, "/" + e.key};
          return write(bytes);
        }));
        continue;
      }
      // The archive passes over holes without storing them.
      for (uint64_t at = 0; at < x.bytes; at += zeros.size()) {
        TRYV(write(ByteView(zeros).first(std::min<uint64_t>(zeros.size(), x.bytes - at))));
      }
    }
    report_.bytes_written += e.entry.size;
    ++report_.files_written;
    return {};
  }

  vault::DomainReader& domain_;
  RestoreReport& report_;
  Archive archive_;
  std::map<std::string, std::string> links_;  // key of an object -> name of its first link here
};

}  // namespace

Result<RestoreReport> write_tar(vault::VaultReader& vault, const vault::RecoveryPoint& point,
                                const RestoreOptions& options, int fd, std::stop_token stop) {
  TRY(vault::DomainReader * domain, vault.domain(point.manifest.domain));
  if (point.manifest.roots.empty()) {
    return Error{vault::Errc::damaged, "recovery point " + point.id() + " without a map"};
  }
  TRY(const Filter filter, restore_filter(options));
  RestoreReport report;
  TarWriter tar(*domain, report);
  TRYV(tar.open(fd));
  vault::PathCursor cursor(*domain, point.manifest.roots[0]);
  std::optional<Error> lost_first;
  cursor.pass_over_damage([&](const vault::LostEntries& lost) {
    if (!lost.may_touch(options.subpath)) return;
    if (!lost_first) lost_first = lost.reason;
    ++report.problem_count;
    report.problems.push_back({"/" + lost.first, lost.text()});
  });
  TRYV(cursor.seek(options.subpath));
  if (cursor.at_end() || !vault::is_within(cursor->key, options.subpath)) {
    if (lost_first) return *lost_first;
    return errno_error(ENOENT, "the recovery point has no /" + options.subpath);
  }
  std::string base = options.subpath;
  if (cursor->key == base && cursor->entry.type != vault::EntryType::directory) {
    const size_t slash = base.rfind('/');
    base = slash == std::string::npos ? "" : base.substr(0, slash);
  }
  std::vector<std::string> included_above;
  while (!cursor.at_end() && vault::is_within(cursor->key, options.subpath)) {
    if (stop.stop_requested()) return Error{Errc::interrupted, ""};
    const vault::PathEntry e = *cursor;
    const bool is_directory = e.entry.type == vault::EntryType::directory;
    if (filter.excludes(e.key, is_directory)) {
      TRYV(cursor.skip_subtree());
      continue;
    }
    while (!included_above.empty() && !vault::is_within(e.key, included_above.back())) {
      included_above.pop_back();
    }
    const bool included = !included_above.empty() || filter.includes(e.key, is_directory);
    if (included) {
      if (is_directory && included_above.empty()) included_above.push_back(e.key);
      std::string name = base.empty()                 ? e.key
                         : e.key.size() > base.size() ? e.key.substr(base.size() + 1)
                                                      : "";
      if (name.empty()) name = ".";
      TRYV(tar.add(e, is_directory ? name + "/" : name));
    }
    TRYV(cursor.next());
  }
  TRYV(tar.finish());
  return report;
}

}  // namespace holdfast::backup_agent
