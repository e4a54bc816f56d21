#include "tests/support/sim_machine.h"

#include "vault/engine/reader.h"
#include "vault/engine/segment_writer.h"
#include "vault/errc.h"
#include "vault/format/map_builder.h"
#include "vault/format/object_names.h"

namespace holdfast::testing {

using namespace vault;  // NOLINT: test support

namespace {

constexpr uint8_t kVariants = 4;

TestFile file_of(size_t number, uint8_t variant) {
  const uint64_t seed = number * 100 + variant;
  return {"file" + std::to_string(number), random_bytes(seed, 500 + seed * 37 % 4000)};
}

Status read_point(VaultReader& reader, const DomainId& domain_id, const Ledger::Point& point) {
  TRY(DomainReader * domain, reader.domain(domain_id));
  PathCursor cursor(*domain, point.root);
  TRYV(cursor.seek_first());
  for (const TestFile& f : point.files) {
    if (cursor.at_end() || cursor->key != f.key) {
      return Error{vault::Errc::damaged, "entry " + f.key + " is not there"};
    }
    Bytes content;
    TRYV(for_each_extent(*domain, cursor->entry, [&](uint64_t, const Extent& x) -> Status {
      TRY(const Bytes bytes, domain->read_chunk(*x.chunk, ChunkKind::data));
      append(content, bytes);
      return {};
    }));
    if (content != f.content) return Error{vault::Errc::damaged, "content of " + f.key};
    TRYV(cursor.next());
  }
  if (!cursor.at_end()) return Error{vault::Errc::damaged, "more entries than expected"};
  return {};
}

class PageSink final : public NodeSink {
 public:
  PageSink(Session& session, SegmentWriter& writer) : session_(session), writer_(writer) {}
  Result<ChunkId> put_node(std::span<const ChunkId> edges, ByteView payload) override {
    const ChunkId id = session_.chunk_id(ChunkKind::node, edges, payload);
    TRY(const bool is_new, session_.claim(id));
    if (is_new) TRYV(writer_.add({id, ChunkKind::node, {edges.begin(), edges.end()}}, payload));
    return id;
  }

 private:
  Session& session_;
  SegmentWriter& writer_;
};

}  // namespace

size_t Ledger::kept() const {
  size_t n = 0;
  for (const Point& p : points_) n += p.purged ? 0 : 1;
  return n;
}

std::string Ledger::check(Store& store) const {
  const auto reader = VaultReader::open(store, vault_.description, vault_.secret);
  if (!reader.ok()) return reader.error().message() + "\n";
  const auto list = (*reader)->points();
  if (!list.ok()) return list.error().message() + "\n";
  std::map<std::string, crypto::Digest> there;
  for (const RecoveryPoint& p : list->points) {
    there[point_name(p.manifest.item(), p.manifest.sequence)] = p.sha256;
  }
  std::string wrong;
  for (const Point& p : points_) {
    if (p.purged) continue;
    const std::string name = point_name(p.item, p.committed.sequence);
    const auto it = there.find(name);
    if (it == there.end() || it->second != p.committed.sha256) {
      wrong += name + " was reported and is no point\n";
      for (const auto* remarks : {&list->defects, &list->remarks}) {
        for (const PointDefect& d : *remarks) {
          if (d.name == name) wrong += "  " + d.reason + "\n";
        }
      }
      continue;
    }
    const Status read = read_point(**reader, vault_.keys.domain.id, p);
    if (!read.ok()) wrong += name + ": " + read.error().message() + "\n";
  }
  return wrong;
}

void Machine::run(SimStore& sim) {
  for (int i = 0; i < backups_; ++i) {
    const std::unique_ptr<Store> wrapped = wrap ? wrap(sim) : nullptr;
    Store& store = wrapped ? *wrapped : sim;
    const Status done = back_up(sim, store);
    if (!done.ok()) {
      sim.simulation().note(sim.name() + "'s backup failed: " + done.error().message());
      if (done.error().code == vault::Errc::missing) {
        // What it relied on is gone: the next one believes nothing.
        memory_ = {};
      } else if (!sim.is_killed() && done.error().code != std::errc::io_error) {
        failures.push_back(done.error().message());
      }
    }
    if (sim.is_killed()) sim.reboot();
    sim.sleep(static_cast<int64_t>(sim.random(20 * kHour)));
  }
}

Status Machine::back_up(SimStore& sim, Store& store) {
  Variants variants = memory_.base ? memory_.base->variants : Variants{};
  for (uint64_t n = sim.random(4); n > 0; --n) {
    variants[sim.random(kFiles)] = static_cast<uint8_t>(sim.random(kVariants));
  }
  SessionRequest request;
  request.item = item_;
  if (memory_.base) request.base = memory_.base->point;
  request.adopts = memory_.interrupted;
  request.remembered_head = memory_.head;
  SessionOptions options;
  // What it puts it writes down before anything else, under the newest entry.
  options.on_pack_stored = [this](const PackId& pack) {
    if (memory_.interrupted.empty() || memory_.interrupted.back().session != pack.session) {
      memory_.interrupted.push_back({pack.session, {}});
    }
    memory_.interrupted.back().packs.push_back(pack);
  };
  TRY(const auto session, begin_session(store, vault_, std::move(request), std::move(options)));
  TRY(const ChunkId root, store_tree(sim, *session, variants));
  if (sim.random(20) == 0) return session->give_up();
  ManifestDraft draft;
  draft.time_ns = sim.simulation().now_ns();
  draft.entries = kFiles;
  draft.roots = {root};
  draft.body.item_name = name_;
  TRY(const CommittedPoint committed, session->commit(std::move(draft)));
  sim.simulation().note(sim.name() + " reports point " + std::to_string(committed.sequence));
  Ledger::Point point{item_, committed, root, {}};
  for (size_t f = 0; f < kFiles; ++f) point.files.push_back(file_of(f, variants[f]));
  ledger_.report(std::move(point));
  ++reported_;
  // A machine may be killed before it writes down that it is done.
  if (sim.is_killed()) return {};
  memory_.base = Base{{committed.sequence, committed.sha256}, variants};
  memory_.head = memory_.base->point;
  memory_.interrupted.clear();
  return {};
}

Result<ChunkId> Machine::store_tree(SimStore& sim, Session& session, const Variants& variants) {
  SegmentWriter data(session, PackKind::data);
  SegmentWriter metadata(session, PackKind::metadata);
  PageSink sink(session, metadata);
  PathMapBuilder map(session.domain().page_key(), sink);
  for (size_t f = 0; f < kFiles; ++f) {
    const TestFile file = file_of(f, variants[f]);
    Entry e;
    e.mode = 0644;
    e.size = file.content.size();
    const ChunkId id = session.chunk_id(ChunkKind::data, {}, file.content);
    const bool unchanged = session.base_is_valid() && memory_.base->variants[f] == variants[f];
    // What the base refers to may be referred to without looking.
    if (!unchanged) {
      TRY(const bool is_new, session.claim(id));
      if (is_new) TRYV(data.add({id, ChunkKind::data, {}}, file.content));
    }
    e.extents = {{file.content.size(), id}};
    TRYV(map.add(file.key, e));
    if (sim.random(8) == 0) TRYV(data.flush());
    if (sim.random(8) == 0) sim.sleep(static_cast<int64_t>(sim.random(3 * kHour)));
    if (sim.random(6) == 0) TRYV(session.advance());
  }
  TRY(const ChunkId root, map.finish());
  TRYV(data.flush());
  TRYV(metadata.flush());
  return root;
}

}  // namespace holdfast::testing
