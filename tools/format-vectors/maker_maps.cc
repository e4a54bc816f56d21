#include "tools/format-vectors/maker.h"
#include "vault/format/extents_page.h"
#include "vault/format/path_page.h"

namespace holdfast::vault {
namespace {

Entry entry_of(EntryType type, uint32_t mode, int64_t mtime_s, uint32_t mtime_ns) {
  Entry e;
  e.type = type;
  e.mode = mode;
  e.user = "root";
  e.group = "root";
  e.mtime_s = mtime_s;
  e.mtime_ns = mtime_ns;
  return e;
}

Entry file_of(std::vector<Extent> extents) {
  Entry e = entry_of(EntryType::file, 0644, 1'699'000'000, 123'456'789);
  e.uid = 1000;
  e.gid = 100;
  e.user = "ann";
  e.group = "users";
  for (const Extent& x : extents) e.size += x.bytes;
  e.extents = std::move(extents);
  return e;
}

Extent extent_of(const MadeChunk& c) {
  return {c.bytes.size(), c.ref.id};
}

}  // namespace

MadeChunk Maker::first_leaf(const MadeChunk& hosts, const MadeChunk& note_chunk,
                            const std::string& name) {
  PathLeafEncoder leaf;
  const int64_t t = 1'700'000'000;
  leaf.add("", entry_of(EntryType::directory, 0755, t, 0));
  leaf.add("etc", entry_of(EntryType::directory, 0755, t + 1, 5));
  Entry e = file_of({extent_of(hosts)});
  e.uid = e.gid = 0;
  e.user = e.group = "root";
  leaf.add("etc/hosts", e);
  leaf.add("etc-old", file_of({}));  // behind everything below etc
  Entry home = entry_of(EntryType::directory, 02770, t - 1, 0);
  home.user = "";  // an id without a name
  home.uid = 4'000'000'000u;
  leaf.add("home", home);
  Entry note = file_of({extent_of(note_chunk)});
  note.has_links = true;
  note.attributes = 0x40;  // FS_NODUMP_FL
  note.xattrs = {{"user.note", to_bytes(as_bytes("hello"))}};
  leaf.add("home/a", note);
  note.has_links = false;
  note.link_to = "home/a";
  leaf.add("home/b", note);
  const std::vector<ChunkId> edges = leaf.edges();
  const Bytes payload = leaf.finish();
  CHECK(must(decode_path_leaf(payload, leaf.edges())).size() == 7);
  return make_chunk(ChunkKind::node, leaf.edges(), payload, name + ".leaf1");
}

std::vector<MadeChunk> Maker::large_file(const std::string& name, Entry& entry) {
  const std::vector<Extent> one{
      extent_of(chunk_letters_), {100'000, std::nullopt}, extent_of(chunk_letters_)};
  const std::vector<Extent> two{extent_of(chunk_promise_), {7, std::nullopt}};
  EdgeWriter edges_one;
  EdgeWriter edges_two;
  EdgeWriter edges_root;
  const Bytes leaf_one = encode_extents_leaf(one, edges_one);
  const Bytes leaf_two = encode_extents_leaf(two, edges_two);
  std::vector<MadeChunk> out;
  out.push_back(make_chunk(ChunkKind::node, edges_one.edges(), leaf_one, name + ".extents1"));
  out.push_back(make_chunk(ChunkKind::node, edges_two.edges(), leaf_two, name + ".extents2"));
  // The first leaf twice: a child may be referred to again.
  ExtentsInner inner;
  const uint64_t bytes_one = 2 * chunk_letters_.bytes.size() + 100'000;
  const uint64_t bytes_two = chunk_promise_.bytes.size() + 7;
  inner.children = {
      {out[0].ref.id, bytes_one}, {out[1].ref.id, bytes_two}, {out[0].ref.id, bytes_one}};
  const Bytes root = encode_extents_inner(inner, edges_root);
  out.push_back(make_chunk(ChunkKind::node, edges_root.edges(), root, name + ".extents_root"));
  entry = file_of({});
  entry.size = 2 * bytes_one + bytes_two;
  entry.extents_root = out.back().ref.id;
  return out;
}

MadeChunk Maker::second_leaf(const Entry& large, const std::string& name) {
  PathLeafEncoder leaf;
  leaf.add("home/disk",
           file_of({{4096, std::nullopt}, extent_of(chunk_letters_), {1 << 20, std::nullopt}}));
  leaf.add("home/large", large);
  Entry link = entry_of(EntryType::symlink, 0777, 1'600'000'000, 999'999'999);
  link.symlink_target = "../etc/hosts";
  leaf.add("home/link", link);
  Entry many = file_of({});
  many.xattr_chunks = {chunk_xattrs_.ref.id};
  leaf.add("home/many", many);
  Entry device = entry_of(EntryType::char_device, 0666, 0, 0);
  device.device_major = 1;
  device.device_minor = 3;
  leaf.add("home/null", device);
  Entry old = file_of({extent_of(chunk_promise_)});
  old.mtime_s = -1;
  old.inconsistent = true;
  leaf.add("home/old", old);
  leaf.add("home/pipe", entry_of(EntryType::fifo, 0600, 1, 0));
  device.type = EntryType::block_device;
  device.device_major = 8;
  device.device_minor = 4'000'000'000u;
  leaf.add("home/sda", device);
  leaf.add("home/sock", entry_of(EntryType::socket, 0777, 2, 0));
  leaf.add("home/\xff\xfe\n", file_of({}));  // names are bytes
  const Bytes payload = leaf.finish();
  CHECK(must(decode_path_leaf(payload, leaf.edges())).size() == 10);
  return make_chunk(ChunkKind::node, leaf.edges(), payload, name + ".leaf2");
}

MadeMap Maker::make_map(const MadeChunk& hosts, const MadeChunk& note, const std::string& name) {
  MadeMap map;
  Entry large;
  map.nodes = large_file(name, large);
  map.nodes.push_back(first_leaf(hosts, note, name));
  map.nodes.push_back(second_leaf(large, name));
  const MadeChunk one = map.nodes[3];
  const MadeChunk two = map.nodes[4];
  const uint64_t bytes_one = hosts.bytes.size() + 2 * note.bytes.size();
  const uint64_t bytes_two =
      4096 + chunk_letters_.bytes.size() + (1 << 20) + large.size + chunk_promise_.bytes.size();
  map.bytes = bytes_one + bytes_two;
  PathInner root;
  root.children = {{"", one.ref.id, 7, bytes_one}, {"home/disk", two.ref.id, 10, bytes_two}};
  map.nodes.push_back(make_chunk(ChunkKind::node, {one.ref.id, two.ref.id}, encode_path_inner(root),
                                 name + ".root"));
  return map;
}

}  // namespace holdfast::vault
