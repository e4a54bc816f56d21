"""Who can open a vault: slots, recovery codes, proofs, the three rotations, and the day on which
nothing is left but vault and passphrase."""

import os
import shutil
import unittest

from support import (DONE, FAILED, PASSPHRASE, WARNINGS, EndToEndTest, main, make_tree,
                     make_weird_tree, noise, read, remove_tree, write)

SECOND = "another good passphrase"
THIRD = "yet one more passphrase"


class Keys(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.client = self.created()
        make_tree(self.source, 10)

    def opens(self, passphrase, yes=True):
        ran = self.machine("somebody").run("ls", "latest", passphrase=passphrase,
                                           expect=DONE if yes else FAILED)
        if not yes:
            self.assertEqual(len(ran.err.strip().splitlines()), 1, ran.err)
        return ran

    def new(self, passphrase):
        return {"env": {"HOLDFAST_NEW_PASSPHRASE": passphrase}}

    def test_nothing_left_but_vault_and_passphrase(self):
        remove_tree(self.source)
        make_weird_tree(self.source)
        done = self.client.backup(self.source, "--item", "home", "--tag", "t").summary
        remove_tree(self.client.home)
        moved = self.path("elsewhere")
        os.rename(self.vault, moved)
        empty = self.machine("empty", moved)
        (point,) = empty.points(passphrase=PASSPHRASE)
        self.assertEqual((point["id"], point["item"]), (done["point"], "home"))
        self.assert_restores(empty, "latest", self.source)
        empty.check("--read-data", passphrase=PASSPHRASE)
        self.assertEqual(empty.run("vault", "status", "--json").summary["points"], 1)
        # It goes on with a new identity, and takes nothing for granted.
        again = empty.backup(self.source, "--item", "home", passphrase=PASSPHRASE,
                             expect=(DONE, WARNINGS))
        self.assertTrue(again.objects)
        self.assert_restores(self.machine("third", moved), again.summary["point"], self.source)

    def test_slots(self):
        self.client.backup(self.source)
        added = self.client.read("vault", "key", "add", "--label", "boss", **self.new(SECOND)).summary
        code = self.client.read("vault", "key", "add", "--recovery-code").summary
        slots = {s["id"]: s for s in self.client.run("vault", "key", "list", "--json").of("slot")}
        self.assertEqual(len(slots), 3)
        self.assertEqual(slots[added["slot"]]["label"], "boss")
        self.assertEqual(slots[code["slot"]]["kind"], "recovery code")
        for passphrase in (PASSPHRASE, SECOND, code["recovery_code"],
                           code["recovery_code"].lower()):
            self.opens(passphrase)
        self.opens(code["recovery_code"][:-1] + "#", False)
        self.opens("nonsense nonsense", False)
        before = slots[added["slot"]]["proved"]
        self.client.read("vault", "key", "prove", passphrase=SECOND)
        slots = {s["id"]: s for s in self.client.run("vault", "key", "list", "--json").of("slot")}
        self.assertGreater(slots[added["slot"]]["proved"], before)

        # Whoever cannot open the vault removes nothing.
        self.client.run("vault", "key", "remove", added["slot"], passphrase="wrong wrong",
                        expect=FAILED)
        self.opens(SECOND)
        self.client.read("vault", "key", "remove", added["slot"])
        self.opens(SECOND, False)
        self.opens(PASSPHRASE)
        self.client.read("vault", "key", "remove", code["slot"])
        # The last one stays.
        (last,) = self.client.run("vault", "key", "list", "--json").of("slot")
        told = self.client.run("vault", "key", "remove", last["id"], passphrase=PASSPHRASE,
                               expect=FAILED)
        self.assertEqual(len(told.err.strip().splitlines()), 1)
        self.opens(PASSPHRASE)
        unknown = self.client.run("vault", "key", "remove", "00" * 16, passphrase=PASSPHRASE,
                                  expect=FAILED)
        self.assertEqual(len(unknown.err.strip().splitlines()), 1)
        self.client.check()

    def test_recovery_code_of_create(self):
        self.vault = self.path("v2")
        client = self.machine("m2")
        code = client.create("--recovery-code").summary["recovery_code"]
        client.backup(self.source)
        self.opens(code)
        self.opens(code.replace("-", "").replace(" ", ""))

    def test_short_new_passphrase(self):
        told = self.client.run("vault", "key", "add", passphrase=PASSPHRASE, expect=FAILED,
                               **self.new("short"))
        self.assert_message(told, "at least 8")

    def test_rotate_slot(self):
        self.client.backup(self.source)
        self.client.read("vault", "key", "rotate", "slot", **self.new(SECOND))
        self.opens(SECOND)
        self.opens(PASSPHRASE, False)
        self.client.backup(self.source)
        self.client.check()

    def test_rotate_recovery(self):
        second = self.machine("second")
        self.client.backup(self.source, "--item", "a")
        second.backup(self.source, "--item", "b", passphrase=PASSPHRASE)
        self.client.read("vault", "key", "add", "--recovery-code")
        old_copy = self.path("old-copy")
        shutil.copytree(self.vault, old_copy)
        rotated = self.client.read("vault", "key", "rotate", "recovery", **self.new(SECOND)).summary
        self.assertEqual((rotated["generation"], rotated["slots_dropped"]), (1, 1))
        # Agents follow without being asked for anything.
        write(f"{self.source}/after", noise(50_000))
        a = self.client.backup(self.source, "--item", "a").summary
        b = second.backup(self.source, "--item", "b").summary
        self.assertLess(a["bytes_new"], 60_000)  # and go on from what there is
        for point in (a["point"], b["point"]):
            self.assert_restores(self.machine("empty"), point, self.source,
                                 passphrase=SECOND)
        self.machine("empty").run("ls", "latest:a", passphrase=PASSPHRASE, expect=FAILED)
        self.client.check()
        self.client.check("--read-data", passphrase=SECOND)
        # A second time.
        self.client.read("vault", "key", "rotate", "recovery", passphrase=SECOND, **self.new(THIRD))
        c = second.backup(self.source, "--item", "b").summary
        self.assert_restores(self.machine("empty"), c["point"], self.source, passphrase=THIRD)
        # A copy from before is told: it does not know the keys that this machine has seen.
        remove_tree(self.vault)
        shutil.copytree(old_copy, self.vault)
        told = self.client.run("backup", self.source, "--item", "a", expect=None)
        self.assertIn(told.code, (FAILED, WARNINGS), str(told))
        self.assertTrue(told.err.strip())

    def test_rotate_domain(self):
        self.client.backup(self.source)
        self.client.read("vault", "key", "rotate", "domain")
        told = self.client.run("backup", self.source, expect=None)
        if told.code == FAILED:
            self.assertIn("enrol", told.err)
            self.assertEqual(len(told.err.strip().splitlines()), 1)
        self.client.read("vault", "enrol")
        done = self.client.backup(self.source, expect=(DONE, WARNINGS)).summary
        self.assertEqual(done["bytes_new"], done["bytes"])  # nothing older is shared
        again = self.client.backup(self.source).summary
        self.assertEqual(again["bytes_new"], 0)
        points = self.client.points()
        self.assertEqual(len(points), len({p["id"] for p in points}))
        for p in points:
            self.assert_restores(self.machine("empty"), p["id"], self.source)
        self.client.check("--read-data", passphrase=PASSPHRASE)

    def test_secrets_do_not_show(self):
        """Neither names nor content nor the passphrase are in the vault or the machine's state."""
        word = b"UnmistakableSecretWord"
        write(os.path.join(self.source, word.decode(), "file-" + word.decode()), word * 1000)
        self.client.backup(self.source, "--item", word.decode(), passphrase=PASSPHRASE)
        for root in (self.vault, self.client.state):
            for directory, _, files in os.walk(root):
                for name in files:
                    data = read(os.path.join(directory, name))
                    self.assertNotIn(word, data)
                    self.assertNotIn(PASSPHRASE.encode(), data)
                    self.assertNotIn(word.decode(), name)
        for directory, names, files in os.walk(self.client.state):
            for name in files:
                self.assertEqual(os.stat(os.path.join(directory, name)).st_mode & 0o077, 0)


if __name__ == "__main__":
    main()
