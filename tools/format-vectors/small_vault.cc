#include "tools/format-vectors/small_vault.h"

#include <algorithm>

#include "base/crypto/aead.h"
#include "vault/format/collection.h"
#include "vault/format/description.h"
#include "vault/format/extents_page.h"
#include "vault/format/object_names.h"
#include "vault/format/pack.h"
#include "vault/format/point_body.h"
#include "vault/format/proof.h"
#include "vault/format/session.h"
#include "vault/index/run.h"
#include "vault/seal/roster_seal.h"
#include "vault/seal/segment_sealer.h"

namespace holdfast::vault {

crypto::Key256 fixed_key(std::string_view name) {
  const crypto::Digest digest = crypto::sha256({as_bytes("holdfast vector "), as_bytes(name)});
  return crypto::Key256(ByteView(digest));
}

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kCreated = 1'700'000'000 * kSecond;

// The zstd frame of chunk_letters_ and chunk_promise_ in a row: compressors may differ, so the
// bytes stand here.
constexpr std::string_view kFrame =
    "28b52ffd60cc01ad010094026162636465666768486f6c6466617374206b656570732077686174206974"
    "2070726f6d697365642e20020041234a7d35530b17";

template <class T>
T must(Result<T> result) {
  CHECK(result.ok());
  return std::move(result).value();
}

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

crypto::Nonce nonce_of(uint8_t first) {
  return counting<crypto::kNonceBytes>(first);
}

// nonce | AES-256-GCM.
Bytes seal_with_nonce(const crypto::Key256& key, uint8_t nonce, ByteView associated,
                      ByteView plain) {
  Bytes out = to_bytes(nonce_of(nonce));
  append(out, crypto::aes256gcm_seal(key, nonce_of(nonce), associated, plain));
  return out;
}

Bytes encode_secret(const VaultSecret& secret) {
  wire::Encoder out;
  out.u8(1);
  out.u32(secret.generation);
  out.raw(secret.vault_seed.view());
  out.raw(secret.roster_key.view());
  out.u32(static_cast<uint32_t>(secret.recovery_keys.size()));
  for (const RecoveryKey& key : secret.recovery_keys) {
    out.u32(key.generation);
    out.raw(key.private_key.view());
  }
  return out.take();
}

// A chunk with its id, and its bytes.
struct MadeChunk {
  ChunkRef ref;
  Bytes bytes;
};

struct MadeSegment {
  std::vector<ChunkRef> refs;
  KeyWrap wrap;
  Codec codec = Codec::raw;
  uint64_t counter = 0;
  Bytes stored;
};

struct MadeSession {
  KeyWrap wrap;
  std::optional<SessionKey> key;
};

struct MadeMap {
  std::vector<MadeChunk> nodes;  // children before parents; the last is the root
  const ChunkId& root() const { return nodes.back().ref.id; }
};

class Maker {
 public:
  explicit Maker(const VectorSink& out) : out_(out) {}

  SmallVault make() {
    out_.section("keys.md: ids and keys");
    make_keys();
    out_.section("keys.md: key slots");
    make_slots();
    make_description_and_successor();
    out_.section("keys.md: sealed fields of the rosters");
    make_rosters();
    out_.section("keys.md: session keys");
    for (uint8_t i = 0; i < 3; ++i) sessions_[i] = make_session(i);
    out_.section("chunk.md: data and attributes");
    make_chunks();
    out_.section("chunk.md, map.md: pages");
    const MadeMap first = make_map(chunk_hosts_, "map");
    const MadeMap second = make_map(chunk_new_hosts_, "map2");
    out_.section("segment.md");
    make_segments(first, second);
    out_.section("pack.md");
    make_packs();
    out_.section("manifest.md");
    make_points(first.root(), second.root());
    make_collection();
    return std::move(v_);
  }

 private:
  void put(const std::string& name, Bytes bytes) {
    CHECK(v_.objects.emplace(name, std::move(bytes)).second);
  }

  // --- keys.md ---

  void make_keys() {
    v_.vault = VaultId(counting<16>(0x10));
    v_.domain = {DomainId(counting<16>(0x20)), fixed_key("id key"), fixed_key("chunker secret")};
    old_secret_.generation = 0;
    old_secret_.vault_seed = fixed_key("vault seed 0");
    old_secret_.roster_key = fixed_key("roster key 0");
    old_secret_.recovery_keys = {{0, fixed_key("recovery key 0")}};
    v_.secret.generation = 1;
    v_.secret.vault_seed = fixed_key("vault seed 1");
    v_.secret.roster_key = fixed_key("roster key 1");
    v_.secret.recovery_keys = {{0, fixed_key("recovery key 0")}, {1, fixed_key("recovery key 1")}};

    AgentKeys& a = v_.agent;
    a.vault = v_.vault;
    a.agent = AgentId(counting<16>(0x30));
    a.name = "host1";
    a.signing_seed = fixed_key("signing seed");
    a.item_secret = fixed_key("item secret");
    a.agent_secret = fixed_key("agent secret");
    a.domain = v_.domain;
    a.generation = 1;
    a.vault_key = v_.secret.vault_key();
    a.recovery_key = v_.secret.recovery_key();
    item_ = a.item_id("documents");

    out_.hex("keys.vault", v_.vault.view());
    out_.hex("keys.domain", v_.domain.id.view());
    out_.hex("keys.agent", a.agent.view());
    out_.hex("keys.id_key", v_.domain.id_key.view());
    out_.hex("keys.chunker_secret", v_.domain.chunker_secret.view());
    out_.hex("keys.signing_seed", a.signing_seed.view());
    out_.hex("keys.signing_key", crypto::ed25519_public(a.signing_seed));
    out_.hex("keys.item_secret", a.item_secret.view());
    out_.hex("keys.agent_secret", a.agent_secret.view());
    out_.text("keys.item_name", "documents");
    out_.hex("keys.item", item_.view());
    out_.hex("keys.credential", a.encode());
  }

  void make_slots() {
    const Bytes plain = encode_secret(v_.secret);
    out_.hex("slot.vault_secret", plain);
    Slot slot;
    slot.vault = v_.vault;
    slot.id = SlotId(counting<16>(0x80));
    slot.kind = SlotKind::passphrase;
    slot.generation = 1;
    slot.created_ns = kCreated + 90 * kSecond;
    slot.label = "passphrase";
    slot.cost = {kScryptLog2NMin, 8, 1};
    slot.salt = counting<32>(0xa0);
    slot.nonce = nonce_of(0x01);
    const crypto::Key256 key = must(crypto::scrypt(as_bytes(kPassphrase), slot.salt, slot.cost));
    out_.text("slot.passphrase", kPassphrase);
    out_.hex("slot.scrypt_key", key.view());
    out_.hex("slot.associated", slot.associated());
    slot.sealed = crypto::aes256gcm_seal(key, slot.nonce, slot.associated(), plain);
    CHECK(must(open_slot(slot, kPassphrase)).vault_seed == v_.secret.vault_seed);
    put(slot_name(slot.id), slot.encode());

    const Bytes code = must(from_hex("00443214c74254b635cf84653a56d7c675be77df"));
    Slot paper = slot;
    paper.id = SlotId(counting<16>(0x90));
    paper.kind = SlotKind::recovery_code;
    paper.label = "safe";
    paper.cost = {0, 0, 0};
    paper.salt = counting<32>(0xc0);
    paper.nonce = nonce_of(0x02);
    const crypto::HmacSha256 prk(crypto::hkdf_extract(paper.salt, code).view());
    const crypto::Key256 code_key =
        crypto::hkdf_expand_key(prk, {as_bytes("holdfast v1 recovery code")});
    out_.text("slot.recovery_code", kRecoveryCode);
    out_.hex("slot.recovery_code_bytes", code);
    out_.hex("slot.recovery_code_key", code_key.view());
    paper.sealed = crypto::aes256gcm_seal(code_key, paper.nonce, paper.associated(), plain);
    CHECK(must(open_slot(paper, kRecoveryCode)).roster_key == v_.secret.roster_key);
    put(slot_name(paper.id), paper.encode());

    Proof proof;
    proof.vault = v_.vault;
    proof.slot = slot.id;
    proof.generation = 1;
    proof.time_ns = kCreated + 100 * kSecond;
    put(proof_name(proof), proof.encode(v_.secret.vault_seed));
  }

  void make_description_and_successor() {
    out_.hex("description.vault_key", old_secret_.vault_key());
    Description d;
    d.vault = v_.vault;
    d.vault_key = old_secret_.vault_key();
    d.created_ns = kCreated;
    d.name = "attic";
    d.region = "north";
    d.put_if_absent_enforced = true;
    put(std::string(kDescriptionName), d.encode(old_secret_.vault_seed));

    Succession s;
    s.vault = v_.vault;
    s.generation = 1;
    s.old_vault_key = old_secret_.vault_key();
    s.vault_key = v_.secret.vault_key();
    s.recovery_key = v_.secret.recovery_key();
    s.time_ns = kCreated + 80 * kSecond;
    put(succession_name(1), s.encode(old_secret_.vault_seed, v_.secret.vault_seed));
  }

  Bytes associated(std::string_view label, std::initializer_list<ByteView> parts) {
    Bytes out = to_bytes(as_bytes(label));
    for (const ByteView part : parts) append(out, part);
    return out;
  }

  Bytes make_roster(const VaultSecret& secret, uint64_t sequence, const crypto::Digest& previous,
                    const std::string& page) {
    const AgentKeys& keys = v_.agent;
    const uint8_t nonce = static_cast<uint8_t>(0x10 * sequence);
    Roster r;
    r.vault = v_.vault;
    r.sequence = sequence;
    r.generation = secret.generation;
    r.vault_key = secret.vault_key();
    r.recovery_key = secret.recovery_key();
    r.previous_sha256 = previous;
    r.changed_ns = kCreated + static_cast<int64_t>(sequence) * 40 * kSecond;

    const Bytes for_domain =
        associated("holdfast v1 roster domain", {v_.vault.view(), v_.domain.id.view()});
    Bytes domain_plain = to_bytes(v_.domain.id_key.view());
    append(domain_plain, v_.domain.chunker_secret.view());
    r.domains.push_back(
        {v_.domain.id, seal_with_nonce(secret.roster_key, nonce, for_domain, domain_plain)});
    RosterAgent a;
    a.id = keys.agent;
    a.signing_key = crypto::ed25519_public(keys.signing_seed);
    a.enrolled_ns = kCreated;
    const Bytes for_agent =
        associated("holdfast v1 roster agent", {v_.vault.view(), a.id.view(), a.signing_key});
    Bytes agent_plain = to_bytes(keys.item_secret.view());
    append(agent_plain, as_bytes(keys.name));
    a.sealed = seal_with_nonce(secret.roster_key, nonce + 1, for_agent, agent_plain);
    const Bytes for_membership =
        associated("holdfast v1 roster membership",
                   {v_.vault.view(), a.id.view(), a.signing_key, v_.domain.id.view()});
    a.memberships.push_back(
        {v_.domain.id,
         seal_with_nonce(secret.roster_key, nonce + 2, for_membership, keys.agent_secret.view())});
    CHECK(must(open_domain(v_.vault, secret.roster_key, r.domains[0])).id_key == v_.domain.id_key);
    CHECK(must(open_agent_record(v_.vault, secret.roster_key, a)).name == keys.name);
    CHECK(must(open_membership(v_.vault, secret.roster_key, a, a.memberships[0])) ==
          keys.agent_secret);
    out_.hex(page + ".roster_key", secret.roster_key.view());
    out_.hex(page + ".domain_associated", for_domain);
    out_.hex(page + ".agent_associated", for_agent);
    out_.hex(page + ".membership_associated", for_membership);
    r.agents.push_back(std::move(a));
    return r.encode(secret.vault_seed);
  }

  void make_rosters() {
    const Bytes first = make_roster(old_secret_, 1, {}, "roster1");
    put(roster_name(2), make_roster(v_.secret, 2, crypto::sha256(first), "roster2"));
    put(roster_name(1), first);
  }

  // The first session is wrapped for recovery key 0, the others for 1.
  MadeSession make_session(uint8_t index) {
    const std::string page = "session" + std::to_string(index + 1);
    const uint32_t generation = index == 0 ? 0 : 1;
    const crypto::Key256 ephemeral = fixed_key("ephemeral " + std::to_string(index + 1));
    const crypto::Key256 recovery = *v_.secret.recovery_private(generation);
    MadeSession s;
    s.wrap.session = SessionId(counting<16>(static_cast<uint8_t>(0x40 + 0x10 * index)));
    s.wrap.agent = v_.agent.agent;
    s.wrap.item = item_;
    s.wrap.generation = generation;
    s.wrap.enc = to_bytes(crypto::x25519_public(ephemeral));
    s.key.emplace(must(
        SessionKey::recover(v_.secret, v_.vault, v_.domain.id, s.wrap, v_.agent.agent_secret)));

    const Bytes info = associated("holdfast v1 session", {v_.vault.view(), v_.domain.id.view(),
                                                          item_.view(), s.wrap.session.view()});
    crypto::PublicKey enc;
    std::memcpy(enc.data(), s.wrap.enc.data(), enc.size());
    const crypto::HpkePsk psk{v_.agent.agent_secret.view(), v_.agent.agent.view()};
    const crypto::Key256 key =
        must(crypto::HpkeSuite().setup_psk_receiver(enc, recovery, info, psk))
            .export_secret(as_bytes("holdfast v1 session key"));
    const auto sent = must(crypto::HpkeSuite().setup_psk_sender(crypto::x25519_public(recovery),
                                                                info, psk, ephemeral));
    CHECK(sent.context.export_secret(as_bytes("holdfast v1 session key")) == key);
    out_.hex(page + ".id", s.wrap.session.view());
    out_.number(page + ".generation", generation);
    out_.hex(page + ".recovery_private_key", recovery.view());
    out_.hex(page + ".ephemeral_private_key", ephemeral.view());
    out_.hex(page + ".enc", enc);
    out_.hex(page + ".hpke_info", info);
    out_.hex(page + ".session_key", key.view());
    wire::Encoder wrap;
    encode_key_wrap(wrap, s.wrap);
    out_.hex(page + ".wrap", wrap.view());
    return s;
  }

  // --- chunk.md, segment.md ---

  MadeChunk make_chunk(ChunkKind kind, std::vector<ChunkId> edges, ByteView bytes,
                       const std::string& name) {
    MadeChunk c;
    c.bytes = to_bytes(bytes);
    c.ref = {chunk_id(crypto::HmacSha256(v_.domain.id_key.view()), kind, edges, bytes), kind,
             std::move(edges)};
    out_.hex(name + ".bytes", c.bytes);
    if (!c.ref.edges.empty()) out_.hex(name + ".edges", edge_bytes(c.ref.edges));
    out_.hex(name + ".id", c.ref.id.view());
    return c;
  }

  MadeSegment make_segment(const MadeSession& session, uint64_t counter, Codec codec,
                           const std::vector<MadeChunk>& chunks, ByteView payload,
                           const std::string& page) {
    MadeSegment s;
    s.wrap = session.wrap;
    s.codec = codec;
    s.counter = counter;
    wire::Encoder plain;
    plain.u32(static_cast<uint32_t>(payload.size()));
    Bytes joined;
    for (const MadeChunk& c : chunks) {
      s.refs.push_back(c.ref);
      plain.u32(static_cast<uint32_t>(c.bytes.size()));
      append(joined, c.bytes);
    }
    plain.raw(payload);
    Bytes padded = plain.take();
    padded.resize(padme(padded.size() + crypto::kTagBytes) - crypto::kTagBytes);
    const crypto::Digest refs = refs_hash(s.refs);
    wire::Encoder counted;
    counted.u64(counter);
    counted.u8(static_cast<uint8_t>(codec));
    const Bytes associated_data = associated(
        "HFV1SEGM",
        {v_.vault.view(), v_.domain.id.view(), s.wrap.session.view(), counted.view(), refs});
    const crypto::Key256 key = session.key->segment_key(counter, refs, codec);
    s.stored = crypto::aes256gcm_seal(key, crypto::Nonce{}, associated_data, padded);

    SegmentSealer sealer;
    const auto opened =
        must(sealer.open(*session.key, counter, codec, refs, chunks.size(), s.stored));
    CHECK(equal(opened.chunks.view(), joined));
    if (codec == Codec::raw) {
      const auto sealed =
          must(sealer.seal(*session.key, counter, s.refs, opened.lengths, joined, {.level = 0}));
      CHECK(equal(sealed.stored.view(), s.stored));
    }
    out_.hex(page + ".refs_hash", refs);
    out_.hex(page + ".key", key.view());
    out_.hex(page + ".associated", associated_data);
    out_.hex(page + ".plaintext", padded);
    out_.hex(page + ".stored", s.stored);
    return s;
  }

  MadeSegment make_raw_segment(const MadeSession& session, uint64_t counter,
                               const std::vector<MadeChunk>& chunks, const std::string& page) {
    Bytes joined;
    for (const MadeChunk& c : chunks) append(joined, c.bytes);
    return make_segment(session, counter, Codec::raw, chunks, joined, page);
  }

  MadeChunk data_chunk(std::string_view text, const std::string& name) {
    return make_chunk(ChunkKind::data, {}, as_bytes(text), name);
  }

  void make_chunks() {
    chunk_hosts_ = data_chunk("127.0.0.1 localhost\n", "chunk.hosts");
    chunk_note_ = data_chunk("a file with two names\n", "chunk.note");
    chunk_letters_ = data_chunk(repeat("abcdefgh", 40), "chunk.letters");
    chunk_promise_ = data_chunk(repeat("Holdfast keeps what it promised. ", 12), "chunk.promise");
    chunk_new_hosts_ = data_chunk("127.0.0.1 localhost\n::1 localhost\n", "chunk.new_hosts");
    const std::vector<Xattr> xattrs{{"user.empty", {}}, {"user.long", Bytes(600, 0x78)}};
    chunk_xattrs_ =
        make_chunk(ChunkKind::attributes, {}, encode_xattrs(xattrs), "chunk.attributes");
  }

  void make_segments(const MadeMap& first, const MadeMap& second) {
    data_.push_back(make_raw_segment(sessions_[0], 0, {chunk_hosts_, chunk_note_}, "segment.raw"));
    data_.push_back(make_segment(sessions_[0], 1, Codec::zstd, {chunk_letters_, chunk_promise_},
                                 must(from_hex(kFrame)), "segment.zstd"));
    std::vector<MadeChunk> metadata = first.nodes;
    metadata.push_back(chunk_xattrs_);
    metadata_ = make_raw_segment(sessions_[0], 2, metadata, "segment.metadata");
    new_data_ = make_raw_segment(sessions_[1], 0, {chunk_new_hosts_}, "segment.data2");
    // The pages in which the second map differs from the first.
    new_metadata_ =
        make_raw_segment(sessions_[1], 1, {second.nodes[3], second.nodes[5]}, "segment.metadata2");
  }

  // --- map.md ---

  static Entry entry_of(EntryType type, uint32_t mode, int64_t mtime_s, uint32_t mtime_ns) {
    Entry e;
    e.type = type;
    e.mode = mode;
    e.user = "root";
    e.group = "root";
    e.mtime_s = mtime_s;
    e.mtime_ns = mtime_ns;
    return e;
  }

  static Entry file_of(std::vector<Extent> extents) {
    Entry e = entry_of(EntryType::file, 0644, 1'699'000'000, 123'456'789);
    e.uid = 1000;
    e.gid = 100;
    e.user = "ann";
    e.group = "users";
    for (const Extent& x : extents) e.size += x.bytes;
    e.extents = std::move(extents);
    return e;
  }

  static Extent extent_of(const MadeChunk& c) { return {c.bytes.size(), c.ref.id}; }

  MadeChunk first_leaf(const MadeChunk& hosts, const std::string& name) {
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
    Entry note = file_of({extent_of(chunk_note_)});
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

  std::vector<MadeChunk> large_file(const std::string& name, Entry& entry) {
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

  MadeChunk second_leaf(const Entry& large, const std::string& name) {
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

  MadeMap make_map(const MadeChunk& hosts, const std::string& name) {
    MadeMap map;
    Entry large;
    map.nodes = large_file(name, large);
    map.nodes.push_back(first_leaf(hosts, name));
    map.nodes.push_back(second_leaf(large, name));
    const MadeChunk& one = map.nodes[3];
    const MadeChunk& two = map.nodes[4];
    PathInner root;
    root.children = {{"", one.ref.id, 7, hosts.bytes.size() + 2 * chunk_note_.bytes.size()},
                     {"home/disk", two.ref.id, 10,
                      4096 + chunk_letters_.bytes.size() + (1 << 20) + large.size +
                          chunk_promise_.bytes.size()}};
    map.nodes.push_back(make_chunk(ChunkKind::node, {one.ref.id, two.ref.id},
                                   encode_path_inner(root), name + ".root"));
    return map;
  }

  // --- pack.md, index.md ---

  void put_pack(PackKind kind, const SessionId& session, const std::vector<MadeSegment>& segments,
                const std::string& page, IndexRunBuilder& run) {
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
    const IndexedPack pack{{session, crypto::sha256(footer)},
                           object.size(),
                           static_cast<uint32_t>(footer.size()),
                           kind};
    CHECK(must(decode_footer(footer, object.size())).segments == f.segments);
    run.add_pack(pack, f);
    out_.hex(page + ".footer", footer);
    out_.hex(page + ".footer_sha256", pack.id.footer_sha256);
    put(pack_name(pack.id), std::move(object));
  }

  void put_run(IndexRunBuilder& run) {
    Bytes bytes = run.finish();
    CHECK(must(IndexRun::parse(bytes)).check_entries().ok());
    const std::string name = index_name(v_.domain.id, crypto::sha256(bytes));
    put(name, std::move(bytes));
  }

  void make_packs() {
    const SessionId& first = sessions_[0].wrap.session;
    IndexRunBuilder run(v_.vault, v_.domain.id);
    put_pack(PackKind::data, first, data_, "pack.data", run);
    put_pack(PackKind::metadata, first, {metadata_}, "pack.metadata", run);
    put_run(run);
    // The second session stores what is new, and a segment that it copied, as it stood, from the
    // first session's pack.
    const SessionId& second = sessions_[1].wrap.session;
    put_pack(PackKind::data, second, {new_data_, data_[1]}, "pack.data2", run);
    put_pack(PackKind::metadata, second, {new_metadata_}, "pack.metadata2", run);
    put_run(run);
  }

  // --- manifest.md, session.md ---

  void put_session(const MadeSession& s, uint64_t base, const crypto::Digest& base_sha256,
                   std::vector<SessionId> adopts, int64_t started_ns) {
    SessionBegin begin;
    begin.vault = v_.vault;
    begin.domain = v_.domain.id;
    begin.wrap = s.wrap;
    begin.base_sequence = base;
    begin.base_sha256 = base_sha256;
    begin.adopts = std::move(adopts);
    begin.roster_sequence = base == 0 ? 1 : 2;
    begin.started_ns = started_ns;
    begin.program = "format_vectors";
    put(session_begin_name(s.wrap.session), begin.encode(v_.agent.signing_seed));
  }

  void put_end(const MadeSession& s, uint64_t sequence, int64_t time_ns) {
    SessionEnd end;
    end.vault = v_.vault;
    end.session = s.wrap.session;
    end.outcome = SessionOutcome::committed;
    end.sequence = sequence;
    end.time_ns = time_ns;
    put(session_end_name(s.wrap.session), end.encode(v_.agent.signing_seed));
  }

  PointBody body_of(int64_t started_ns, uint64_t bytes, uint64_t new_bytes) {
    PointBody b;
    b.item_name = "documents";
    b.host = "host1.example";
    b.paths = {"/etc", "/home"};
    b.started_ns = started_ns;
    b.finished_ns = started_ns + 3 * kSecond;
    b.files = 9;
    b.directories = 3;
    b.others = 5;
    b.bytes = bytes;
    b.new_bytes = new_bytes;
    b.stored_bytes = new_bytes + 4000;
    b.program = "format_vectors";
    b.source = "files";
    return b;
  }

  crypto::Digest put_point(Manifest m, const MadeSession& s, const PointBody& body,
                           const std::string& page) {
    m.vault = v_.vault;
    m.domain = v_.domain.id;
    m.wrap = s.wrap;
    m.entries = 17;
    const Bytes plain = body.encode();
    // HKDF-Expand of the session key, which SessionKey keeps to itself.
    const Bytes info = associated("holdfast v1 session", {v_.vault.view(), v_.domain.id.view(),
                                                          item_.view(), s.wrap.session.view()});
    crypto::PublicKey enc;
    std::memcpy(enc.data(), s.wrap.enc.data(), enc.size());
    const crypto::Key256 session_key =
        must(crypto::HpkeSuite().setup_psk_receiver(
                 enc, *v_.secret.recovery_private(s.wrap.generation), info,
                 {v_.agent.agent_secret.view(), v_.agent.agent.view()}))
            .export_secret(as_bytes("holdfast v1 session key"));
    const crypto::Key256 key = crypto::hkdf_expand_key(crypto::HmacSha256(session_key.view()),
                                                       {as_bytes("holdfast v1 point body")});
    m.sealed_body = seal_with_nonce(key, static_cast<uint8_t>(0x60 + 0x10 * m.sequence),
                                    m.body_associated(), plain);
    CHECK(equal(must(s.key->open_body(m)), plain));
    const Bytes object = m.encode(v_.agent.signing_seed);
    CHECK(must(decode_manifest(object)).sealed_body == m.sealed_body);
    out_.hex(page + ".body", plain);
    out_.hex(page + ".body_key", key.view());
    out_.hex(page + ".body_associated", m.body_associated());
    out_.hex(page + ".id", crypto::sha256(object));
    put(point_name(item_, m.sequence), object);
    return crypto::sha256(object);
  }

  void make_points(const ChunkId& root, const ChunkId& second_root) {
    const int64_t t = kCreated + 60 * kSecond;
    put_session(sessions_[0], 0, {}, {}, t);
    Manifest first;
    first.sequence = 1;
    first.time_ns = t;
    first.roots = {root};
    first.labels = {"weekly"};
    first_sha256_ = put_point(first, sessions_[0], body_of(t, 1'255'135, 758), "point1");
    put_end(sessions_[0], 1, t + 4 * kSecond);

    // Given up by a collector that saw the manifest in time: it counts.
    const SessionId adopted(counting<16>(0x70));
    put_session(sessions_[1], 1, first_sha256_, {adopted}, t + 100 * kSecond);
    SessionEpoch epoch;
    epoch.vault = v_.vault;
    epoch.session = sessions_[1].wrap.session;
    epoch.epoch = 1;
    epoch.time_ns = t + 3700 * kSecond;
    put(session_epoch_name(epoch.session, 1), epoch.encode(v_.agent.signing_seed));
    Manifest second;
    second.sequence = 2;
    second.base_sequence = second.previous_sequence = 1;
    second.base_sha256 = second.previous_sha256 = first_sha256_;
    second.time_ns = t + 100 * kSecond;
    second.incomplete = true;
    second.roots = {second_root};
    second.adopts = {adopted};
    second.labels = {"before upgrade", ""};
    second.heads = {{item_, 1}};
    PointBody body = body_of(second.time_ns, 1'255'149, 34);
    body.problem_count = 2;
    body.problems = {{"/home/secret", "Permission denied"},
                     {"/home/\xff", "changed while it was read"}};
    second_sha256_ = put_point(second, sessions_[1], body, "point2");

    // Given up as well, and not seen in time: no recovery point.
    put_session(sessions_[2], 2, second_sha256_, {}, t + 200 * kSecond);
    Manifest third;
    third.sequence = 3;
    third.previous_sequence = 2;
    third.previous_sha256 = second_sha256_;
    third.time_ns = t + 200 * kSecond;
    third.roots = {root};
    (void)put_point(third, sessions_[2], body_of(third.time_ns, 1'255'135, 0), "point3");
  }

  void make_collection() {
    const RunId run(counting<16>(0xe0));
    const PackId gone{SessionId(counting<16>(0x70)), counting<32>(0x00)};
    CondemnedList condemned{v_.vault, run, {gone}};
    put(collection_name(run, kStepCondemned), condemned.encode());
    ClosingList closing{v_.vault, run, {gone}, {{item_, 2, second_sha256_}}};
    put(collection_name(run, kStepClosing), closing.encode());
    put(collection_name(run, kStepFreed), {});
    for (size_t i = 1; i < 3; ++i) {
      const Tombstone t{v_.vault, sessions_[i].wrap.session, run, kCreated + 9000 * kSecond};
      put(tombstone_name(t.session, run), t.encode());
    }
  }

  const VectorSink& out_;
  SmallVault v_;
  VaultSecret old_secret_;
  ItemId item_;
  std::array<MadeSession, 3> sessions_;
  MadeChunk chunk_hosts_, chunk_note_, chunk_letters_, chunk_promise_, chunk_new_hosts_;
  MadeChunk chunk_xattrs_;
  std::vector<MadeSegment> data_;
  MadeSegment metadata_, new_data_, new_metadata_;
  crypto::Digest first_sha256_{};
  crypto::Digest second_sha256_{};
};

}  // namespace

SmallVault make_small_vault(const VectorSink& out) {
  return Maker(out).make();
}

}  // namespace holdfast::vault
