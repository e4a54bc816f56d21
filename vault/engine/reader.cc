#include "vault/engine/reader.h"

#include <algorithm>

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kNodesMax = 4096;
constexpr size_t kSessionKeysMax = 16 * 1024;

Error damaged_segment(const PackId& pack, uint16_t segment, std::string_view reason) {
  return Error{Errc::damaged, pack_name(pack) + " segment " + std::to_string(segment) + " (" +
                                  std::string(reason) + ")"};
}

// zstd's working memory, one set per thread.
SegmentSealer& thread_sealer() {
  thread_local SegmentSealer sealer;
  return sealer;
}

}  // namespace

DomainReader::DomainReader(VaultReader& vault, const DomainKeys& keys)
    : vault_(vault), keys_(keys), id_key_(keys.id_key.view()) {}

Status DomainReader::load_index() {
  std::call_once(index_once_, [this] {
    const std::lock_guard lock(index_mutex_);
    if (const Status loaded = load_runs(); !loaded.ok()) index_error_ = loaded.error();
  });
  if (index_error_) return *index_error_;
  return {};
}

Status DomainReader::load_runs() {
  auto index = std::make_unique<ChunkIndex>(vault_.description_.vault, keys_.id);
  std::vector<UnusableRun> unusable;
  TRYV(index->load(vault_.store_, unusable, ChunkIndex::Unreadable::unusable));
  for (const UnusableRun& run : unusable) {
    const std::string what = is_verdict(run.error) ? " is damaged" : " cannot be read";
    vault_.warn(run.name + what + " (" + run.error.message() +
                "); reading what it covers from the packs themselves");
  }
  index_ = std::move(index);
  footers_read_ = Footers::none;
  return {};
}

Result<bool> DomainReader::look_again(const PackId& gone) {
  constexpr size_t kTimesMax = 64;  // in a vault that lost packs each costs a look at all others
  vault_.catalog_.forget(gone);
  const std::lock_guard lock(index_mutex_);
  if (gone_.size() >= kTimesMax || !gone_.insert(gone).second) return false;
  TRYV(load_runs());
  return true;
}

// The index is a convenience, not a condition of restoring: what it does not know is looked up in
// the packs that no run names, and then, should a run be wrong, in all of them.
Status DomainReader::read_footers(Footers which) {
  TRY(const auto objects, vault_.store_.list(std::string(kPacksPrefix)));
  IndexRunBuilder builder(vault_.description_.vault, keys_.id);
  for (const ObjectInfo& object : objects) {
    auto id = parse_pack_name(object.name);
    if (!id.ok() || (which == Footers::uncovered && index_->covers(*id))) continue;
    IndexedPack pack;
    pack.id = *id;
    auto footer = read_footer(vault_.store_, vault_.description_.vault, pack);
    if (!footer.ok()) {
      if (!is_verdict(footer.error())) return std::move(footer).error();
      vault_.warn(footer.error().message());
      continue;
    }
    if (footer->domain == keys_.id) builder.add_pack(pack, *footer);
  }
  if (which == Footers::all) {
    index_ = std::make_unique<ChunkIndex>(vault_.description_.vault, keys_.id);
  }
  if (builder.empty()) return {};
  return index_->add_run(builder.finish());
}

Result<std::vector<ChunkPlace>> DomainReader::confirm(const ChunkId& id,
                                                      const std::vector<ChunkCandidate>& candidates,
                                                      std::vector<PackId>& gone) {
  std::vector<ChunkPlace> places;
  for (const ChunkCandidate& c : candidates) {
    auto footer = vault_.catalog_.footer(c.pack);
    if (!footer.ok()) {
      if (is_absent(footer.error())) gone.push_back(c.pack.id);
      if (is_verdict(footer.error())) continue;
      return std::move(footer).error();
    }
    const PackFooter& f = **footer;
    if (f.domain != keys_.id || c.segment >= f.segments.size()) continue;
    const PackSegment& s = f.segments[c.segment];
    if (c.chunk >= s.chunk_count || f.chunk_ids[s.chunk_first + c.chunk] != id) continue;
    places.push_back({c.pack, c.segment, c.chunk});
    places.back().pack.kind = f.kind;
  }
  return places;
}

Result<std::vector<ChunkPlace>> DomainReader::find(const ChunkId& id) {
  TRYV(load_index());
  for (;;) {
    std::vector<ChunkCandidate> candidates;
    std::vector<PackId> gone;
    {
      const std::lock_guard lock(index_mutex_);
      candidates = index_->find(id);
    }
    TRY(auto places, confirm(id, candidates, gone));
    for (const Footers which : {Footers::uncovered, Footers::all}) {
      if (!places.empty()) return places;
      {
        const std::lock_guard lock(index_mutex_);
        if (footers_read_ < which) {
          TRYV(read_footers(which));
          footers_read_ = which;
        }
        candidates = index_->find(id);
      }
      TRY(places, confirm(id, candidates, gone));
    }
    if (!places.empty()) return places;
    bool changed = false;
    for (const PackId& pack : gone) {
      TRY(const bool reloaded, look_again(pack));
      changed = changed || reloaded;
    }
    if (!changed) return Error{Errc::missing, "chunk " + id.hex()};
  }
}

Result<std::shared_ptr<const SessionKey>> DomainReader::session_key(const KeyWrap& wrap) {
  wire::Encoder name;
  encode_key_wrap(name, wrap);
  {
    const std::lock_guard lock(keys_mutex_);
    if (const auto it = session_keys_.find(name.bytes()); it != session_keys_.end()) {
      return it->second;
    }
  }
  const OpenRoster::Agent* agent = vault_.roster_.find(wrap.agent);
  const crypto::Key256* psk = agent == nullptr ? nullptr : agent->secret_for(keys_.id);
  if (psk == nullptr) {
    return Error{Errc::damaged, "session " + wrap.session.hex() + " is of no agent of its domain"};
  }
  TRY(SessionKey key,
      SessionKey::recover(vault_.secret_, vault_.description_.vault, keys_.id, wrap, *psk));
  auto shared = std::make_shared<const SessionKey>(std::move(key));
  const std::lock_guard lock(keys_mutex_);
  if (session_keys_.size() >= kSessionKeysMax) session_keys_.clear();
  return session_keys_[name.take()] = shared;
}

Result<std::shared_ptr<const OpenSegment>> DomainReader::open_segment(const IndexedPack& pack,
                                                                      uint16_t segment) {
  auto out = std::make_shared<OpenSegment>();
  TRY(out->footer, vault_.catalog_.footer(pack));
  out->segment = segment;
  const PackFooter& f = *out->footer;
  CHECK(segment < f.segments.size());
  const PackSegment& s = f.segments[segment];
  std::shared_ptr<const PackEdges> edges;
  if (f.kind == PackKind::metadata) {
    TRY(edges, vault_.catalog_.edges(pack));
  }
  std::vector<ChunkRef> refs(s.chunk_count);
  for (uint32_t c = 0; c < s.chunk_count; ++c) {
    const size_t chunk = s.chunk_first + c;
    refs[c].id = f.chunk_ids[chunk];
    refs[c].kind = f.kind_of(chunk);
    if (edges) {
      const auto of_chunk = edges->of(chunk);
      refs[c].edges.assign(of_chunk.begin(), of_chunk.end());
    }
  }
  Buffer stored(s.stored_bytes);
  const Status got = vault_.store_.get_range(pack_name(pack.id), s.offset, stored.view());
  if (!got.ok()) {
    if (got.error().code == holdfast::Errc::malformed) {
      return damaged_segment(pack.id, segment, "the pack is too short");
    }
    return got.error();
  }
  TRY(const auto key, session_key(f.sessions[s.session_index]));
  auto opened =
      thread_sealer().open(*key, s.counter, s.codec, refs_hash(refs), s.chunk_count, stored.view());
  if (!opened.ok()) return damaged_segment(pack.id, segment, opened.error().context);
  out->offsets.reserve(s.chunk_count + 1);
  uint32_t at = 0;
  for (const uint32_t length : opened->lengths) {
    out->offsets.push_back(at);
    at += length;
  }
  out->offsets.push_back(at);
  out->chunks = std::move(opened->chunks);
  out->id_checked = std::make_unique<std::atomic<bool>[]>(s.chunk_count);
  return std::shared_ptr<const OpenSegment>(std::move(out));
}

Result<std::shared_ptr<const OpenSegment>> DomainReader::cached_segment(const IndexedPack& pack,
                                                                        uint16_t segment) {
  const SegmentName name{pack.id, segment};
  {
    const std::lock_guard lock(cache_mutex_);
    if (const auto it = cache_.find(name); it != cache_.end()) {
      cache_uses_.splice(cache_uses_.begin(), cache_uses_, it->second.use);
      return it->second.segment;
    }
  }
  TRY(auto opened, open_segment(pack, segment));
  const std::lock_guard lock(cache_mutex_);
  if (const auto it = cache_.find(name); it != cache_.end()) return it->second.segment;
  cache_uses_.push_front(name);
  cache_[name] = {opened, cache_uses_.begin()};
  cache_bytes_ += opened->chunks.size();
  while (cache_bytes_ > vault_.options_.segment_cache_bytes && cache_uses_.size() > 1) {
    const auto it = cache_.find(cache_uses_.back());
    cache_bytes_ -= it->second.segment->chunks.size();
    cache_.erase(it);
    cache_uses_.pop_back();
  }
  return opened;
}

Status DomainReader::try_copies(const ChunkId& id,
                                const std::function<Status(const ChunkPlace&)>& use) {
  for (;;) {
    TRY(const auto places, find(id));
    std::optional<Error> first_error;
    bool changed = false;
    for (const ChunkPlace& place : places) {
      Status used = use(place);
      if (used.ok()) return used;
      if (!is_verdict(used.error())) return used;
      if (is_absent(used.error())) {
        TRY(const bool reloaded, look_again(place.pack.id));
        changed = changed || reloaded;
      }
      if (!first_error) first_error = std::move(used).error();
    }
    if (!changed) return *first_error;
  }
}

Status DomainReader::with_chunk(const ChunkId& id, ChunkKind kind,
                                const std::function<Status(ByteView)>& use) {
  // An error of `use` is the caller's, and says nothing of the copy.
  Status used;
  TRYV(try_copies(id, [&](const ChunkPlace& place) -> Status {
    TRY(const auto segment, cached_segment(place.pack, place.segment));
    const ByteView bytes = segment->bytes(place.chunk);
    std::atomic<bool>& checked = segment->id_checked[place.chunk];
    if (!checked && !id_matches(id, kind, {}, bytes)) {
      return damaged_segment(place.pack.id, place.segment, "a chunk is not what its id says");
    }
    checked = true;
    used = use(bytes);
    return {};
  }));
  return used;
}

Result<Bytes> DomainReader::read_chunk(const ChunkId& id, ChunkKind kind) {
  Bytes out;
  TRYV(with_chunk(id, kind, [&](ByteView bytes) -> Status {
    out = to_bytes(bytes);
    return {};
  }));
  return out;
}

Result<std::shared_ptr<const Node>> DomainReader::load_node(const ChunkId& id) {
  {
    const std::lock_guard lock(nodes_mutex_);
    if (const auto it = nodes_.find(id); it != nodes_.end()) return it->second;
  }
  std::shared_ptr<const Node> found;
  TRYV(try_copies(id, [&](const ChunkPlace& place) -> Status {
    TRY(const auto segment, cached_segment(place.pack, place.segment));
    TRY(const auto edges, vault_.catalog_.edges(place.pack));
    const size_t chunk = segment->footer->segments[place.segment].chunk_first + place.chunk;
    const auto of_chunk = edges->of(chunk);
    const ByteView bytes = segment->bytes(place.chunk);
    if (!id_matches(id, ChunkKind::node, of_chunk, bytes)) {
      return damaged_segment(place.pack.id, place.segment, "a page is not what its id says");
    }
    auto node = std::make_shared<Node>();
    node->edges.assign(of_chunk.begin(), of_chunk.end());
    node->payload = to_bytes(bytes);
    found = std::move(node);
    return {};
  }));
  const std::lock_guard lock(nodes_mutex_);
  if (nodes_.size() >= kNodesMax) nodes_.clear();
  nodes_[id] = found;
  return found;
}

Result<std::vector<Xattr>> DomainReader::xattrs(const Entry& entry) {
  if (entry.xattr_chunks.empty()) return entry.xattrs;
  Bytes encoded;
  for (const ChunkId& id : entry.xattr_chunks) {
    TRY(const Bytes part, read_chunk(id, ChunkKind::attributes));
    append(encoded, part);
    if (encoded.size() > kXattrBytesMax) {
      return Error{Errc::damaged, "an entry has more extended attributes than may be"};
    }
  }
  auto xattrs = decode_xattrs(encoded);
  if (!xattrs.ok()) return Error{Errc::damaged, xattrs.error().context};
  return xattrs;
}

VaultReader::VaultReader(Store& store, const Description& description, const VaultSecret& secret,
                         OpenRoster roster, ReaderOptions options)
    : store_(store),
      description_(description),
      secret_(secret),
      roster_(std::move(roster)),
      options_(options),
      catalog_(store, description.vault) {}

Result<std::unique_ptr<VaultReader>> VaultReader::open(Store& store, const Description& description,
                                                       const VaultSecret& secret,
                                                       ReaderOptions options) {
  TRY(OpenRoster roster, open_roster(store, description, secret));
  std::unique_ptr<VaultReader> reader(
      new VaultReader(store, description, secret, std::move(roster), options));
  for (const DomainKeys& keys : reader->roster_.domains) {
    reader->domains_[keys.id].reset(new DomainReader(*reader, keys));
  }
  return reader;
}

Result<PointList> VaultReader::points() {
  TRY(PointList list, list_points(store_, description_, roster_.clear));
  std::vector<RecoveryPoint> usable;
  for (RecoveryPoint& point : list.points) {
    const Manifest& m = point.manifest;
    auto body = open_body(point, roster_, secret_);
    if (body.ok()) {
      point.body = std::move(*body);
    } else if (is_verdict(body.error())) {
      list.defects.push_back({point_name(m.item(), m.sequence), body.error().message()});
    } else {
      return std::move(body).error();
    }
    usable.push_back(std::move(point));
  }
  list.points = std::move(usable);
  return list;
}

Result<DomainReader*> VaultReader::domain(const DomainId& id) {
  const auto it = domains_.find(id);
  if (it == domains_.end()) {
    return Error{Errc::missing, "dedup domain " + id.hex() + " in the roster"};
  }
  return it->second.get();
}

void VaultReader::warn(std::string text) {
  const std::lock_guard lock(mutex_);
  if (std::find(warnings_.begin(), warnings_.end(), text) == warnings_.end()) {
    warnings_.push_back(std::move(text));
  }
}

std::vector<std::string> VaultReader::warnings() {
  const std::lock_guard lock(mutex_);
  return warnings_;
}

}  // namespace holdfast::vault
