#include "tests/support/test_vault.h"

#include <random>

#include "vault/errc.h"
#include "vault/format/map_builder.h"
#include "vault/format/object_names.h"

namespace holdfast::testing {

using namespace vault;  // NOLINT: test support

TestVault::TestVault(Store& store) {
  description.vault = VaultId::random();
  description.vault_key = secret.vault_key();
  description.name = "test";
  const DomainKeys domain = DomainKeys::create();
  Roster roster;
  roster.vault = description.vault;
  roster.domains.push_back(seal_domain(description.vault, secret.roster_key, domain));
  roster.agents.push_back(enrol_agent(secret, description.vault, domain, "machine", 1, keys));
  CHECK(put_roster(store, roster, secret).ok());
  maintainer = MaintainerKeys::create(description.vault);
  auto log = AuditLog::load(store, description.vault, {description.vault_key});
  CHECK(log.ok());
  CHECK(log->append(store, vault_audit_key(secret), 1,
                    {maintainer.grant(Role::maintainer, "machine")})
            .ok());
  std::string code;
  const Slot slot = make_recovery_code_slot(description.vault, secret, "paper", 1, code);
  CHECK(store.put(slot_name(slot.id), slot.encode()).ok());
  CHECK(store.put(std::string(kDescriptionName), description.encode(secret.vault_seed)).ok());
  item = keys.item_id("item");
  signed_roster = std::make_shared<const Roster>(roster);
}

AgentKeys TestVault::add_agent(Store& store, const std::string& name, const DomainKeys* shared) {
  auto open = open_roster(store, description, secret);
  CHECK(open.ok());
  Roster roster = open->clear;
  const DomainKeys domain = shared != nullptr ? *shared : DomainKeys::create();
  AgentKeys added;
  if (shared == nullptr) {
    roster.domains.push_back(seal_domain(description.vault, secret.roster_key, domain));
  }
  roster.agents.push_back(enrol_agent(secret, description.vault, domain, name, 1, added));
  CHECK(put_roster(store, roster, secret).ok());
  return added;
}

MaintainerKeys TestVault::add_maintainer(Store& store) const {
  auto log = AuditLog::load(store, description, description.vault_key, 0);
  CHECK(log.ok());
  const MaintainerKeys added = MaintainerKeys::create(description.vault);
  CHECK(log->append(store, vault_audit_key(secret), log->state().time_ns + 1,
                    {added.grant(Role::maintainer, "another machine")})
            .ok());
  return added;
}

Bytes random_bytes(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random());
  return out;
}

namespace {

std::function<Result<LifecycleState>()> lifecycle_of(Store& store, const TestVault& vault) {
  return [&store, &vault]() -> Result<LifecycleState> {
    TRY(const AuditLog log,
        AuditLog::load(store, vault.description, vault.description.vault_key, 0));
    return log.state();
  };
}

}  // namespace

Result<std::unique_ptr<Session>> begin_session(Store& store, const TestVault& vault,
                                               SessionRequest request, SessionOptions options) {
  if (request.item.is_zero()) request.item = vault.item;
  request.roster = vault.signed_roster;
  request.lifecycle = lifecycle_of(store, vault);
  options.uploads = 0;  // one thread: operations come in one order
  return Session::begin(store, vault.keys, std::move(request), std::move(options));
}

Result<std::unique_ptr<Session>> begin_session_as(Store& store, const TestVault& vault,
                                                  const AgentKeys& keys, SessionRequest request) {
  if (request.item.is_zero()) request.item = keys.item_id("item");
  TRY(Roster roster, load_roster(store, vault.description.vault, vault.secret.vault_key(), 0));
  request.roster = std::make_shared<const Roster>(std::move(roster));
  request.lifecycle = lifecycle_of(store, vault);
  SessionOptions options;
  options.uploads = 0;
  return Session::begin(store, keys, std::move(request), std::move(options));
}

namespace {

class WriterSink final : public NodeSink {
 public:
  WriterSink(Session& session, SegmentWriter& writer) : session_(session), writer_(writer) {}
  Result<ChunkId> put_node(std::span<const ChunkId> edges, ByteView payload) override {
    const ChunkId id = session_.chunk_id(ChunkKind::node, edges, payload);
    TRY(const bool is_new, session_.claim(id));
    if (is_new) {
      TRYV(writer_.add({id, ChunkKind::node, {edges.begin(), edges.end()}}, payload));
    }
    return id;
  }

 private:
  Session& session_;
  SegmentWriter& writer_;
};

}  // namespace

Result<ChunkId> store_files(Session& session, const std::vector<TestFile>& files) {
  constexpr size_t kPiece = 256 * 1024;
  SegmentWriter data(session, PackKind::data);
  SegmentWriter metadata(session, PackKind::metadata);
  WriterSink sink(session, metadata);
  PathMapBuilder map(session.domain().page_key(), sink);
  for (const TestFile& f : files) {
    Entry e;
    e.mode = 0644;
    e.size = f.content.size();
    std::vector<Extent> extents;
    for (size_t at = 0; at < f.content.size(); at += kPiece) {
      const ByteView piece =
          ByteView(f.content).subspan(at, std::min(kPiece, f.content.size() - at));
      const ChunkId id = session.chunk_id(ChunkKind::data, {}, piece);
      TRY(const bool is_new, session.claim(id));
      if (is_new) TRYV(data.add({id, ChunkKind::data, {}}, piece));
      extents.push_back({piece.size(), id});
    }
    if (extents.size() > kInlineExtentsMax) {
      ExtentsMapBuilder builder(sink);
      for (const Extent& x : extents) TRYV(builder.add(x));
      TRY(e.extents_root, builder.finish());
    } else {
      e.extents = extents;
    }
    TRYV(map.add(f.key, e));
  }
  TRY(const ChunkId root, map.finish());
  TRYV(data.flush());
  TRYV(metadata.flush());
  return root;
}

Result<WrittenPoint> write_files(Session& session, const std::vector<TestFile>& files) {
  WrittenPoint out;
  TRY(out.root, store_files(session, files));
  ManifestDraft draft;
  draft.time_ns = 1'700'000'000'000'000'000;
  draft.entries = files.size();
  draft.roots = {out.root};
  draft.body.item_name = "item";
  TRY(out.point, session.commit(std::move(draft)));
  return out;
}

Result<WrittenPoint> write_point(Store& store, const TestVault& vault,
                                 const std::vector<TestFile>& files, SessionRequest request,
                                 SessionOptions options) {
  TRY(const auto session, begin_session(store, vault, std::move(request), std::move(options)));
  return write_files(*session, files);
}

Status expect_files(Store& store, const TestVault& vault, const ChunkId& root,
                    const DomainId& domain_id, const std::vector<TestFile>& files) {
  TRY(const auto reader, VaultReader::open(store, vault.description, vault.secret));
  TRY(DomainReader * domain, reader->domain(domain_id));
  PathCursor cursor(*domain, root);
  TRYV(cursor.seek_first());
  for (const TestFile& f : files) {
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

Result<CheckReport> full_check(Store& store, const TestVault& vault) {
  CheckOptions options;
  options.read_data_percent = 100;
  options.workers = 1;
  CheckProgress progress;
  return check_vault(store, vault.description, vault.secret.vault_key(), vault.secret.generation,
                     &vault.secret, options, progress, {});
}

}  // namespace holdfast::testing
