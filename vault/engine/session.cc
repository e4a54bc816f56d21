#include "vault/engine/session.h"

#include <algorithm>
#include <deque>
#include <unordered_set>

#include "vault/engine/points.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kHeadsMax = 4096;
constexpr size_t kReadBackPacks = 2;
constexpr size_t kReadBackSegments = 4;
constexpr int kCommitAttempts = 3;
constexpr uint64_t kForeignManifestsMax = 1000;

size_t random_below(size_t n) {
  uint64_t v;
  crypto::random_fill({reinterpret_cast<uint8_t*>(&v), sizeof v});
  return static_cast<size_t>(v % n);
}

}  // namespace

Session::Session(Store& store, const AgentKeys& keys, SessionRequest request,
                 SessionOptions options)
    : store_(store),
      keys_(keys),
      request_(std::move(request)),
      options_(std::move(options)),
      id_key_(keys_.domain.id_key.view()),
      catalog_(store, keys_.vault),
      run_(keys_.vault, keys_.domain.id) {
  for (const AdoptedSession& a : request_.adopts) {
    adopted_.push_back(a.session);
    adopted_packs_.insert(a.packs.begin(), a.packs.end());
  }
  if (options_.write_bytes_per_second != 0) {
    limiter_ = std::make_unique<io::RateLimiter>(options_.write_bytes_per_second);
  }
  uploader_ = std::make_unique<PackUploader>(
      store_, keys_.vault, keys_.domain.id, options_.uploads, limiter_.get(),
      [this](const IndexedPack& pack, const PackFooter& footer) {
        return on_pack_stored(pack, footer);
      });
}

Session::~Session() {
  uploader_->cancel();
}

Result<std::unique_ptr<Session>> Session::begin(Store& store, const AgentKeys& keys,
                                                SessionRequest request, SessionOptions options) {
  std::unique_ptr<Session> s(new Session(store, keys, std::move(request), std::move(options)));
  TRYV(s->start_session());
  TRYV(s->look_at_points());
  TRYV(s->check_base());
  return s;
}

Status Session::start_session() {
  const SessionContext context{keys_.vault, keys_.domain.id, request_.item, SessionId::random()};
  TRY(SessionKey key, SessionKey::create(keys_, context, wrap_));
  key_.emplace(std::move(key));
  counter_ = 0;
  epoch_ = 0;
  SessionBegin begin;
  begin.vault = keys_.vault;
  begin.domain = keys_.domain.id;
  begin.wrap = wrap_;
  if (request_.base) {
    begin.base_sequence = request_.base->sequence;
    begin.base_sha256 = request_.base->sha256;
  }
  begin.adopts = adopted_;
  begin.roster_sequence = request_.roster->sequence;
  begin.started_ns = io::posix_file_system().now_ns();
  begin.program = options_.program;
  TRYV(store_.put(session_begin_name(wrap_.session), begin.encode(keys_.signing_seed)));
  uploader_->set_session(wrap_.session);
  TRYV(load_lifecycle());
  TRY(Condemned condemned, load_condemned(store_, keys_.vault, *maintainers_));
  const std::lock_guard lock(rely_mutex_);
  condemned_ = std::move(condemned);
  return {};
}

Status Session::load_lifecycle() {
  TRY(lifecycle_, request_.lifecycle());
  maintainers_ = std::make_shared<const Maintainers>(maintainers_of(lifecycle_));
  vouched_ = std::make_unique<VouchedPacks>(store_, keys_.vault, keys_.domain.id, request_.roster,
                                            maintainers_);
  return {};
}

// Fixes the new point's number and predecessor, and compares the vault with what is remembered.
Status Session::look_at_points() {
  TRY(const auto objects, store_.list(std::string(kPointsPrefix)));
  std::map<ItemId, uint64_t> newest;
  std::set<uint64_t> taken;  // numbers of this item
  for (const ObjectInfo& object : objects) {
    auto name = parse_point_name(object.name);
    if (!name.ok()) continue;
    newest[name->item] = std::max(newest[name->item], name->sequence);
    if (name->item == request_.item) taken.insert(name->sequence);
  }
  for (const auto& [item, sequence] : newest) {
    if (heads_.size() < kHeadsMax) heads_.push_back({item, sequence});
  }
  for (const ItemHead& head : request_.remembered_heads) {
    const auto it = newest.find(head.item);
    const uint64_t sequence = it == newest.end() ? 0 : it->second;
    if (sequence < head.sequence) {
      const bool own = head.item == request_.item;
      warnings_.push_back(
          "the vault at " + store_.location() + " is older than this machine remembers: " +
          (own ? "this item" : "item " + head.item.hex()) + " had recovery points up to number " +
          std::to_string(head.sequence) + ", now it ends at " + std::to_string(sequence) +
          ". Was the vault restored from a copy, or were points removed?");
    }
  }

  const auto& remembered = request_.remembered_head;
  if (remembered && (taken.empty() || remembered->sequence >= *taken.rbegin())) {
    // Also after a rollback: the gap in the numbers stays visible for ever.
    previous_ = *remembered;
  } else {
    TRYV(find_previous(taken));
    // A backup that was killed after its manifest was put is no stranger's.
    const bool explained =
        previous_is_adopted_ && remembered && previous_.sequence == remembered->sequence + 1;
    if (remembered && previous_.sequence > remembered->sequence && !explained) {
      warnings_.push_back(
          "this item has recovery points " + std::to_string(remembered->sequence + 1) + " to " +
          std::to_string(previous_.sequence) +
          " that this machine does not remember writing. If the machine was put back to an older "
          "state, all is well; if it was cloned, give the clone an identity of its own with "
          "'holdfast vault enrol --new'");
    }
  }
  // A number that somebody planted is only passed over, however high it is.
  sequence_ = previous_.sequence + 1;
  while (taken.contains(sequence_)) ++sequence_;
  return {};
}

// The item's newest manifest that this agent signed: what others put there is theirs to explain.
Status Session::find_previous(const std::set<uint64_t>& numbers) {
  previous_ = request_.remembered_head.value_or(BasePoint{});
  uint64_t looked_at = 0;
  for (auto it = numbers.rbegin(); it != numbers.rend(); ++it) {
    const uint64_t sequence = *it;
    if (sequence <= previous_.sequence || looked_at++ >= kForeignManifestsMax) break;
    auto object = store_.get(point_name(request_.item, sequence), kObjectBytesMax);
    if (!object.ok()) {
      if (is_verdict(object.error())) continue;
      return std::move(object).error();
    }
    if (is_own_manifest(*object, sequence)) {
      previous_ = {sequence, crypto::sha256(*object)};
      const SessionId session = decode_manifest(*object)->wrap.session;
      previous_is_adopted_ = std::find(adopted_.begin(), adopted_.end(), session) != adopted_.end();
      return {};
    }
  }
  return {};
}

bool Session::is_own_manifest(ByteView object, uint64_t sequence) const {
  const auto m = decode_manifest(object);
  return m.ok() && m->item() == request_.item && m->sequence == sequence &&
         verify_object(object, crypto::ed25519_public(keys_.signing_seed), "manifest").ok();
}

Status Session::check_base() {
  base_valid_ = false;
  if (!request_.base) return {};
  const std::string name = point_name(request_.item, request_.base->sequence);
  auto object = store_.get(name, kObjectBytesMax);
  if (!object.ok()) {
    if (is_absent(object.error())) return {};
    return std::move(object).error();
  }
  if (crypto::sha256(*object) != request_.base->sha256) return {};
  const auto manifest = decode_manifest(*object);
  if (!manifest.ok() || manifest->domain != keys_.domain.id) return {};
  if (lifecycle_.is_purged(request_.item, {request_.base->sequence, request_.base->sha256})) {
    return {};
  }
  auto counts = manifest_counts(store_, *manifest, request_.base->sha256, *maintainers_);
  // A closing list that cannot be read: better to look every id up than to believe the base.
  if (!counts.ok() && counts.error().code != Errc::damaged) return std::move(counts).error();
  base_valid_ = counts.ok() && *counts == Counts::yes;
  return {};
}

// --- What is known ---

Status Session::load_index_once() {
  std::call_once(index_once_, [this] {
    if (const Status loaded = load_index(); !loaded.ok()) index_error_ = loaded.error();
  });
  if (index_error_) return *index_error_;
  return {};
}

Status Session::load_index() {
  auto index = std::make_unique<ChunkIndex>(keys_.vault, keys_.domain.id);
  std::vector<UnusableRun> unusable;
  TRYV(index->load(store_, unusable));
  {
    const std::unique_lock lock(index_mutex_);
    index_ = std::move(index);
  }
  return index_adopted_packs();
}

Status Session::index_adopted_packs() {
  IndexRunBuilder builder(keys_.vault, keys_.domain.id);
  for (const PackId& id : adopted_packs_) {
    if (index_->covers(id)) continue;
    IndexedPack pack;
    pack.id = id;
    auto footer = read_footer(store_, keys_.vault, pack);
    // A pack that is gone, damaged or of another domain is of no use; its chunks are stored again.
    if (!footer.ok() || footer->domain != keys_.domain.id) continue;
    builder.add_pack(pack, *footer);
  }
  if (builder.empty()) return {};
  const std::unique_lock lock(index_mutex_);
  return index_->add_run(builder.finish());
}

Result<bool> Session::may_rely_on(const PackId& pack) {
  {
    const std::lock_guard lock(rely_mutex_);
    if (condemned_.packs.contains(pack)) return false;
    if (own_packs_.contains(pack)) return true;
  }
  if (adopted_packs_.contains(pack)) return true;
  return vouched_->contains(pack);
}

Result<std::optional<ChunkCandidate>> Session::find_in_vault(const ChunkId& id) {
  TRYV(load_index_once());
  std::vector<ChunkCandidate> candidates;
  {
    const std::shared_lock lock(index_mutex_);
    candidates = index_->find(id);
  }
  for (const ChunkCandidate& c : candidates) {
    TRY(const bool reliable, may_rely_on(c.pack.id));
    if (!reliable) continue;
    auto footer = catalog_.footer(c.pack);
    if (!footer.ok()) {
      // Gone or damaged: this copy does not count. Anything else may pass, and is reported.
      if (is_verdict(footer.error())) continue;
      return std::move(footer).error();
    }
    const PackFooter& f = **footer;
    if (f.domain != keys_.domain.id || c.segment >= f.segments.size()) continue;
    const PackSegment& s = f.segments[c.segment];
    if (c.chunk >= s.chunk_count || f.chunk_ids[s.chunk_first + c.chunk] != id) continue;
    {
      // advance() may have read a new list since: what is in it must not be relied on any more.
      const std::lock_guard lock(rely_mutex_);
      if (condemned_.packs.contains(c.pack.id)) continue;
      relied_on_[c.pack.id].insert(c.segment);
    }
    return std::optional(c);
  }
  return std::optional<ChunkCandidate>();
}

Result<bool> Session::is_known(const ChunkId& id) {
  if (claimed_.contains(id)) return true;
  TRY(const auto found, find_in_vault(id));
  return found.has_value();
}

Result<bool> Session::is_known_deeply(const ChunkId& root) {
  std::vector<ChunkId> todo{root};
  std::unordered_set<ChunkId, IdHash> seen{root};
  while (!todo.empty()) {
    const ChunkId id = todo.back();
    todo.pop_back();
    TRY(const auto found, find_in_vault(id));
    if (!found) {
      // Claimed by this session, children included: it claims children before their parent.
      if (claimed_.contains(id)) continue;
      return false;
    }
    if (found->pack.kind == PackKind::data) continue;
    TRY(const auto footer, catalog_.footer(found->pack));
    TRY(const auto edges, catalog_.edges(found->pack));
    const size_t chunk = footer->segments[found->segment].chunk_first + found->chunk;
    for (const ChunkId& edge : edges->of(chunk)) {
      if (seen.insert(edge).second) todo.push_back(edge);
    }
  }
  return true;
}

Result<bool> Session::claim(const ChunkId& id) {
  TRY(const bool known, is_known(id));
  if (known) return false;
  return claimed_.claim(id);
}

// --- Storing ---

Status Session::add_segment(PackKind kind, std::vector<ChunkRef> refs, SealedSegment segment) {
  return uploader_->add(kind, wrap_, std::move(refs), std::move(segment));
}

Status Session::on_pack_stored(const IndexedPack& pack, const PackFooter& footer) {
  {
    const std::lock_guard lock(rely_mutex_);
    own_packs_.insert(pack.id);
  }
  if (options_.on_pack_stored) options_.on_pack_stored(pack.id);
  run_.add_pack(pack, footer);
  run_ids_.insert(run_ids_.end(), footer.chunk_ids.begin(), footer.chunk_ids.end());
  if (run_.entry_count() >= options_.index_entries_max) return put_index_run(true);
  return {};
}

Status Session::put_index_run(bool search_it) {
  if (run_.empty()) return {};
  const Bytes bytes = run_.finish();
  const std::string name = index_name(keys_.domain.id, crypto::sha256(bytes));
  TRYV(store_.put(name, bytes));
  index_bytes_ += bytes.size();
  if (search_it) {
    TRYV(load_index_once());
    {
      const std::unique_lock lock(index_mutex_);
      TRYV(index_->add_object(store_, name));
    }
    for (const ChunkId& id : run_ids_) claimed_.release(id);
  }
  run_ids_.clear();
  return {};
}

SessionStats Session::stats() const {
  const UploadCounters& c = uploader_->counters();
  return {chunks_new_, bytes_new_, c.data_bytes, c.metadata_bytes, index_bytes_, c.packs};
}

Status Session::read_back_sample() {
  const std::vector<PackId> own(own_packs_.begin(), own_packs_.end());
  for (size_t i = 0; i < std::min(kReadBackPacks, own.size()); ++i) {
    IndexedPack pack;
    pack.id = own[random_below(own.size())];
    const std::string name = pack_name(pack.id);
    TRY(const PackFooter footer, read_footer(store_, keys_.vault, pack));
    for (size_t k = 0; k < kReadBackSegments; ++k) {
      const PackSegment& s = footer.segments[random_below(footer.segments.size())];
      Bytes bytes(s.stored_bytes);
      TRYV(store_.get_range(name, s.offset, bytes));
      if (crypto::sha256(bytes) != s.sha256) {
        return Error{Errc::damaged, name + " (it reads back different from what was written)"};
      }
    }
  }
  return {};
}

Result<crypto::Digest> Session::put_manifest(const ManifestDraft& draft) {
  Manifest m;
  m.vault = keys_.vault;
  m.domain = keys_.domain.id;
  m.wrap = wrap_;
  if (request_.base && base_valid_) {
    m.base_sequence = request_.base->sequence;
    m.base_sha256 = request_.base->sha256;
  }
  m.previous_sequence = previous_.sequence;
  m.previous_sha256 = previous_.sha256;
  m.time_ns = draft.time_ns;
  m.incomplete = draft.incomplete;
  m.entries = draft.entries;
  m.roots = draft.roots;
  m.adopts = adopted_;
  m.labels = draft.labels;
  m.heads = heads_;
  PointBody body = draft.body;
  const SessionStats now = stats();
  body.new_bytes = now.bytes_new;
  body.stored_bytes = now.data_bytes + now.metadata_bytes + now.index_bytes;
  const Bytes plain = body.encode();
  TRYV(decode_point_body(plain));
  uint64_t passed_over = 0;
  for (;;) {
    m.sequence = sequence_;
    m.sealed_body = key_->seal_body(m, plain);
    const Bytes object = m.encode(keys_.signing_seed);
    // A point that no reader would take must not be reported as committed.
    TRYV(decode_manifest(object));
    const std::string name = point_name(m.item(), m.sequence);
    const Status put = store_.put_if_absent(name, object);
    if (put.ok()) return crypto::sha256(object);
    if (put.error().code != std::errc::file_exists) return put.error();
    const auto there = store_.get(name, kObjectBytesMax);
    if (!there.ok() && !is_verdict(there.error())) return there.error();
    // Ours if an earlier attempt went through although it was reported as failed.
    if (there.ok() && *there == object) return crypto::sha256(object);
    if (there.ok() && is_own_manifest(*there, sequence_)) {
      return Error{Errc::identity_cloned,
                   name +
                       " was written by somebody else while this backup ran. If this machine was "
                       "cloned, give the clone an identity of its own with 'holdfast vault enrol "
                       "--new'; nothing was lost, run the backup again"};
    }
    // Not signed by this agent, so no point of this item: it only takes a number.
    if (++passed_over > kForeignManifestsMax) return put.error();
    ++sequence_;
  }
}

Result<CommittedPoint> Session::commit(ManifestDraft draft) {
  CHECK(!ended_);
  for (const std::string& label : draft.labels) {
    if (label.size() > kLabelBytesMax) {
      return Error{holdfast::Errc::limit_exceeded, "a label may have 255 bytes"};
    }
  }
  TRYV(uploader_->drain());
  TRYV(read_back_sample());
  TRYV(put_index_run(false));
  for (int attempt = 0; attempt < kCommitAttempts; ++attempt) {
    TRY(const crypto::Digest sha256, put_manifest(draft));
    TRY(const auto tombstones, tombstones_of(store_, wrap_.session));
    if (tombstones.empty()) {
      ended_ = true;
      // The point stands with or without it; only sharing with later backups would suffer.
      Status put =
          put_end(wrap_.session, session_end_name(wrap_.session), SessionOutcome::committed);
      for (const SessionId& old : adopted_) {
        if (put.ok()) put = put_end(old, session_heir_name(old), SessionOutcome::taken_over);
      }
      if (!put.ok()) warnings_.push_back("could not end the session: " + put.error().message());
      return CommittedPoint{sequence_, sha256, stats()};
    }
    TRYV(continue_after_tombstone(draft));
  }
  return Error{Errc::missing,
               "collectors gave this session up again and again; is the clock of "
               "the vault's host right?"};
}

Status Session::give_up() {
  if (std::exchange(ended_, true)) return {};
  const Status drained = uploader_->drain();
  if (!drained.ok() && drained.error().code != holdfast::Errc::interrupted) return drained;
  TRYV(put_index_run(false));
  return put_end(wrap_.session, session_end_name(wrap_.session), SessionOutcome::given_up);
}

Status Session::put_end(const SessionId& session, const std::string& name, SessionOutcome outcome) {
  SessionEnd end;
  end.vault = keys_.vault;
  end.session = session;
  end.domain = keys_.domain.id;
  end.agent = keys_.agent;
  end.outcome = outcome;
  if (outcome != SessionOutcome::given_up) end.sequence = sequence_;
  end.time_ns = io::posix_file_system().now_ns();
  std::set<crypto::Digest> packs;
  for (const PackSet* set : {&own_packs_, &adopted_packs_}) {
    for (const PackId& pack : *set) {
      if (pack.session == session) packs.insert(pack.footer_sha256);
    }
  }
  end.packs.assign(packs.begin(), packs.end());
  return store_.put(name, end.encode(keys_.signing_seed));
}

}  // namespace holdfast::vault
