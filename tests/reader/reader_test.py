"""The independent reader, tools/reader: against every test vector, on the small vault that they
hold, on vaults that the program makes, and on forged ones (refusals.py), which the program must
refuse as well. So these tests hold the format pages, the vectors and the program together."""

import hashlib
import io
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

import support  # noqa: E402
from forge import SmallVault, action, decode_parts, encode_pack, encode_wrap, new_session, \
    read_vectors  # noqa: E402
from holdfast_reader import audit, crypto, keys, maps, packs, points, runs, wire  # noqa: E402
from holdfast_reader.chunks import chunk_id  # noqa: E402
from holdfast_reader.vault import Report, Vault  # noqa: E402
from refusals import SignedObjects, run_reader  # noqa: E402,F401
from refused_audit import Lifecycle  # noqa: E402,F401
from refused_packs import Packs  # noqa: E402,F401


def siphash24(key, data):
    """SipHash-2-4 (Aumasson and Bernstein), as map.md uses it."""
    mask = wire.U64_MAX
    k0, k1 = (int.from_bytes(key[i:i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
         k1 ^ 0x7465646279746573]

    def left(x, n):
        return (x << n | x >> 64 - n) & mask

    def rounds(n):
        for _ in range(n):
            v[0] = v[0] + v[1] & mask; v[1] = left(v[1], 13) ^ v[0]; v[0] = left(v[0], 32)
            v[2] = v[2] + v[3] & mask; v[3] = left(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & mask; v[3] = left(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & mask; v[1] = left(v[1], 17) ^ v[2]; v[2] = left(v[2], 32)

    data += bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i:i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


class Vectors(unittest.TestCase):
    """Every value of vectors.txt is computed again. The last test knows if one was left out."""

    vectors, compared = read_vectors(), set()

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory(prefix="holdfast-reader-")
        cls.addClassCleanup(cls.dir.cleanup)
        cls.small = SmallVault(cls.dir.name)
        cls.said = io.StringIO()
        cls.vault = Vault(cls.dir.name, cls.small.passphrase.encode(), Report(cls.said))

    def v(self, name):
        return self.vectors[name]

    def same(self, name, value):
        self.compared.add(name)
        self.assertEqual(self.vectors[name], value, name)

    def named(self, prefix, suffix=""):
        return [n for n in self.vectors if n.startswith(prefix) and n.endswith(suffix)]

    def test_numbers(self):
        for name in self.named("varint."):
            if name != "varint.refused":
                number = int(name.split(".")[1])
                self.same(name, wire.varint(number))
                self.assertEqual(wire.Cursor(self.v(name), name).varint(), number)
        for name in self.named("signed_varint."):
            number = int(name.split(".")[1])
            self.same(name, wire.svarint(number))
            self.assertEqual(wire.Cursor(self.v(name), name).svarint(), number)
        self.compared.add("varint.refused")
        for data in self.v("varint.refused"):
            with self.assertRaises(wire.Refused):
                c = wire.Cursor(data, "varint")
                c.varint()
                c.finish()
        for name in self.named("padme."):
            self.same(name, wire.padme(int(name.split(".")[1])))

    def test_keys(self):
        v = self.v
        agent = self.vault.roster.agent(v("keys.agent"))
        self.same("keys.vault", self.vault.id)
        self.same("keys.domain", self.vault.roster.domains[0][0])
        self.same("keys.agent", self.vault.roster.agents[0][0])
        self.same("keys.id_key", self.vault.roster.id_keys[v("keys.domain")])
        self.same("keys.signing_seed", v("keys.credential")[46:78])
        self.same("keys.signing_key", crypto.ed25519_public(v("keys.signing_seed")))
        self.assertEqual(agent.signing_key, v("keys.signing_key"))
        self.same("keys.item_secret", agent.item_secret)
        self.same("keys.agent_secret", agent.secrets[v("keys.domain")])
        self.same("keys.item_name", self.vault.points()[0].body.item_name.decode())
        self.same("keys.item", keys.item_id(v("keys.item_secret"), v("keys.item_name").encode()))
        self.same("description.vault_key", self.vault.description.vault_key)
        self.same("writer.page_key", crypto.expand(v("keys.chunker_secret"),
                                                   b"holdfast v1 page boundaries", 16))
        self.same("keys.chunker_secret", crypto.open_with_nonce(
            v("roster2.roster_key"), self.vault.roster.domains[0][1],
            v("roster2.domain_associated"), "domain")[32:])

    def test_credential(self):
        v = self.v
        signed = (b"HFV1CRED" + v("keys.vault") + v("keys.agent") + b"\x05host1"
                  + v("keys.signing_seed") + v("keys.item_secret") + v("keys.agent_secret")
                  + v("keys.domain") + v("keys.id_key") + v("keys.chunker_secret") + wire.u32(1)
                  + crypto.ed25519_public(self.small.vault_seed) + self.small.recovery_public)
        self.same("keys.credential", signed + crypto.sha256(signed))

    def test_what_only_writers_need(self):
        gear = crypto.expand(self.v("keys.chunker_secret"), b"holdfast v1 gear table", 2048)
        self.same("writer.gear.0", int.from_bytes(gear[:8], "little"))
        self.same("writer.gear.255", int.from_bytes(gear[-8:], "little"))
        self.same("writer.gear.sha256", crypto.sha256(gear))
        self.assertEqual(siphash24(bytes(range(16)), bytes(range(15))), 0xa129ca6149be45e5)
        for level in (0, 1):
            key = bytearray(self.v("writer.page_key"))
            key[8] ^= level
            self.same(f"writer.boundary.etc/hosts.level{level}", siphash24(key, b"etc/hosts"))

    def test_slots(self):
        v = self.v
        slot = keys.decode_slot(v("object.keys/" + bytes(range(0x80, 0x90)).hex()), self.vault.id,
                                bytes(range(0x80, 0x90)))
        self.same("slot.associated", slot.associated)
        self.same("slot.scrypt_key", keys.slot_key(slot, v("slot.passphrase").encode()))
        plain = crypto.open_sealed(v("slot.scrypt_key"), slot.nonce, slot.sealed, slot.associated, "")
        self.same("slot.vault_secret", plain)
        code = keys.decode_slot(v("object.keys/" + bytes(range(0x90, 0xa0)).hex()), self.vault.id,
                                bytes(range(0x90, 0xa0)))
        text = v("slot.recovery_code").encode()
        self.same("slot.recovery_code_bytes", crypto.recovery_code_bytes(text))
        self.assertEqual(crypto.recovery_code_bytes(b" ol23 4567-89ab" + text[14:] + b"\n"),
                         crypto.recovery_code_bytes(text))
        for wrong in (text[1:], text + b"0", b"U" + text[1:], b"\xb5" + text[1:], b""):
            self.assertIsNone(crypto.recovery_code_bytes(wrong))
        self.same("slot.recovery_code_key", keys.slot_key(code, text))
        self.assertIsNone(keys.slot_key(code, v("slot.passphrase").encode()))
        secret = keys.open_slot(code, v("slot.recovery_code_key"))
        self.assertEqual(secret, keys.open_slot(slot, v("slot.scrypt_key")))
        self.compared.update(("slot.passphrase", "slot.recovery_code"))

    def test_rosters(self):
        v, ids = self.v, (self.v("keys.vault"), self.v("keys.agent"), self.v("keys.signing_key"))
        for number, seed_key in ((1, v("description.vault_key")),
                                 (2, crypto.ed25519_public(self.small.vault_seed))):
            roster = keys.decode_roster(v(f"object.roster/000000000{number}"), ids[0], number,
                                        number - 1, seed_key)
            keys.open_roster(roster, ids[0], v(f"roster{number}.roster_key"))
            self.compared.add(f"roster{number}.roster_key")
            agent = roster.agent(ids[1])
            self.assertEqual((agent.name, agent.item_secret), (b"host1", v("keys.item_secret")))
            self.same(f"roster{number}.domain_associated",
                      keys.domain_associated(ids[0], v("keys.domain")))
            self.same(f"roster{number}.agent_associated", keys.agent_associated(*ids))
            self.same(f"roster{number}.membership_associated",
                      keys.membership_associated(*ids, v("keys.domain")))
        self.assertEqual(roster.previous, crypto.sha256(v("object.roster/0000000001")))

    def test_sessions(self):
        v = self.v
        for n in range(1, 5):
            s = f"session{n}."
            private = v(s + "recovery_private_key")
            generation = v(s + "generation")
            self.assertEqual(self.vault.secret.recovery_keys[generation], private)
            self.compared.update(s + x for x in ("recovery_private_key", "ephemeral_private_key"))
            info = crypto.session_info(v("keys.vault"), v("keys.domain"), v("keys.item"), v(s + "id"))
            self.same(s + "hpke_info", info)
            self.same(s + "session_key", crypto.session_key(private, v(s + "enc"), info,
                                                            v("keys.agent_secret"), v("keys.agent")))
            wrap, key = new_session(v("keys.vault"), v("keys.domain"), v("keys.item"),
                                    v("keys.agent"), v("keys.agent_secret"), generation,
                                    crypto.x25519_public(private), v(s + "id"),
                                    v(s + "ephemeral_private_key"))
            self.same(s + "enc", wrap.enc)
            self.assertEqual(key, v(s + "session_key"))
            self.same(s + "wrap", encode_wrap(wrap))
            c = wire.Cursor(v(s + "wrap"), "wrap")
            self.assertEqual(keys.read_wrap(c), wrap)
            c.finish()
            self.same(s + "id", wrap.session)
            self.same(s + "generation", wrap.generation)

    def test_chunks_and_pages(self):
        id_key = self.v("keys.id_key")
        for name in self.named("chunk.", ".bytes"):
            kind = packs.ATTRIBUTES if name.startswith("chunk.attributes") else packs.DATA
            self.same(name[:-5] + "id", chunk_id(id_key, kind, [], self.v(name)))
        decoders = {1: maps.decode_path_leaf, 2: maps.decode_path_inner,
                    3: maps.decode_extents_leaf, 4: maps.decode_extents_inner}
        domain = self.vault.chunks(self.v("keys.domain"))
        for name in self.named("map", ".bytes"):
            data, edges = self.v(name), self.v(name[:-5] + "edges")
            edges = [edges[i:i + 32] for i in range(0, len(edges), 32)]
            self.same(name[:-5] + "id", chunk_id(id_key, packs.NODE, edges, data))
            decoders[data[0]](data, edges)
            found, found_edges = domain.get(self.v(name[:-5] + "id"), packs.NODE)
            self.same(name, found)
            self.same(name[:-5] + "edges", b"".join(found_edges))
        for name in self.named("chunk.", ".bytes"):
            kind = packs.ATTRIBUTES if name.startswith("chunk.attributes") else packs.DATA
            try:
                self.same(name, domain.get(self.v(name[:-5] + "id"), kind)[0])
            except wire.Refused:
                self.fail(name)

    def test_packs_and_segments(self):
        of_segment = {}
        for vector in self.named("pack.", ".footer"):
            name = self.small.pack(vector[:-7])
            data = self.v("object." + name)
            domain, kind, parts = decode_parts(self.vault.store, self.vault.id, name)
            again, footer = encode_pack(self.vault.id, domain, kind, parts)
            self.assertEqual(again, data)
            self.same(vector, footer)
            self.same(vector + "_sha256", crypto.sha256(footer))
            for part in parts:
                of_segment[part.stored] = part, domain
        for vector in self.named("segment.", ".stored"):
            prefix = vector[:-6]
            part, domain = of_segment[self.v(vector)]
            self.same(vector, part.stored)
            refs = packs.refs_hash(part.chunks)
            self.same(prefix + "refs_hash", refs)
            session = self.vault.session_keys.of(part.wrap, domain)
            key = crypto.segment_key(session, part.counter, refs, part.codec)
            self.same(prefix + "key", key)
            associated = packs.segment_associated(self.vault.id, domain, part.wrap.session,
                                                  part.counter, part.codec, refs)
            self.same(prefix + "associated", associated)
            plain = crypto.open_sealed(key, bytes(12), part.stored, associated, vector)
            self.same(prefix + "plaintext", plain)
            self.assertTrue(packs.split_segment(plain, part.codec, len(part.chunks)))

    def test_points(self):
        roster, session_keys = self.vault.roster, self.vault.session_keys
        for n in (1, 2, 3):
            data = self.v("object." + self.small.point_name(n))
            m = points.check_manifest(data, self.vault.id, roster, self.small.item, n)
            self.same(f"point{n}.id", crypto.sha256(data))
            key = crypto.body_key(session_keys.of(m.wrap, m.domain))
            self.same(f"point{n}.body_key", key)
            associated = points.body_associated(self.vault.id, m)
            self.same(f"point{n}.body_associated", associated)
            self.same(f"point{n}.body", crypto.open_with_nonce(key, m.sealed_body, associated, "body"))
            points.open_body(m, self.vault.id, roster, session_keys)

    def test_audit_log(self):
        v, small = self.v, self.small
        log = audit.read_log(self.vault.store, self.vault.id, self.vault.vault_keys,
                             self.vault.report)
        self.same("maintainer.public_key", log.maintainer_key(v("maintainer.id")))
        self.assertEqual(list(log.grants), [v("maintainer.id")])
        self.compared.update(("maintainer.id", "maintainer.private_key"))
        self.assertEqual(crypto.ed25519_public(v("maintainer.private_key")),
                         v("maintainer.public_key"))
        last = v("object.audit/0000000002")
        self.assertEqual(log.rules["head"], (2, crypto.sha256(last)))
        self.assertEqual(log.rules["generation"], 1)
        # Written again, as the forger writes his.
        os.remove(small.at("audit/0000000002"))
        time_ns = int.from_bytes(last[72:80], "little")
        small.entry(action(3), time_ns=time_ns)
        self.assertEqual(small.get("audit/0000000002"), last)

    def test_content(self):
        """The steps from a passphrase to a file, with index runs and without."""
        for use_index in (True, False):
            vault = Vault(self.dir.name, self.v("slot.recovery_code").encode(), Report(self.said),
                          use_index)
            for n, point in enumerate(vault.points(), 1):
                self.same(f"content.{n}.id", point.id.hex())
                self.same(f"content.{n}.item", point.body.item_name.decode())
                chunks, root = vault.content(point)
                for i, entry in enumerate(maps.walk_paths(chunks, root), 1):
                    self.same(f"content.{n}.entry.{i}", self.line(chunks, entry))
                    self.assertEqual(maps.find(chunks, root, entry.key), entry)
            # With an index only packs that a run names were read.
            self.assertEqual(chunks.places is None, use_index)

    def line(self, chunks, e):
        words = [f"key={e.key.hex()} type={e.type} mode={e.mode:o} uid={e.user[0]} "
                 f"user={e.user[1].decode()} gid={e.group[0]} group={e.group[1].decode()} "
                 f"mtime={e.mtime_s} ns={e.mtime_ns}"]
        if e.attributes:
            words.append(f"attributes={e.attributes}")
        if e.fields & maps.HAS_FURTHER_NAMES:
            words.append("has_links")
        if e.link:
            words.append(f"link_to={e.link.hex()}")
        if e.fields & maps.INCONSISTENT:
            words.append("inconsistent")
        words += [f"xattr:{k.decode()}={v.hex()}" for k, v in maps.all_xattrs(chunks, e)]
        if e.type == maps.FILE:
            digest = hashlib.sha256()
            for piece in maps.file_pieces(chunks, e):
                digest.update(bytes(piece) if isinstance(piece, int) else piece)
            words.append(f"size={e.size} sha256={digest.hexdigest()}")
        if e.type == maps.SYMLINK:
            words.append(f"target={e.target.decode()}")
        if e.type in (maps.CHAR_DEVICE, maps.BLOCK_DEVICE):
            words.append("device=%d:%d" % e.device)
        return " ".join(words)

    def test_objects(self):
        """Those that no other test takes apart whole."""
        v, store = self.v, self.vault.store
        self.compared.update(self.named("object."))
        listed = [n for p in ("audit", "collections", "index", "keys", "packs", "points", "proofs", "roster",
                              "sessions", "succession") for n in store.list(p)] + ["vault"]
        self.assertEqual(sorted("object." + n for n in listed), sorted(self.named("object.")))
        for name in store.list("index"):
            run = packs.IndexRun(v("object." + name), self.vault.id, v("keys.domain"))
            self.assertEqual(crypto.sha256(v("object." + name)).hex(), name[-64:])
            for pack in run.packs:
                found = packs.Pack(store, self.vault.id, pack)
                for s, segment in enumerate(found.footer.segments):
                    for c, i in enumerate(segment.ids):
                        self.assertIn((pack, s, c), list(run.find(i)))
            self.assertEqual(list(run.find(bytes(32))), [])
        log = audit.read_log(store, self.vault.id, self.vault.vault_keys, self.vault.report)
        found = runs.tombstones(store, self.vault.id, runs.tombstone_names(store), log,
                                self.vault.report)
        self.assertEqual(sorted(found), [v("session2.id"), v("session3.id")])
        steps = set()
        for name in store.list("collections"):
            _, run, step = name.split("/")
            steps.add(step)
            runs.decode_run_object(v("object." + name), self.vault.id, bytes.fromhex(run), step, log)
        self.assertEqual(steps | {"vouched", "abort"}, set(runs.STEPS))
        proof = v(self.named("object.proofs/")[0])
        self.assertTrue(crypto.verifies(crypto.ed25519_public(self.small.vault_seed), proof[-64:],
                                        proof[:-64]))
        self.assertNotIn("defect", self.said.getvalue())

    def test_zz_every_vector_was_compared(self):
        if len(self.compared) > 100:  # not where somebody runs a single test
            self.assertEqual(sorted(set(self.vectors) - self.compared), [])


class SmallVaultTest(unittest.TestCase):
    """The commands on the vault of the vectors."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-reader-")
        self.addCleanup(support.remove_tree, self.dir)
        self.small = SmallVault(os.path.join(self.dir, "vault"))

    def reader(self, *arguments, expect=0, text=None):
        return run_reader(self, self.small.path, *arguments, expect=expect,
                          text=text or self.small.passphrase)

    def test_commands(self):
        v = self.small.vectors
        for text in (v["slot.passphrase"], v["slot.recovery_code"], v["slot.recovery_code"].lower()):
            listed = self.reader("points", text=text)
            rows = [line.split("\t") for line in listed.out.splitlines()]
            self.assertEqual([r[0] for r in rows], [v["point1.id"].hex(), v["point2.id"].hex()])
            self.assertEqual([(r[1], r[2], r[5]) for r in rows],
                             [("documents", n, "/etc /home") for n in "12"])
            self.assertIn("0000000003", listed.err)
        names = [line.split(" ")[-1] for line in
                 self.reader("ls", v["point1.id"].hex()[:10]).out.splitlines()]
        self.assertEqual(len(names), 17)
        self.assertEqual(self.reader("cat", "latest", "/etc/hosts").out.encode(),
                         v["chunk.new_hosts.bytes"])
        out = os.path.join(self.dir, "out")
        self.reader("extract", v["point1.id"].hex(), out, expect=(0, 3))
        self.assertEqual(support.read(out + "/etc/hosts"), v["chunk.hosts.bytes"])
        self.assertEqual(os.readlink(out + "/home/link"), "../etc/hosts")
        self.assertEqual(os.stat(out + "/home/a").st_ino, os.stat(out + "/home/b").st_ino)
        again = self.reader("extract", v["point1.id"].hex(), out, expect=1)
        self.assertIn("not empty", again.err)

    def test_wrong_passphrase(self):
        for text in ("correct horse", "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV-WXY0"):
            self.assertIn("opens no slot", self.reader("points", expect=1, text=text).err)


class RealVaultTest(support.EndToEndTest):
    """Vaults that the program makes, read by the reader."""

    def reader(self, *arguments, expect=0, text=support.PASSPHRASE):
        return run_reader(self, self.vault, *arguments, expect=expect, text=text)

    def described(self, root):
        """All but what the reader does not restore: inode flags, and where holes are."""
        entries = support.describe(root, holes=False)
        for e in entries.values():
            e.pop("flags", None)
        return entries

    def assert_extracts(self, point, expected):
        to = tempfile.mkdtemp(prefix="out-", dir=self.dir)
        self.reader("extract", point, to)
        self.assert_same_tree(expected, self.described(to + self.source))
        support.remove_tree(to)

    def audit_log(self):
        """(vault, state), after every entry counted."""
        vault = Vault(self.vault, support.PASSPHRASE.encode(), Report(io.StringIO()))
        log = audit.read_log(vault.store, vault.id, vault.vault_keys, vault.report)
        self.assertEqual([g.role for g in log.grants.values()], [audit.MAINTAINER])
        self.assertEqual(log.rules["head"][0], len(vault.store.list("audit")))
        self.assertEqual(log.rules["generation"], len(vault.vault_keys) - 1)
        self.assertEqual(vault.report.defects, 0)
        return vault, log

    def test_odd_tree_through_rotations(self):
        """An odd tree, files of several packs and with maps of several levels, and after each kind
        of rotation a change and another point. All points stay readable; old slots do not."""
        support.make_weird_tree(self.source)
        support.write(self.source + "/big", support.noise(70 << 20))
        with open(self.source + "/many holes", "wb") as file:
            for i in range(3000):  # extents of several pages
                file.seek(i * 12288)
                file.write(b"%08d" % i * 512)
        machine = self.created()
        expected, slots = {}, {}

        def backup():
            point = machine.backup(self.source, "--tag", "a label").summary["point"]
            expected[point] = self.described(self.source)

        backup()
        self.assertGreater(len(os.listdir(self.vault + "/packs")), 0)
        for i, what in enumerate(("recovery", "domain", "slot")):
            support.write(self.source + f"/after/{what}", support.noise(300_000, i))
            os.remove(self.source + ("/one", "/256k", "/empty")[i])
            slots = {n: support.read(f"{self.vault}/keys/{n}")
                     for n in os.listdir(self.vault + "/keys")}
            machine.run("vault", "key", "rotate", what, passphrase=support.PASSPHRASE,
                        env={"HOLDFAST_NEW_PASSPHRASE": support.PASSPHRASE})
            if what == "domain":  # the machine fetches its new keys
                machine.run("vault", "enrol", passphrase=support.PASSPHRASE)
            backup()
            if what == "recovery":
                old_slots = slots
        rows = [line.split("\t") for line in self.reader("points").out.splitlines()]
        self.assertEqual([r[0] for r in rows], list(expected))
        self.assertEqual({(r[4], r[5]) for r in rows}, {("a label", self.source)})
        for point, tree in expected.items():
            self.assert_extracts(point, tree)
        self.audit_log()
        last = list(expected)[-1]
        for name in ("/big", "/many holes", "/after/slot"):
            ran = self.reader("cat", last, self.source + name)
            self.assertEqual(hashlib.sha256(ran.out_bytes).digest(),
                             hashlib.sha256(support.read(self.source + name)).digest())
        self.assertEqual(self.reader("--no-index", "ls", last).out, self.reader("ls", last).out)

        # What somebody kept of an earlier generation, put back beside the newer slot and alone.
        (old_name, old_slot), = old_slots.items()
        support.write(f"{self.vault}/keys/{old_name}", old_slot)
        self.assertEqual(len(self.reader("points").out.splitlines()), len(expected))
        for name in os.listdir(self.vault + "/keys"):
            if name != old_name:
                os.remove(f"{self.vault}/keys/{name}")
        self.assertIn("out of date", self.reader("points", expect=1).err)
        ran = machine.run("points", passphrase=support.PASSPHRASE, expect=1)
        self.assertIn("rotated", ran.err)
        machine.run("restore", last, "--to", self.path("no"), passphrase=support.PASSPHRASE, expect=1)

    def test_collected(self):
        """The program's own log and runs: nothing is passed over, and what a collector copied into
        packs of its own is found there."""
        machine, expected = self.created(), {}
        for i in range(3):  # small packs of more than 8 MiB: they are merged
            support.write(self.source + f"/{i}", support.noise(5_000_000, i))
            expected[machine.backup(self.source).summary["point"]] = self.described(self.source)
        before = set(os.listdir(self.vault + "/packs"))
        machine.run("vault", "collect")
        vault, log = self.audit_log()
        made, = os.listdir(self.vault + "/collections")
        steps = os.listdir(f"{self.vault}/collections/{made}")
        for step in steps:
            runs.decode_run_object(support.read(f"{self.vault}/collections/{made}/{step}"), vault.id,
                                   bytes.fromhex(made), step, log)
        self.assertIn("vouched", steps)
        self.assertEqual(set(os.listdir(self.vault + "/packs")) - before, {made})
        self.assertEqual([p.id.hex() for p in vault.points()], list(expected))
        self.assertEqual(vault.report.defects, 0)
        for point, tree in expected.items():
            self.assert_extracts(point, tree)

    def test_recovery_code_and_standard_input(self):
        machine = self.machine()
        created = machine.create("--recovery-code", "--name", "a name")
        code = next(v for o in created.objects for k, v in o.items() if k == "recovery_code")
        machine.backup("--stdin", "of.sql", input=b"select 1;\n" * 100_000)
        rows = self.reader("points", text=code).out.splitlines()
        self.assertEqual(len(rows), 1)
        self.assertEqual(self.reader("cat", "latest", "of.sql", text=code).out_bytes,
                         b"select 1;\n" * 100_000)


if __name__ == "__main__":
    support.main()
