#include "vault/engine/check_packs.h"

#include "base/async/parallel.h"
#include "vault/format/extents_page.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr size_t kReadBytes = 8 * 1024 * 1024;
constexpr size_t kGoneNamedMax = 20;  // of one index run

}  // namespace

Status PackCheck::check_packs() {
  TRY(const auto objects, c_.store.list(std::string(kPacksPrefix)));
  std::vector<CheckedPack> packs;
  for (const ObjectInfo& object : objects) {
    auto id = parse_pack_name(object.name);
    if (!id.ok()) {
      c_.damage(object.name, "not the name of a pack");
      continue;
    }
    CheckedPack pack;
    pack.pack.id = *id;
    pack.pack.pack_bytes = object.size_bytes;
    packs.push_back(pack);
  }
  c_.report.packs = packs.size();
  c_.progress.packs_total = packs.size();
  std::mutex error_mutex;
  std::optional<Error> first_error;
  async::parallel_for(c_.workers, packs.size(), [&](size_t i) {
    if (c_.stop.stop_requested()) return;
    if (Status checked = check_pack(packs[i]); !checked.ok()) {
      const std::lock_guard lock(error_mutex);
      if (!first_error) first_error = std::move(checked).error();
    }
    ++c_.progress.packs;
  });
  TRYV(c_.interrupted());
  if (first_error) return *first_error;
  for (CheckedPack& pack : packs) packs_.emplace(pack.pack.id, std::move(pack));
  c_.report.bytes_hashed = c_.progress.bytes;
  return {};
}

Status PackCheck::check_pack(CheckedPack& checked) {
  const std::string name = pack_name(checked.pack.id);
  IndexedPack described;
  described.id = checked.pack.id;
  auto footer = read_footer(c_.store, c_.description.vault, described);
  if (!footer.ok()) {
    if (!is_verdict(footer.error())) return std::move(footer).error();
    c_.damage(name, footer.error().message());
    return {};
  }
  checked.footer_good = true;
  checked.pack = described;
  ByteArray<kPackHeaderBytes> header;
  TRYV(c_.store.get_range(name, 0, header));
  if (!equal(header, as_bytes(kPackMagic))) c_.damage(name, "its first bytes are not a pack's");
  if (footer->kind == PackKind::metadata) {
    auto edges = catalog_.edges(described);
    if (!edges.ok()) {
      if (!is_verdict(edges.error())) return std::move(edges).error();
      c_.damage(name, edges.error().message());
      checked.edges_good = false;
    }
  }
  if (c_.options.hashes) return hash_segments(checked, *footer, name);
  return {};
}

// Reads runs of neighbouring segments at once.
Status PackCheck::hash_segments(CheckedPack& checked, const PackFooter& footer,
                                const std::string& name) {
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
    TRYV(c_.store.get_range(name, begin, buffer));
    for (size_t s = first; s <= last; ++s) {
      const PackSegment& segment = footer.segments[s];
      const ByteView bytes = ByteView(buffer).subspan(segment.offset - begin, segment.stored_bytes);
      if (crypto::sha256(bytes) != segment.sha256) {
        c_.damage(name, "segment " + std::to_string(s) + " does not have its hash (" +
                            std::to_string(segment.chunk_count) + " chunks)");
        checked.bad_segments.insert(static_cast<uint16_t>(s));
      }
    }
    c_.progress.bytes += end - begin;
    first = last + 1;
  }
  return {};
}

Status PackCheck::check_index(const std::vector<ObjectInfo>& objects) {
  std::set<PackId> covered;
  for (const ObjectInfo& object : objects) {
    TRYV(c_.interrupted());
    ++c_.report.objects;
    auto view = c_.store.view(object.name);
    if (!view.ok()) {
      if (is_absent(view.error())) continue;
      return std::move(view).error();
    }
    const ByteView bytes = (*view)->bytes();
    const auto run = IndexRun::parse(bytes);
    const bool name_right =
        run.ok() && index_name(run->domain(), crypto::sha256(bytes)) == object.name;
    if (!name_right || run->vault() != c_.description.vault || !run->check_entries().ok()) {
      c_.damage(object.name,
                "its content does not hash to its name; restores read the packs instead");
      continue;
    }
    size_t gone = 0;
    for (const IndexedPack& p : run->packs()) {
      covered.insert(p.id);
      if (!packs_.contains(p.id)) {
        // What a collector freed may be listed for a while. If it is lost instead, and needed, the
        // points that need it are found below.
        if (gone++ < kGoneNamedMax) {
          c_.remark(pack_name(p.id), "gone, although " + object.name +
                                         " lists it: collected, or lost; points that need it are "
                                         "named as damaged");
        }
      }
    }
    if (gone > kGoneNamedMax) {
      c_.remark(object.name,
                "lists " + std::to_string(gone - kGoneNamedMax) + " more packs that are gone");
    }
  }
  // Every domain gets an index that knows all good packs, whatever the stored runs are worth.
  std::map<DomainId, IndexRunBuilder> uncovered;
  for (const auto& [id, pack] : packs_) {
    if (!pack.footer_good) continue;
    if (!covered.contains(id))
      c_.remark(pack_name(id), "in no index run: of a backup that did not end");
    TRY(const auto footer, catalog_.footer(pack.pack));
    uncovered.try_emplace(footer->domain, c_.description.vault, footer->domain)
        .first->second.add_pack(pack.pack, *footer);
  }
  for (auto& [domain, builder] : uncovered) {
    auto index = std::make_unique<ChunkIndex>(c_.description.vault, domain);
    TRYV(index->add_run(builder.finish()));
    indexes_[domain] = std::move(index);
  }
  return {};
}

// A random share of the packs, every chunk of them against its id.
Status PackCheck::read_data(VaultReader& reader) {
  if (c_.options.read_data_percent <= 0) return {};
  std::vector<CheckedPack*> chosen;
  for (auto& [id, pack] : packs_) {
    if (!pack.footer_good) continue;
    uint32_t draw;
    crypto::random_fill({reinterpret_cast<uint8_t*>(&draw), sizeof draw});
    if (c_.options.read_data_percent >= 100 ||
        draw / 4294967296.0 * 100 < c_.options.read_data_percent) {
      chosen.push_back(&pack);
    }
  }
  c_.progress.packs_total = chosen.size();
  c_.progress.packs = 0;
  c_.progress.bytes = 0;
  std::mutex error_mutex;
  std::optional<Error> first_error;
  async::parallel_for(c_.workers, chosen.size(), [&](size_t i) {
    if (c_.stop.stop_requested()) return;
    if (Status read = read_pack(reader, *chosen[i]); !read.ok()) {
      const std::lock_guard lock(error_mutex);
      if (!first_error) first_error = std::move(read).error();
    }
    ++c_.progress.packs;
  });
  TRYV(c_.interrupted());
  if (first_error) return *first_error;
  c_.report.bytes_opened = c_.progress.bytes;
  return {};
}

bool PackCheck::page_decodes(ByteView payload, std::span<const ChunkId> edges) {
  const auto type = node_type(payload);
  if (!type.ok()) return false;
  switch (*type) {
    case NodeType::path_leaf:
      return decode_path_leaf(payload, edges).ok();
    case NodeType::path_inner:
      return decode_path_inner(payload, edges).ok();
    case NodeType::extents_leaf:
      return decode_extents_leaf(payload, edges).ok();
    case NodeType::extents_inner:
      return decode_extents_inner(payload, edges).ok();
  }
  return false;
}

Status PackCheck::read_pack(VaultReader& reader, CheckedPack& checked) {
  const std::string name = pack_name(checked.pack.id);
  TRY(const auto footer, catalog_.footer(checked.pack));
  auto domain = reader.domain(footer->domain);
  if (!domain.ok()) {
    c_.damage(name, domain.error().message());
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
      c_.damage(name, segment.error().message());
      checked.bad_segments.insert(static_cast<uint16_t>(s));
      continue;
    }
    for (size_t c = 0; c < (*segment)->chunk_count(); ++c) {
      const size_t chunk = footer->segments[s].chunk_first + c;
      const auto of_chunk = edges ? edges->of(chunk) : std::span<const ChunkId>();
      if (!(*domain)->id_matches(footer->chunk_ids[chunk], footer->kind_of(chunk), of_chunk,
                                 (*segment)->bytes(c))) {
        c_.damage(name,
                  "segment " + std::to_string(s) + " has a chunk that is not what its id says");
        checked.bad_segments.insert(static_cast<uint16_t>(s));
        break;
      }
      if (footer->kind_of(chunk) == ChunkKind::node &&
          !page_decodes((*segment)->bytes(c), of_chunk)) {
        c_.damage(name, "segment " + std::to_string(s) + " has a page that does not decode");
        checked.bad_segments.insert(static_cast<uint16_t>(s));
        break;
      }
    }
    c_.progress.bytes += (*segment)->chunks.size();
  }
  return {};
}

Result<std::optional<PackCheck::GoodCopy>> PackCheck::good_copy(const DomainId& domain,
                                                                const ChunkId& id) {
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

Result<bool> PackCheck::is_page(const DomainId& domain, const ChunkId& id) {
  TRY(const auto copy, good_copy(domain, id));
  if (!copy || copy->pack.kind == PackKind::data) return false;
  TRY(const auto footer, catalog_.footer(copy->pack));
  return footer->kind_of(copy->chunk) == ChunkKind::node;
}

Status PackCheck::count() {
  for (const auto& [id, pack] : packs_) {
    if (!pack.footer_good) continue;
    TRY(const auto footer, catalog_.footer(pack.pack));
    c_.report.segments += footer->segments.size();
    c_.report.chunks += footer->chunk_ids.size();
  }
  return {};
}

}  // namespace holdfast::vault
