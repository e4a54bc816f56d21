#include "backup-agent/upload/file_reader.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "backup-agent/scan/listing.h"

namespace holdfast::backup_agent {
namespace {

constexpr int kSmallAttempts = 3;

io::Fd open_for_reading(int directory_fd, const std::string& name) {
  // O_NONBLOCK: a FIFO that took a file's place must not hang us.
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int fd = ::openat(directory_fd, name.c_str(), kFlags | O_NOATIME);
  if (fd < 0 && errno == EPERM) fd = ::openat(directory_fd, name.c_str(), kFlags);  // not the owner
  return io::Fd(fd);
}

bool same_content_times(const FileStat& a, const FileStat& b) {
  return a.size == b.size && a.mtime_s == b.mtime_s && a.mtime_ns == b.mtime_ns &&
         a.ctime_s == b.ctime_s && a.ctime_ns == b.ctime_ns;
}

bool is_sparse(const FileStat& st) {
  return st.blocks * 512 < st.size;
}

// read(2) from a stream that may hang for hours: whoever asks to stop is heard while it does.
ssize_t read_when_ready(int fd, uint8_t* to, size_t bytes, const PipelineState& state) {
  constexpr int kLookEveryMs = 200;
  for (;;) {
    if (state.failed()) {
      errno = ECANCELED;
      return -1;
    }
    pollfd p{fd, POLLIN, 0};
    const int ready = ::poll(&p, 1, kLookEveryMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    // Also what cannot be polled can be read.
    const ssize_t n = ::read(fd, to, bytes);
    if (n >= 0 || (errno != EINTR && errno != EAGAIN)) return n;
  }
}

}  // namespace

void FileReader::read(const std::vector<FileJobPtr>& jobs) {
  for (const FileJobPtr& job : jobs) {
    if (shared_.state.failed()) return;
    read_one(job);
  }
  hand_over();
}

void FileReader::read_one(const FileJobPtr& job) {
  if (job->source().stat.is_regular()) {
    read_file(job);
  } else {
    read_other(job);
  }
}

void FileReader::unreadable(const FileJobPtr& job, int error, std::string_view what) {
  // Gone since the scan saw it: as if it had gone before.
  if (error != ENOENT) {
    shared_.state.problem(job->source().key,
                          std::string(what) + ": " + std::generic_category().message(error));
  }
  job->drop();
}

// Something of the object is missing from its entry: the next backup looks again.
void FileReader::incomplete(const FileJobPtr& job, std::string_view what,
                            const std::string& reason) {
  shared_.state.problem(job->source().key, std::string(what) + ": " + reason);
  job->pending().stat.trusted = false;
}

void FileReader::read_file(const FileJobPtr& job) {
  const ScannedEntry& source = job->source();
  const auto directory = source.parent->fd();
  if (!directory.ok()) return unreadable(job, directory.error().code.value(), "cannot open");
  const io::Fd fd = open_for_reading((*directory)->get(), source.name);
  if (!fd) return unreadable(job, errno, "cannot open");

  for (int attempt = 1;; ++attempt) {
    const io::TimeNs seen_ns = io::posix_file_system().now_ns();
    const auto st = stat_at(fd.get(), "");
    if (!st.ok()) return unreadable(job, st.error().code.value(), "cannot stat");
    if (!st->is_regular()) return unreadable(job, EINVAL, "changed its type during the backup");
    if (is_replaced_link(job, *st)) return;
    PendingEntry& pending = job->pending();
    const bool has_links = pending.entry.has_links;
    pending.entry = {};
    pending.entry.has_links = has_links;
    fill_entry(*st, owners_, pending.entry);
    pending.stat.inode = st->inode;
    pending.stat.ctime_s = st->ctime_s;
    pending.stat.ctime_ns = st->ctime_ns;
    pending.stat.trusted = times_can_be_trusted(*st, seen_ns);
    read_metadata(job, fd.get());

    if (st->size > kWholeFileMax || is_sparse(*st)) {
      read_large(job, fd.get(), *st);
      return;
    }
    const Outcome outcome = read_small(job, fd.get(), *st, attempt == kSmallAttempts);
    if (outcome != Outcome::changed) return;
  }
}

// Whether `now`, found under the first name of a linked object, is something else, which the other
// names must not get; the job is dropped then.
bool FileReader::is_replaced_link(const FileJobPtr& job, const FileStat& now) {
  const FileStat& seen = job->source().stat;
  if (job->pending().link_group == 0) return false;
  if (now.device == seen.device && now.inode == seen.inode) return false;
  shared_.state.problem(job->source().key, "was replaced during the backup");
  job->drop();
  return true;
}

// Extended attributes and flags.
void FileReader::read_metadata(const FileJobPtr& job, int fd) {
  job->pending().entry.attributes = read_attributes(fd);
  take_xattrs(job, read_xattrs(fd));
}

void FileReader::take_xattrs(const FileJobPtr& job, Result<std::vector<vault::Xattr>> xattrs) {
  if (xattrs.ok()) return store_xattrs(job->pending().entry, std::move(*xattrs));
  incomplete(job, "cannot read extended attributes", xattrs.error().message());
}

void FileReader::store_xattrs(vault::Entry& entry, std::vector<vault::Xattr> xattrs) {
  if (xattrs.empty()) return;
  const Bytes encoded = vault::encode_xattrs(xattrs);
  if (encoded.size() <= vault::kInlineXattrBytesMax) {
    entry.xattrs = std::move(xattrs);
    return;
  }
  for (size_t at = 0; at < encoded.size(); at += kWholeFileMax) {
    const size_t n = std::min(kWholeFileMax, encoded.size() - at);
    auto id = shared_.nodes.put_attributes(ByteView(encoded).subspan(at, n));
    if (!id.ok()) return shared_.state.fail(id.error());
    entry.xattr_chunks.push_back(*id);
  }
}

void FileReader::read_other(const FileJobPtr& job) {
  const ScannedEntry& source = job->source();
  PendingEntry& pending = job->pending();
  const bool has_links = pending.entry.has_links;
  pending.entry = {};
  pending.entry.has_links = has_links;
  fill_entry(source.stat, owners_, pending.entry);
  if (source.directory) {
    // Whatever happens, the entry stays: without it nothing below could be restored.
    const auto fd = source.directory->fd();
    if (fd.ok()) {
      read_metadata(job, (*fd)->get());
    } else {
      incomplete(job, "cannot open it again for its extended attributes and flags",
                 fd.error().code.message());
    }
  } else if (source.stat.is_directory()) {
    pending.stat.trusted = false;  // once it can be opened there may be more to say of it
  } else if (source.parent) {
    const auto fd = source.parent->fd();
    if (!fd.ok()) return unreadable(job, fd.error().code.value(), "cannot open");
    if (pending.entry.type == vault::EntryType::symlink) {
      auto target = read_symlink_at((*fd)->get(), source.name);
      if (!target.ok()) return unreadable(job, target.error().code.value(), "cannot read link");
      pending.entry.symlink_target = std::move(*target);
    }
    const auto st = stat_at((*fd)->get(), source.name.c_str());
    if (!st.ok()) return unreadable(job, st.error().code.value(), "cannot stat");
    if (is_replaced_link(job, *st)) return;
    take_xattrs(job, read_xattrs_at((*fd)->get(), source.name));
  }
  job->finish_reading(0);
}

ssize_t FileReader::read_some_at(int fd, uint8_t* to, size_t bytes, uint64_t offset) {
  if (shared_.limiter != nullptr) shared_.limiter->acquire(bytes);
  ssize_t n;
  do {
    n = ::pread(fd, to, bytes, static_cast<off_t>(offset));
  } while (n < 0 && errno == EINTR);
  if (n > 0) shared_.state.progress().bytes_read += static_cast<uint64_t>(n);
  return n;
}

void FileReader::changed_while_read(const FileJobPtr& job) {
  job->pending().entry.inconsistent = true;
  job->pending().stat.trusted = false;
  shared_.state.problem(job->source().key, "changed while it was read");
}

FileReader::Outcome FileReader::read_small(const FileJobPtr& job, int fd, const FileStat& st,
                                           bool last_attempt) {
  if (!need_room(st.size)) return Outcome::cancelled;
  size_t have = 0;
  while (have < st.size) {
    const ssize_t n =
        read_some_at(fd, batch_.buffer->data() + batch_.used + have, st.size - have, have);
    if (n < 0) {
      unreadable(job, errno, "cannot read");
      return Outcome::done;
    }
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  const auto after = stat_at(fd, "");
  if (!after.ok() || have != st.size || !same_content_times(st, *after)) {
    if (!last_attempt) return Outcome::changed;
    changed_while_read(job);
  }
  job->pending().entry.size = have;
  if (have > 0) add_piece(job, 0, have);
  job->finish_reading(have > 0 ? 1 : 0);
  return Outcome::done;
}

FileReader::Outcome FileReader::read_large(const FileJobPtr& job, int fd, const FileStat& st) {
  Position here;
  if (!take_over_parts(job, fd, st, here)) return Outcome::cancelled;
  while (!here.file_ended && here.at < st.size) {
    off_t data = ::lseek(fd, static_cast<off_t>(here.at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) data = static_cast<off_t>(st.size);  // a hole to the end
    if (data < 0) data = static_cast<off_t>(here.at);                    // no holes to be known
    const uint64_t begin = std::min<uint64_t>(static_cast<uint64_t>(data), st.size);
    if (begin > here.at) here.deliver(*job, {begin - here.at, std::nullopt});
    if (here.at >= st.size) break;
    const off_t hole = ::lseek(fd, static_cast<off_t>(here.at), SEEK_HOLE);
    const uint64_t end =
        hole <= data ? st.size : std::min<uint64_t>(static_cast<uint64_t>(hole), st.size);
    if (!read_range(job, fd, here, end)) return Outcome::cancelled;
  }
  // A file that became shorter: what is missing is not part of it.
  if (here.file_ended) job->pending().entry.size = here.at;
  const auto after = stat_at(fd, "");
  if (!after.ok() || !same_content_times(st, *after)) changed_while_read(job);
  job->finish_reading(here.pieces);
  return Outcome::done;
}

// What an interrupted backup stored of this very state of the file is not read again. Where packs
// between did not get there, just their part is read; as chunking resumes at any boundary, it gives
// the same chunks. Such a part is handed over at once, or all that is known behind it would wait
// for it in memory. False on cancellation or error.
bool FileReader::take_over_parts(const FileJobPtr& job, int fd, const FileStat& st,
                                 Position& here) {
  std::vector<CachedPart> parts = shared_.cache.take_parts(job->source().key, st);
  uint64_t end = 0;
  for (const CachedPart& part : parts) {
    for (const vault::Extent& x : part.extents) end += x.bytes;
  }
  // Where another change could have the same times, a part could be of before it.
  if (job->pending().stat.trusted) job->journal_parts(st, end);
  uint64_t lost_end = 0;
  for (CachedPart& part : parts) {
    for (const vault::Extent& x : std::exchange(part.extents, {})) {
      const uint64_t begin = std::max(here.at, lost_end);
      if (x.chunk) {
        const auto known = shared_.state.session().is_known(*x.chunk);
        if (!known.ok()) {
          shared_.state.fail(known.error());
          return false;
        }
        if (!*known) {
          lost_end = begin + x.bytes;
          continue;
        }
      }
      if (here.at < lost_end && !(read_range(job, fd, here, lost_end) && hand_over())) return false;
      if (here.file_ended) return true;
      here.deliver(*job, x);
    }
  }
  return here.at >= lost_end || read_range(job, fd, here, lost_end);
}

// Reads up to `end`, or to the end of the file where that comes first.
bool FileReader::read_range(const FileJobPtr& job, int fd, Position& here, uint64_t end) {
  uint64_t next = here.at;
  const auto read_some = [&](uint8_t* to, size_t bytes) -> ssize_t {
    const size_t n = std::min<uint64_t>(bytes, end - next);
    if (n == 0) return 0;
    const ssize_t got = read_some_at(fd, to, n, next);
    if (got > 0) next += static_cast<uint64_t>(got);
    return got;
  };
  if (!cut_stream(job, read_some, here)) return false;
  here.file_ended = here.at < end;
  return true;
}

template <class Read>
bool FileReader::cut_stream(const FileJobPtr& job, const Read& read_some, Position& here) {
  bool at_end = false;
  size_t have = 0;  // bytes behind batch_.used that are read and not cut yet
  while (!at_end || have > 0) {
    if (shared_.state.failed()) return false;
    if (batch_.buffer == nullptr && !need_room(1)) return false;
    // Fill the buffer.
    while (!at_end && batch_.used + have < batch_.buffer->size()) {
      const ssize_t n = read_some(batch_.buffer->data() + batch_.used + have,
                                  batch_.buffer->size() - batch_.used - have);
      if (n < 0) {
        unreadable(job, errno, "cannot read");
        return false;
      }
      if (n == 0) at_end = true;
      have += static_cast<size_t>(n);
    }
    // Cut while a whole chunk is certain.
    while (have >= kCdcMax || (at_end && have > 0)) {
      const size_t n = cdc_cut(shared_.gear, ByteView(batch_.buffer->data() + batch_.used, have));
      add_piece(job, here.pieces++, n);
      have -= n;
      here.at += n;
    }
    if (at_end && have == 0) break;
    // The uncut rest begins the next buffer.
    Buffer* next = shared_.buffers.acquire();
    if (next == nullptr) return false;
    if (have > 0) std::memcpy(next->data(), batch_.buffer->data() + batch_.used, have);
    if (!hand_over()) {
      shared_.buffers.release(next);
      return false;
    }
    batch_.buffer = next;
    batch_.used = 0;
  }
  return true;
}

bool FileReader::read_stream(const FileJobPtr& job, int fd) {
  Position here;
  const auto read_some = [&](uint8_t* to, size_t bytes) -> ssize_t {
    if (shared_.limiter != nullptr) shared_.limiter->acquire(bytes);
    const ssize_t n = read_when_ready(fd, to, bytes, shared_.state);
    if (n > 0) shared_.state.progress().bytes_read += static_cast<uint64_t>(n);
    return n;
  };
  if (!cut_stream(job, read_some, here)) return false;
  job->pending().entry.size = here.at;
  hand_over();
  job->finish_reading(here.pieces);
  return true;
}

// Makes sure that the current batch has room for `bytes` more.
bool FileReader::need_room(size_t bytes) {
  if (batch_.buffer != nullptr && batch_.used + bytes > batch_.buffer->size()) {
    if (!hand_over()) return false;
  }
  if (batch_.buffer == nullptr) {
    batch_.buffer = shared_.buffers.acquire();
    batch_.used = 0;
  }
  return batch_.buffer != nullptr;
}

void FileReader::add_piece(const FileJobPtr& job, uint64_t piece, size_t bytes) {
  batch_.pieces.push_back(
      {job, piece, static_cast<uint32_t>(batch_.used), static_cast<uint32_t>(bytes)});
  batch_.used += bytes;
}

bool FileReader::hand_over() {
  if (batch_.buffer == nullptr) return true;
  Batch full = std::exchange(batch_, Batch{});
  if (full.pieces.empty()) {
    shared_.buffers.release(full.buffer);
    return true;
  }
  return shared_.batches.push(std::move(full));
}

}  // namespace holdfast::backup_agent
