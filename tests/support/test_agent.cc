#include "tests/support/test_agent.h"

#include "tests/support/faulty_store.h"
#include "vault/engine/pack_catalog.h"
#include "vault/errc.h"
#include "vault/format/map_reader.h"
#include "vault/format/object_names.h"

namespace holdfast::testing {

using namespace backup_agent;  // NOLINT: test support

Result<vault::Entry> OpenPoint::entry(const std::string& path) const {
  TRY(vault::PathEntry found,
      vault::find_entry(*domain, point.manifest.roots.at(0), path.substr(1)));
  return std::move(found.entry);
}

TestAgent::TestAgent(vault::Store& store, const TestVault& vault,
                     const std::filesystem::path& where)
    : store_(store), vault_(vault), directory_(where) {
  make_directory(source());
  make_directory(state());
  make_directory(cache());
}

std::string TestAgent::key(const std::string& name) const {
  return (name.empty() ? source() : source(name)).substr(1);
}

BackupOptions TestAgent::options() const {
  BackupOptions o;
  o.paths = {source()};
  o.item = "item";
  o.host = "machine";
  o.snapshot = SnapshotMode::none;
  o.readers = 1;
  o.uploads = 0;  // one thread: operations on the store come in one order
  o.audit_one_in = 0;
  o.cache_directory = cache();
  return o;
}

Result<BackupResult> TestAgent::backup(vault::Store* store) {
  return backup(options(), store);
}

Result<BackupResult> TestAgent::backup(const BackupOptions& options, vault::Store* store,
                                       std::stop_token stop) {
  progress_ = std::make_unique<BackupProgress>();
  auto through = std::make_unique<FaultyStore>(store != nullptr ? *store : store_);
  TRY(const auto vault,
      vault::Vault::open(std::move(through),
                         vault::StateDirectory(io::posix_file_system(), state())));
  return run_backup(*vault, vault_.keys, options, *progress_, std::move(stop));
}

Result<OpenPoint> TestAgent::open_point(uint64_t sequence, vault::Store* store) const {
  OpenPoint out;
  TRY(out.reader, vault::VaultReader::open(store != nullptr ? *store : store_, vault_.description,
                                           vault_.secret));
  TRY(vault::PointList list, out.reader->points());
  out.defects = std::move(list.defects);
  for (vault::RecoveryPoint& p : list.points) {
    if (sequence == 0 || p.manifest.sequence == sequence) out.point = std::move(p);
  }
  if (out.point.manifest.roots.empty()) return Error{vault::Errc::no_such_point, ""};
  TRY(out.domain, out.reader->domain(out.point.manifest.domain));
  return out;
}

Result<RestoreReport> TestAgent::restore(RestoreOptions options, uint64_t sequence,
                                         vault::Store* store) const {
  if (options.target.empty()) options.target = target();
  if (options.subpath.empty()) options.subpath = key();
  TRY(const OpenPoint open, open_point(sequence, store));
  RestoreProgress progress;
  return run_restore(*open.reader, open.point, options, progress, {}, {});
}

Result<RestoreReport> TestAgent::verify(RestoreOptions options, uint64_t sequence) const {
  if (options.target.empty()) options.target = target();
  if (options.subpath.empty()) options.subpath = key();
  TRY(const OpenPoint open, open_point(sequence));
  RestoreProgress progress;
  RestoreReport report;
  TRYV(verify_restore(*open.reader, open.point, options, progress, report, {}));
  return report;
}

void TestAgent::save_memory(const std::string& name) const {
  namespace fs = std::filesystem;
  const std::string kept = memory_ / name;
  remove_all(kept);
  fs::create_directories(kept);
  fs::copy(cache(), kept + "/cache", fs::copy_options::recursive);
  fs::copy(state(), kept + "/state", fs::copy_options::recursive);
}

void TestAgent::load_memory(const std::string& name) const {
  namespace fs = std::filesystem;
  remove_all(cache());
  remove_all(state());
  const std::string kept = memory_ / name;
  fs::copy(kept + "/cache", cache(), fs::copy_options::recursive);
  fs::copy(kept + "/state", state(), fs::copy_options::recursive);
}

AgentTest::AgentTest(const std::filesystem::path& where) : agent(store, vault, where) {}

void AgentTest::expect_round_trip() {
  ASSIGN(const BackupResult backed_up, agent.backup());
  for (const auto& p : backed_up.problems) ADD_FAILURE() << p.path << ": " << p.reason;
  for (const auto& w : backed_up.warnings) ADD_FAILURE() << w;
  ASSIGN(const RestoreReport report, agent.restore());
  for (const auto& p : report.problems) ADD_FAILURE() << p.path << ": " << p.reason;
  if (::geteuid() == 0) {
    for (const auto& r : report.refused) ADD_FAILURE() << r;
    EXPECT_EQ(describe_tree(agent.source()), describe_tree(agent.target()));
  }
  ASSIGN(const RestoreReport verified, agent.verify());
  for (const auto& p : verified.problems) ADD_FAILURE() << p.path << ": " << p.reason;
}

void AgentTest::expect_clean() {
  ASSIGN(const vault::CheckReport report, full_check(store, vault));
  for (const auto& f : report.damage) ADD_FAILURE() << f.object << ": " << f.what;
  EXPECT_TRUE(report.points.empty());
}

std::map<vault::ChunkId, int> stored_chunks(vault::Store& store, const vault::VaultId& vault) {
  std::map<vault::ChunkId, int> out;
  vault::PackCatalog catalog(store, vault);
  const auto packs = store.list(std::string(vault::kPacksPrefix));
  CHECK(packs.ok());
  for (const vault::ObjectInfo& o : *packs) {
    const auto pack = catalog.describe(*vault::parse_pack_name(o.name));
    CHECK(pack.ok());
    if (pack->kind != vault::PackKind::data) continue;
    const auto footer = catalog.footer(*pack);
    CHECK(footer.ok());
    for (const vault::ChunkId& id : (*footer)->chunk_ids) ++out[id];
  }
  return out;
}

}  // namespace holdfast::testing
