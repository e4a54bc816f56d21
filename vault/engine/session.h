// A writing session: everything between "I am about to add a recovery point" and its commit.
// docs/formats/session.md has the rules and why they are safe beside a running collector.
//
// In short: the session's begin object is put first, then the condemned list is read, then the base
// is checked. A chunk whose only copy is condemned, or lies in a pack that no committed session
// vouches for, counts as unknown and is stored again. Commit puts packs, index runs and manifest in
// that order, then looks for a tombstone; if a collector gave the session up meanwhile, a successor
// session adopts its packs, stores again what was condemned, and commits in its place.
//
// begin, commit and give_up are called by one thread, advance by one at a time and not during
// commit, the rest by any number.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>

#include "vault/engine/claimed_chunks.h"
#include "vault/engine/collections.h"
#include "vault/engine/pack_catalog.h"
#include "vault/engine/pack_uploader.h"
#include "vault/engine/vouched_packs.h"
#include "vault/format/point_body.h"
#include "vault/format/roster.h"
#include "vault/format/session.h"
#include "vault/index/chunk_index.h"
#include "vault/seal/session_key.h"

namespace holdfast::vault {

struct BasePoint {
  uint64_t sequence = 0;
  crypto::Digest sha256{};  // of the manifest
  bool operator==(const BasePoint&) const = default;
};

struct SessionOptions {
  Compression compression;
  unsigned uploads = 2;  // packs being put at a time; 0: put by the thread that filled the pack
  uint64_t write_bytes_per_second = 0;  // 0: no limit
  std::string program = "holdfast";
  // An index run is put and the memory of its chunks freed at this many entries.
  size_t index_entries_max = 512 * 1024;
  // Called for each pack that is durable, one call at a time; so that an agent can write down what
  // it may adopt if it is interrupted.
  std::function<void(const PackId&)> on_pack_stored;
};

// An interrupted session of this agent, and the packs that the agent itself knows to have put in
// it: what else lies under its name may be somebody's plant.
struct AdoptedSession {
  SessionId session;
  std::vector<PackId> packs;
};

struct SessionRequest {
  ItemId item;
  // Says which agents may vouch for the packs of other sessions.
  std::shared_ptr<const Roster> roster;
  // Loads the vault's lifecycle as it is now: asked after the session's begin was put, for whose
  // condemned lists are to be believed, and whether the base was purged.
  std::function<Result<LifecycleState>()> lifecycle;
  std::optional<BasePoint> base;
  // What these stored is taken over.
  std::vector<AdoptedSession> adopts;
  // What this machine remembers: the item's newest point, and the newest sequence of every item.
  std::optional<BasePoint> remembered_head;
  std::vector<ItemHead> remembered_heads;
};

struct SessionStats {
  uint64_t chunks_new = 0;
  uint64_t bytes_new = 0;       // plaintext of new data chunks
  uint64_t data_bytes = 0;      // stored: packs with file data
  uint64_t metadata_bytes = 0;  // stored: packs with maps
  uint64_t index_bytes = 0;     // stored: index runs
  uint64_t packs = 0;
};

// What the caller contributes to a manifest.
struct ManifestDraft {
  int64_t time_ns = 0;
  bool incomplete = false;
  uint64_t entries = 0;
  std::vector<ChunkId> roots;
  std::vector<std::string> labels;
  PointBody body;  // new_bytes and stored_bytes are filled in
};

struct CommittedPoint {
  uint64_t sequence = 0;
  crypto::Digest sha256{};
  SessionStats stats;
};

class Session {
 public:
  // Errors: the store's; Errc::damaged for a condemned list that cannot be read.
  static Result<std::unique_ptr<Session>> begin(Store& store, const AgentKeys& keys,
                                                SessionRequest request, SessionOptions options);
  ~Session();

  const SessionId& id() const { return wrap_.session; }
  // The base still is a recovery point: everything it refers to may be referred to again without
  // looking. Otherwise what the caller remembers of it is only a hint.
  bool base_is_valid() const { return base_valid_; }
  // Things the user should know, found when the session began: a rolled-back vault, points that
  // this machine does not remember, unusable index runs.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // The newest sequence of every item in the vault, as seen when the session began.
  const std::vector<ItemHead>& heads() const { return heads_; }

  ChunkId chunk_id(ChunkKind kind, std::span<const ChunkId> edges, ByteView bytes) const {
    return vault::chunk_id(id_key_, kind, edges, bytes);
  }
  const DomainKeys& domain() const { return keys_.domain; }

  // Whether the chunk may be referred to without storing it: this session claimed it, or a copy in
  // the vault may be relied on. Errors: the store's.
  Result<bool> is_known(const ChunkId& id);
  // The same for everything below a page, following clear edges; no keys are needed for that.
  Result<bool> is_known_deeply(const ChunkId& root);
  // True if the caller now has to store the chunk; false if it is known.
  Result<bool> claim(const ChunkId& id);

  // Stores a sealed segment, made with key() and next_counter().
  Status add_segment(PackKind kind, std::vector<ChunkRef> refs, SealedSegment segment);
  const SessionKey& key() const { return *key_; }
  uint64_t next_counter() { return counter_++; }
  const Compression& compression() const { return options_.compression; }
  void count_new_chunk(uint64_t data_bytes) {
    ++chunks_new_;
    bytes_new_ += data_bytes;
  }
  SessionStats stats() const;

  // To be called about hourly in long sessions: reads the condemned lists again, stores again what
  // was relied on, and puts a new epoch, so that collection waits for an hour, not for the session.
  Status advance();

  // All segments must have been added. Errors: the store's; Errc::identity_cloned if another writer
  // took the sequence number; Errc::missing if what the session relied on is gone (the caller backs
  // up again without a base).
  Result<CommittedPoint> commit(ManifestDraft draft);

  // Keeps what was stored, for a later session to adopt, and ends this one without a point.
  Status give_up();
  // Nothing waits for the write limit from now on: packs that would have to are dropped, and the
  // session can only be given up. Any thread, at any time.
  void stop_waiting() {
    if (limiter_) limiter_->stop();
  }

 private:
  Session(Store& store, const AgentKeys& keys, SessionRequest request, SessionOptions options);

  // Puts a begin object under a fresh id, then reads the condemned lists.
  Status start_session();
  Status look_at_points();
  Status find_previous(const std::set<uint64_t>& numbers);
  bool is_own_manifest(ByteView object, uint64_t sequence) const;
  Status load_lifecycle();
  Status check_base();
  Status load_index_once();
  Status load_index();
  Status index_adopted_packs();
  Result<std::optional<ChunkCandidate>> find_in_vault(const ChunkId& id);
  Result<bool> may_rely_on(const PackId& pack);
  Status on_pack_stored(const IndexedPack& pack, const PackFooter& footer);
  Status put_index_run(bool search_it);
  // Copies what the session relies on out of condemned packs, as it stands, into packs of its own.
  Status rescue_condemned(const PackSet& condemned);
  Status copy_segments(const PackId& id, const std::set<uint16_t>* segments);
  Status continue_after_tombstone(const ManifestDraft& draft);
  Result<crypto::Digest> put_manifest(const ManifestDraft& draft);
  // Says how `session` ended, and which of its packs are good.
  Status put_end(const SessionId& session, const std::string& name, SessionOutcome outcome);
  Status read_back_sample();

  Store& store_;
  const AgentKeys keys_;
  SessionRequest request_;
  const SessionOptions options_;
  const crypto::HmacSha256 id_key_;

  KeyWrap wrap_;
  std::optional<SessionKey> key_;
  std::atomic<uint64_t> counter_{0};
  std::vector<SessionId> adopted_;  // including own earlier sessions given up by a collector
  PackSet adopted_packs_;
  uint32_t epoch_ = 0;
  bool base_valid_ = false;
  bool ended_ = false;
  std::vector<std::string> warnings_;
  std::vector<ItemHead> heads_;
  BasePoint previous_;                // the point that the new one follows
  bool previous_is_adopted_ = false;  // put by a session that this one adopts
  uint64_t sequence_ = 0;             // of the new point

  LifecycleState lifecycle_;
  std::shared_ptr<const Maintainers> maintainers_;
  PackCatalog catalog_;
  std::unique_ptr<VouchedPacks> vouched_;

  std::once_flag index_once_;
  std::optional<Error> index_error_;
  std::shared_mutex index_mutex_;
  std::unique_ptr<ChunkIndex> index_;  // once loaded
  std::mutex rely_mutex_;
  Condemned condemned_;
  PackSet own_packs_;  // of this session and of own ones given up by a collector
  std::map<PackId, std::set<uint16_t>> relied_on_;

  ClaimedChunks claimed_;
  std::atomic<uint64_t> chunks_new_{0};
  std::atomic<uint64_t> bytes_new_{0};
  std::atomic<uint64_t> index_bytes_{0};

  // Below: touched by upload callbacks, one at a time, and by commit after they ended.
  IndexRunBuilder run_;
  std::vector<ChunkId> run_ids_;  // claimed ids that the run being built covers

  std::unique_ptr<io::RateLimiter> limiter_;
  std::unique_ptr<PackUploader> uploader_;
};

}  // namespace holdfast::vault
