#include "vault/engine/mark.h"

#include <algorithm>
#include <tuple>

#include "base/io/external_sort.h"
#include "vault/engine/keep_rule.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

// A copy of a chunk.
struct CopyRecord {
  uint32_t domain;
  ChunkId id;
  uint32_t pack;   // index into the survey
  uint32_t chunk;  // within the pack
  bool operator<(const CopyRecord& o) const {
    return std::tie(domain, id, pack, chunk) < std::tie(o.domain, o.id, o.pack, o.chunk);
  }
};

// A chunk that a point needs; of equal ids the oldest point comes first.
struct NeedRecord {
  uint32_t domain;
  uint32_t rank;
  ChunkId id;
  bool operator<(const NeedRecord& o) const {
    return std::tie(domain, id, rank) < std::tie(o.domain, o.id, o.rank);
  }
};

// A page to follow, by place.
struct PageRecord {
  uint32_t pack;
  uint32_t chunk;
  uint32_t domain;
  uint32_t rank;
  bool operator<(const PageRecord& o) const {
    return std::tie(pack, chunk, rank) < std::tie(o.pack, o.chunk, o.rank);
  }
};

// Reads a sorted sequence with one record of look-ahead.
template <class Record>
class Cursor {
 public:
  explicit Cursor(io::SortedRecords<Record>& records) : records_(records) {}
  Status start() {
    TRYV(records_.rewind());
    return advance();
  }
  bool done() const { return done_; }
  const Record& operator*() const { return record_; }
  const Record* operator->() const { return &record_; }
  Status advance() {
    TRY(const bool more, records_.next(record_));
    done_ = !more;
    return {};
  }

 private:
  io::SortedRecords<Record>& records_;
  Record record_{};
  bool done_ = false;
};

template <class A, class B>
int compare_ids(const A& a, const B& b) {
  const auto left = std::tie(a.domain, a.id);
  const auto right = std::tie(b.domain, b.id);
  return left < right ? -1 : right < left ? 1 : 0;
}

class Marker {
 public:
  Marker(Store& store, const VaultId& vault, Survey& survey, const std::vector<MarkRoot>& roots,
         const MarkOptions& options, MarkProgress& progress, const std::stop_token& stop)
      : store_(store),
        catalog_(store, vault),
        survey_(survey),
        roots_(roots),
        options_(options),
        progress_(progress),
        stop_(stop),
        vault_(vault),
        rule_(store, roots) {}

  Result<Marked> run() {
    TRYV(read_footers());
    TRYV(walk());
    TRYV(decide());
    return std::move(out_);
  }

 private:
  using Copies = io::SortedRecords<CopyRecord>;
  using Needs = io::SortedRecords<NeedRecord>;
  template <class R>
  io::ExternalSorter<R> sorter() const {
    return io::ExternalSorter<R>(options_.directory, options_.memory_bytes);
  }

  Status interrupted() const {
    if (stop_.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
    return {};
  }

  uint32_t domain_index(const DomainId& domain) {
    return domains_.try_emplace(domain, static_cast<uint32_t>(domains_.size())).first->second;
  }

  Status read_footers() {
    progress_.packs_total = survey_.packs.size();
    out_.packs.resize(survey_.packs.size());
    auto copies = sorter<CopyRecord>();
    auto pages = sorter<CopyRecord>();
    for (size_t i = 0; i < survey_.packs.size(); ++i) {
      TRYV(interrupted());
      TRYV(read_footer_of(i, copies, pages));
      ++progress_.packs;
    }
    out_.chunks = copies.count();
    TRY(copies_, copies.finish());
    TRY(pages_, pages.finish());
    return {};
  }

  Status read_footer_of(size_t i, io::ExternalSorter<CopyRecord>& copies,
                        io::ExternalSorter<CopyRecord>& pages) {
    IndexedPack pack;
    pack.id = survey_.packs[i].pack.id;
    const auto footer = read_footer(store_, vault_, pack);
    if (!footer.ok()) {
      // Gone since it was listed, or damaged: no copies here, and nothing to delete.
      if (is_verdict(footer.error())) return {};
      return footer.error();
    }
    SurveyedPack& surveyed = survey_.packs[i];
    surveyed.pack = pack;
    // A voucher speaks for one domain.
    if (surveyed.claim == Claim::vouched && surveyed.domain != footer->domain) {
      surveyed.claim = Claim::none;
    }
    PackUse& use = out_.packs[i];
    use.readable = true;
    use.domain = footer->domain;
    const uint32_t domain = domain_index(footer->domain);
    for (const PackSegment& s : footer->segments) {
      use.segments.push_back({s.chunk_count, 0});
      use.segment_bytes.push_back(s.stored_bytes);
      for (uint32_t c = s.chunk_first; c < s.chunk_first + s.chunk_count; ++c) {
        const CopyRecord record{domain, footer->chunk_ids[c], static_cast<uint32_t>(i), c};
        TRYV(copies.add(record));
        if (footer->kind_of(c) == ChunkKind::node) TRYV(pages.add(record));
      }
    }
    return {};
  }

  // Level by level from the roots: what is needed, and by which point first.
  Status walk() {
    auto needed = sorter<NeedRecord>();
    auto frontier = sorter<NeedRecord>();
    for (size_t rank = 0; rank < roots_.size(); ++rank) {
      const uint32_t domain = domain_index(roots_[rank].domain);
      for (const ChunkId& id : roots_[rank].roots) {
        TRYV(frontier.add({domain, static_cast<uint32_t>(rank), id}));
        TRYV(needed.add({domain, static_cast<uint32_t>(rank), id}));
      }
    }
    TRY(Needs followed, sorter<NeedRecord>().finish());
    while (frontier.count() > 0) {
      TRYV(interrupted());
      TRY(Needs level, frontier.finish());
      TRY(auto pages, pages_of(level, followed));
      TRYV(children_of(pages, frontier, needed));
    }
    TRY(needed_, needed.finish());
    return {};
  }

  // The places of pages among `level` that were not followed yet for so old a point. `followed`
  // becomes the union.
  Result<io::SortedRecords<PageRecord>> pages_of(Needs& level, Needs& followed) {
    auto out = sorter<PageRecord>();
    auto union_of = sorter<NeedRecord>();
    Cursor<NeedRecord> wanted(level);
    Cursor<CopyRecord> page(pages_);
    Cursor<NeedRecord> known(followed);
    TRYV(wanted.start());
    TRYV(page.start());
    TRYV(known.start());
    std::vector<CopyRecord> copies;
    while (!wanted.done()) {
      const NeedRecord need = *wanted;
      while (!wanted.done() && compare_ids(*wanted, need) == 0) TRYV(wanted.advance());
      while (!known.done() && compare_ids(*known, need) < 0) {
        TRYV(union_of.add(*known));
        TRYV(known.advance());
      }
      bool is_known = false;
      while (!known.done() && compare_ids(*known, need) == 0) {
        is_known = is_known || known->rank <= need.rank;
        TRYV(union_of.add(*known));
        TRYV(known.advance());
      }
      if (is_known) continue;
      while (!page.done() && compare_ids(*page, need) < 0) TRYV(page.advance());
      copies.clear();
      while (!page.done() && compare_ids(*page, need) == 0) {
        copies.push_back(*page);
        TRYV(page.advance());
      }
      if (copies.empty()) continue;
      TRYV(union_of.add(need));
      const bool any_vouched = std::any_of(copies.begin(), copies.end(), [&](const auto& c) {
        return survey_.packs[c.pack].claim != Claim::none;
      });
      for (const CopyRecord& c : copies) {
        if (any_vouched && survey_.packs[c.pack].claim == Claim::none) continue;
        TRYV(out.add({c.pack, c.chunk, c.domain, need.rank}));
      }
    }
    for (; !known.done();) {
      TRYV(union_of.add(*known));
      TRYV(known.advance());
    }
    TRY(followed, union_of.finish());
    return out.finish();
  }

  Status children_of(io::SortedRecords<PageRecord>& pages, io::ExternalSorter<NeedRecord>& frontier,
                     io::ExternalSorter<NeedRecord>& needed) {
    std::shared_ptr<const PackEdges> edges;
    uint32_t loaded = UINT32_MAX;
    PageRecord page{};
    for (;;) {
      TRY(const bool more, pages.next(page));
      if (!more) return {};
      if (page.pack != loaded) {
        TRYV(interrupted());
        loaded = page.pack;
        auto got = catalog_.edges(survey_.packs[page.pack].pack);
        if (!got.ok() && !is_verdict(got.error())) return std::move(got).error();
        edges = got.ok() ? *got : nullptr;
      }
      ++progress_.pages;
      if (!edges) {
        // What is below cannot be told: nothing may be freed while a point is like this.
        ++out_.missing;
        out_.damaged_roots.insert(page.rank);
        continue;
      }
      for (const ChunkId& child : edges->of(page.chunk)) {
        TRYV(frontier.add({page.domain, page.rank, child}));
        TRYV(needed.add({page.domain, page.rank, child}));
      }
    }
  }

  // Joins what is needed with what is there, and decides for each copy.
  Status decide() {
    Cursor<NeedRecord> need(needed_);
    Cursor<CopyRecord> copy(copies_);
    TRYV(need.start());
    TRYV(copy.start());
    std::vector<CopyRecord> group;
    std::vector<CopyOfChunk> copies;
    while (!need.done()) {
      const NeedRecord wanted = *need;  // of the oldest point that needs it
      while (!need.done() && compare_ids(*need, wanted) == 0) TRYV(need.advance());
      while (!copy.done() && compare_ids(*copy, wanted) < 0) TRYV(copy.advance());
      group.clear();
      while (!copy.done() && compare_ids(*copy, wanted) == 0) {
        group.push_back(*copy);
        TRYV(copy.advance());
      }
      ++out_.chunks_needed;
      if (group.empty()) {
        ++out_.missing;
        out_.damaged_roots.insert(wanted.rank);
        continue;
      }
      if (group.size() == 1) {
        keep(group[0]);
        continue;
      }
      copies.clear();
      for (const CopyRecord& c : group) {
        const SurveyedPack& p = survey_.packs[c.pack];
        copies.push_back({&p, p.claim_of(segment_of(c)), options_.doubtful.contains(p.pack.id)});
      }
      TRYV(rule_.choose(wanted.rank, copies));
      for (size_t i = 0; i < group.size(); ++i) {
        if (copies[i].keep) keep(group[i]);
      }
    }
    return {};
  }

  uint32_t segment_of(const CopyRecord& c) const {
    const std::vector<SegmentUse>& segments = out_.packs[c.pack].segments;
    uint32_t first = 0;
    uint32_t s = 0;
    for (; c.chunk >= first + segments[s].chunks; ++s) first += segments[s].chunks;
    return s;
  }
  void keep(const CopyRecord& c) { ++out_.packs[c.pack].segments[segment_of(c)].needed; }

  Store& store_;
  PackCatalog catalog_;
  Survey& survey_;
  const std::vector<MarkRoot>& roots_;
  const MarkOptions& options_;
  MarkProgress& progress_;
  const std::stop_token& stop_;
  const VaultId vault_;
  KeepRule rule_;
  std::map<DomainId, uint32_t> domains_;
  Copies copies_;
  Copies pages_;
  Needs needed_;
  Marked out_;
};

}  // namespace

bool PackUse::is_needed() const {
  return std::any_of(segments.begin(), segments.end(),
                     [](const SegmentUse& s) { return s.needed > 0; });
}

uint64_t PackUse::needed_bytes() const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].needed > 0) bytes += segment_bytes[i];
  }
  return bytes;
}

Result<Marked> mark(Store& store, const VaultId& vault, Survey& survey,
                    const std::vector<MarkRoot>& roots, const MarkOptions& options,
                    MarkProgress& progress, const std::stop_token& stop) {
  return Marker(store, vault, survey, roots, options, progress, stop).run();
}

}  // namespace holdfast::vault
