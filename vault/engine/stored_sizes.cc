#include "vault/engine/stored_sizes.h"

#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

Result<StoredSizes> measure_stored(Store& store, const VaultId& vault) {
  TRY(const auto objects, store.list(""));
  StoredSizes s;
  for (const ObjectInfo& o : objects) {
    if (o.name.starts_with(kIndexPrefix)) {
      ++s.index_runs;
      s.index_bytes += o.size_bytes;
    } else if (o.name.starts_with(kPointsPrefix)) {
      s.manifest_bytes += o.size_bytes;
    } else if (const auto id = parse_pack_name(o.name); id.ok()) {
      IndexedPack pack;
      pack.id = *id;
      auto footer = read_footer(store, vault, pack);
      if (!footer.ok()) {
        if (footer.error().code != Errc::damaged &&
            footer.error().code != std::errc::no_such_file_or_directory) {
          return std::move(footer).error();
        }
        s.other_bytes += o.size_bytes;
        continue;
      }
      const bool data = footer->kind == PackKind::data;
      ++(data ? s.data_packs : s.metadata_packs);
      (data ? s.data_bytes : s.metadata_bytes) += o.size_bytes;
      (data ? s.data_chunks : s.metadata_chunks) += footer->chunk_ids.size();
    } else {
      s.other_bytes += o.size_bytes;
    }
  }
  return s;
}

}  // namespace holdfast::vault
