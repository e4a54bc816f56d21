// Makes the small vault, page by page of docs/formats: one source file for the methods of each
// group below. What the public functions seal under a random nonce is sealed here by hand, from the
// text of the pages alone, and opened again through those functions.
#pragma once

#include <map>
#include <set>

#include "tools/format-vectors/small_vault.h"
#include "vault/format/collection.h"
#include "vault/format/entry.h"
#include "vault/format/maintainer_keys.h"
#include "vault/format/manifest.h"
#include "vault/format/pack.h"
#include "vault/format/point_body.h"
#include "vault/format/segment.h"
#include "vault/format/session.h"
#include "vault/index/run.h"

namespace holdfast::vault {

inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kCreated = 1'700'000'000 * kSecond;

// A chunk with its id, and its bytes.
struct MadeChunk {
  ChunkRef ref;
  Bytes bytes;
};

struct MadeSegment {
  std::vector<ChunkRef> refs;
  KeyWrap wrap;
  Codec codec = Codec::raw;
  uint64_t counter = 0;
  Bytes stored;
};

struct MadeSession {
  KeyWrap wrap;
  crypto::Key256 exported;  // the session key, which SessionKey keeps to itself
  std::optional<SessionKey> key;
};

struct MadeMap {
  std::vector<MadeChunk> nodes;  // children before parents; the last is the root
  uint64_t bytes = 0;            // of all files
  const ChunkId& root() const { return nodes.back().ref.id; }
};

// Each leaves behind what vectors.txt calls session1, session2, ...
enum SessionIndex : uint8_t {
  kFirst = 0,      // wrote point 1, for recovery key 0
  kContinued = 1,  // wrote point 2
  kTooLate = 2,    // wrote point 3, which does not count
  kAdopted = 3,    // ended without a point; the second one uses its pack
  kSessions = 4,
};

class Maker {
 public:
  explicit Maker(const VectorSink& out) : out_(out) {}
  SmallVault make();

 private:
  void put(const std::string& name, Bytes bytes) {
    CHECK(v_.objects.emplace(name, std::move(bytes)).second);
  }

  // maker_keys.cc: keys.md, description.md
  void make_keys();
  void make_slots();
  void make_description_and_successor();
  Bytes make_roster(const VaultSecret& secret, uint64_t sequence, const crypto::Digest& previous,
                    const std::string& page);
  void make_rosters();
  MadeSession make_session(uint8_t index);

  // maker_chunks.cc: chunk.md, segment.md
  MadeChunk make_chunk(ChunkKind kind, std::vector<ChunkId> edges, ByteView bytes,
                       const std::string& name);
  MadeChunk data_chunk(std::string_view text, const std::string& name);
  void make_chunks();
  MadeSegment make_segment(const MadeSession& session, uint64_t counter, Codec codec,
                           const std::vector<MadeChunk>& chunks, ByteView payload,
                           const std::string& page);
  MadeSegment make_raw_segment(const MadeSession& session, uint64_t counter,
                               const std::vector<MadeChunk>& chunks, const std::string& page);
  void make_segments(const MadeMap& first, const MadeMap& second);

  // maker_maps.cc: map.md
  MadeChunk first_leaf(const MadeChunk& hosts, const MadeChunk& note, const std::string& name);
  std::vector<MadeChunk> large_file(const std::string& name, Entry& entry);
  MadeChunk second_leaf(const Entry& large, const std::string& name);
  MadeMap make_map(const MadeChunk& hosts, const MadeChunk& note, const std::string& name);

  // maker_packs.cc: pack.md, index.md
  void put_pack(PackKind kind, const SessionId& session, const std::vector<MadeSegment>& segments,
                const std::string& page, IndexRunBuilder& run);
  void put_run(IndexRunBuilder& run);
  void make_packs();

  // maker_points.cc: manifest.md, session.md
  void put_session(const MadeSession& s, uint64_t base, const crypto::Digest& base_sha256,
                   std::vector<SessionId> adopts, int64_t started_ns);
  void put_end(const MadeSession& s, SessionOutcome outcome, uint64_t sequence, int64_t time_ns);
  crypto::Digest put_point(Manifest m, const MadeSession& s, const PointBody& body,
                           const std::string& page);
  void make_adopted_session(int64_t time_ns);
  void make_points(const MadeMap& first, const MadeMap& second);

  // maker_lifecycle.cc: audit.md, the runs of session.md
  void make_audit_log();
  void put_run_lists(const RunId& run, const std::vector<PackId>& packs,
                     const std::vector<SeenManifest>& manifests);
  void make_collections();

  const VectorSink& out_;
  SmallVault v_;
  VaultSecret old_secret_;
  ItemId item_;
  std::array<MadeSession, kSessions> sessions_;
  MadeChunk chunk_hosts_, chunk_note_, chunk_letters_, chunk_promise_;
  MadeChunk chunk_new_hosts_, chunk_new_note_, chunk_xattrs_;
  std::vector<MadeSegment> data_;
  MadeSegment metadata_, adopted_data_, new_data_, new_metadata_;
  std::map<SessionId, std::set<crypto::Digest>> packs_;  // hashes of footers
  crypto::Digest first_sha256_{};
  crypto::Digest second_sha256_{};
  MaintainerKeys maintainer_;
};

// Collectors' runs: the second session wrote an epoch for the first one.
inline const RunId kRunBefore(counting<16>(0xd0));
inline const RunId kRun(counting<16>(0xe0));

// --- For the methods ---

template <class T>
T must(Result<T> result) {
  CHECK(result.ok());
  return std::move(result).value();
}

// The label's bytes, then the parts.
inline Bytes joined(std::string_view label, std::initializer_list<ByteView> parts) {
  Bytes out = to_bytes(as_bytes(label));
  for (const ByteView part : parts) append(out, part);
  return out;
}

inline crypto::Nonce nonce_of(uint8_t first) {
  return counting<crypto::kNonceBytes>(first);
}

// nonce | AES-256-GCM.
Bytes seal_with_nonce(const crypto::Key256& key, uint8_t nonce, ByteView associated,
                      ByteView plain);

}  // namespace holdfast::vault
