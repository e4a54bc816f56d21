#include "backup-agent/scan/snapshots.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/crypto/random.h"

namespace holdfast::backup_agent {
namespace {

constexpr ino_t kSubvolumeRootInode = 256;  // BTRFS_FIRST_FREE_OBJECTID
constexpr std::string_view kNamePrefix = "snapshot-";

io::Fd open_directory(const std::string& path) {
  return io::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

bool is_btrfs(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

// The root of the subvolume that `path` is in. Errors: Errc::unsupported if it is not reachable, as
// inside a bind mount of a part of a subvolume.
Result<std::string> subvolume_root(std::string path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return errno_error(path);
  if (!S_ISDIR(st.st_mode)) path = io::parent_path(path);
  if (::stat(path.c_str(), &st) != 0) return errno_error(path);
  const dev_t device = st.st_dev;
  for (;;) {
    if (st.st_ino == kSubvolumeRootInode) return path;
    const std::string parent = io::parent_path(path);
    if (parent == path || ::stat(parent.c_str(), &st) != 0 || st.st_dev != device) {
      return Error{Errc::unsupported,
                   "the root of the btrfs subvolume of " + path + " is not visible here"};
    }
    path = parent;
  }
}

Status destroy(const std::string& directory, const std::string& name) {
  const io::Fd fd = open_directory(directory);
  if (!fd) return errno_error(directory);
  btrfs_ioctl_vol_args args{};
  std::strncpy(args.name, name.c_str(), sizeof args.name - 1);
  if (::ioctl(fd.get(), BTRFS_IOC_SNAP_DESTROY, &args) != 0) {
    return errno_error("cannot remove snapshot " + directory + "/" + name);
  }
  return {};
}

// "snapshot-<pid>-<random>": those of processes that are gone were left behind.
void remove_stale(const std::string& directory) {
  auto entries = io::posix_file_system().list(directory);
  if (!entries.ok()) return;
  for (const io::DirectoryEntry& e : *entries) {
    if (!e.name.starts_with(kNamePrefix)) continue;
    const long pid = std::strtol(e.name.c_str() + kNamePrefix.size(), nullptr, 10);
    if (pid > 0 && ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) {
      (void)destroy(directory, e.name);
    }
  }
}

}  // namespace

std::string SnapshotSet::Snapshot::path() const {
  return io::join_path(io::join_path(subvolume, kSnapshotDirectory), name);
}

SnapshotSet::~SnapshotSet() {
  for (const auto& s : snapshots_) {
    (void)destroy(io::join_path(s->subvolume, kSnapshotDirectory), s->name);
  }
}

Result<const SnapshotSet::Snapshot*> SnapshotSet::snapshot_of(const std::string& subvolume) {
  for (const auto& s : snapshots_) {
    if (s->subvolume == subvolume) return s.get();
  }
  const std::string directory = io::join_path(subvolume, kSnapshotDirectory);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(directory);
  remove_stale(directory);
  const io::Fd source = open_directory(subvolume);
  const io::Fd target = open_directory(directory);
  if (!source || !target) return errno_error(subvolume);

  auto snapshot = std::make_unique<Snapshot>();
  snapshot->subvolume = subvolume;
  snapshot->name = std::string(kNamePrefix) + std::to_string(::getpid()) + "-" +
                   to_hex(crypto::random_array<4>());
  btrfs_ioctl_vol_args_v2 args{};
  args.fd = source.get();
  args.flags = BTRFS_SUBVOL_RDONLY;
  std::strncpy(args.name, snapshot->name.c_str(), sizeof args.name - 1);
  if (::ioctl(target.get(), BTRFS_IOC_SNAP_CREATE_V2, &args) != 0) {
    return errno_error("cannot snapshot " + subvolume);
  }
  if (const io::Fd made = open_directory(snapshot->path())) {
    identities_[btrfs_identity(made.get(), false)] = btrfs_identity(made.get(), true);
  }
  snapshots_.push_back(std::move(snapshot));
  return snapshots_.back().get();
}

Status SnapshotSet::take(SnapshotMode mode, ScanRoot& root, std::vector<std::string>& notes) {
  if (mode == SnapshotMode::none) return {};
  const auto attempt = [&]() -> Status {
    if (!is_btrfs(root.path)) {
      return Error{Errc::unsupported, root.path + " is not on btrfs"};
    }
    TRY(const std::string subvolume, subvolume_root(root.path));
    TRY(const Snapshot* snapshot, snapshot_of(subvolume));
    const std::string below = root.path.substr(std::min(subvolume.size(), root.path.size()));
    root.path =
        below.empty() || below == "/"
            ? snapshot->path()
            : io::join_path(snapshot->path(), below.front() == '/' ? below.substr(1) : below);
    return {};
  };
  if (mode == SnapshotMode::automatic && !is_btrfs(root.path)) return {};
  Status taken = attempt();
  if (!taken.ok() && mode == SnapshotMode::automatic) {
    notes.push_back("no snapshot of " + root.path +
                    ", reading it as it changes: " + taken.error().message());
    return {};
  }
  return taken;
}

std::string SnapshotSet::nested_subvolume(const std::string& key) {
  const std::string path = "/" + key;
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0 || st.st_ino != kSubvolumeRootInode || !is_btrfs(path)) {
    return "";
  }
  const auto snapshot = snapshot_of(path);
  return snapshot.ok() ? (*snapshot)->path() : path;
}

const std::string& SnapshotSet::source_identity(const std::string& identity) const {
  const auto it = identities_.find(identity);
  return it == identities_.end() ? identity : it->second;
}

}  // namespace holdfast::backup_agent
