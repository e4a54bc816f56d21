#include "vault/client/copy_journal.h"

#include <algorithm>

#include "base/io/file_lock.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFV1COPY";
constexpr std::string_view kKeyInfo = "holdfast v1 copy journal";
constexpr size_t kMacBytes = 16;
constexpr size_t kWriteBytes = 64 * 1024;
constexpr uint64_t kFileBytesMax = 1024 * 1024 * 1024;

enum RecordType : uint8_t { kSession = 1, kPack = 2, kPage = 3 };

size_t payload_bytes(uint8_t type) {
  switch (type) {
    case kSession:
      return SessionId::kSize;
    case kPack:
      return SessionId::kSize + sizeof(crypto::Digest);
    case kPage:
      return 2 * ChunkId::kSize;
    default:
      return 0;
  }
}

}  // namespace

CopyRecords decode_copy_records(ByteView file, const crypto::HmacSha256& key) {
  CopyRecords out;
  wire::Decoder in(file, "copy journal");
  in.expect(kMagic);
  while (in.ok() && in.remaining() > 0) {
    const ByteView rest = in.rest();
    const uint8_t type = in.u8();
    const size_t bytes = payload_bytes(type);
    if (bytes == 0) break;
    const ByteView payload = in.raw(bytes);
    const ByteView mac = in.raw(kMacBytes);
    if (!in.ok()) break;
    const crypto::Digest right = key.mac(rest.first(1 + bytes));
    if (!equal(ByteView(right).first(kMacBytes), mac)) break;
    wire::Decoder fields(payload, "copy journal");
    if (type == kPage) {
      CopiedPage page;
      page.source = read_id<ChunkId>(fields);
      page.target = read_id<ChunkId>(fields);
      out.pages.push_back(page);
      continue;
    }
    const auto session = read_id<SessionId>(fields);
    auto it = std::find_if(out.sessions.begin(), out.sessions.end(),
                           [&](const AdoptedSession& s) { return s.session == session; });
    if (it == out.sessions.end()) {
      out.sessions.push_back({session, {}});
      it = out.sessions.end() - 1;
    }
    if (type == kPack) it->packs.push_back({session, fields.array<32>()});
  }
  return out;
}

CopyJournal::CopyJournal(std::string path, io::Fd lock, ByteView key)
    : path_(std::move(path)), lock_(std::move(lock)), key_(key) {}

CopyJournal::~CopyJournal() {
  const std::lock_guard lock(mutex_);
  (void)write_out();  // what is lost here is only done again
}

Result<std::unique_ptr<CopyJournal>> CopyJournal::open(const std::string& cache_directory,
                                                       const VaultId& source,
                                                       const AgentKeys& target) {
  const std::string folder = io::join_path(cache_directory, "copies/" + target.vault.hex());
  TRYV(io::make_directories(io::posix_file_system(), folder));
  const std::string path = io::join_path(folder, source.hex());
  auto lock = io::lock_file(path + ".lock", io::IfLocked::fail);
  if (!lock.ok()) {
    if (lock.error().code != std::errc::resource_unavailable_try_again) {
      return std::move(lock).error();
    }
    return Error{
        std::make_error_code(std::errc::device_or_resource_busy),
        "another copy between these vaults is running on this machine (" + path + ".lock)"};
  }
  const crypto::Digest key =
      crypto::HmacSha256(target.item_secret.view())
          .mac({as_bytes(kKeyInfo), source.view(), target.vault.view(), target.domain.id.view()});
  std::unique_ptr<CopyJournal> journal(new CopyJournal(path, std::move(*lock), key));
  const auto file = io::read_file(io::posix_file_system(), path, kFileBytesMax);
  // One that cannot be read is none: everything is looked up again.
  if (file.ok()) journal->records_ = decode_copy_records(*file, journal->key_);
  return journal;
}

Status CopyJournal::start_file() {
  const std::string next = path_ + ".next";
  io::FileSystem& fs = io::posix_file_system();
  if (const Status gone = fs.remove(next);
      !gone.ok() && gone.error().code != std::errc::no_such_file_or_directory) {
    return gone;
  }
  TRY(file_, fs.create(next));
  pending_ = to_bytes(as_bytes(kMagic));
  const CopyRecords known = std::move(records_);
  records_ = {};
  for (const AdoptedSession& s : known.sessions) {
    TRYV(add(kSession, s.session.view(), {}));
    for (const PackId& p : s.packs) TRYV(add(kPack, p.session.view(), p.footer_sha256));
    records_.sessions.push_back(s);
  }
  for (const CopiedPage& p : known.pages) {
    TRYV(add(kPage, p.source.view(), p.target.view()));
    records_.pages.push_back(p);
  }
  TRYV(write_out());
  return fs.rename(next, path_);
}

Status CopyJournal::add(uint8_t type, ByteView first, ByteView second) {
  if (!file_) TRYV(start_file());
  const size_t at = pending_.size();
  pending_.push_back(type);
  append(pending_, first);
  append(pending_, second);
  const crypto::Digest mac = key_.mac(ByteView(pending_).subspan(at));
  append(pending_, ByteView(mac).first(kMacBytes));
  return pending_.size() >= kWriteBytes ? write_out() : Status();
}

Status CopyJournal::write_out() {
  if (!file_ || pending_.empty()) return {};
  const Status written = file_->write(pending_);
  pending_.clear();
  return written;
}

Status CopyJournal::session(const SessionId& session) {
  const std::lock_guard lock(mutex_);
  TRYV(add(kSession, session.view(), {}));
  records_.sessions.push_back({session, {}});
  return write_out();
}

Status CopyJournal::pack(const PackId& pack) {
  const std::lock_guard lock(mutex_);
  TRYV(add(kPack, pack.session.view(), pack.footer_sha256));
  for (AdoptedSession& s : records_.sessions) {
    if (s.session == pack.session) s.packs.push_back(pack);
  }
  return write_out();
}

Status CopyJournal::page(const ChunkId& source, const ChunkId& target) {
  const std::lock_guard lock(mutex_);
  TRYV(add(kPage, source.view(), target.view()));
  records_.pages.push_back({source, target});
  return {};
}

Status CopyJournal::clear() {
  const std::lock_guard lock(mutex_);
  pending_.clear();
  file_.reset();
  records_ = {};
  const Status gone = io::posix_file_system().remove(path_);
  if (!gone.ok() && gone.error().code == std::errc::no_such_file_or_directory) return {};
  return gone;
}

}  // namespace holdfast::vault
