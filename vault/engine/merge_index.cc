#include "vault/engine/merge_index.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/io/external_sort.h"
#include "vault/engine/pack_catalog.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr uint64_t kMergedEntries = 2'000'000;  // of one run: some 40 MB, and the filter
constexpr double kGoneShareMax = 0.25;

struct Entry {
  ByteArray<kIndexIdBytes> id;
  uint32_t pack;
  uint16_t segment;
  uint16_t chunk;
  bool operator<(const Entry& o) const {
    return std::tie(id, pack, segment, chunk) < std::tie(o.id, o.pack, o.segment, o.chunk);
  }
};

class DomainMerge {
 public:
  DomainMerge(Store& store, const VaultId& vault, const DomainId& domain,
              const MergeOptions& options, const std::stop_token& stop)
      : store_(store), vault_(vault), domain_(domain), options_(options), stop_(stop) {}

  // The number of runs that there are then.
  Result<size_t> run(const std::vector<std::string>& names, const std::set<PackId>& present) {
    std::vector<std::string> small;
    std::vector<std::string> stale;
    std::set<PackId> named;
    for (const std::string& name : names) {
      const auto view = store_.view(name);
      if (!view.ok() && is_absent(view.error())) continue;
      if (!view.ok()) return view.error();
      const auto run = IndexRun::parse((*view)->bytes());
      // Of no use to anybody, but not ours to judge.
      if (!run.ok() || run->vault() != vault_ || run->domain() != domain_) continue;
      size_t gone = 0;
      for (const IndexedPack& p : run->packs()) {
        if (!present.contains(p.id)) ++gone;
      }
      const bool is_small = run->entry_count() < kMergedEntries / 2;
      const bool is_stale =
          static_cast<double>(gone) > static_cast<double>(run->packs().size()) * kGoneShareMax;
      if (!is_small && !is_stale) continue;
      (is_stale ? stale : small).push_back(name);
      for (const IndexedPack& p : run->packs()) {
        if (present.contains(p.id)) named.insert(p.id);
      }
    }
    if (small.size() + stale.size() <= options_.runs_max && stale.empty()) return names.size();
    TRY(const auto written, write(named));
    size_t removed = 0;
    for (const auto* merged : {&small, &stale}) {
      for (const std::string& name : *merged) {
        if (written.contains(name)) continue;
        TRYV(store_.remove(name));
        ++removed;
      }
    }
    const auto is_old = [&](const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    return names.size() - removed + written.size() -
           static_cast<size_t>(std::count_if(written.begin(), written.end(), is_old));
  }

 private:
  Result<std::set<std::string>> write(const std::set<PackId>& named) {
    io::ExternalSorter<Entry> sorter(options_.directory, options_.memory_bytes);
    std::vector<IndexedPack> packs;
    for (const PackId& id : named) {
      if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
      IndexedPack pack;
      pack.id = id;
      const auto footer = read_footer(store_, vault_, pack);
      if (!footer.ok()) {
        if (is_verdict(footer.error())) continue;
        return footer.error();
      }
      if (footer->domain != domain_) continue;
      for (size_t s = 0; s < footer->segments.size(); ++s) {
        const PackSegment& segment = footer->segments[s];
        for (uint32_t c = 0; c < segment.chunk_count; ++c) {
          Entry e{};
          std::memcpy(e.id.data(), footer->chunk_ids[segment.chunk_first + c].bytes.data(),
                      e.id.size());
          e.pack = static_cast<uint32_t>(packs.size());
          e.segment = static_cast<uint16_t>(s);
          e.chunk = static_cast<uint16_t>(c);
          TRYV(sorter.add(e));
        }
      }
      packs.push_back(pack);
    }
    TRY(auto sorted, sorter.finish());
    std::set<std::string> written;
    IndexRunBuilder builder(vault_, domain_);
    Entry e{};
    for (;;) {
      TRY(const bool more, sorted.next(e));
      if (!more || builder.entry_count() == kMergedEntries) {
        if (!builder.empty()) {
          const Bytes bytes = builder.finish();
          const std::string name = index_name(domain_, crypto::sha256(bytes));
          TRYV(store_.put(name, bytes));
          written.insert(name);
        }
        if (!more) return written;
      }
      builder.add_chunk(packs[e.pack], e.id, e.segment, e.chunk);
    }
  }

  Store& store_;
  const VaultId vault_;
  const DomainId domain_;
  const MergeOptions& options_;
  const std::stop_token& stop_;
};

}  // namespace

Result<MergedIndex> merge_index(Store& store, const VaultId& vault, const MergeOptions& options,
                                const std::stop_token& stop) {
  TRY(const auto objects, store.list(std::string(kIndexPrefix)));
  std::map<DomainId, std::vector<std::string>> domains;
  for (const ObjectInfo& o : objects) {
    const std::string_view rest = std::string_view(o.name).substr(kIndexPrefix.size());
    const auto domain = DomainId::parse(rest.substr(0, rest.find('/')));
    if (domain.ok()) domains[*domain].push_back(o.name);
  }
  TRY(const auto packs, store.list(std::string(kPacksPrefix)));
  std::set<PackId> present;
  for (const ObjectInfo& o : packs) {
    const auto id = parse_pack_name(o.name);
    if (id.ok()) present.insert(*id);
  }
  MergedIndex out;
  for (const auto& [domain, names] : domains) {
    out.runs_before += names.size();
    TRY(const size_t runs, DomainMerge(store, vault, domain, options, stop).run(names, present));
    out.runs += runs;
  }
  return out;
}

}  // namespace holdfast::vault
