"""Forged and damaged vaults, made from the small vault of the vectors. Each is tried on the reader
and on the program, and both must refuse, and by the way name what they refuse.

A forger has the store and no key, so makes right every hash that needs none; or is an insider: an
agent, with all that its credential and its own sessions give. Reader and program are first shown the
vault as it is, or a test could pass for another reason.
"""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest
import unittest.mock

import support
from forge import SmallVault, block, encode_wrap, seal, sign, with_digest
from holdfast_reader import cli, crypto
from holdfast_reader.wire import u32, u64

OTHER = bytes(range(0xa1, 0xb1))  # an id of nothing
STRANGER = b"\x5a" * 32  # a seed that nobody enrolled


def run_reader(test, vault, *arguments, expect, text):
    """The reader's command line, in this process: starting Python takes longer than most tests."""
    options = [a for a in arguments if a.startswith("--")]
    rest = [a for a in arguments if not a.startswith("--")]
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with unittest.mock.patch.dict(os.environ, HOLDFAST_PASSPHRASE=text), \
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([*options, vault, *rest])
    out.flush()
    ran = support.Ran(("reader", *arguments), code, out.buffer.getvalue(), err.getvalue(), 0)
    test.assertIn(ran.code, expect if isinstance(expect, tuple) else (expect,), str(ran))
    return ran


class RefusalTest(unittest.TestCase):
    shown_whole = False

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="holdfast-reader-")
        self.addCleanup(support.remove_tree, self.dir)
        self.new_vault()
        if not RefusalTest.shown_whole:
            self.assert_whole()
            RefusalTest.shown_whole = True

    def new_vault(self):
        """Opened by its recovery code alone: scrypt in every run would take minutes."""
        self.small = SmallVault(os.path.join(tempfile.mkdtemp(dir=self.dir), "vault"))
        self.text = self.small.recovery_code
        self.passphrase_slot = "keys/" + bytes(range(0x80, 0x90)).hex()
        self.small.remove(self.passphrase_slot)
        self.ids = [self.small.vectors[f"point{n}.id"].hex() for n in (1, 2)]

    def remove_runs(self):
        """Index runs are hints; without them every footer is read."""
        for run in self.small.store.list("index"):
            self.small.remove(run)

    # --- What is expected

    def reader(self, *arguments, expect=0):
        return run_reader(self, self.small.path, *arguments, expect=expect, text=self.text)

    def program(self, *arguments, expect=0):
        # A state and cache of its own for each run: nothing is known from before.
        home = tempfile.mkdtemp(dir=self.dir)
        env = {**os.environ, "HOLDFAST_STATE_DIR": home + "/state", "LC_ALL": "C.UTF-8",
               "HOLDFAST_CACHE_DIR": home + "/cache", "HOLDFAST_PASSPHRASE": self.text,
               "HOLDFAST_VAULT": self.small.path}
        done = subprocess.run([support.PROGRAM, *arguments], env=env, capture_output=True,
                              timeout=support.TIMEOUT_S, stdin=subprocess.DEVNULL)
        ran = support.Ran(arguments, done.returncode, done.stdout,
                          done.stderr.decode("utf-8", "replace"), 0)
        self.assertIn(ran.code, expect if isinstance(expect, tuple) else (expect,), str(ran))
        return ran

    def check(self, expect=0):
        return self.program("vault", "check", "--read-data", "100", "--json", expect=expect)

    def assert_points(self, ids, reader_code=0):
        """Both list these points and no others. Returns what the reader says of the rest."""
        listed_ = self.reader("points", expect=reader_code)
        self.assertEqual([line.split("\t")[0] for line in listed_.out.splitlines()], ids)
        found = self.program("points", "--deleted", "--json", expect=(0, 3))
        self.assertEqual([o["id"] for o in found.of("point")], ids, str(found))
        return listed_.err

    def files(self):
        for point, file, chunk in ((0, "/etc/hosts", "hosts"), (1, "/etc/hosts", "new_hosts"),
                                   (0, "/home/a", "note"), (1, "/home/a", "new_note")):
            yield self.ids[point], file, self.small.vectors[f"chunk.{chunk}.bytes"]

    def assert_reads_of_reader(self, code=0):
        for point, file, expected in self.files():
            ran = self.reader("cat", point, file, expect=code)
            self.assertEqual(ran.out_bytes, expected)

    def assert_reads(self, code=0):
        """Both find the right bytes."""
        self.assert_reads_of_reader(code)
        for point, file, expected in self.files():
            ran = self.program("cat", f"{point}:{file}", expect=(0, 3))
            self.assertEqual(ran.out_bytes, expected)

    def assert_whole(self):
        self.assert_points(self.ids)
        self.assert_reads()
        self.check()

    def assert_no_point(self, name, *words):
        """An object below points/ is none and is named; the others are read as ever."""
        err = self.assert_points(self.ids, reader_code=3)
        self.assertRegex(err, "defect: " + name + ".*" + ".*".join(words))
        found = self.check(expect=1)
        self.assertIn(name, found.out, str(found))
        self.assert_reads(code=3)

    def assert_unreadable(self, file, *words, point=0, check=True):
        """A file is refused by both, and nothing of it comes out."""
        ran = self.reader("cat", self.ids[point], file, expect=1)
        self.assertEqual(ran.out_bytes, b"")
        for word in words:
            self.assertIn(word, ran.err)
        ran = self.program("cat", f"{self.ids[point]}:{file}", expect=1)
        self.assertEqual(ran.out_bytes, b"", str(ran))
        self.program("restore", self.ids[point], "--to", self.dir + "/out", expect=(1, 3))
        restored = self.dir + "/out" + file
        self.assertFalse(os.path.exists(restored), restored)
        if check:
            self.check(expect=1)

    def assert_closed(self, *words):
        """Neither opens the vault with the passphrase."""
        ran = self.reader("points", expect=1)
        self.assertEqual(ran.out, "")
        for word in words:
            self.assertIn(word, ran.err)
        self.program("points", expect=1)
        self.program("cat", self.ids[1] + ":/etc/hosts", expect=1)
        self.check(expect=1)

    def put_point(self, data, sequence=4, item=None):
        name = self.small.point_name(sequence, item)
        self.small.put(name, data)
        return name


class SignedObjects(RefusalTest):
    """Manifests, session objects, and what leads to the keys."""

    def test_a_right_new_manifest_is_a_point(self):
        """So that the refusals below are for what they say."""
        name = self.put_point(self.small.manifest(4, *self.small.new_session()))
        self.ids.append(crypto.sha256(self.small.get(name)).hex())
        self.assert_points(self.ids)
        self.assertEqual(self.reader("cat", self.ids[2], "etc/hosts").out_bytes,
                         self.small.vectors["chunk.hosts.bytes"])

    def test_session_of_a_key_that_nobody_enrolled(self):
        small = self.small
        wrap, key = small.new_session()
        self.assert_no_point(self.put_point(small.manifest(4, wrap, key, seed=STRANGER)), "signature")

    def test_session_of_an_agent_that_nobody_enrolled(self):
        small = self.small
        wrap, key = small.new_session(agent=OTHER, agent_secret=bytes(32))
        self.assert_no_point(self.put_point(small.manifest(4, wrap, key, seed=STRANGER)), "roster")

    def test_manifest_under_another_item(self):
        self.assert_no_point(self.put_point(self.small.get(self.small.point_name(2)), 1, OTHER),
                             "item")

    def test_manifest_under_another_number(self):
        self.assert_no_point(self.put_point(self.small.get(self.small.point_name(2))), "sequence")

    def test_manifest_of_another_vault(self):
        small = self.small
        self.assert_no_point(self.put_point(small.manifest(4, *small.new_session(), vault=OTHER)),
                             "vault")

    def test_manifest_with_a_bit_flipped(self):
        data = bytearray(self.small.manifest(4, *self.small.new_session()))
        for at in (9, 40, 100, 250, len(data) - 70, len(data) - 1):
            changed = bytes(data[:at]) + bytes([data[at] ^ 4]) + bytes(data[at + 1:])
            name = self.put_point(changed)
            self.assertIn(name, self.assert_points(self.ids, reader_code=3))
        self.assert_no_point(name)

    def test_manifest_of_an_unknown_domain(self):
        small = self.small
        wrap, key = small.new_session(domain=OTHER)
        self.assert_no_point(self.put_point(small.manifest(4, wrap, key, domain=OTHER)), "domain")

    def test_manifest_of_a_domain_that_its_agent_is_not_in(self):
        small = self.small
        small.put("roster/0000000003", small.roster(3, extra_domain=OTHER))
        self.assert_whole()
        wrap, key = small.new_session(domain=OTHER)
        self.assert_no_point(self.put_point(small.manifest(4, wrap, key, domain=OTHER)), "domain")

    def assert_damaged_point(self, name, *words):
        """In the list, but without anything of its body."""
        point_id = crypto.sha256(self.small.get(name)).hex()
        ran = self.reader("points", expect=3)
        line = next(x for x in ran.out.splitlines() if x.startswith(point_id))
        self.assertIn("damaged", line)
        self.assertNotIn("/etc", line)
        self.assertRegex(ran.err, "defect: " + name + ".*" + ".*".join(words))
        found = self.check(expect=1)
        self.assertRegex(found.out, name + "|" + point_id[:12])
        listed_ = self.program("points", "--json", expect=(0, 3)).of("point")
        point = next(o for o in listed_ if o["id"] == point_id)
        self.assertNotIn("/etc", str(point))

    def test_claim_to_another_agents_item(self):
        """Any agent can sign a manifest for any item: the name inside tells."""
        small = self.small
        self.assert_damaged_point(self.put_point(
            small.manifest(1, *small.new_session(item=OTHER)), 1, OTHER), "item")

    def test_claim_with_another_name(self):
        small = self.small
        self.assert_damaged_point(self.put_point(
            small.manifest(4, *small.new_session(), name=b"else")), "item")

    def test_session_key_of_nobody(self):
        """A manifest of the agent for a session that it did not make."""
        small = self.small
        wrap, _ = small.new_session()
        self.assert_damaged_point(self.put_point(small.manifest(4, wrap, bytes(32))), "authenticate")

    # --- Tombstones, closing lists, session objects

    def test_second_tombstone(self):
        """A point counts only if the closing lists of all runs that have one name it."""
        small, session = self.small, self.small.vectors["session2.id"]
        small.tombstone(session, OTHER)
        self.assert_points(self.ids)
        row = small.item + u64(2) + small.vectors["point2.id"]
        small.closing(OTHER, [row])
        self.assert_points(self.ids)
        for wrong in (bytes(16) + row[16:], row[:16] + u64(3) + row[24:], row[:24] + bytes(32)):
            small.closing(OTHER, [wrong])
            self.assert_points(self.ids[:1])

    def test_closing_list_that_is_not_to_be_believed(self):
        """It says nothing: the point is not taken, and that is a defect."""
        small = self.small
        small.tombstone(small.vectors["session2.id"], OTHER)
        row = small.item + u64(2) + small.vectors["point2.id"]
        name = small.closing(OTHER, [row])
        self.assert_points(self.ids)
        data = small.get(name)
        for damaged in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + b"\0", b""):
            with self.subTest(len(damaged)):
                small.put(name, damaged)
                self.assertIn("0000000002", self.assert_points(self.ids[:1], reader_code=3))
                self.check(expect=1)
        for why, forged in (("stranger", {"seed": STRANGER}), ("agent", {"seed": small.signing_seed}),
                            ("nobody's id", {"maintainer": OTHER}), ("vault", {"vault": OTHER}),
                            ("magic", {"magic": b"HFV1COND"})):
            with self.subTest(why):
                small.closing(OTHER, [row], **forged)
                self.assertIn("0000000002", self.assert_points(self.ids[:1], reader_code=3))
                self.check(expect=1)

    def test_tombstone_that_is_none(self):
        """Whoever may put objects hides no point: it takes a maintainer's key."""
        small, session = self.small, self.small.vectors["session1.id"]
        name = small.tombstone(session, OTHER)
        small.closing(OTHER, [])
        self.assert_points(self.ids[1:])
        self.check()
        good, second = small.get(name), small.vectors["session2.id"]
        elsewhere = small.tombstone(second, OTHER)  # of another session, by the same run
        moved = small.get(elsewhere)
        small.remove(elsewhere)
        for damaged in (b"", good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]),
                        good[:80] + crypto.sha256(good[:80]),  # as they were once
                        good[:24] + OTHER + good[40:], moved):
            with self.subTest(len(damaged)):
                small.put(name, damaged)
                self.assertIn(name, self.assert_points(self.ids, reader_code=3))
                self.assertIn(name, self.check(expect=1).out)
        for why, forged in (("stranger", {"seed": STRANGER}), ("agent", {"seed": small.signing_seed}),
                            ("agent, by its id", {"seed": small.signing_seed,
                                                  "maintainer": small.agent}),
                            ("vault key", {"seed": small.vault_seed}),
                            ("nobody's id", {"maintainer": OTHER}), ("vault", {"vault": OTHER})):
            with self.subTest(why):
                small.tombstone(session, OTHER, **forged)
                self.assertIn(name, self.assert_points(self.ids, reader_code=3))
                self.assertIn(name, self.check(expect=1).out)

    def test_session_objects_under_other_names(self):
        """Readers of data need none of them; a check looks at all."""
        small, first = self.small, self.small.vectors["session1.id"].hex()
        third = small.vectors["session3.id"].hex()
        for of, to in (("begin", f"{OTHER.hex()}/begin"), ("end", f"{third}/end"),
                       ("end", f"{OTHER.hex()}/heir")):
            with self.subTest(to):
                small.put(f"sessions/{to}", small.get(f"sessions/{first}/{of}"))
                self.assert_points(self.ids)
                self.assertIn(to, self.check(expect=1).out)
                small.remove(f"sessions/{to}")
        self.assert_whole()

    def test_begin_and_end_of_a_stranger(self):
        small = self.small
        wrap, _ = small.new_session()
        session = wrap.session
        begin = (b"HFV1SESS" + small.id + small.domain + encode_wrap(wrap) + u64(0) + bytes(32)
                 + u64(2) + u64(0) + block(b"forge") + b"\0")
        end = (b"HFV1SEND" + small.id + session + small.domain + small.agent + b"\1" + u64(4)
               + u64(0) + b"\0")
        epoch = b"HFV1EPOC" + small.id + session + u32(1) + u64(0) + b"\0"
        at = f"sessions/{session.hex()}/"
        objects = {"begin": begin, "end": end, "epoch-0000000001": epoch}
        for name, data in objects.items():
            small.put(at + name, sign(data, small.signing_seed))
        self.check()
        for name, data in objects.items():
            with self.subTest(name):
                small.put(at + name, sign(data, STRANGER))
                self.assertIn(at + name, self.check(expect=1).out)
                small.put(at + name, sign(data, small.signing_seed))
        self.assert_points(self.ids)

    # --- Rosters, successions, slots, description

    def test_roster_of_a_stranger(self):
        """The attacker's own vault key, and a recovery key that he could open sessions with."""
        small = self.small
        own = crypto.x25519_public(b"\x33" * 32)
        small.put("roster/0000000003", small.roster(3, seed=STRANGER, recovery_key=own))
        self.assertIn("roster/0000000003", self.assert_points(self.ids))
        self.assertIn("roster/0000000003", self.check(expect=(0, 1)).out)
        self.assert_reads()

    def test_foreign_recovery_key_in_a_roster_in_force(self):
        small = self.small
        small.put("roster/0000000003", small.roster(3))
        self.assert_whole()
        own = crypto.x25519_public(b"\x33" * 32)
        small.put("roster/0000000003", small.roster(3, recovery_key=own))
        self.assert_closed("recovery key")

    def test_roster_with_a_field_that_does_not_open(self):
        self.small.put("roster/0000000003", self.small.roster(3, roster_key=bytes(32)))
        self.assert_closed("authenticate")

    def test_roster_of_an_earlier_generation(self):
        small = self.small
        small.put("roster/0000000003", small.get("roster/0000000001"))
        self.assertIn("roster/0000000003", self.assert_points(self.ids))
        small.remove("roster/0000000003")
        self.assert_whole()
        small.remove("roster/0000000002")
        self.assert_closed("no roster")

    def succession(self, generation, old_seed, new_seed, old_key=None):
        body = (b"HFV1SUCC" + self.small.id + u32(generation)
                + (old_key or crypto.ed25519_public(old_seed)) + crypto.ed25519_public(new_seed)
                + crypto.x25519_public(b"\x33" * 32) + u64(0))
        return sign(sign(body, new_seed), old_seed)

    def test_successions(self):
        small, name = self.small, "succession/0000000002"
        key = crypto.ed25519_public(small.vault_seed)
        good = self.succession(2, small.vault_seed, STRANGER)
        junk = ((self.succession(2, STRANGER, STRANGER), "vault key"),
                (self.succession(2, STRANGER, STRANGER, old_key=key), "old key"),
                (self.succession(3, small.vault_seed, STRANGER), "generation"),
                (good[:195] + bytes([good[195] ^ 1]) + good[196:], "new key"),
                (good + b"\0", "left over"), (b"", "too early"))
        for data, word in junk:
            with self.subTest(word):
                small.put(name, data)
                self.assertRegex(self.assert_points(self.ids, reader_code=3), f"{name}.*{word}")
                self.assertIn(name, self.check(expect=1).out)
        self.assert_reads(code=3)
        small.put(name, good)
        self.assert_closed("out of date")
        small.remove(name)
        self.assert_whole()
        name = "succession/0000000001"
        for data, word in junk:
            with self.subTest(word + ", first"):
                small.put(name, data)
                self.assert_closed(name)
        small.remove(name)
        self.assert_closed()

    def test_description_of_a_stranger(self):
        """Everything that is signed from the beginning on is the attacker's own."""
        small = self.small
        data = small.get("vault")
        forged = sign(data[:28] + crypto.ed25519_public(STRANGER) + data[60:-64], STRANGER)
        small.put("vault", forged)
        self.assert_closed()
        old_key = crypto.ed25519_public(STRANGER)
        body = (b"HFV1SUCC" + small.id + u32(1) + old_key
                + crypto.ed25519_public(STRANGER) + bytes(32) + u64(0))
        small.put("succession/0000000001", sign(sign(body, STRANGER), STRANGER))
        self.assert_closed("not the slot's")

    def test_description_that_asks_for_more(self):
        small = self.small
        data = small.get("vault")
        for forged in (data[:8] + u32(2) + data[12:], data + b"\0", data[:-1],
                       data[:30] + bytes([data[30] ^ 1]) + data[31:], b""):
            small.put("vault", forged)
            self.assert_closed()

    def slot(self, log2_n=17, r=8, p=1, generation=1, digest=True, kind=1, plain=None):
        small, slot = self.small, OTHER
        head = (b"HFV1SLOT" + small.id + slot + bytes([kind]) + u32(generation) + u64(0) + block(b"")
                + bytes([log2_n]) + u32(r) + u32(p) + bytes(32))
        key = bytes(32)
        if log2_n == 17 and r == 8 and p == 1:
            key = crypto.passphrase_key(small.passphrase.encode(), bytes(32), 17, 8, 1)
        sealed = seal(key, plain or small.vectors["slot.vault_secret"], head)
        body = head + sealed[:12] + (len(sealed) - 12).to_bytes(2, "little") + sealed[12:]
        data = with_digest(body)
        small.put(f"keys/{slot.hex()}", data if digest else data[:-1] + bytes([data[-1] ^ 1]))

    def test_slots(self):
        """One alone: if it is right the vault opens, else not, and at no cost."""
        small = self.small
        for name in small.store.list("keys"):
            small.remove(name)
        self.text = small.passphrase
        self.slot()
        self.assert_points(self.ids)
        secret = small.vectors["slot.vault_secret"]
        for changes in ({"digest": False}, {"log2_n": 63}, {"log2_n": 16}, {"r": 2**31},
                        {"p": 2**30}, {"kind": 3}, {"generation": 0}, {"plain": secret + b"\0"},
                        {"plain": b"\2" + secret[1:]}, {"plain": secret[:-36]},
                        {"plain": secret[:69] + u32(1001) + secret[73:]}):
            with self.subTest(str(changes)[:40]):
                self.slot(**changes)
                self.reader("points", expect=1)
                self.program("points", "--json", expect=(0, 1))
                self.program("cat", self.ids[0] + ":/etc/hosts", expect=1)

    def test_slot_of_an_earlier_generation(self):
        """Kept from before a rotation, alone or beside the right one. The secret is the true one."""
        small, v = self.small, self.small.vectors
        seed = crypto.sha256(b"holdfast vector vault seed 0")
        plain = (b"\1" + u32(0) + seed + v["roster1.roster_key"] + u32(1) + u32(0)
                 + v["session1.recovery_private_key"])
        self.slot(generation=0, plain=plain)
        self.text = small.passphrase
        small.put(self.passphrase_slot, v["object." + self.passphrase_slot])
        self.assert_points(self.ids)
        for name in small.store.list("keys"):
            if OTHER.hex() not in name:
                small.remove(name)
        self.reader("points", expect=1)
        self.program("cat", self.ids[0] + ":/etc/hosts", expect=1)
