// What a copy of points between two vaults wrote down in case it is interrupted: which packs it put
// in which session, so that the next run may adopt them, and what pages became in the target, so
// that what is there already need not be read again. A file on the copying machine:
//
//   <cache>/copies/<target vault>/<source vault>
//
//   "HFV1COPY" | records: u8 type | payload | 16 bytes of HMAC-SHA-256 of type and payload
//     1  session 16                      a session began
//     2  session 16, footer hash 32      a pack of it is durable
//     3  source page 32, target page 32  the one is the copy of the other
//
// The HMAC's key comes from the agent's item secret, the vaults and the target's domain: what
// somebody else wrote, or what was written for other keys, is no record. Reading ends at the first
// record that is none, as after a crash. Whether a page's copy still is in the target is asked
// again before it is used. One thread, but pack() may be called by another.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "base/io/fd.h"
#include "base/io/file_system.h"
#include "vault/engine/session.h"

namespace holdfast::vault {

struct CopiedPage {
  ChunkId source;
  ChunkId target;
};

struct CopyRecords {
  std::vector<AdoptedSession> sessions;
  std::vector<CopiedPage> pages;
};

// The records of a file, as far as they are right.
CopyRecords decode_copy_records(ByteView file, const crypto::HmacSha256& key);

class CopyJournal {
 public:
  // Takes the pair of vaults for this process. Errors: std::errc::device_or_resource_busy if
  // another copy between the two is running here; the system's.
  static Result<std::unique_ptr<CopyJournal>> open(const std::string& cache_directory,
                                                   const VaultId& source, const AgentKeys& target);
  ~CopyJournal();

  // What interrupted runs left, and this one since; until clear().
  const CopyRecords& records() const { return records_; }

  Status session(const SessionId& session);
  Status pack(const PackId& pack);
  Status page(const ChunkId& source, const ChunkId& target);
  // A point was committed: its own manifest tells all that this would.
  Status clear();

 private:
  CopyJournal(std::string path, io::Fd lock, ByteView key);
  Status add(uint8_t type, ByteView first, ByteView second);
  Status write_out();
  // Replaces the file by one with all records so far, open for more.
  Status start_file();

  const std::string path_;
  const io::Fd lock_;
  const crypto::HmacSha256 key_;
  std::mutex mutex_;
  CopyRecords records_;
  std::unique_ptr<io::WritableFile> file_;
  Bytes pending_;
};

}  // namespace holdfast::vault
