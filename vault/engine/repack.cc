#include "vault/engine/repack.h"

#include <algorithm>
#include <deque>
#include <map>

#include "vault/engine/pack_catalog.h"
#include "vault/engine/pack_uploader.h"
#include "vault/engine/segment_copy.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

uint64_t segment_total(const PackUse& use) {
  uint64_t bytes = 0;
  for (const uint32_t b : use.segment_bytes) bytes += b;
  return bytes;
}

// Copies into the packs of one domain.
class DomainRepack {
 public:
  DomainRepack(Store& store, const VaultId& vault, const RunId& run, const DomainId& domain,
               io::RateLimiter* limiter, Repacked& out)
      : store_(store),
        domain_(domain),
        out_(out),
        catalog_(store, vault),
        index_(vault, domain),
        uploader_(store, vault, domain, 0, limiter,
                  [this](const IndexedPack& pack, const PackFooter& footer) {
                    return on_stored(pack, footer);
                  }) {
    uploader_.set_session(SessionId(run.bytes));
  }

  // Everything needed in one pack. False if it cannot be read as it should.
  Result<bool> copy(const SurveyedPack& source, const PackUse& use) {
    auto copied = copy_segments(source, use);
    if (copied.ok()) return true;
    if (!is_verdict(copied.error())) return std::move(copied).error();
    out_.damaged.push_back(copied.error().message());
    return false;
  }

  Status finish() {
    TRYV(uploader_.drain());
    if (index_.empty()) return {};
    const Bytes run = index_.finish();
    return store_.put(index_name(domain_, crypto::sha256(run)), run);
  }

 private:
  Status copy_segments(const SurveyedPack& source, const PackUse& use) {
    TRY(const auto footer, catalog_.footer(source.pack));
    std::shared_ptr<const PackEdges> edges;
    if (footer->kind == PackKind::metadata) {
      TRY(edges, catalog_.edges(source.pack));
    }
    for (size_t i = 0; i < footer->segments.size(); ++i) {
      if (use.segments[i].needed == 0) continue;
      const PackSegment& s = footer->segments[i];
      const SegmentClaim* claim = source.claim_of(static_cast<uint32_t>(i));
      CHECK(claim != nullptr);
      TRY(SegmentCopy copy, copy_segment(store_, source.pack.id, *footer, edges.get(), i));
      claims_[footer->kind].push_back({1, claim->agent, claim->item, claim->sequence});
      out_.bytes += s.stored_bytes;
      TRYV(uploader_.add(footer->kind, footer->sessions[s.session_index], std::move(copy.refs),
                         std::move(copy.sealed)));
    }
    return {};
  }

  // Segments stand in a pack in the order in which they were added.
  Status on_stored(const IndexedPack& pack, const PackFooter& footer) {
    VouchedPack vouched;
    vouched.footer_sha256 = pack.id.footer_sha256;
    vouched.domain = domain_;
    auto& waiting = claims_[footer.kind];
    for (size_t i = 0; i < footer.segments.size(); ++i) {
      CHECK(!waiting.empty());
      SegmentClaim next = waiting.front();
      waiting.pop_front();
      if (!vouched.claims.empty()) {
        SegmentClaim& last = vouched.claims.back();
        next.segments = last.segments;
        if (next == last) {
          ++last.segments;
          continue;
        }
        next.segments = 1;
      }
      vouched.claims.push_back(next);
    }
    index_.add_pack(pack, footer);
    out_.packs.push_back(std::move(vouched));
    return {};
  }

  Store& store_;
  const DomainId domain_;
  Repacked& out_;
  PackCatalog catalog_;
  IndexRunBuilder index_;
  std::map<PackKind, std::deque<SegmentClaim>> claims_;
  PackUploader uploader_;
};

}  // namespace

std::vector<size_t> choose_packs_to_copy(const Survey& survey, const Marked& marked,
                                         const std::vector<bool>& usable,
                                         const RepackOptions& options) {
  struct Candidate {
    size_t pack;
    double dead_share;
    uint64_t needed;
  };
  std::vector<Candidate> chosen;
  std::map<std::pair<DomainId, PackKind>, std::vector<Candidate>> small;
  for (size_t i = 0; i < survey.packs.size(); ++i) {
    const PackUse& use = marked.packs[i];
    if (!usable[i] || !use.readable || !use.is_needed()) continue;
    if (survey.packs[i].claim != Claim::vouched) continue;
    const auto n = static_cast<uint32_t>(use.segments.size());
    if (n == 0 || survey.packs[i].claim_of(n - 1) == nullptr) continue;
    const auto total = static_cast<double>(segment_total(use));
    const uint64_t needed = use.needed_bytes();
    const Candidate c{i, 1 - static_cast<double>(needed) / total, needed};
    if (c.dead_share >= options.dead_share_min) {
      chosen.push_back(c);
    } else if (survey.packs[i].pack.pack_bytes < kSmallPackBytes) {
      small[{use.domain, survey.packs[i].pack.kind}].push_back(c);
    }
  }
  for (auto& [group, packs] : small) {
    uint64_t bytes = 0;
    for (const Candidate& c : packs) bytes += c.needed;
    if (packs.size() < 2) continue;
    if (packs.size() < options.small_packs_min && bytes < kSmallPackBytes) continue;
    chosen.insert(chosen.end(), packs.begin(), packs.end());
  }
  std::sort(chosen.begin(), chosen.end(),
            [](const Candidate& a, const Candidate& b) { return a.dead_share > b.dead_share; });
  std::vector<size_t> out;
  uint64_t bytes = 0;
  for (const Candidate& c : chosen) {
    if (bytes + c.needed > options.bytes_max) continue;
    bytes += c.needed;
    out.push_back(c.pack);
  }
  // What was stored together stays together: restores read it in that order.
  std::sort(out.begin(), out.end(), [&](size_t a, size_t b) {
    return std::pair(survey.packs[a].stored_ns, a) < std::pair(survey.packs[b].stored_ns, b);
  });
  return out;
}

Result<Repacked> repack(Store& store, const VaultId& vault, const RunId& run, const Survey& survey,
                        const Marked& marked, const std::vector<size_t>& sources,
                        io::RateLimiter* limiter, const std::stop_token& stop) {
  Repacked out;
  std::map<DomainId, std::unique_ptr<DomainRepack>> domains;
  for (const size_t i : sources) {
    if (stop.stop_requested()) return Error{holdfast::Errc::interrupted, ""};
    const PackUse& use = marked.packs[i];
    auto& domain = domains[use.domain];
    if (!domain) {
      domain = std::make_unique<DomainRepack>(store, vault, run, use.domain, limiter, out);
    }
    TRY(const bool copied, domain->copy(survey.packs[i], use));
    if (copied) out.sources.push_back(i);
  }
  for (auto& [id, domain] : domains) TRYV(domain->finish());
  return out;
}

}  // namespace holdfast::vault
