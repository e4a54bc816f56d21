#include "vault/engine/pack_hash.h"

#include <algorithm>

#include "vault/engine/pack_catalog.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr uint64_t kReadBytes = 4 * 1024 * 1024;

}  // namespace

Result<std::vector<std::string>> verify_pack(Store& store, const VaultId& vault, const PackId& pack,
                                             const std::function<bool(uint64_t)>& pace) {
  std::vector<std::string> faults;
  const std::string name = pack_name(pack);
  IndexedPack described;
  described.id = pack;
  auto footer = read_footer(store, vault, described);
  if (!footer.ok()) {
    if (!is_verdict(footer.error()) || is_absent(footer.error())) return std::move(footer).error();
    faults.push_back(footer.error().message());
    return faults;
  }
  Bytes buffer;
  const auto read = [&](uint64_t begin, uint64_t size) -> Result<bool> {
    if (pace && !pace(size)) return Error{holdfast::Errc::interrupted, ""};
    buffer.resize(size);
    const Status got = store.get_range(name, begin, buffer);
    if (got.ok()) return true;
    if (!is_verdict(got.error()) || is_absent(got.error())) return got.error();
    return false;
  };
  TRY(const bool has_header, read(0, kPackHeaderBytes));
  if (!has_header || !equal(buffer, as_bytes(kPackMagic))) {
    faults.push_back("its first bytes are not a pack's");
  }
  const auto& segments = footer->segments;
  for (size_t first = 0; first < segments.size();) {
    const uint64_t begin = segments[first].offset;
    size_t end = first;
    uint64_t size = 0;
    do {
      size += segments[end++].stored_bytes;
    } while (end < segments.size() && size + segments[end].stored_bytes <= kReadBytes);
    TRY(const bool whole, read(begin, size));
    for (size_t s = first; s < end; ++s) {
      const PackSegment& segment = segments[s];
      bool good = whole;
      if (whole) {
        good = crypto::sha256(ByteView(buffer).subspan(segment.offset - begin,
                                                       segment.stored_bytes)) == segment.sha256;
      } else {
        // What is beside damage that the store tells of may be good.
        TRY(const bool had, read(segment.offset, segment.stored_bytes));
        good = had && crypto::sha256(buffer) == segment.sha256;
      }
      if (!good) {
        faults.push_back("segment " + std::to_string(s) + " does not have its hash (" +
                         std::to_string(segment.chunk_count) + " chunks)");
      }
    }
    first = end;
  }
  if (footer->kind == PackKind::metadata) {
    TRY(const bool had, read(footer->edges_offset(), footer->edges_bytes()));
    if (!had || crypto::sha256(buffer) != footer->edges_sha256) {
      faults.push_back("its edges do not hash to what the footer says");
    }
  }
  return faults;
}

}  // namespace holdfast::vault
