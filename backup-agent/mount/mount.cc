#define FUSE_USE_VERSION 312

#include "backup-agent/mount/mount.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "backup-agent/mount/point_tree.h"

namespace holdfast::backup_agent {
namespace {

// Nothing ever changes, so the kernel may keep what it was told.
constexpr double kTimeoutSeconds = 24 * 3600;

mode_t type_bits(vault::EntryType type) {
  switch (type) {
    case vault::EntryType::file:
      return S_IFREG;
    case vault::EntryType::directory:
      return S_IFDIR;
    case vault::EntryType::symlink:
      return S_IFLNK;
    case vault::EntryType::char_device:
      return S_IFCHR;
    case vault::EntryType::block_device:
      return S_IFBLK;
    case vault::EntryType::fifo:
      return S_IFIFO;
    case vault::EntryType::socket:
      return S_IFSOCK;
  }
  return S_IFREG;
}

struct stat attributes_of(const vault::Entry& e, uint64_t inode) {
  struct stat st {};
  st.st_ino = inode;
  st.st_mode = type_bits(e.type) | static_cast<mode_t>(e.mode);
  if (e.type == vault::EntryType::symlink) st.st_mode = S_IFLNK | 0777;
  st.st_nlink = 1;
  st.st_uid = e.uid;
  st.st_gid = e.gid;
  st.st_rdev = makedev(e.device_major, e.device_minor);
  st.st_size =
      static_cast<off_t>(e.type == vault::EntryType::symlink ? e.symlink_target.size() : e.size);
  st.st_blksize = 128 * 1024;
  st.st_blocks = static_cast<blkcnt_t>((e.size + 511) / 512);
  st.st_mtim.tv_sec = e.mtime_s;
  st.st_mtim.tv_nsec = e.mtime_ns;
  st.st_atim = st.st_mtim;
  st.st_ctim = st.st_mtim;
  return st;
}

int errno_of(const Error& error) {
  return error.code.category() == std::generic_category() ||
                 error.code.category() == std::system_category()
             ? error.code.value()
             : EIO;
}

PointTree& tree_of(fuse_req_t request) {
  return *static_cast<PointTree*>(fuse_req_userdata(request));
}

void on_lookup(fuse_req_t request, fuse_ino_t parent_id, const char* name) {
  PointTree& tree = tree_of(request);
  const TreeNodePtr parent = tree.find(parent_id);
  if (!parent) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const auto child = tree.lookup(*parent, name);
  if (!child.ok()) {
    fuse_reply_err(request, errno_of(child.error()));
    return;
  }
  fuse_entry_param reply{};
  reply.ino = (*child)->id;
  reply.attr = attributes_of((*child)->entry.entry, (*child)->inode);
  reply.attr_timeout = kTimeoutSeconds;
  reply.entry_timeout = kTimeoutSeconds;
  if (fuse_reply_entry(request, &reply) != 0) tree.forget((*child)->id, 1);
}

void on_forget(fuse_req_t request, fuse_ino_t id, uint64_t count) {
  tree_of(request).forget(id, count);
  fuse_reply_none(request);
}

void on_getattr(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
  const TreeNodePtr node = tree_of(request).find(id);
  if (!node) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const struct stat st = attributes_of(node->entry.entry, node->inode);
  fuse_reply_attr(request, &st, kTimeoutSeconds);
}

void on_readlink(fuse_req_t request, fuse_ino_t id) {
  const TreeNodePtr node = tree_of(request).find(id);
  if (!node || node->entry.entry.type != vault::EntryType::symlink) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  fuse_reply_readlink(request, node->entry.entry.symlink_target.c_str());
}

void on_open(fuse_req_t request, fuse_ino_t id, fuse_file_info* file) {
  if ((file->flags & O_ACCMODE) != O_RDONLY) {
    fuse_reply_err(request, EROFS);
    return;
  }
  const TreeNodePtr node = tree_of(request).find(id);
  if (!node) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  file->keep_cache = 1;
  fuse_reply_open(request, file);
}

void on_read(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset, fuse_file_info*) {
  PointTree& tree = tree_of(request);
  const TreeNodePtr node = tree.find(id);
  if (!node || node->entry.entry.type != vault::EntryType::file) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  thread_local Buffer buffer;
  buffer.reset(size);
  const auto got = tree.read(*node, static_cast<uint64_t>(offset), buffer.view());
  if (!got.ok()) {
    // Never a short read in the place of an error: copies would silently miss data.
    fuse_reply_err(request, errno_of(got.error()) == ENOENT ? EIO : errno_of(got.error()));
    return;
  }
  fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), *got);
}

struct OpenDirectory {
  std::mutex mutex;
  std::unique_ptr<DirectoryStream> stream;
};

void on_opendir(fuse_req_t request, fuse_ino_t id, fuse_file_info* file) {
  PointTree& tree = tree_of(request);
  const TreeNodePtr node = tree.find(id);
  if (!node || node->entry.entry.type != vault::EntryType::directory) {
    fuse_reply_err(request, ENOTDIR);
    return;
  }
  auto* open = new OpenDirectory;
  open->stream = tree.open_directory(node);
  file->fh = reinterpret_cast<uint64_t>(open);
  file->keep_cache = 1;
  file->cache_readdir = 1;
  if (fuse_reply_open(request, file) != 0) delete open;
}

// Fills `buffer` with names from position `offset` on, and gives how much of it is used.
Result<size_t> read_names(fuse_req_t request, OpenDirectory& open, fuse_ino_t id, off_t offset,
                          std::vector<char>& buffer) {
  const std::lock_guard lock(open.mutex);
  const size_t size = buffer.size();
  size_t used = 0;
  const auto add = [&](const char* name, const struct stat& st, off_t next) {
    const size_t n = fuse_add_direntry(request, buffer.data() + used, size - used, name, &st, next);
    if (n > size - used) return false;
    used += n;
    return true;
  };
  // Positions 0 and 1 are "." and "..".
  for (uint64_t at = static_cast<uint64_t>(offset);; ++at) {
    const off_t next = static_cast<off_t>(at + 1);
    if (at < 2) {
      struct stat st {};
      st.st_ino = id;
      st.st_mode = S_IFDIR;
      if (!add(at == 0 ? "." : "..", st, next)) break;
      continue;
    }
    TRY(const auto item, open.stream->at(at - 2));
    if (!item) break;
    if (!add(item->name.c_str(), attributes_of(item->entry, item->inode), next)) break;
  }
  return used;
}

void on_readdir(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                fuse_file_info* file) {
  std::vector<char> buffer(size);
  const auto used =
      read_names(request, *reinterpret_cast<OpenDirectory*>(file->fh), id, offset, buffer);
  // Once there is a reply the directory may be closed, by another thread: its lock must be free.
  if (used.ok()) {
    fuse_reply_buf(request, buffer.data(), *used);
  } else {
    fuse_reply_err(request, errno_of(used.error()));
  }
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete reinterpret_cast<OpenDirectory*>(file->fh);
  fuse_reply_err(request, 0);
}

// Both xattr calls answer with a size if asked for none, and ERANGE if what there is does not fit.
void reply_xattr(fuse_req_t request, std::string_view value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (value.size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

Result<std::vector<vault::Xattr>> xattrs_of(fuse_req_t request, fuse_ino_t id) {
  const TreeNodePtr node = tree_of(request).find(id);
  if (!node) return errno_error(ENOENT, "");
  if (node->domain == nullptr) return std::vector<vault::Xattr>();
  return node->domain->xattrs(node->entry.entry);
}

void on_getxattr(fuse_req_t request, fuse_ino_t id, const char* name, size_t size) {
  const auto xattrs = xattrs_of(request, id);
  if (!xattrs.ok()) {
    fuse_reply_err(request, errno_of(xattrs.error()));
    return;
  }
  for (const vault::Xattr& x : *xattrs) {
    if (x.name == name) return reply_xattr(request, as_text(x.value), size);
  }
  fuse_reply_err(request, ENODATA);
}

void on_listxattr(fuse_req_t request, fuse_ino_t id, size_t size) {
  const auto xattrs = xattrs_of(request, id);
  if (!xattrs.ok()) {
    fuse_reply_err(request, errno_of(xattrs.error()));
    return;
  }
  std::string names;
  for (const vault::Xattr& x : *xattrs) {
    names += x.name;
    names.push_back('\0');
  }
  reply_xattr(request, names, size);
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs fs {};
  fs.f_bsize = 128 * 1024;
  fs.f_frsize = 512;
  fs.f_namemax = 255;
  fs.f_flag = ST_RDONLY;
  fuse_reply_statfs(request, &fs);
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.lookup = on_lookup;
  ops.forget = on_forget;
  ops.getattr = on_getattr;
  ops.readlink = on_readlink;
  ops.open = on_open;
  ops.read = on_read;
  ops.opendir = on_opendir;
  ops.readdir = on_readdir;
  ops.releasedir = on_releasedir;
  ops.getxattr = on_getxattr;
  ops.listxattr = on_listxattr;
  ops.statfs = on_statfs;
  return ops;
}

// A mount over the vault it reads from would wait for itself.
bool covers(const std::string& directory, const std::string& location) {
  std::error_code error;
  const auto mount = std::filesystem::weakly_canonical(directory, error).string();
  const auto vault = std::filesystem::weakly_canonical(location, error).string();
  return vault == mount || vault.starts_with(mount + "/");
}

}  // namespace

Status run_mount(vault::VaultReader& vault, const vault::PointList& points,
                 const MountOptions& options, const std::function<void()>& mounted,
                 std::stop_token stop) {
  for (const std::string& location : vault.store().locations()) {
    if (covers(options.directory, location)) {
      return errno_error(EINVAL, "the vault lies in " + options.directory);
    }
  }
  struct stat st {};
  if (::stat(options.directory.c_str(), &st) != 0) return errno_error(options.directory);
  if (!S_ISDIR(st.st_mode)) return errno_error(ENOTDIR, options.directory);
  TRY(const auto tree, PointTree::create(vault, points));

  std::vector<std::string> words{"holdfast", "-o",
                                 std::string("ro,default_permissions,nosuid,nodev,fsname=holdfast,"
                                             "subtype=holdfast") +
                                     (options.allow_other ? ",allow_other" : "")};
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& w : words) argv.push_back(w.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  const fuse_lowlevel_ops ops = operations();
  fuse_session* session = fuse_session_new(&args, &ops, sizeof ops, tree.get());
  fuse_opt_free_args(&args);
  if (session == nullptr) return errno_error(EIO, "FUSE refuses to start");
  if (fuse_session_mount(session, options.directory.c_str()) != 0) {
    fuse_session_destroy(session);
    return errno_error(ENODEV, "cannot mount on " + options.directory +
                                   " (is /dev/fuse there, and fusermount3 from package fuse3?)");
  }
  mounted();
  {
    const std::stop_callback on_stop(stop, [session] {
      fuse_session_exit(session);
      fuse_session_unmount(session);  // wakes the threads that wait for requests
    });
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
  }
  if (!stop.stop_requested()) fuse_session_unmount(session);
  fuse_session_destroy(session);
  return {};
}

}  // namespace holdfast::backup_agent
