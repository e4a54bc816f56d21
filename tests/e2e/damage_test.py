"""Other objects of a vault that are missing, cut off or altered: found and named by check, harmless
to whatever does not need them."""

import os
import shutil

from damage import DAMAGES, DamageTest
from support import DONE, FAILED, PASSPHRASE, WARNINGS, main, read, write


class DamagedObjects(DamageTest):
    def test_index(self):
        """The index is a hint: without it everything restores, or it is told."""
        for name in self.objects("index"):
            for how in DAMAGES:
                with self.subTest(name=name, how=how):
                    self.damage(name, how)
                    ran = self.client.run("vault", "check", "--json", expect=None)
                    if how != "missing":
                        self.assertEqual(ran.code, FAILED, str(ran))
                    self.assertIn(name.split("/")[-1] if how != "missing" else "", ran.out)
                    if how in ("missing", "bit flipped"):
                        for point in (self.second, self.other):
                            self.restore(point, expect=(DONE, WARNINGS))
                        # And a backup goes on.
                        done = self.client.backup(self.source, "--item", "a",
                                                  expect=(DONE, WARNINGS)).summary
                        self.assertTrue(done["complete"])
        print(f"{self.faults} faults")

    def test_manifests(self):
        for name in self.objects("points"):
            for how in DAMAGES:
                with self.subTest(name=name, how=how):
                    self.damage(name, how)
                    sequence = int(name[-10:])
                    last_of_a = sequence == 2
                    listed = self.client.run("points", "--json", passphrase=PASSPHRASE, expect=None)
                    # Whoever looks is told; a missing tail only by somebody who saw it.
                    if how != "missing" or not last_of_a:
                        self.assertEqual(listed.code, WARNINGS if how != "missing" or
                                         sequence == 1 and self.is_a(name) else listed.code)
                    if how != "missing":
                        self.check(name)
                        self.assertIn(name, listed.out)
                    found = {o["id"] for o in listed.of("point")}
                    self.assertEqual(len(found), 2)
                    for point in found:
                        self.restore(point, expect=(DONE, WARNINGS))
        print(f"{self.faults} faults")

    def is_a(self, name):
        return len(self.objects(os.path.dirname(name))) > 1

    def test_key_slots(self):
        (name,) = self.objects("keys")
        for how in DAMAGES:
            with self.subTest(how=how):
                self.damage(name, how)
                self.check("keys")
                told = self.client.run("ls", "latest:a", passphrase=PASSPHRASE, expect=FAILED)
                self.assertEqual(len(told.err.strip().splitlines()), 1)
                if how == "missing":
                    self.assertIn("key slot", told.err)
                else:
                    self.assertIn("damaged", told.err)
                    self.assertIn(name, told.err)
                self.assertNotIn("wrong passphrase", told.err)
                # Backups need no slot.
                self.client.backup(self.source, "--item", "a")
                listed = self.client.run("vault", "key", "list", expect=None)
                if how != "missing":
                    self.assertEqual(listed.code, WARNINGS)
                    self.assertIn("damaged", listed.err)
        with self.subTest("another slot still opens"):
            self.mend()
            code = self.client.read("vault", "key", "add", "--recovery-code").summary
            DAMAGES["bit flipped"](os.path.join(self.vault, name))
            self.client.run("ls", "latest:a", passphrase=code["recovery_code"])
        print(f"{self.faults} faults")

    def test_rosters(self):
        names = self.objects("roster")
        for name in names:
            for how in DAMAGES:
                with self.subTest(name=name, how=how):
                    self.damage(name, how)
                    ran = self.client.run("vault", "check", "--json", expect=FAILED)
                    self.assertIn("roster", ran.out)
                    told = self.client.run("backup", self.source, "--item", "a", expect=FAILED)
                    self.assert_message(told, "roster")
                    told = self.client.run("restore", "latest:a", "--to", self.path("to"),
                                           passphrase=PASSPHRASE, expect=FAILED)
                    self.assert_message(told, "roster")
        print(f"{self.faults} faults")

    def test_description(self):
        for how in DAMAGES:
            with self.subTest(how=how):
                self.damage("vault", how)
                for arguments in (["points"], ["backup", self.source], ["vault", "check"],
                                  ["restore", "latest", "--to", self.path("to")]):
                    told = self.client.run(*arguments, passphrase=PASSPHRASE, expect=FAILED)
                    self.assert_message(told, self.vault)
                    if how != "missing":
                        self.assertIn("damaged", told.err)
                    else:
                        self.assertIn("not a Holdfast vault", told.err)
                self.assertFalse(os.path.exists(self.path("to")))
        print(f"{self.faults} faults")

    def test_strange_files_in_the_vault(self):
        write(os.path.join(self.vault, "points/notes.txt"), b"x")
        write(os.path.join(self.vault, "packs/README"), b"x")
        write(os.path.join(self.vault, "tmp/0123456789abcdef"), b"left over")
        os.makedirs(os.path.join(self.vault, "lost+found"))
        ran = self.client.run("vault", "check", "--json", expect=None)
        self.assertIn("notes.txt", ran.out)
        self.assertIn("README", ran.out)
        for point in self.tree:
            self.restore(point, expect=(DONE, WARNINGS))
        self.client.backup(self.source, "--item", "a", expect=(DONE, WARNINGS))

    def test_swapped_objects(self):
        """Whole objects of the same vault in one another's place are not taken."""
        packs = self.objects("packs")
        a, b = (os.path.join(self.vault, n) for n in packs[:2])
        data = read(a)
        shutil.copyfile(b, a)
        write(b, data)
        self.check(packs[0])
        for point in self.tree:
            self.restore(point)
        self.mend()
        first, second = [os.path.join(self.vault, n) for n in self.objects("points")
                         if self.is_a(n)]
        data = read(first)
        shutil.copyfile(second, first)
        write(second, data)
        listed = self.client.run("points", "--json", expect=WARNINGS)
        self.assertEqual(len(listed.of("point")), 1)
        self.check(os.path.relpath(first, self.vault))


if __name__ == "__main__":
    main()
