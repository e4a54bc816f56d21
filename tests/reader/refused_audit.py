"""Forged, cut and refused entries of the audit log, and what those that count do to points; see
refusals.py."""

from forge import DAY_NS, T0, action, block, grant, listed, point_list, sign
from holdfast_reader import crypto
from holdfast_reader.wire import u16, u32, u64, varint
from refusals import OTHER, STRANGER, RefusalTest

SECOND = bytes(range(0x11, 0x21))  # id of another granted key
SECOND_SEED, SECOND_KEY = b"\x21" * 32, crypto.ed25519_public(b"\x21" * 32)
APPROVER = bytes(range(0x31, 0x41))
APPROVER_SEED, APPROVER_KEY = b"\x41" * 32, crypto.ed25519_public(b"\x41" * 32)
OLD_SEED = crypto.sha256(b"holdfast vector vault seed 0")
ALL = bytes(16)
BY_POLICY, BY_HAND = b"\1", b"\2"


def policy(last=0, daily=0, within=0, minimum_age=0, labels=(), zone=b"", burst=0, shrink=0):
    return (varint(last) + b"\0" + varint(daily) + b"\0\0\0" + varint(within) + varint(minimum_age)
            + listed([block(x) for x in labels]) + block(zone) + varint(burst) + varint(shrink))


def set_policy(name, **rules):
    return action(4, block(name), policy(**rules))


def assign(item, name):
    return action(6, item, block(name))


def soft_delete(item, why, *points):
    return action(7, item, why, point_list(*points))


def purge(item, *points):
    return action(9, item, point_list(*points))


def set_immutability(name, level):
    return action(13, block(name), bytes([level]))


def request(*actions):
    return action(15, block(listed(actions)))


GENERATION, CONFIRM_CLOCK, NOTE = action(3), action(17), action(19, b"\2", block(b"done"))


class Lifecycle(RefusalTest):
    def setUp(self):
        super().setUp()
        self.head, self.time_ns, self.passed_over = None, T0, []

    # --- A log of entries that count and others that do not

    def good(self, *actions, **more):
        """An entry that counts. Returns (sequence, hash)."""
        name = self._entry(actions, more)
        self.head = int(name[-10:]), crypto.sha256(self.small.get(name))
        return self.head

    def bad(self, *actions, **more):
        """An entry that does not count, however right it is otherwise."""
        name = self._entry(actions, more)
        self.passed_over.append(name)
        return name

    def _entry(self, actions, more):
        if self.head is None:
            self.head = 2, crypto.sha256(self.small.get("audit/0000000002"))
        return self.small.entry(*actions, **{"previous": self.head, "time_ns": self.time_ns, **more})

    def by_maintainer(self):
        return {"granted": self.small.maintainer}

    def by_approver(self):
        return {"granted": APPROVER, "seed": APPROVER_SEED}

    def assert_log(self, ids=None):
        """Reader and program pass over exactly the bad ones. Returns what the reader says."""
        err = self.assert_points(self.ids if ids is None else ids,
                                 reader_code=3 if self.passed_over else 0)
        found = self.check(expect=1 if self.passed_over else 0).out
        for who, said in (("reader", err), ("program", found)):
            named = [n for n in self.small.store.list("audit") if n in said]
            self.assertEqual(named, self.passed_over, who + ": " + said)
        return err

    def assert_maintains(self, maintainer, seed, does):
        """Whether this key's tombstones count."""
        name = self.small.tombstone(self.small.vectors["session1.id"], OTHER, maintainer, seed)
        closing = self.small.closing(OTHER, [])  # that leaves the point out
        err = self.assert_points(self.ids[1:] if does else self.ids,
                                 reader_code=0 if does and not self.passed_over else 3)
        self.assertEqual(name in err, not does)
        self.assertEqual(name in self.check(expect=(0, 1)).out, not does)
        self.small.remove(name)
        self.small.remove(closing)

    # --- Who signs

    def test_grants(self):
        self.good(grant(SECOND, SECOND_KEY))
        self.good(grant(APPROVER, APPROVER_KEY, role=2))
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, True)
        self.assert_maintains(APPROVER, APPROVER_SEED, False)
        self.good(action(2, SECOND))
        self.assert_log()
        # What it signed before stays, and nobody can tell when it signed.
        self.assert_maintains(SECOND, SECOND_SEED, True)

    def test_forged_grants(self):
        """Of the attacker's own key, by every key that an attacker may have but the vault's."""
        small = self.small
        forged = grant(SECOND, SECOND_KEY)
        for why, by in (("stranger", {"seed": STRANGER}), ("agent", {"seed": small.signing_seed}),
                        ("maintainer", self.by_maintainer()),
                        ("maintainer as the vault", {"seed": small.maintainer_seed}),
                        ("nobody's id", {"granted": OTHER, "seed": STRANGER}),
                        ("itself", {"granted": SECOND, "seed": SECOND_SEED}),
                        ("earlier vault key", {"seed": OLD_SEED, "generation": 0}),
                        ("a vault key to come", {"seed": STRANGER, "generation": 2}),
                        ("other vault", {"vault": OTHER})):
            with self.subTest(why):
                self.bad(forged, **by)
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, False)
        # The owner's own word still finds its place behind all of them.
        self.good(forged)
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, True)

    def test_entries_of_a_revoked_key(self):
        small = self.small
        self.good(grant(SECOND, SECOND_KEY))
        self.good(NOTE, granted=SECOND, seed=SECOND_SEED)
        self.good(action(2, SECOND))
        self.bad(NOTE, granted=SECOND, seed=SECOND_SEED)
        self.bad(grant(SECOND, crypto.ed25519_public(STRANGER)))  # the id again
        self.bad(grant(OTHER, SECOND_KEY))  # the key again
        self.bad(action(2, SECOND))
        self.good(action(2, small.maintainer))
        self.bad(NOTE, **self.by_maintainer())
        self.assert_log()

    # --- The chain

    def test_entry_under_another_number(self):
        small = self.small
        self.good(NOTE)
        small.put("audit/0000000009", small.get("audit/0000000003"))
        self.passed_over.append("audit/0000000009")
        self.assertIn("sequence than its name", self.assert_log())

    def test_cut_chain(self):
        small = self.small
        self.good(grant(SECOND, SECOND_KEY))
        kept = small.get("audit/0000000003")
        self.good(grant(APPROVER, APPROVER_KEY, role=2))
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, True)
        for what in (None, kept[:-1], kept[:-1] + bytes([kept[-1] ^ 1]), b""):
            with self.subTest(what and len(what)):
                self.passed_over = ["audit/0000000004"]
                if what is None:
                    small.remove("audit/0000000003")
                else:
                    small.put("audit/0000000003", what)
                    self.passed_over.insert(0, "audit/0000000003")
                self.assertIn("follows another entry", self.assert_log())
                self.assert_maintains(SECOND, SECOND_SEED, False)

    def test_chain_without_its_beginning(self):
        """Nobody is a maintainer then: what tombstones hid is shown, and all of it is told."""
        small = self.small
        small.remove("audit/0000000001")
        self.passed_over = ["audit/0000000002"]
        self.assert_log([*self.ids, small.vectors["point3.id"].hex()])

    def test_previous_that_is_not_the_last(self):
        self.good(NOTE)
        before = self.head
        self.good(NOTE)
        self.bad(NOTE, previous=before)
        self.bad(NOTE, previous=(self.head[0], bytes(32)))
        self.bad(NOTE, previous=(0, bytes(32)))
        self.bad(NOTE, previous=(9, self.head[1]))  # not less than its own
        self.bad(NOTE, sequence=20, previous=(20, self.head[1]))
        self.good(NOTE, sequence=10**10)  # numbers may be left out
        self.assert_log()

    def test_other_names(self):
        small = self.small
        for name in ("audit/0000000000", "audit/3", "audit/00000000003", "audit/x"):
            small.put(name, small.get("audit/0000000002"))
        ran = self.reader("points", expect=3)
        found = self.check(expect=1)
        for name in ("audit/0000000000", "audit/3", "audit/00000000003", "audit/x"):
            self.assertIn(name + ":", ran.err)
            self.assertIn(name, found.out)

    # --- What does not decode

    def test_actions_that_do_not_decode(self):
        """The whole entry is passed over then, also what it says before."""
        item, first = self.small.item, (1, bytes(32))
        wrong = {
            "type 0": action(0), "type 20": action(20), "type 255": action(255, bytes(40)),
            "role": grant(OTHER, bytes(32), role=3), "role 0": grant(OTHER, bytes(32), role=0),
            "label": action(1, OTHER, bytes(32), b"\1", block(bytes(256))),
            "reason": soft_delete(item, b"\3", first), "flag": action(14, b"\2"),
            "level": set_immutability(b"", 3), "note": action(19, b"\4", block(b"")),
            "note 0": action(19, b"\0", block(b"")), "text": action(19, b"\1", block(bytes(1025))),
            "twice": soft_delete(item, BY_HAND, first, first),
            "falling": purge(item, (2, bytes(32)), first),
            "sequences": action(8, item, listed([u64(2), u64(2)])),
            "many": action(8, item, listed([u64(n) for n in range(10_001)])),
            "count": action(8, item, varint(10_000), u64(1)),
            "name": set_policy(bytes(256)), "labels": set_policy(b"p", labels=[b"x"] * 65),
            "shrink": set_policy(b"p", shrink=101), "last": set_policy(b"p", last=2**32),
            "burst": set_policy(b"p", burst=2**32), "within": set_policy(b"p", within=6324480001),
            "age": set_policy(b"p", minimum_age=200 * 366 * 86400 + 1),
            "zone": set_policy(b"p", zone=bytes(256)),
            "request of a request": request(request(NOTE)),
            "request of an approval": request(action(16, u64(1), bytes(32))),
            "request of nothing known": request(action(20)),
            "request with more": action(15, block(listed([NOTE]) + b"\0")),
        }
        for why, data in wrong.items():
            self.bad(grant(SECOND, SECOND_KEY), data)
        self.bad(grant(SECOND, SECOND_KEY), tail=b"\0")
        self.bad(*[NOTE] * 10_001)
        name = self.bad(NOTE)
        data = self.small.get(name)
        self.small.put(name, sign(data[:80] + b"\2" + data[81:-64], self.small.vault_seed))
        self.good(NOTE)
        # Over 1 MiB, with nothing else wrong.
        self.bad(*[action(19, b"\1", block(bytes(1000)))] * 1100)
        self.good(*[action(19, b"\1", block(bytes(1000)))] * 1000)
        self.good(*[NOTE] * 10_000)
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, False)

    # --- The rules

    def test_rules_of_policies(self):
        m, item = self.by_maintainer(), self.small.item
        self.bad(set_policy(b"p", last=3), **m)
        self.bad(set_policy(b"", last=3))
        self.bad(assign(item, b"p"))
        self.bad(soft_delete(item, BY_POLICY, (7, bytes(32))), **m)  # without a policy
        self.good(set_policy(b"age", minimum_age=5), assign(item, b"age"))
        self.bad(soft_delete(item, BY_POLICY, (7, bytes(32))), **m)  # without a rule
        full = {"last": 3, "daily": 2, "within": 9, "minimum_age": 5, "labels": [b"a", b"b"],
                "zone": b"Europe/Berlin", "burst": 3, "shrink": 50}
        self.good(set_policy(b"p", **full), set_policy(b"q", last=2), assign(ALL, b"q"),
                  assign(item, b"p"))
        self.good(soft_delete(item, BY_POLICY, (7, bytes(32))), **m)
        self.good(soft_delete(OTHER, BY_POLICY, (7, bytes(32))), **m)  # by the one for all
        self.bad(soft_delete(item, BY_POLICY, (8, bytes(32))))  # not the vault key's
        self.bad(soft_delete(item, BY_POLICY, (7, bytes(32))), **m)  # twice
        self.bad(action(5, block(b"p")))  # assigned
        self.bad(action(5, block(b"q")))
        self.bad(action(5, block(b"r")))
        self.good(action(5, block(b"age")))
        self.good(set_immutability(b"p", 1))
        self.bad(soft_delete(item, BY_HAND, (8, bytes(32))))
        self.good(soft_delete(item, BY_POLICY, (8, bytes(32))), **m)
        for less in ({"last": 2}, {"daily": 0}, {"within": 8}, {"minimum_age": 4}, {"zone": b""},
                     {"labels": [b"b"]}, {"burst": 4}, {"burst": 0}, {"shrink": 51}, {"shrink": 0}):
            self.bad(set_policy(b"p", **{**full, **less}))
        self.good(set_policy(b"p", **{**full, "last": 4, "labels": [b"b", b"c", b"a"], "burst": 2}))
        self.bad(assign(item, b"q"))
        self.bad(assign(item, b""))  # the one for all
        self.good(set_policy(b"more", **{**full, "last": 9, "labels": [b"a", b"b", b"c"],
                                         "burst": 2}))
        self.bad(assign(item, b"more"))  # keeps more, but can be changed
        self.good(set_immutability(b"more", 2), assign(item, b"more"))
        self.bad(set_immutability(b"more", 1))
        self.good(set_policy(b"more"))  # without a rule: everything stays
        self.bad(set_policy(b"more", **full))
        self.bad(set_immutability(b"nobody's", 1))
        self.good(set_immutability(b"p", 0))
        self.good(set_policy(b"p", last=1))
        self.good(set_immutability(b"", 1))  # the vault
        self.bad(set_policy(b"q", last=1))
        self.bad(assign(ALL, b"p"))
        self.good(assign(ALL, b""))
        self.bad(assign(ALL, b"q"))
        self.good(action(12, u16(30)))
        self.bad(action(12, u16(29)))
        self.bad(soft_delete(OTHER, BY_HAND, (1, bytes(32))))
        self.good(set_immutability(b"", 0))
        self.good(action(12, u16(14)))
        self.bad(action(12, u16(13)))
        self.bad(action(12, u16(181)))
        self.good(set_immutability(b"", 2))
        self.bad(set_immutability(b"", 0))
        self.assert_log()

    def test_rules_of_holds(self):
        m, item, first = self.by_maintainer(), self.small.item, (7, bytes(32))
        self.bad(action(10, item, u64(7), block(b"why")), **m)
        self.good(action(10, item, u64(7), block(b"why")), action(10, OTHER, u64(0), block(b"")))
        self.bad(soft_delete(item, BY_HAND, first))
        self.bad(soft_delete(OTHER, BY_HAND, first))
        self.bad(soft_delete(item, BY_HAND, (9, bytes(32)), (8, bytes(32))))  # does not rise
        self.good(soft_delete(item, BY_HAND, (8, bytes(32))))
        self.bad(action(11, item, u64(8)))
        self.bad(action(11, item, u64(0)))
        self.bad(action(11, item, u64(7)), **m)
        self.good(action(11, item, u64(7)))
        self.good(soft_delete(item, BY_HAND, first))
        self.bad(action(8, item, listed([u64(7), u64(9)])))
        self.bad(action(8, item, listed([u64(7)])), **m)
        self.good(action(8, item, listed([u64(7), u64(8)])))
        self.bad(action(8, item, listed([u64(7)])))
        # Half of an entry is nothing.
        self.bad(action(10, item, u64(0), block(b"all")), action(11, item, u64(1)))
        self.good(soft_delete(item, BY_HAND, first))
        self.good(action(10, item, u64(0), block(b"all")))
        self.time_ns += 15 * DAY_NS
        self.bad(purge(item, first))
        self.good(action(18, item, u64(4)), action(11, item, u64(0)))
        self.bad(action(18, item, u64(4)), **m)
        self.bad(purge(item, (7, b"\1" * 32)))
        self.good(purge(item, first))
        self.bad(purge(item, first))
        self.assert_log()

    def test_rules_of_approvals(self):
        m, item = self.by_maintainer(), self.small.item
        self.bad(action(14, b"\1"))  # no approver
        self.good(grant(APPROVER, APPROVER_KEY, role=2))
        self.bad(request(NOTE))
        self.good(set_policy(b"p", last=3), set_policy(b"none"), action(14, b"\1"),
                  action(12, u16(20)), set_immutability(b"p", 1),
                  action(10, item, u64(0), block(b"")))
        for needs in (grant(SECOND, SECOND_KEY), action(2, self.small.maintainer),
                      set_policy(b"p", last=2), assign(item, b"p"), action(5, block(b"none")),
                      soft_delete(OTHER, BY_HAND, (7, bytes(32))), action(11, item, u64(0)),
                      action(12, u16(19)), set_immutability(b"p", 0), action(14, b"\0"),
                      CONFIRM_CLOCK, action(18, item, u64(4)), action(2, APPROVER)):
            self.bad(needs)
        self.good(NOTE, action(10, OTHER, u64(0), block(b"")), action(12, u16(21)), GENERATION)
        self.bad(request(action(2, APPROVER)))  # would not be allowed with one either
        self.bad(request(action(11, item, u64(0)), action(11, item, u64(0))))
        self.bad(request(action(11, item, u64(0))), **m)
        self.bad(request(action(11, item, u64(0))), **self.by_approver())
        asked = self.good(request(action(11, item, u64(0)), grant(SECOND, SECOND_KEY)))
        other = self.good(request(action(11, OTHER, u64(0))))
        approval = action(16, u64(asked[0]), asked[1])
        self.bad(approval)
        self.bad(approval, **m)
        self.bad(action(16, u64(asked[0]), other[1]), **self.by_approver())
        self.bad(purge(item), **self.by_approver())
        self.bad(action(10, item, u64(1), block(b"")), **self.by_approver())
        self.bad(approval, **self.by_approver(), time_ns=self.time_ns + 14 * DAY_NS + 1)
        self.good(approval, **self.by_approver(), time_ns=self.time_ns + 14 * DAY_NS)
        self.bad(approval, **self.by_approver())
        self.bad(action(16, u64(other[0]), other[1]), **self.by_approver(),
                 time_ns=self.time_ns + 15 * DAY_NS)
        self.good(NOTE, granted=SECOND, seed=SECOND_SEED)
        self.bad(action(11, item, u64(0)))  # done
        self.bad(request(request(NOTE)))
        asked = self.good(request(action(18, item, u64(4))))
        self.good(action(16, u64(asked[0]), asked[1]), **self.by_approver())
        self.bad(action(16, u64(asked[0]), asked[1]), **self.by_approver())  # once
        asked = self.good(request(GENERATION))  # may be asked for, in vain
        self.bad(action(16, u64(asked[0]), asked[1]), **self.by_approver())
        asked = self.good(request(action(14, b"\0")))
        self.good(action(16, u64(asked[0]), asked[1]), **self.by_approver())
        self.good(action(2, APPROVER))
        self.assert_log()
        self.assert_maintains(SECOND, SECOND_SEED, True)

    def test_generations(self):
        """An earlier vault key signs nothing once a later one spoke."""
        small = self.small
        self.bad(GENERATION, seed=OLD_SEED, generation=0)
        small.remove("audit/0000000002")
        small.remove("audit/0000000003")
        first = 1, crypto.sha256(small.get("audit/0000000001"))
        self.passed_over, self.head = [], first
        self.good(NOTE, seed=OLD_SEED, generation=0)
        self.bad(GENERATION, **self.by_maintainer())
        self.good(GENERATION)
        self.bad(NOTE, seed=OLD_SEED, generation=0)
        self.assert_log()

    # --- What the log does to points

    def second(self):
        return 2, self.small.vectors["point2.id"]

    def deleted_marks(self):
        listed_ = self.reader("points", expect=(0, 3))
        return [line.endswith(", deleted") for line in listed_.out.splitlines()]

    def test_soft_deleted_point(self):
        """It stays in the list, with a mark, and can be read."""
        item = self.small.item
        self.good(soft_delete(item, BY_HAND, self.second()))
        self.assert_log()
        self.assertEqual(self.deleted_marks(), [False, True])
        self.assert_reads()
        self.assertEqual(self.reader("cat", "latest", "etc/hosts").out_bytes,
                         self.small.vectors["chunk.hosts.bytes"])
        self.good(action(8, item, listed([u64(2)])))
        self.assertEqual(self.deleted_marks(), [False, False])
        self.good(soft_delete(item, BY_HAND, (2, bytes(32))))  # another object of this number
        self.assertEqual(self.deleted_marks(), [False, False])
        self.assert_log()

    def test_deletion_by_somebody_else(self):
        small = self.small
        for by in ({"seed": STRANGER}, {"seed": small.signing_seed}, self.by_maintainer()):
            self.bad(soft_delete(small.item, BY_HAND, self.second()), **by)
        self.assert_log()
        self.assertEqual(self.deleted_marks(), [False, False])

    def test_purged_point(self):
        """It is none, whether its manifest is there or not, and leaves no gap."""
        small, item, m = self.small, self.small.item, self.by_maintainer()
        self.bad(purge(item, self.second()), **m)  # never deleted
        self.good(set_policy(b"p", last=1), assign(ALL, b"p"))
        self.good(soft_delete(item, BY_POLICY, self.second()), **m)
        self.time_ns += 14 * DAY_NS
        self.bad(purge(item, self.second()), **m, time_ns=self.time_ns - 1)
        self.bad(purge(item, (2, bytes(32))), **m)
        self.bad(purge(item, self.second()), seed=STRANGER)
        self.assert_log()
        kept = small.get(small.point_name(2))
        self.good(purge(item, self.second()), **m)
        self.assert_log(self.ids[:1])
        small.remove(small.point_name(2))
        self.assertNotIn("missing", self.assert_log(self.ids[:1]))
        small.put(small.point_name(2), kept)  # somebody puts it back
        self.assert_log(self.ids[:1])

    def test_gap_without_and_with_a_record(self):
        """A later point that follows the second: its number is missed, unless it was purged."""
        small, item = self.small, self.small.item
        wrap, key = small.new_session()
        name = self.put_point(small.manifest(4, wrap, key, previous=self.second()))
        ids = [self.ids[0], crypto.sha256(small.get(name)).hex()]
        second = small.point_name(2)
        small.remove(second)
        self.assertIn(f"{second}: is missing", self.assert_points(ids, reader_code=3))
        self.assertIn(second, self.check(expect=1).out)
        self.good(soft_delete(item, BY_HAND, self.second()))
        self.assertIn(f"{second}: is missing", self.assert_points(ids, reader_code=3))
        self.time_ns += 14 * DAY_NS
        self.good(purge(item, self.second()))
        self.assert_log(ids)

    def test_due_in_vault_time(self):
        """The days count from the log's time, also where an entry's own is behind it, and a clock
        that was confirmed may be set back."""
        item, other = self.small.item, (8, bytes(32))
        self.good(NOTE, time_ns=T0 + DAY_NS)
        self.good(soft_delete(item, BY_HAND, other), time_ns=T0)
        self.bad(purge(item, other), time_ns=T0 + 15 * DAY_NS - 1)
        self.good(CONFIRM_CLOCK, time_ns=T0 - 30 * DAY_NS)
        self.good(soft_delete(OTHER, BY_HAND, other), time_ns=T0 - 30 * DAY_NS)
        self.good(purge(OTHER, other), time_ns=T0 - 16 * DAY_NS)
        self.good(action(12, u16(15)), soft_delete(OTHER, BY_HAND, (9, bytes(32))))
        self.bad(purge(OTHER, (9, bytes(32))), time_ns=T0 + 15 * DAY_NS - 1)
        self.good(purge(OTHER, (9, bytes(32))), time_ns=T0 + 15 * DAY_NS)
        self.good(purge(item, other), time_ns=T0 + 15 * DAY_NS)
        self.assert_log()
