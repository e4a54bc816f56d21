#include "vault/engine/collections.h"

#include <algorithm>
#include <set>

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"
#include "vault/format/session.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kTombstonePrefix = "tombstone-";

// Whether some maintainer began the run: then its other objects are not anybody's plants.
Result<bool> was_begun(Store& store, const VaultId& vault, const RunId& run,
                       const Maintainers& maintainers) {
  auto begin = get_run_object(store, vault, run, kStepBegin, maintainers);
  if (begin.ok()) return begin->has_value();
  if (is_verdict(begin.error())) return false;
  return std::move(begin).error();
}

}  // namespace

Status verify_run_object(ByteView object, const VaultId& vault, const RunId& run,
                         const Maintainers& maintainers) {
  const auto header = peek_run_header(object);
  if (!header.ok() || header->vault != vault || header->run != run) {
    return Error{Errc::damaged, "not an object of this vault and run"};
  }
  const auto key = maintainers.keys.find(header->maintainer);
  if (key == maintainers.keys.end()) {
    return Error{Errc::damaged, "signed by nobody that the vault knows as a maintainer"};
  }
  if (!verify_object(object, key->second, "").ok()) {
    return Error{Errc::damaged, "its signature does not verify"};
  }
  return {};
}

Result<std::optional<Bytes>> get_run_object(Store& store, const VaultId& vault, const RunId& run,
                                            std::string_view step, const Maintainers& maintainers) {
  const std::string name = collection_name(run, step);
  auto object = store.get(name, kObjectBytesMax);
  if (!object.ok()) {
    if (is_absent(object.error())) return std::optional<Bytes>();
    if (is_verdict(object.error())) return Error{Errc::damaged, name};
    return std::move(object).error();
  }
  if (const Status good = verify_run_object(*object, vault, run, maintainers); !good.ok()) {
    return Error{Errc::damaged, name + " (" + good.error().context + ")"};
  }
  return std::optional(std::move(*object));
}

Result<Condemned> load_condemned(Store& store, const VaultId& vault, const Maintainers& maintainers,
                                 const std::optional<RunId>& except) {
  TRY(const auto objects, store.list(std::string(kCollectionsPrefix)));
  std::set<RunId> condemning;
  std::set<RunId> over;
  for (const ObjectInfo& object : objects) {
    auto name = parse_collection_name(object.name);
    if (!name.ok() || name->run == except) continue;
    if (name->step == kStepCondemned) condemning.insert(name->run);
    if (name->step == kStepFreed) over.insert(name->run);
  }
  Condemned out;
  for (const RunId& run : condemning) {
    if (over.contains(run)) {
      const auto freed = get_run_object(store, vault, run, kStepFreed, maintainers);
      if (freed.ok() && freed->has_value()) continue;
      // Somebody's plant, or damaged: the run counts as under way.
      if (!freed.ok() && !is_verdict(freed.error())) return freed.error();
    }
    auto object = get_run_object(store, vault, run, kStepCondemned, maintainers);
    if (!object.ok()) {
      if (object.error().code != Errc::damaged) return std::move(object).error();
      TRY(const bool begun, was_begun(store, vault, run, maintainers));
      if (!begun) continue;
      return std::move(object).error();
    }
    if (!*object) continue;  // the run was over, and was tidied up since
    auto list = decode_condemned(**object);
    if (!list.ok()) return Error{Errc::damaged, collection_name(run, kStepCondemned)};
    out.packs.insert(list->packs.begin(), list->packs.end());
    out.runs.push_back(run);
  }
  return out;
}

Result<std::vector<RunId>> tombstones_of(Store& store, const SessionId& session) {
  TRY(const auto objects, store.list(session_prefix(session)));
  std::vector<RunId> runs;
  for (const ObjectInfo& object : objects) {
    auto name = parse_session_name(object.name);
    if (!name.ok() || !name->step.starts_with(kTombstonePrefix)) continue;
    auto run = RunId::parse(std::string_view(name->step).substr(kTombstonePrefix.size()));
    if (run.ok()) runs.push_back(*run);
  }
  return runs;
}

Result<bool> is_tombstone(Store& store, const VaultId& vault, const SessionId& session,
                          const RunId& run, const Maintainers& maintainers) {
  const auto object = store.get(tombstone_name(session, run), kObjectBytesMax);
  if (!object.ok()) {
    if (is_verdict(object.error())) return false;
    return object.error();
  }
  const auto t = decode_tombstone(*object);
  if (!t.ok() || t->vault != vault || t->session != session || t->run != run) return false;
  const auto key = maintainers.keys.find(t->maintainer);
  return key != maintainers.keys.end() && verify_object(*object, key->second, "tombstone").ok();
}

Result<Counts> manifest_counts(Store& store, const Manifest& manifest,
                               const crypto::Digest& manifest_sha256,
                               const Maintainers& maintainers) {
  TRY(const auto runs, tombstones_of(store, manifest.session()));
  Counts result = Counts::yes;
  const SeenManifest self{manifest.item(), manifest.sequence, manifest_sha256};
  for (const RunId& run : runs) {
    TRY(const bool is_one,
        is_tombstone(store, manifest.vault, manifest.session(), run, maintainers));
    if (!is_one) continue;
    TRY(const auto object, get_run_object(store, manifest.vault, run, kStepClosing, maintainers));
    if (!object) {
      result = Counts::undecided;
      continue;
    }
    const auto closing = decode_closing(*object);
    if (!closing.ok()) return Error{Errc::damaged, collection_name(run, kStepClosing)};
    if (std::find(closing->manifests.begin(), closing->manifests.end(), self) ==
        closing->manifests.end()) {
      return Counts::no;
    }
  }
  return result;
}

}  // namespace holdfast::vault
