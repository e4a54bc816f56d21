#include "vault/engine/collections.h"

#include <algorithm>
#include <set>

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Result<Condemned> load_condemned(Store& store, const VaultId& vault) {
  TRY(const auto objects, store.list(std::string(kCollectionsPrefix)));
  std::set<RunId> condemning;
  std::set<RunId> over;
  for (const ObjectInfo& object : objects) {
    auto name = parse_collection_name(object.name);
    if (!name.ok()) continue;
    if (name->step == kStepCondemned) condemning.insert(name->run);
    if (name->step == kStepFreed) over.insert(name->run);
  }
  Condemned out;
  for (const RunId& run : condemning) {
    if (over.contains(run)) continue;
    const std::string name = collection_name(run, kStepCondemned);
    const auto bytes = store.get(name, kObjectBytesMax);
    if (!bytes.ok()) {
      if (is_absent(bytes.error())) continue;  // the run was over, and was tidied up since
      return bytes.error();
    }
    auto list = decode_condemned(*bytes);
    if (!list.ok() || list->vault != vault || list->run != run) {
      return Error{Errc::damaged, name};
    }
    out.packs.insert(list->packs.begin(), list->packs.end());
    out.runs.push_back(run);
  }
  return out;
}

Result<std::vector<RunId>> tombstones_of(Store& store, const SessionId& session) {
  constexpr std::string_view kPrefix = "tombstone-";
  TRY(const auto objects, store.list(session_prefix(session)));
  std::vector<RunId> runs;
  for (const ObjectInfo& object : objects) {
    auto name = parse_session_name(object.name);
    if (!name.ok() || !name->step.starts_with(kPrefix)) continue;
    auto run = RunId::parse(std::string_view(name->step).substr(kPrefix.size()));
    if (run.ok()) runs.push_back(*run);
  }
  return runs;
}

Result<bool> manifest_counts(Store& store, const Manifest& manifest,
                             const crypto::Digest& manifest_sha256) {
  TRY(const auto runs, tombstones_of(store, manifest.session()));
  const SeenManifest self{manifest.item(), manifest.sequence, manifest_sha256};
  for (const RunId& run : runs) {
    const std::string name = collection_name(run, kStepClosing);
    auto bytes = store.get(name, kObjectBytesMax);
    if (!bytes.ok()) {
      // No closing list: the run never freed anything, but it may still; the point does not count.
      if (is_absent(bytes.error())) return false;
      if (is_verdict(bytes.error())) return Error{Errc::damaged, name};
      return std::move(bytes).error();
    }
    auto closing = decode_closing(*bytes);
    if (!closing.ok() || closing->run != run || closing->vault != manifest.vault) {
      return Error{Errc::damaged, name};
    }
    if (std::find(closing->manifests.begin(), closing->manifests.end(), self) ==
        closing->manifests.end()) {
      return false;
    }
  }
  return true;
}

}  // namespace holdfast::vault
