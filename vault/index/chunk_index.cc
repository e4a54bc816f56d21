#include "vault/index/chunk_index.h"

#include <algorithm>

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Status ChunkIndex::load(Store& store, std::vector<UnusableRun>& unusable, Unreadable unreadable) {
  TRY(auto objects, store.list(index_prefix(domain_)));
  std::sort(objects.begin(), objects.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.stored_ns < b.stored_ns; });
  for (const ObjectInfo& object : objects) {
    Status added = add_object(store, object.name);
    // Merged with others since it was listed; what it had is in the packs anyway.
    if (added.ok() || is_absent(added.error())) continue;
    if (unreadable == Unreadable::error && !is_verdict(added.error())) return added;
    unusable.push_back({object.name, std::move(added).error()});
  }
  return {};
}

Status ChunkIndex::add_object(Store& store, const std::string& name) {
  auto loaded = std::make_unique<Loaded>();
  TRY(loaded->view, store.view(name));
  const ByteView bytes = loaded->view->bytes();
  TRYV(add(std::move(loaded), bytes));
  stored_bytes_ += bytes.size();
  return {};
}

Status ChunkIndex::add_run(Bytes bytes) {
  auto loaded = std::make_unique<Loaded>();
  loaded->memory = std::move(bytes);
  const ByteView view = loaded->memory;
  return add(std::move(loaded), view);
}

Status ChunkIndex::add(std::unique_ptr<Loaded> loaded, ByteView bytes) {
  TRY(loaded->run, IndexRun::parse(bytes));
  if (loaded->run.vault() != vault_ || loaded->run.domain() != domain_) {
    return Error{holdfast::Errc::malformed, "index run of another vault or domain"};
  }
  runs_.push_back(std::move(loaded));
  return {};
}

std::vector<ChunkCandidate> ChunkIndex::find(const ChunkId& id) const {
  std::vector<ChunkCandidate> out;
  std::vector<ChunkLocation> at;
  for (auto it = runs_.rbegin(); it != runs_.rend(); ++it) {
    at.clear();
    (*it)->run.find(id, at);
    for (const ChunkLocation& l : at) {
      out.push_back({(*it)->run.packs()[l.pack], l.segment, l.chunk});
    }
  }
  return out;
}

bool ChunkIndex::covers(const PackId& pack) const {
  return std::any_of(runs_.begin(), runs_.end(), [&](const auto& loaded) {
    const auto& packs = loaded->run.packs();
    return std::any_of(packs.begin(), packs.end(),
                       [&](const IndexedPack& p) { return p.id == pack; });
  });
}

uint64_t ChunkIndex::entry_count() const {
  uint64_t n = 0;
  for (const auto& loaded : runs_) n += loaded->run.entry_count();
  return n;
}

}  // namespace holdfast::vault
