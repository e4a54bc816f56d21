// The index and the collector at size: a vault of as many chunks as are asked for, made through the
// session code with segments of a few bytes, then looked up, merged and collected in.
//
//   vault_size DIRECTORY CHUNKS
//
// DIRECTORY must be empty. One JSON object a line: what was done, seconds, CPU seconds, peak memory
// of the process so far (MiB). Chunk ids are random, as real ones are for whoever has no key; pages
// refer to 64 others. Two points: the second one lacks a tenth of the first one's chunks.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>

#include <sys/resource.h>
#include <sys/stat.h>

#include "vault/client/maintenance.h"
#include "vault/engine/merge_index.h"
#include "vault/format/object_names.h"
#include "vault/index/chunk_index.h"

namespace holdfast::vault {
namespace {

constexpr size_t kFanOut = 64;
constexpr size_t kChunksPerSegment = 64;
constexpr size_t kSegmentBytes = 64;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::cerr << "vault_size: " << result.error().message() << "\n";
    std::exit(1);
  }
  return std::move(result).value();
}
void must(const Status& status) {
  if (status.ok()) return;
  std::cerr << "vault_size: " << status.error().message() << "\n";
  std::exit(1);
}

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

// Prints what a step took when it ends.
class Step {
 public:
  explicit Step(std::string name) : name_(std::move(name)) { ::getrusage(RUSAGE_SELF, &before_); }
  void note(const std::string& key, double value) { notes_ += ",\"" + key + "\":" + text(value); }
  ~Step() {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start_;
    rusage after{};
    ::getrusage(RUSAGE_SELF, &after);
    const double cpu = seconds(after.ru_utime) + seconds(after.ru_stime) -
                       seconds(before_.ru_utime) - seconds(before_.ru_stime);
    std::cout << "{\"step\":\"" << name_ << "\",\"seconds\":" << text(wall.count())
              << ",\"cpu\":" << text(cpu)
              << ",\"peak_mib\":" << text(static_cast<double>(after.ru_maxrss) / 1024) << notes_
              << "}" << std::endl;
  }

 private:
  static std::string text(double v) {
    char out[32];
    std::snprintf(out, sizeof out, "%.3f", v);
    return out;
  }
  const std::string name_;
  std::string notes_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  rusage before_{};
};

class Ids {
 public:
  explicit Ids(uint64_t seed) : random_(seed) {}
  ChunkId next() {
    ChunkId id;
    for (size_t i = 0; i < id.bytes.size(); i += 8) {
      const uint64_t v = random_();
      std::memcpy(id.bytes.data() + i, &v, 8);
    }
    return id;
  }

 private:
  std::mt19937_64 random_;
};

// Adds chunks to a session in segments whose content nobody could open.
class Writer {
 public:
  Writer(Session& session, PackKind kind) : session_(session), kind_(kind) {}
  void add(ChunkRef ref) {
    refs_.push_back(std::move(ref));
    if (refs_.size() == kChunksPerSegment) flush();
  }
  void flush() {
    if (refs_.empty()) return;
    SealedSegment s;
    s.stored = Buffer(kSegmentBytes);
    s.counter = session_.next_counter();
    std::memcpy(s.stored.view().data(), &s.counter, sizeof s.counter);
    s.sha256 = crypto::sha256(s.stored.view());
    must(session_.add_segment(kind_, std::exchange(refs_, {}), std::move(s)));
  }

 private:
  Session& session_;
  const PackKind kind_;
  std::vector<ChunkRef> refs_;
};

// A tree of pages over `children`; gives the root.
ChunkId add_pages(Writer& writer, Ids& ids, std::vector<ChunkId> children) {
  while (children.size() > 1) {
    std::vector<ChunkId> parents;
    for (size_t i = 0; i < children.size(); i += kFanOut) {
      ChunkRef page;
      page.id = ids.next();
      page.kind = ChunkKind::node;
      page.edges.assign(
          children.begin() + static_cast<std::ptrdiff_t>(i),
          children.begin() + static_cast<std::ptrdiff_t>(std::min(i + kFanOut, children.size())));
      parents.push_back(page.id);
      writer.add(std::move(page));
    }
    children = std::move(parents);
  }
  return children.at(0);
}

struct Bench {
  std::unique_ptr<Vault> vault;
  VaultSecret secret;
  AgentKeys keys;
  ItemId item;

  CommittedPoint commit(Session& session, const ChunkId& root, uint64_t entries) {
    ManifestDraft draft;
    draft.roots = {root};
    draft.entries = entries;
    draft.body.item_name = "synthetic";
    return must(session.commit(std::move(draft)));
  }
  std::unique_ptr<Session> begin() {
    SessionRequest request;
    request.item = item;
    return must(vault->begin_session(keys, std::move(request), {}));
  }
  void purge(const CommittedPoint& p) {
    AuditLog log = must(vault->audit_log());
    const int64_t now = log.state().time_ns + 1;
    const std::vector<PointRef> points{{p.sequence, p.sha256}};
    must(log.append(vault->store(), vault_audit_key(secret), now,
                    {audit::SoftDelete{item, DeleteReason::by_hand, points}}));
    must(log.append(vault->store(), vault_audit_key(secret), now + 15 * kDayNs,
                    {audit::Purge{item, points}}));
    must(vault->store().remove(point_name(item, p.sequence)));
  }
};

void run(const std::string& directory, uint64_t chunks) {
  Bench b;
  StateDirectory state(io::posix_file_system(), directory + "/state");
  CreateOptions create;
  create.passphrase = "benchmark passphrase";
  create.machine = "bench";
  b.vault = must(Vault::create(directory + "/vault", create, state));
  b.secret = must(b.vault->unlock(create.passphrase)).secret;
  std::vector<std::string> warnings;
  b.keys = must(b.vault->credential(warnings));
  b.item = b.keys.item_id("synthetic");

  std::vector<ChunkId> leaves;
  CommittedPoint first;
  {
    Step step("insert");
    Ids ids(1);
    const auto session = b.begin();
    Writer data(*session, PackKind::data);
    Writer pages(*session, PackKind::metadata);
    std::vector<ChunkId> children;
    for (uint64_t i = 0; i < chunks; ++i) {
      const ChunkId id = ids.next();
      data.add({id, ChunkKind::data, {}});
      children.push_back(id);
      if (children.size() == kFanOut || i + 1 == chunks) {
        ChunkRef page;
        page.id = ids.next();
        page.kind = ChunkKind::node;
        page.edges = std::exchange(children, {});
        leaves.push_back(page.id);
        pages.add(std::move(page));
      }
    }
    const ChunkId root = add_pages(pages, ids, leaves);
    data.flush();
    pages.flush();
    first = b.commit(*session, root, chunks);
    step.note("chunks", static_cast<double>(chunks));
    step.note("index_bytes_per_chunk",
              static_cast<double>(session->stats().index_bytes) / static_cast<double>(chunks));
  }
  {
    Step step("second point");
    Ids ids(2);
    const auto session = b.begin();
    Writer pages(*session, PackKind::metadata);
    std::vector<ChunkId> kept;
    for (size_t i = 0; i < leaves.size(); ++i) {
      if (i % 10 != 0) kept.push_back(leaves[i]);
    }
    const ChunkId root = add_pages(pages, ids, std::move(kept));
    pages.flush();
    b.commit(*session, root, chunks);
  }
  leaves = {};
  {
    Step step("merge index");
    const std::string spill = directory + "/spill";
    ::mkdir(spill.c_str(), 0700);
    const MergedIndex merged =
        must(merge_index(b.vault->store(), b.vault->id(), {spill, size_t{128} << 20, 0}, {}));
    step.note("runs_before", static_cast<double>(merged.runs_before));
    step.note("runs", static_cast<double>(merged.runs));
  }
  {
    ChunkIndex index(b.vault->id(), b.keys.domain.id);
    {
      Step step("open index");
      std::vector<UnusableRun> unusable;
      must(index.load(b.vault->store(), unusable));
      step.note("runs", static_cast<double>(index.run_count()));
      step.note("bytes_per_chunk",
                static_cast<double>(index.stored_bytes()) / static_cast<double>(chunks));
    }
    const uint64_t lookups = std::min<uint64_t>(chunks, 1'000'000);
    for (const bool hit : {true, false}) {
      Step step(hit ? "look up, there" : "look up, not there");
      Ids ids(hit ? 1 : 99);
      uint64_t found = 0;
      for (uint64_t i = 0; i < lookups; ++i) found += index.find(ids.next()).empty() ? 0 : 1;
      step.note("lookups", static_cast<double>(lookups));
      step.note("found", static_cast<double>(found));
    }
  }
  CollectOptions options;
  options.directory = directory + "/spill";
  const auto collect = [&](const char* name) {
    Step step(name);
    CollectProgress progress;
    const CollectReport r = must(collect_vault(*b.vault, options, progress, {}));
    step.note("packs", static_cast<double>(r.packs));
    step.note("packs_copied", static_cast<double>(r.packs_copied));
    step.note("packs_deleted", static_cast<double>(r.packs_deleted));
    step.note("bytes_freed", static_cast<double>(r.bytes_freed));
  };
  collect("collect, nothing to free");
  b.purge(first);
  collect("collect, a tenth to free");
}

}  // namespace
}  // namespace holdfast::vault

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: vault_size DIRECTORY CHUNKS\n";
    return 2;
  }
  holdfast::vault::run(argv[1], std::strtoull(argv[2], nullptr, 10));
  return 0;
}
