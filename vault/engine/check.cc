#include "vault/engine/check.h"

#include <algorithm>
#include <map>
#include <thread>

#include <boost/unordered/unordered_flat_set.hpp>

#include "base/async/parallel.h"
#include "vault/errc.h"
#include "vault/format/collection.h"
#include "vault/format/object_names.h"
#include "vault/format/proof.h"
#include "vault/format/session.h"

namespace holdfast::vault {
namespace {

constexpr size_t kReadBytes = 8 * 1024 * 1024;

bool is_absent(const Error& e) { return e.code == std::errc::no_such_file_or_directory; }

// Errors that say something about the object, not about the moment.
bool is_verdict(const Error& e) {
  return e.code == Errc::damaged || e.code == Errc::missing || e.code == Errc::key_not_trusted ||
         e.code == holdfast::Errc::malformed || e.code == holdfast::Errc::authentication_failed ||
         e.code == holdfast::Errc::unsupported || e.code == holdfast::Errc::limit_exceeded ||
         is_absent(e);
}

struct CheckedPack {
  IndexedPack pack;
  bool footer_good = false;
  bool edges_good = true;
  std::set<uint16_t> bad_segments;
};

class Checker {
 public:
  Checker(Store& store, const Description& description, const crypto::PublicKey& vault_key,
          uint32_t generation, const VaultSecret* secret, const CheckOptions& options, CheckProgress& progress,
          std::stop_token stop)
      : store_(store),
        description_(description),
        vault_key_(vault_key),
        generation_(generation),
        secret_(secret),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)),
        catalog_(store, description.vault),
        workers_(options.workers != 0 ? options.workers
                                      : std::max(1u, std::thread::hardware_concurrency())) {}

  Result<CheckReport> run() {
    TRYV(check_small_objects());
    TRYV(check_packs());
    TRYV(check_index());
    if (secret_ != nullptr) {
      TRY(reader_, VaultReader::open(store_, description_, *secret_));
      TRYV(read_data());
    }
    TRYV(check_points());
    for (const auto& [id, pack] : packs_) {
      if (!pack.footer_good) continue;
      TRY(const auto footer, catalog_.footer(pack.pack));
      report_.segments += footer->segments.size();
      report_.chunks += footer->chunk_ids.size();
    }
    return std::move(report_);
  }

 private:
  void damage(const std::string& object, const std::string& what) {
    const std::lock_guard lock(mutex_);
    report_.damage.push_back({object, what});
  }
  void remark(const std::string& object, const std::string& what) {
    const std::lock_guard lock(mutex_);
    report_.remarks.push_back({object, what});
  }
  Status interrupted() const {
    if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
    return {};
  }

  // --- Everything that is not a pack or an index run ---

  Status check_small_objects() {
    TRY(const auto objects, store_.list(""));
    TRY(roster_, load_roster(store_, description_.vault, vault_key_, generation_));
    bool has_slot = false;
    for (const ObjectInfo& object : objects) {
      TRYV(interrupted());
      const std::string& name = object.name;
      if (name.starts_with(kPacksPrefix) || name.starts_with(kIndexPrefix) ||
          name.starts_with(kPointsPrefix)) {
        continue;  // their turn comes
      }
      ++report_.objects;
      const Status checked = check_object(object);
      if (!checked.ok()) {
        if (!is_verdict(checked.error())) return checked;
        damage(name, checked.error().message());
      } else if (name.starts_with(kKeysPrefix)) {
        has_slot = true;
      }
    }
    if (!has_slot) damage(std::string(kKeysPrefix), "no usable key slot: nothing can be restored");
    return {};
  }

  Status check_object(const ObjectInfo& object) {
    const std::string& name = object.name;
    auto got = store_.get(name, kObjectBytesMax);
    if (!got.ok()) {
      if (is_absent(got.error())) return {};  // removed since the listing
      return std::move(got).error();
    }
    const Bytes& bytes = *got;
    if (name == kDescriptionName) {
      TRY(const Description d, decode_description(bytes));
      if (d.vault != description_.vault) return Error{Errc::damaged, "of another vault"};
      return {};
    }
    if (name.starts_with(kKeysPrefix)) {
      TRY(const Slot slot, decode_slot(bytes));
      if (slot.vault != description_.vault || slot_name(slot.id) != name) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      return {};
    }
    if (name.starts_with(kRosterPrefix)) return check_roster_object(name, bytes);
    if (name.starts_with(kSessionsPrefix)) return check_session_object(name, bytes);
    if (name.starts_with(kCollectionsPrefix)) {
      TRY(const auto parsed, parse_collection_name(name));
      if (parsed.step == kStepCondemned) {
        TRY(const auto list, decode_condemned(bytes));
        if (list.vault != description_.vault || list.run != parsed.run) {
          return Error{Errc::damaged, "it belongs elsewhere"};
        }
      } else if (parsed.step == kStepClosing) {
        TRY(const auto list, decode_closing(bytes));
        if (list.vault != description_.vault || list.run != parsed.run) {
          return Error{Errc::damaged, "it belongs elsewhere"};
        }
      }
      return {};
    }
    if (name.starts_with(kSuccessionPrefix)) return check_succession(name);
    if (name.starts_with(kProofsPrefix)) {
      TRY(const Proof proof, decode_proof(bytes));
      if (proof.vault != description_.vault || proof_name(proof) != name) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      TRY(const crypto::PublicKey key, vault_key_of(store_, description_, proof.generation));
      return verify_object(bytes, key, "proof");
    }
    remark(name, "not an object of a vault");
    return {};
  }

  Status check_succession(const std::string& name) {
    // Follows the chain from the description's key, which verifies each link.
    for (uint32_t generation = 1;; ++generation) {
      TRY(const crypto::PublicKey key, vault_key_of(store_, description_, generation));
      (void)key;
      if (succession_name(generation) == name) return {};
    }
  }

  // Rosters are signed by the key of their own generation, and name the one they were made from.
  Status check_roster_object(const std::string& name, const Bytes& bytes) {
    TRY(const uint64_t sequence, parse_roster_name(name));
    roster_hashes_.insert(crypto::sha256(bytes));
    TRY(const uint32_t generation, roster_generation(bytes));
    auto key = vault_key_of(store_, description_, generation);
    if (!key.ok() && key.error().code != Errc::missing) return std::move(key).error();
    auto roster = key.ok() ? decode_roster(bytes, *key)
                           : Result<Roster>(Error{holdfast::Errc::authentication_failed, ""});
    if (!roster.ok()) {
      // Well formed, but by a key that nothing put in force: a rotation that did not end, or junk.
      if (claimed_roster_key(bytes)) {
        remark(name, "signed by a key that is not the vault's; nobody believes it");
        return {};
      }
      return std::move(roster).error();
    }
    if (roster->vault != description_.vault || roster->sequence != sequence) {
      return Error{Errc::damaged, "it belongs elsewhere"};
    }
    if (sequence > 1 && !roster_hashes_.contains(roster->previous_sha256)) {
      return Error{Errc::damaged, "the roster it was made from is missing or was exchanged"};
    }
    return {};
  }

  // Whether the object is a roster signed by the very key that it names.
  static bool claimed_roster_key(const Bytes& bytes) {
    const auto body = unverified_body(kRosterMagic, bytes);
    if (!body.ok()) return false;
    wire::Decoder in(*body, "roster");
    in.raw(VaultId::kSize + 8 + 4);
    const crypto::PublicKey key = in.array<32>();
    return in.ok() && decode_roster(bytes, key).ok();
  }

  Status check_session_object(const std::string& name, const Bytes& bytes) {
    TRY(const auto parsed, parse_session_name(name));
    const auto verify = [&](const AgentId& agent) -> Status {
      const RosterAgent* known = roster_.find(agent);
      if (known == nullptr) return Error{Errc::damaged, "signed by an agent that nobody enrolled"};
      return verify_object(bytes, known->signing_key, "session");
    };
    if (parsed.step == "begin") {
      TRY(const SessionBegin begin, decode_session_begin(bytes));
      if (begin.vault != description_.vault || begin.wrap.session != parsed.session) {
        return Error{Errc::damaged, "it belongs elsewhere"};
      }
      session_agents_[parsed.session] = begin.wrap.agent;
      return verify(begin.wrap.agent);
    }
    const auto agent_of_session = [&]() -> Result<AgentId> {
      if (const auto it = session_agents_.find(parsed.session); it != session_agents_.end()) {
        return it->second;
      }
      return Error{Errc::missing, session_begin_name(parsed.session)};
    };
    const Error elsewhere{Errc::damaged, "it belongs elsewhere"};
    if (parsed.step == "end" || parsed.step == "heir") {
      TRY(const SessionEnd end, decode_session_end(bytes));
      const bool heir = end.outcome == SessionOutcome::taken_over;
      if (end.vault != description_.vault || end.session != parsed.session ||
          heir != (parsed.step == "heir")) {
        return elsewhere;
      }
      return verify(end.agent);
    }
    if (parsed.step.starts_with("epoch-")) {
      TRY(const SessionEpoch epoch, decode_session_epoch(bytes));
      if (epoch.vault != description_.vault ||
          session_epoch_name(epoch.session, epoch.epoch) != name) {
        return elsewhere;
      }
      TRY(const AgentId agent, agent_of_session());
      return verify(agent);
    }
    if (parsed.step.starts_with("tombstone-")) {
      TRY(const Tombstone tombstone, decode_tombstone(bytes));
      if (tombstone.vault != description_.vault ||
          tombstone_name(tombstone.session, tombstone.run) != name) {
        return elsewhere;
      }
      return {};
    }
    remark(name, "not an object of a session");
    return {};
  }

  // --- Packs ---

  Status check_packs() {
    TRY(const auto objects, store_.list(std::string(kPacksPrefix)));
    std::vector<CheckedPack> packs;
    for (const ObjectInfo& object : objects) {
      auto id = parse_pack_name(object.name);
      if (!id.ok()) {
        damage(object.name, "not the name of a pack");
        continue;
      }
      CheckedPack pack;
      pack.pack.id = *id;
      pack.pack.pack_bytes = object.size_bytes;
      packs.push_back(pack);
    }
    report_.packs = packs.size();
    progress_.packs_total = packs.size();
    std::mutex error_mutex;
    std::optional<Error> first_error;
    async::parallel_for(workers_, packs.size(), [&](size_t i) {
      if (stop_.stop_requested()) return;
      if (Status checked = check_pack(packs[i]); !checked.ok()) {
        const std::lock_guard lock(error_mutex);
        if (!first_error) first_error = std::move(checked).error();
      }
      ++progress_.packs;
    });
    TRYV(interrupted());
    if (first_error) return *first_error;
    for (CheckedPack& pack : packs) packs_.emplace(pack.pack.id, std::move(pack));
    report_.bytes_hashed = progress_.bytes;
    return {};
  }

  Status check_pack(CheckedPack& checked) {
    const std::string name = pack_name(checked.pack.id);
    IndexedPack described;
    described.id = checked.pack.id;
    auto footer = read_footer(store_, description_.vault, described);
    if (!footer.ok()) {
      if (!is_verdict(footer.error())) return std::move(footer).error();
      damage(name, footer.error().message());
      return {};
    }
    checked.footer_good = true;
    checked.pack = described;
    ByteArray<kPackHeaderBytes> header;
    TRYV(store_.get_range(name, 0, header));
    if (!equal(header, as_bytes(kPackMagic))) damage(name, "its first bytes are not a pack's");
    if (footer->kind == PackKind::metadata) {
      auto edges = catalog_.edges(described);
      if (!edges.ok()) {
        if (!is_verdict(edges.error())) return std::move(edges).error();
        damage(name, edges.error().message());
        checked.edges_good = false;
      }
    }
    if (options_.hashes) return hash_segments(checked, *footer, name);
    return {};
  }

  // Reads runs of neighbouring segments at once.
  Status hash_segments(CheckedPack& checked, const PackFooter& footer, const std::string& name) {
    thread_local Bytes buffer;
    for (size_t first = 0; first < footer.segments.size();) {
      const uint64_t begin = footer.segments[first].offset;
      size_t last = first;
      uint64_t end = begin + footer.segments[first].stored_bytes;
      while (last + 1 < footer.segments.size() &&
             end - begin + footer.segments[last + 1].stored_bytes <= kReadBytes) {
        end += footer.segments[++last].stored_bytes;
      }
      buffer.resize(end - begin);
      TRYV(store_.get_range(name, begin, buffer));
      for (size_t s = first; s <= last; ++s) {
        const PackSegment& segment = footer.segments[s];
        const ByteView bytes =
            ByteView(buffer).subspan(segment.offset - begin, segment.stored_bytes);
        if (crypto::sha256(bytes) != segment.sha256) {
          damage(name, "segment " + std::to_string(s) + " does not have its hash (" +
                           std::to_string(segment.chunk_count) + " chunks)");
          checked.bad_segments.insert(static_cast<uint16_t>(s));
        }
      }
      progress_.bytes += end - begin;
      first = last + 1;
    }
    return {};
  }

  // --- Index ---

  Status check_index() {
    TRY(const auto objects, store_.list(std::string(kIndexPrefix)));
    std::set<PackId> covered;
    for (const ObjectInfo& object : objects) {
      TRYV(interrupted());
      ++report_.objects;
      auto view = store_.view(object.name);
      if (!view.ok()) {
        if (is_absent(view.error())) continue;
        return std::move(view).error();
      }
      const ByteView bytes = (*view)->bytes();
      const auto run = IndexRun::parse(bytes);
      const bool name_right =
          run.ok() && index_name(run->domain(), crypto::sha256(bytes)) == object.name;
      if (!name_right || run->vault() != description_.vault || !run->check_entries().ok()) {
        damage(object.name, "its content does not hash to its name; restores read the packs instead");
        continue;
      }
      for (const IndexedPack& p : run->packs()) {
        covered.insert(p.id);
        if (!packs_.contains(p.id)) {
          damage(pack_name(p.id), "missing, although " + object.name + " lists it");
        }
      }
    }
    // Every domain gets an index that knows all good packs, whatever the stored runs are worth.
    std::map<DomainId, IndexRunBuilder> uncovered;
    for (const auto& [id, pack] : packs_) {
      if (!pack.footer_good) continue;
      if (!covered.contains(id)) remark(pack_name(id), "in no index run: of a backup that did not end");
      TRY(const auto footer, catalog_.footer(pack.pack));
      uncovered.try_emplace(footer->domain, description_.vault, footer->domain)
          .first->second.add_pack(pack.pack, *footer);
    }
    for (auto& [domain, builder] : uncovered) {
      auto index = std::make_unique<ChunkIndex>(description_.vault, domain);
      TRYV(index->add_run(builder.finish()));
      indexes_[domain] = std::move(index);
    }
    return {};
  }

  // --- Content ---

  // A random share of the packs, every chunk of them against its id.
  Status read_data() {
    if (options_.read_data_percent <= 0) return {};
    std::vector<CheckedPack*> chosen;
    for (auto& [id, pack] : packs_) {
      if (!pack.footer_good) continue;
      uint32_t draw;
      crypto::random_fill({reinterpret_cast<uint8_t*>(&draw), sizeof draw});
      if (options_.read_data_percent >= 100 ||
          draw / 4294967296.0 * 100 < options_.read_data_percent) {
        chosen.push_back(&pack);
      }
    }
    progress_.packs_total = chosen.size();
    progress_.packs = 0;
    progress_.bytes = 0;
    std::mutex error_mutex;
    std::optional<Error> first_error;
    async::parallel_for(workers_, chosen.size(), [&](size_t i) {
      if (stop_.stop_requested()) return;
      if (Status read = read_pack(*chosen[i]); !read.ok()) {
        const std::lock_guard lock(error_mutex);
        if (!first_error) first_error = std::move(read).error();
      }
      ++progress_.packs;
    });
    TRYV(interrupted());
    if (first_error) return *first_error;
    report_.bytes_opened = progress_.bytes;
    return {};
  }

  Status read_pack(CheckedPack& checked) {
    const std::string name = pack_name(checked.pack.id);
    TRY(const auto footer, catalog_.footer(checked.pack));
    auto domain = reader_->domain(footer->domain);
    if (!domain.ok()) {
      damage(name, domain.error().message());
      return {};
    }
    std::shared_ptr<const PackEdges> edges;
    if (footer->kind == PackKind::metadata) {
      if (!checked.edges_good) return {};
      TRY(edges, catalog_.edges(checked.pack));
    }
    for (size_t s = 0; s < footer->segments.size(); ++s) {
      if (checked.bad_segments.contains(static_cast<uint16_t>(s))) continue;
      auto segment = (*domain)->open_segment(checked.pack, static_cast<uint16_t>(s));
      if (!segment.ok()) {
        if (!is_verdict(segment.error())) return std::move(segment).error();
        damage(name, segment.error().message());
        checked.bad_segments.insert(static_cast<uint16_t>(s));
        continue;
      }
      for (size_t c = 0; c < (*segment)->chunk_count(); ++c) {
        const size_t chunk = footer->segments[s].chunk_first + c;
        const auto of_chunk = edges ? edges->of(chunk) : std::span<const ChunkId>();
        if (!(*domain)->id_matches(footer->chunk_ids[chunk], footer->kind_of(chunk), of_chunk,
                                   (*segment)->bytes(c))) {
          damage(name, "segment " + std::to_string(s) + " has a chunk that is not what its id says");
          checked.bad_segments.insert(static_cast<uint16_t>(s));
          break;
        }
      }
      progress_.bytes += (*segment)->chunks.size();
    }
    return {};
  }

  // --- Recovery points ---

  Status check_points() {
    PointList list;
    if (reader_) {
      TRY(list, reader_->points());
    } else {
      TRY(list, list_points(store_, description_, roster_));
    }
    for (const PointDefect& d : list.defects) damage(d.name, d.reason);
    for (const PointDefect& d : list.remarks) remark(d.name, d.reason);
    report_.points_checked = list.points.size();
    progress_.points_total = list.points.size();
    for (const RecoveryPoint& point : list.points) {
      TRYV(interrupted());
      TRYV(check_point(point));
      ++progress_.points;
    }
    return {};
  }

  struct GoodCopy {
    IndexedPack pack;
    size_t chunk = 0;  // in the pack
  };
  // A copy of the chunk in a pack and segment that nothing is known against.
  Result<std::optional<GoodCopy>> good_copy(const DomainId& domain, const ChunkId& id) {
    const auto index = indexes_.find(domain);
    if (index == indexes_.end()) return std::optional<GoodCopy>();
    for (const ChunkCandidate& c : index->second->find(id)) {
      const CheckedPack& pack = packs_.at(c.pack.id);
      if (pack.bad_segments.contains(c.segment)) continue;
      if (pack.pack.kind == PackKind::metadata && !pack.edges_good) continue;
      TRY(const auto footer, catalog_.footer(pack.pack));
      const size_t chunk = footer->segments[c.segment].chunk_first + c.chunk;
      if (footer->chunk_ids[chunk] == id) return std::optional(GoodCopy{pack.pack, chunk});
    }
    return std::optional<GoodCopy>();
  }

  using IdSet = boost::unordered_flat_set<ChunkId, IdHash>;

  // Everything below `root` that has no good copy. Pages whose whole sub-tree is good are remembered
  // in whole_, and not looked at again for later points.
  Status find_lost(const DomainId& domain, const ChunkId& root, IdSet& lost) {
    struct Visit {
      ChunkId id;
      std::vector<ChunkId> edges;
      size_t next = 0;
      bool whole = true;
    };
    std::vector<Visit> stack;
    // Descends into a page, or settles a chunk at once. False if it is lost or has lost parts.
    const auto enter = [&](const ChunkId& id) -> Result<bool> {
      if (whole_.contains(id)) return true;
      if (lost.contains(id)) return false;
      TRY(const auto copy, good_copy(domain, id));
      if (!copy) {
        lost.insert(id);
        return false;
      }
      if (copy->pack.kind == PackKind::data) return true;
      TRY(const auto edges, catalog_.edges(copy->pack));
      const auto of_chunk = edges->of(copy->chunk);
      stack.push_back({id, {of_chunk.begin(), of_chunk.end()}});
      return true;
    };
    TRY(const bool entered, enter(root));
    if (!entered) return {};
    while (!stack.empty()) {
      if (stack.back().next == stack.back().edges.size()) {
        const Visit done = std::move(stack.back());
        stack.pop_back();
        if (done.whole) {
          whole_.insert(done.id);
        } else if (!stack.empty()) {
          stack.back().whole = false;
        }
        continue;
      }
      const ChunkId child = stack.back().edges[stack.back().next++];
      const size_t depth = stack.size();
      TRY(const bool good, enter(child));
      if (!good) stack[depth - 1].whole = false;
    }
    return {};
  }

  Status check_point(const RecoveryPoint& point) {
    const Manifest& m = point.manifest;
    IdSet lost;
    for (const ChunkId& root : m.roots) TRYV(find_lost(m.domain, root, lost));
    if (lost.empty()) return {};
    DamagedPoint damaged;
    damaged.id = point.id();
    damaged.item = m.item();
    damaged.sequence = m.sequence;
    damaged.time_ns = m.time_ns;
    damaged.chunks_lost = lost.size();
    if (point.body) damaged.item_name = point.body->item_name;
    if (reader_) {
      for (const ChunkId& root : m.roots) TRYV(name_files(m.domain, root, "", lost, damaged));
    }
    report_.points.push_back(std::move(damaged));
    return {};
  }

  void name_file(DamagedPoint& damaged, std::string name) {
    ++damaged.files_affected;
    if (damaged.files.size() < options_.files_named_max) damaged.files.push_back(std::move(name));
  }

  // Whether any chunk below an extents page is lost.
  Result<bool> extents_lost(DomainReader& domain, const ChunkId& root, const IdSet& lost) {
    if (whole_.contains(root)) return false;
    if (lost.contains(root)) return true;
    TRY(const auto node, domain.load_node(root));
    TRY(const NodeType type, node_type(node->payload));
    for (const ChunkId& edge : node->edges) {
      if (type == NodeType::extents_leaf) {
        if (lost.contains(edge)) return true;
      } else {
        TRY(const bool below, extents_lost(domain, edge, lost));
        if (below) return true;
      }
    }
    return false;
  }

  Status name_files(const DomainId& domain_id, const ChunkId& page, const std::string& from,
                    const IdSet& lost, DamagedPoint& damaged) {
    if (whole_.contains(page)) return {};
    if (lost.contains(page)) {
      name_file(damaged, "everything from /" + from + " on, up to the next name given here");
      return {};
    }
    TRY(DomainReader * domain, reader_->domain(domain_id));
    TRY(const auto node, domain->load_node(page));
    TRY(const NodeType type, node_type(node->payload));
    if (type == NodeType::path_inner) {
      TRY(const PathInner inner, decode_path_inner(node->payload, node->edges));
      for (const PathChild& child : inner.children) {
        if (lost.contains(child.id)) {
          const auto next = &child + 1;
          const bool last = next == inner.children.data() + inner.children.size();
          damaged.files_affected += child.entries - 1;
          name_file(damaged, "/" + child.first_key + " and what follows" +
                                 (last ? "" : " before /" + next->first_key) + " (" +
                                 std::to_string(child.entries) + " entries)");
          continue;
        }
        TRYV(name_files(domain_id, child.id, child.first_key, lost, damaged));
      }
      return {};
    }
    TRY(const auto entries, decode_path_leaf(node->payload, node->edges));
    for (const PathEntry& e : entries) {
      const Entry& entry = e.entry;
      bool affected = std::any_of(entry.extents.begin(), entry.extents.end(), [&](const Extent& x) {
        return x.chunk && lost.contains(*x.chunk);
      });
      affected = affected || std::any_of(entry.xattr_chunks.begin(), entry.xattr_chunks.end(),
                                         [&](const ChunkId& id) { return lost.contains(id); });
      if (!affected && entry.extents_root) {
        TRY(affected, extents_lost(*domain, *entry.extents_root, lost));
      }
      if (affected) name_file(damaged, "/" + e.key);
    }
    return {};
  }

  Store& store_;
  const Description& description_;
  const crypto::PublicKey vault_key_;
  const uint32_t generation_;
  const VaultSecret* const secret_;
  const CheckOptions& options_;
  CheckProgress& progress_;
  const std::stop_token stop_;
  PackCatalog catalog_;
  const unsigned workers_;
  std::mutex mutex_;
  CheckReport report_;
  Roster roster_;
  std::map<SessionId, AgentId> session_agents_;
  std::set<crypto::Digest> roster_hashes_;
  std::map<PackId, CheckedPack> packs_;
  std::map<DomainId, std::unique_ptr<ChunkIndex>> indexes_;
  std::unique_ptr<VaultReader> reader_;
  IdSet whole_;
};

}  // namespace

Result<CheckReport> check_vault(Store& store, const Description& description,
                                const crypto::PublicKey& vault_key, uint32_t generation,
                                const VaultSecret* secret,
                                const CheckOptions& options, CheckProgress& progress,
                                std::stop_token stop) {
  return Checker(store, description, vault_key, generation, secret, options, progress, std::move(stop)).run();
}

}  // namespace holdfast::vault
