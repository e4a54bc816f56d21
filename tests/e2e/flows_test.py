"""What people do every day: make a vault, back up, look at points, get things back."""

import json
import os
import unittest

from support import (DONE, FAILED, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, main, make_tree,
                     make_weird_tree, noise, read, remove_tree, write)


class Flows(EndToEndTest):
    def test_everything_comes_back(self):
        machine = self.created()
        make_weird_tree(self.source)
        done = machine.backup(self.source)
        s = done.summary
        self.assertTrue(s["complete"])
        self.assertEqual(s["problems"], 0)
        self.assertEqual(s["sequence"], 1)
        self.assertGreater(s["stored_data"], 0)
        self.assertEqual(s["exit_code"], DONE)

        whole = self.path("whole")
        r = machine.restore("latest", whole, "--verify").summary
        self.assertGreater(r["files_verified"], 0)
        self.assertEqual(r["refused"], [])
        self.assert_same_tree(self.source, self.restored(whole, self.source))
        self.assert_restores(machine, s["point"][:8], self.source)
        # A file alone goes into the directory under its name.
        to = self.path("part")
        machine.restore(f"latest:{self.source}/links/first", to)
        self.assertEqual(read(os.path.join(to, "first")), b"linked")
        machine.check()
        machine.check("--read-data", passphrase=PASSPHRASE)

    def test_an_unchanged_tree_is_not_read_again(self):
        machine = self.created()
        make_tree(self.source, big=2_000_000)
        first = machine.backup(self.source).summary
        self.assertEqual(first["files_new"], 61)
        self.settle()
        machine.backup(self.source)
        again = machine.backup(self.source).summary
        self.assertEqual((again["files_unchanged"], again["files_new"], again["files_changed"]),
                         (61, 0, 0))
        self.assertEqual((again["bytes_new"], again["stored_data"], again["bytes_read"]), (0, 0, 0))
        self.assertEqual(again["bytes"], first["bytes"])

        # Of a large file only what changed is stored; metadata alone stores no content at all.
        with open(os.path.join(self.source, "big"), "r+b") as f:
            f.seek(1_000_000)
            f.write(b"changed")
        os.chmod(os.path.join(self.source, "d0/e0/file-0"), 0o600)
        third = machine.backup(self.source).summary
        self.assertEqual((third["files_changed"], third["files_new"]), (2, 0))
        self.assertLess(third["bytes_new"], 600_000)
        self.assertGreater(third["bytes_new"], 0)
        self.assert_restores(machine, "latest", self.source)
        forced = machine.backup(self.source, "--force-read").summary
        self.assertEqual((forced["files_unchanged"], forced["bytes_new"]), (0, 0))
        self.assertEqual(forced["bytes_read"], forced["bytes"])

    def settle(self):
        """Past the clock tick in which a change could hide."""
        import time
        time.sleep(0.05)

    def test_looking_at_points(self):
        machine = self.created()
        write(f"{self.source}/a/one", b"first")
        write(f"{self.source}/a/two", b"second")
        write(f"{self.source}/b/gone.txt", b"third")
        one = machine.backup(self.source, "--item", "data", "--tag", "before", "--tag", "x").summary
        write(f"{self.source}/a/one", b"changed!")
        write(f"{self.source}/c/new.txt", b"fourth")
        os.unlink(f"{self.source}/b/gone.txt")
        two = machine.backup(self.source, "--item", "data").summary

        points = machine.points(passphrase=PASSPHRASE)
        self.assertEqual([p["id"] for p in points], [one["point"], two["point"]])
        self.assertEqual(points[0]["tags"], ["before", "x"])
        self.assertEqual(points[0]["paths"], [self.source])
        self.assertEqual(points[0]["item"], "data")
        self.assertEqual([p["id"] for p in machine.points("--tag", "before")], [one["point"]])
        self.assertEqual(len(machine.points("--item", "data")), 2)
        self.assertEqual(machine.points("--item", "other"), [])
        # Without the passphrase: no names, but numbers.
        self.assertEqual([p["sequence"] for p in machine.points()], [1, 2])
        self.assertNotIn("paths", machine.points()[0])

        def paths(ran):
            return [o["path"] for o in ran.objects if "path" in o]

        first = one["point"][:6]
        self.assertEqual(paths(machine.read("ls", f"{first}:{self.source}/a")),
                         [f"{self.source}/a/one", f"{self.source}/a/two"])
        self.assertEqual(paths(machine.read("ls", "-R", f"latest:{self.source}")),
                         [f"{self.source}/{p}" for p in
                          ("a", "a/one", "a/two", "b", "c", "c/new.txt")])
        long = machine.run("ls", "-l", f"latest:{self.source}/a", passphrase=PASSPHRASE).out
        self.assertIn("-rw-r--r-- root root 8 " if os.geteuid() == 0 else " 8 ", long)
        found = machine.read("find", "*.txt").of("entry")
        self.assertEqual([(o["point"], o["path"]) for o in found],
                         [(one["point"], f"{self.source}/b/gone.txt"),
                          (two["point"], f"{self.source}/c/new.txt")])
        self.assertEqual(paths(machine.read("find", "one", "--point", "latest")),
                         [f"{self.source}/a/one"])
        changes = {o["path"]: o["change"]
                   for o in machine.read("diff", first, "latest").of("difference")}
        self.assertEqual(changes[f"{self.source}/a/one"], "changed")
        self.assertEqual(changes[f"{self.source}/b/gone.txt"], "removed")
        self.assertEqual(changes[f"{self.source}/c/new.txt"], "added")
        self.assertNotIn(f"{self.source}/a/two", changes)
        for point, text in ((first, b"first"), ("latest", b"changed!"), ("latest:data", b"changed!")):
            cat = machine.run("cat", f"{point}:{self.source}/a/one", passphrase=PASSPHRASE)
            self.assertEqual(cat.out_bytes, text)
        stats = machine.read("stats", f"latest:{self.source}").summary
        self.assertEqual((stats["files"], stats["bytes"]), (3, 8 + 6 + 6))
        self.assertEqual(machine.run("stats", "--json").summary["points"], 2)
        status = machine.run("vault", "status", "--json").summary
        self.assertEqual((status["points"], status["items"], status["enrolled"]), (2, 1, True))
        self.assertIn("promise", machine.run("vault", "status", self.vault).out)

    def test_standard_input(self):
        machine = self.created()
        data = noise(3_000_000) + b"end"
        machine.backup("--stdin", "db.sql", "--item", "db", input=data)
        cat = machine.run("cat", "latest:db:/db.sql", passphrase=PASSPHRASE)
        self.assertEqual(cat.out_bytes, data)
        again = machine.backup("--stdin", "db.sql", "--item", "db", input=data + b"more").summary
        self.assertLess(again["bytes_new"], 600_000)
        machine.restore("latest:db", self.path("out"))
        self.assertEqual(read(self.path("out/db.sql")), data + b"more")
        machine.backup("--stdin", "empty", "--item", "e", input=b"")
        machine.restore("latest:e", self.path("out"))
        self.assertEqual(read(self.path("out/empty")), b"")
        bad = machine.run("backup", "--stdin", "a/b", expect=FAILED)
        self.assert_message(bad, "a/b")

    def test_several_paths_and_items(self):
        machine = self.created()
        a, b = make_tree(self.path("a"), 5), make_tree(self.path("b"), 5, seed=2)
        machine.backup(a, b, a + "/d0", "--item", "both")
        machine.backup("a", cwd=self.dir)  # relative, and the default item
        to = self.path("to")
        machine.restore("latest:both", to)
        self.assert_same_tree(a, self.restored(to, a))
        self.assert_same_tree(b, self.restored(to, b))
        ambiguous = machine.run("ls", "latest", passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ambiguous, "both", "latest:ITEM")
        # A file as the path to back up.
        machine.backup(f"{a}/d0/e0/file-0", "--item", "file")
        machine.restore("latest:file", self.path("file"))
        self.assertEqual(read(self.restored(self.path("file"), f"{a}/d0/e0/file-0")),
                         read(f"{a}/d0/e0/file-0"))

    def test_a_missing_path_is_a_warning_unless_it_is_the_only_one(self):
        machine = self.created()
        make_tree(self.source, 3)
        done = machine.backup(self.source, self.path("nowhere"), expect=WARNINGS)
        self.assertFalse(done.summary["complete"])
        self.assertTrue(any(self.path("nowhere") in w for w in done.warnings))
        self.assertFalse(machine.points()[-1]["complete"])
        self.assertIn("INCOMPLETE", machine.run("points").out)
        restored = machine.restore("latest", self.path("to"), expect=WARNINGS)
        self.assertTrue(any("incomplete" in w for w in restored.warnings))
        only = machine.run("backup", self.path("nowhere"), expect=FAILED)
        self.assert_message(only, self.path("nowhere"), "No such file")
        self.assertEqual(len(machine.points()), 1)

    def test_exit_codes_and_messages(self):
        machine = self.machine()
        for arguments in ([], ["nonsense"], ["backup"], ["backup", "x", "--compression", "99"],
                          ["restore", "latest"], ["backup", "x", "--read-limit", "fast"],
                          ["restore", "latest", "--to", "x", "--overwrite", "maybe"],
                          ["vault"], ["vault", "check", "--no-such-option"]):
            machine.run(*arguments, expect=USAGE, passphrase=PASSPHRASE,
                        env={"HOLDFAST_VAULT": self.vault})
        for arguments in (["--help"], ["backup", "--help"], ["--version"]):
            machine.run(*arguments)
        self.assert_message(machine.run("backup", "/etc/hostname", expect=FAILED), self.vault,
                            "not a Holdfast vault", "vault create")
        os.makedirs(self.vault)
        self.assert_message(machine.run("points", expect=FAILED), self.vault,
                            "not a Holdfast vault")
        no_vault = machine.run("points", expect=FAILED, env={"HOLDFAST_VAULT": ""})
        self.assert_message(no_vault, "--vault")
        short = machine.run("vault", "create", passphrase="short", expect=FAILED)
        self.assert_message(short, "at least 8 characters")
        machine.create()
        write(self.path("full/x"))
        self.assert_message(machine.run("vault", "create", self.path("full"),
                                        passphrase=PASSPHRASE, expect=FAILED), "empty")
        self.assert_message(machine.run("vault", "create", passphrase=PASSPHRASE, expect=FAILED),
                            "empty", self.vault)
        self.assert_message(machine.run("ls", "latest", expect=FAILED), "passphrase is needed",
                            "HOLDFAST_PASSPHRASE")
        wrong = machine.run("ls", "latest", passphrase="wrong one", expect=FAILED)
        self.assert_message(wrong, "wrong passphrase", self.vault)
        as_json = machine.run("ls", "latest", "--json", passphrase="wrong one", expect=FAILED)
        self.assertEqual(as_json.err, "")
        self.assertIn("wrong passphrase", as_json.summary["error"])
        self.assertEqual((as_json.summary["ok"], as_json.summary["exit_code"]), (False, FAILED))
        self.assert_message(machine.run("ls", "latest", passphrase=PASSPHRASE, expect=FAILED),
                            "no such recovery point")
        write(f"{self.source}/x")
        machine.backup(self.source)
        for point, words in (("ffffffff", ["no such recovery point"]), ("zz", ["latest:ITEM"]),
                             (f"latest:{self.source}/y", ["has no", f"{self.source}/y"]),
                             ("latest:/../x", ["without '.' and '..'"])):
            for to in ("ls", "restore"):
                more = ["--to", self.path("to")] if to == "restore" else []
                self.assert_message(machine.run(to, point, *more, passphrase=PASSPHRASE,
                                                expect=FAILED), *words)
        stranger = self.machine("stranger")
        self.assert_message(stranger.run("backup", self.source, expect=FAILED), "credential",
                            "enrol")

    def test_json_is_one_object_a_line(self):
        machine = self.created()
        make_weird_tree(self.source)
        for ran in (machine.backup(self.source, "--verbose"),
                    machine.read("ls", "-R", "latest"), machine.read("find", "*"),
                    machine.restore("latest", self.path("to"), "--verbose"),
                    machine.check(), machine.run("vault", "key", "list", "--json"),
                    machine.read("stats", "latest"), machine.read("diff", "latest", "latest"),
                    machine.backup(self.source, "--dry-run")):
            self.assertEqual(ran.err, "")
            for line in ran.out_bytes.splitlines():
                self.assertIsInstance(json.loads(line), dict)
            self.assertEqual(ran.objects[-1]["type"], "summary")
            self.assertEqual(ran.objects[-1]["exit_code"], ran.code)
        # Names that are no UTF-8 can be had exactly.
        names = {bytes.fromhex(o["path_hex"]) for o in machine.read("ls", "-R", "latest").objects
                 if "path_hex" in o}
        self.assertIn(os.fsencode(self.source) + b"/\xff\xfe not utf-8 \x80", names)
        # Nothing that a terminal would take for more than text.
        shown = machine.run("ls", "-R", "latest", passphrase=PASSPHRASE).out_bytes
        self.assertNotIn(b"\x1b", shown)
        self.assertIn(b"new\\nline", shown)

    def test_another_machine_needs_the_passphrase_once(self):
        first = self.created("first")
        second = self.machine("second")
        make_tree(self.source, 5)
        first.backup(self.source, "--item", "one")
        told = second.run("backup", self.source, "--item", "two", passphrase=PASSPHRASE)
        self.assertIn("enrolled this machine", told.out)
        second.backup(self.source, "--item", "two")
        self.assertEqual(len(second.points()), 3)
        # Enrolled with --join: shares what is stored.
        third = self.machine("third")
        status = first.read("vault", "status")
        self.assertEqual(status.summary["items"], 2)
        agents = status.of("agent")  # of one name, in two domains
        self.assertEqual([a["name"] for a in agents], [os.uname().nodename] * 2)
        oldest = min(agents, key=lambda a: a["enrolled"])
        third.read("vault", "enrol", "--name", "third", "--join", oldest["id"])
        joined = third.backup(self.source, "--item", "three").summary
        self.assertEqual(joined["bytes_new"], 0)
        for item in ("one", "two", "three"):
            self.assert_restores(self.machine("empty"), f"latest:{item}", self.source)

    def test_passphrase_file(self):
        machine = self.machine()
        secret = write(self.path("secret"), PASSPHRASE.encode() + b"\nsecond line\n")
        machine.run("vault", "create", "--passphrase-file", secret)
        write(f"{self.source}/x", b"x")
        machine.backup(self.source)
        machine.run("ls", "latest", "--passphrase-file", secret)
        machine.run("ls", "latest", env={"HOLDFAST_PASSPHRASE_FILE": secret})
        self.assert_message(machine.run("ls", "latest", "--passphrase-file", self.path("none"),
                                        expect=FAILED), self.path("none"))
        empty = write(self.path("empty"))
        self.assert_message(machine.run("ls", "latest", "--passphrase-file", empty, expect=FAILED),
                            empty)

    def test_the_vault_inside_the_tree_is_left_out(self):
        vault = os.path.join(self.source, "vault")
        os.makedirs(self.source)
        machine = self.created(vault=vault)
        write(f"{self.source}/x", b"x")
        s = machine.backup(self.source).summary
        self.assertEqual(s["files"], 1)
        self.assertEqual(machine.backup(self.source).summary["bytes_new"], 0)
        remove_tree(vault + "/tmp")

    def test_after_runs_whatever_happened(self):
        machine = self.created()
        write(f"{self.source}/x", b"x")
        told = self.path("told")
        after = f"echo $HOLDFAST_RESULT >> {told}"
        machine.backup(self.source, "--before", "true", "--after", after)
        machine.run("backup", self.source, "--before", "false", "--after", after, expect=FAILED)
        machine.run("backup", self.path("nothing"), "--after", after, expect=FAILED)
        self.assertEqual(read(told), b"committed\nfailed\nfailed\n")
        self.assertEqual(len(machine.points()), 1)


if __name__ == "__main__":
    main()
