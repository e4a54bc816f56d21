// Prints the test vectors of docs/formats: every value that the pages explain, computed from fixed
// keys, then a whole small vault, object by object, and what a reader must find in it. The output
// stands in docs/formats/vectors.txt; the test vault.format.vectors compares the two.
//
// A line is: name, a space, the type (hex, number or text), a space, the value up to the line's
// end.
#include <cstdio>
#include <cstdlib>

#include "tools/format-vectors/small_vault.h"
#include "vault/engine/check.h"
#include "vault/engine/reader.h"
#include "vault/format/object_names.h"
#include "vault/store/memory_store.h"

namespace holdfast::vault {
namespace {

void print(std::string_view name, std::string_view type, std::string_view value) {
  std::printf("%.*s %.*s %.*s\n", static_cast<int>(name.size()), name.data(),
              static_cast<int>(type.size()), type.data(), static_cast<int>(value.size()),
              value.data());
}
void print_section(std::string_view title) {
  std::printf("\n# %.*s\n", static_cast<int>(title.size()), title.data());
}
void print_hex(std::string_view name, ByteView bytes) {
  print(name, "hex", to_hex(bytes));
}
void print_number(std::string_view name, uint64_t n) {
  print(name, "number", std::to_string(n));
}
void print_text(std::string_view name, std::string_view text) {
  print(name, "text", text);
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "format_vectors: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result.ok()) give_up(result.error().message());
  return std::move(result).value();
}
void must(const Status& status) {
  if (!status.ok()) give_up(status.error().message());
}

void print_numbers() {
  print_section("README.md: numbers");
  for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{300},
                           uint64_t{1} << 32, UINT64_MAX}) {
    wire::Encoder out;
    out.varint(n);
    print_hex("varint." + std::to_string(n), out.view());
  }
  for (const int64_t n :
       {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{-64}, int64_t{64}, INT64_MIN, INT64_MAX}) {
    wire::Encoder out;
    out.signed_varint(n);
    print_hex("signed_varint." + std::to_string(n), out.view());
  }
}

// What a decoder refuses: a padded form, a value over 64 bits, more than ten bytes, an end too
// early.
void print_refused_numbers() {
  for (const std::string_view bytes :
       {"8000", "ff00", "80808080808080808002", "8080808080808080808001", "80"}) {
    const Bytes encoded = must(from_hex(bytes));
    wire::Decoder in(encoded, "number");
    in.varint();
    CHECK(!in.ok());
    print_hex("varint.refused", encoded);
  }
}

void print_padme() {
  print_section("segment.md: Padme");
  for (const size_t n :
       {0, 1, 2, 8, 9, 100, 1000, 1025, 4097, 100'000, 393'217, 524'289, 655'361, 9'043'968}) {
    print_number("padme." + std::to_string(n), padme(n));
  }
}

// Only writers need these.
void print_boundaries(const SmallVault& v) {
  print_section("chunk.md, map.md: what only writers need");
  std::array<uint64_t, 256> gear;
  v.domain.gear_table(gear);
  wire::Encoder table;
  for (const uint64_t g : gear) table.u64(g);
  print_number("writer.gear.0", gear[0]);
  print_number("writer.gear.255", gear[255]);
  print_hex("writer.gear.sha256", crypto::sha256(table.view()));
  crypto::SipKey key = v.domain.page_key();
  wire::Encoder halves;
  halves.u64(key.k0);
  halves.u64(key.k1);
  print_hex("writer.page_key", halves.view());
  print_number("writer.boundary.etc/hosts.level0", crypto::siphash24(key, as_bytes("etc/hosts")));
  key.k1 ^= 1;
  print_number("writer.boundary.etc/hosts.level1", crypto::siphash24(key, as_bytes("etc/hosts")));
}

// All of a file's bytes, holes as zeros.
Bytes content_of(DomainReader& domain, const Entry& entry) {
  Bytes out;
  must(for_each_extent(domain, entry, [&](uint64_t offset, const Extent& x) -> Status {
    CHECK(offset == out.size());
    if (!x.chunk) {
      out.resize(out.size() + x.bytes);
      return {};
    }
    TRY(const Bytes bytes, domain.read_chunk(*x.chunk, ChunkKind::data));
    CHECK(bytes.size() == x.bytes);
    append(out, bytes);
    return {};
  }));
  CHECK(out.size() == entry.size);
  return out;
}

std::string describe(DomainReader& domain, const PathEntry& e) {
  const Entry& x = e.entry;
  char text[512];
  std::snprintf(
      text, sizeof text, "key=%s type=%u mode=%o uid=%u user=%s gid=%u group=%s mtime=%lld ns=%u",
      to_hex(as_bytes(e.key)).c_str(), static_cast<unsigned>(x.type), x.mode, x.uid, x.user.c_str(),
      x.gid, x.group.c_str(), static_cast<long long>(x.mtime_s), x.mtime_ns);
  std::string out = text;
  if (x.attributes != 0) out += " attributes=" + std::to_string(x.attributes);
  if (x.inconsistent) out += " inconsistent";
  if (x.has_links) out += " has_links";
  if (!x.link_to.empty()) out += " link_to=" + to_hex(as_bytes(x.link_to));
  for (const Xattr& a : must(domain.xattrs(x))) {
    out += " xattr:" + a.name + "=" + to_hex(a.value);
  }
  if (x.type == EntryType::symlink) out += " target=" + x.symlink_target;
  if (x.type == EntryType::char_device || x.type == EntryType::block_device) {
    out += " device=" + std::to_string(x.device_major) + ":" + std::to_string(x.device_minor);
  }
  if (x.type == EntryType::file) {
    out += " size=" + std::to_string(x.size) +
           " sha256=" + to_hex(crypto::sha256(content_of(domain, x)));
  }
  return out;
}

// Reads the vault back with the passphrase alone, and prints what is in it.
void print_content(const SmallVault& v) {
  print_section(
      "What a reader finds in it: the points that count, their entries in key order; keys");
  std::puts("# and link_to in hexadecimal, target as text, mode in octal, holes of files as zeros");
  MemoryStore store;
  for (const auto& [name, bytes] : v.objects) must(store.put(name, bytes));
  const Description description = must(load_description(store));
  const Bytes slot_object = must(store.get(slot_name(SlotId(counting<16>(0x80))), kObjectBytesMax));
  const VaultSecret secret = must(open_slot(must(decode_slot(slot_object)), kPassphrase));
  const auto reader = must(VaultReader::open(store, description, secret));
  const PointList list = must(reader->points());
  if (list.points.size() != 2 || !list.defects.empty()) give_up("the small vault has other points");
  for (const RecoveryPoint& p : list.points) {
    const std::string prefix = "content." + std::to_string(p.manifest.sequence);
    print_text(prefix + ".id", p.id());
    print_text(prefix + ".item", p.body->item_name);
    DomainReader* const domain = must(reader->domain(p.manifest.domain));
    PathCursor cursor(*domain, p.manifest.roots[0]);
    must(cursor.seek_first());
    size_t n = 0;
    while (!cursor.at_end()) {
      print_text(prefix + ".entry." + std::to_string(++n), describe(*domain, *cursor));
      must(cursor.next());
    }
    if (n != p.manifest.entries) give_up("the small vault has other entries");
  }
  CheckOptions options;
  options.read_data_percent = 100;
  options.workers = 1;
  CheckProgress progress;
  const CheckReport report = must(check_vault(store, description, secret.vault_key(),
                                              secret.generation, &secret, options, progress, {}));
  for (const CheckFinding& f : report.damage) give_up(f.object + ": " + f.what);
  // The manifest that does not count is remarked on, and nothing else.
  for (const CheckFinding& f : report.remarks) {
    if (f.object != point_name(v.agent.item_id("documents"), 3)) give_up(f.object + ": " + f.what);
  }
}

}  // namespace
}  // namespace holdfast::vault

int main() {
  using namespace holdfast::vault;
  std::puts("# Test vectors of the vault's formats, version 1, made by tools/format-vectors. The");
  std::puts(
      "# pages beside this file refer to them by name. A line is: name, type (hex, number or");
  std::puts(
      "# text), value. Secrets are SHA-256(\"holdfast vector \" || a name); other fixed values");
  std::puts("# count up from some byte.");
  print_numbers();
  print_refused_numbers();
  print_padme();
  const SmallVault v = make_small_vault({print_section, print_hex, print_number, print_text});
  print_boundaries(v);
  print_section("A whole vault: every object under its name");
  for (const auto& [name, bytes] : v.objects) print_hex("object." + name, bytes);
  print_content(v);
  return 0;
}
