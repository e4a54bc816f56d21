#include <algorithm>

#include "tools/format-vectors/maker.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

void Maker::put_pack(PackKind kind, const SessionId& session,
                     const std::vector<MadeSegment>& segments, const std::string& page,
                     IndexRunBuilder& run) {
  PackFooter f;
  f.kind = kind;
  f.vault = v_.vault;
  f.domain = v_.domain.id;
  Bytes object = to_bytes(as_bytes(kPackMagic));
  std::vector<ChunkId> edges;
  for (const MadeSegment& made : segments) {
    auto wrap = std::find(f.sessions.begin(), f.sessions.end(), made.wrap);
    if (wrap == f.sessions.end()) wrap = f.sessions.insert(wrap, made.wrap);
    PackSegment s;
    s.offset = object.size();
    s.stored_bytes = static_cast<uint32_t>(made.stored.size());
    s.session_index = static_cast<uint16_t>(wrap - f.sessions.begin());
    s.codec = made.codec;
    s.counter = made.counter;
    s.chunk_first = static_cast<uint32_t>(f.chunk_ids.size());
    s.chunk_count = static_cast<uint32_t>(made.refs.size());
    s.sha256 = crypto::sha256(made.stored);
    f.segments.push_back(s);
    append(object, made.stored);
    for (const ChunkRef& ref : made.refs) {
      f.chunk_ids.push_back(ref.id);
      if (kind == PackKind::data) continue;
      f.chunk_kinds.push_back(ref.kind);
      f.edge_counts.push_back(static_cast<uint32_t>(ref.edges.size()));
      edges.insert(edges.end(), ref.edges.begin(), ref.edges.end());
    }
  }
  if (kind == PackKind::metadata) f.edges_sha256 = crypto::sha256(edge_bytes(edges));
  const Bytes footer = f.encode();
  append(object, edge_bytes(edges));
  append(object, footer);
  const IndexedPack pack{
      {session, crypto::sha256(footer)}, object.size(), static_cast<uint32_t>(footer.size()), kind};
  CHECK(must(decode_footer(footer, object.size())).segments == f.segments);
  run.add_pack(pack, f);
  packs_[session].insert(pack.id.footer_sha256);
  out_.hex(page + ".footer", footer);
  out_.hex(page + ".footer_sha256", pack.id.footer_sha256);
  put(pack_name(pack.id), std::move(object));
}

void Maker::put_run(IndexRunBuilder& run) {
  Bytes bytes = run.finish();
  CHECK(must(IndexRun::parse(bytes)).check_entries().ok());
  const std::string name = index_name(v_.domain.id, crypto::sha256(bytes));
  put(name, std::move(bytes));
}

void Maker::make_packs() {
  const SessionId& first = sessions_[kFirst].wrap.session;
  IndexRunBuilder run(v_.vault, v_.domain.id);
  put_pack(PackKind::data, first, data_, "pack.data", run);
  put_pack(PackKind::metadata, first, {metadata_}, "pack.metadata", run);
  put_run(run);
  put_pack(PackKind::data, sessions_[kAdopted].wrap.session, {adopted_data_}, "pack.adopted", run);
  put_run(run);
  // This session stores what is new, and a segment that it copied, as it stood, from the first
  // session's pack.
  const SessionId& second = sessions_[kContinued].wrap.session;
  put_pack(PackKind::data, second, {new_data_, data_[1]}, "pack.data2", run);
  put_pack(PackKind::metadata, second, {new_metadata_}, "pack.metadata2", run);
  put_run(run);
}

}  // namespace holdfast::vault
