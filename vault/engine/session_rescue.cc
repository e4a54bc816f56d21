// A session beside a collector: what it copies out of packs that are about to go.

#include "vault/engine/segment_copy.h"
#include "vault/engine/session.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Status Session::advance() {
  TRY(const LifecycleState lifecycle, request_.lifecycle());
  TRY(const Condemned condemned, load_condemned(store_, keys_.vault, maintainers_of(lifecycle)));
  {
    // From here on nobody starts to rely on these.
    const std::lock_guard lock(rely_mutex_);
    condemned_ = condemned;
  }
  TRYV(rescue_condemned(condemned.packs));
  SessionEpoch epoch;
  epoch.vault = keys_.vault;
  epoch.session = wrap_.session;
  epoch.epoch = ++epoch_;
  epoch.time_ns = io::posix_file_system().now_ns();
  epoch.runs = condemned.runs;
  return store_.put(session_epoch_name(wrap_.session, epoch_), epoch.encode(keys_.signing_seed));
}

Status Session::rescue_condemned(const PackSet& condemned) {
  std::map<PackId, std::set<uint16_t>> in_danger;
  {
    const std::lock_guard lock(rely_mutex_);
    for (const auto& [pack, segments] : relied_on_) {
      if (condemned.contains(pack)) in_danger.emplace(pack, segments);
    }
  }
  for (const auto& [pack, segments] : in_danger) {
    TRYV(copy_segments(pack, &segments));
    // Only now: after a failure the next attempt must know of it still.
    const std::lock_guard lock(rely_mutex_);
    relied_on_.erase(pack);
  }
  return {};
}

Status Session::copy_segments(const PackId& id, const std::set<uint16_t>* segments) {
  const std::string name = pack_name(id);
  const auto lost = [&](Error error) -> Error {
    if (!is_absent(error) && error.code != Errc::damaged) return error;
    return Error{Errc::missing, name + ", which this backup relied on"};
  };
  auto pack = catalog_.describe(id);
  if (!pack.ok()) return lost(std::move(pack).error());
  TRY(const auto footer, catalog_.footer(*pack));
  std::shared_ptr<const PackEdges> edges;
  if (footer->kind == PackKind::metadata) {
    auto loaded = catalog_.edges(*pack);
    if (!loaded.ok()) return lost(std::move(loaded).error());
    edges = std::move(*loaded);
  }
  for (size_t i = 0; i < footer->segments.size(); ++i) {
    if (segments != nullptr && !segments->contains(static_cast<uint16_t>(i))) continue;
    const PackSegment& s = footer->segments[i];
    auto copy = copy_segment(store_, id, *footer, edges.get(), i);
    if (!copy.ok()) return lost(std::move(copy).error());
    TRYV(uploader_->add(footer->kind, footer->sessions[s.session_index], std::move(copy->refs),
                        std::move(copy->sealed)));
  }
  return {};
}

// A collector gave this session up, so nothing held back its deletions since. Go on as a new
// session that adopts what was stored, after making sure that it and what was relied on are still
// there.
Status Session::continue_after_tombstone(const ManifestDraft& draft) {
  const bool base_was_valid = base_valid_;
  adopted_.push_back(wrap_.session);
  TRYV(start_session());
  TRYV(check_base());

  const auto check_present = [&](const PackId& pack) -> Status {
    auto info = store_.head(pack_name(pack));
    if (info.ok()) return {};
    if (!is_absent(info.error())) return std::move(info).error();
    return Error{Errc::missing, pack_name(pack) + ", which this backup relied on"};
  };
  PackSet own;
  std::vector<PackId> relied;
  PackSet condemned;
  {
    const std::lock_guard lock(rely_mutex_);
    own = own_packs_;
    condemned = condemned_.packs;
    for (const auto& [pack, segments] : relied_on_) relied.push_back(pack);
  }
  adopted_packs_.insert(own.begin(), own.end());
  for (const PackId& pack : own) {
    TRYV(check_present(pack));
    if (condemned.contains(pack)) TRYV(copy_segments(pack, nullptr));
  }
  for (const PackId& pack : relied) TRYV(check_present(pack));
  TRYV(rescue_condemned(condemned));
  TRYV(uploader_->drain());
  TRYV(put_index_run(false));

  if (base_was_valid && !base_valid_) {
    for (const ChunkId& root : draft.roots) {
      TRY(const bool known, is_known_deeply(root));
      if (!known) {
        return Error{Errc::missing,
                     "the recovery point that this backup built on was removed, and "
                     "what it shared with it"};
      }
    }
  }
  ++sequence_;
  return {};
}

}  // namespace holdfast::vault
