"""What options mean together, and what the program says of those that do not go together."""

import os

from support import (DONE, FAILED, PASSPHRASE, USAGE, WARNINGS, EndToEndTest, main, make_tree, read,
                     write)


class Options(EndToEndTest):
    def test_a_list_option_takes_one_word(self):
        """Else a path behind it would be left out of the backup, or taken for a tag."""
        machine = self.created()
        a, b = make_tree(self.path("a"), 3), make_tree(self.path("b"), 3, seed=2)
        write(f"{a}/x.tmp")
        write(f"{b}/x.log")
        patterns = write(self.path("patterns"), b"*.log\n")
        for options in (["--exclude", "*.tmp"], ["-e", "*.tmp", "--exclude", "*.log"],
                        ["--exclude-from", patterns], ["--tag", "one", "--tag", "two"],
                        ["--include", "file-*"]):
            for paths in ([*options, a, b], [a, *options, b], [a, b, *options]):
                machine.backup(*paths, "--force-read")
                found = machine.read("ls", "-R", "latest").objects
                names = {o["path"] for o in found if o.get("kind") == "file"}
                for tree in (a, b):
                    self.assertIn(f"{tree}/d0/e0/file-0", names, paths)
                self.assertEqual(f"{a}/x.tmp" in names, "*.tmp" not in options and
                                 "file-*" not in options)
                self.assertEqual(f"{b}/x.log" in names, "*.log" not in options and
                                 patterns not in options and "file-*" not in options)
                self.assertEqual(machine.points()[-1]["tags"],
                                 ["one", "two"] if "--tag" in options else [])
        self.assertEqual(len(machine.points("--tag", "one")), 3)
        machine.read("restore", "--include", "file-0", f"latest:{a}", "--to", self.path("to"))
        self.assertTrue(os.path.exists(self.path("to/d0/e0/file-0")))
        self.assertFalse(os.path.exists(self.path("to/d1/e1/file-1")))

    def test_an_option_wins_over_the_environment(self):
        """Else a restore could read another vault than the one that was named."""
        machine = self.created()
        write(f"{self.source}/x", b"x")
        machine.backup(self.source)
        other = self.path("other")
        machine.run("vault", "create", other, passphrase="some other words")
        self.assertEqual(machine.points("--vault", other), [])
        right = write(self.path("right"), PASSPHRASE.encode())
        machine.read("ls", "latest", "--passphrase-file", right, passphrase=None,
                     env={"HOLDFAST_PASSPHRASE_FILE": write(self.path("wrong"), b"wrong words")})

    def test_what_a_tar_stream_cannot_be(self):
        machine = self.created()
        write(f"{self.source}/x", b"x")
        machine.backup(self.source)
        for option in ("--dry-run", "--verify", "--delta", "--delete", "--owners-by-name"):
            ran = machine.run("restore", "latest", "--to", "-", option, passphrase=PASSPHRASE,
                              expect=USAGE)
            self.assertEqual(ran.out_bytes, b"")
            self.assert_message(ran, "tar stream")

    def test_a_dry_run_changes_nothing(self):
        machine = self.created()
        stranger = self.machine("stranger")
        write(f"{self.source}/x", b"x")
        ran = stranger.run("backup", self.source, "--dry-run", passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ran, "credential")
        agents = [o for o in machine.read("vault", "status").objects if o["type"] == "agent"]
        self.assertEqual([(a["name"], a["active"]) for a in agents], [(os.uname().nodename, True)])
        ran = machine.run("backup", "--stdin", "x", "--dry-run", expect=USAGE)
        self.assert_message(ran, "--stdin")
        # Nor does it count the vault.
        around = os.path.dirname(self.vault)
        ran = machine.run("backup", around, "--dry-run", "--json")
        named = [o["path"] for o in ran.objects if o["type"] == "file"]
        self.assertIn(f"{self.source}/x", named)
        self.assertFalse([p for p in named if p.startswith(self.vault + "/")])

    def test_diff_compares_one_path(self):
        machine = self.created()
        write(f"{self.source}/a/x", b"x")
        write(f"{self.source}/b/y", b"y")
        first = machine.backup(self.source).summary["point"]
        write(f"{self.source}/a/x", b"other")
        write(f"{self.source}/b/y", b"other")
        machine.backup(self.source)
        part = machine.read("diff", f"{first}:{self.source}/a", "latest").summary
        self.assertEqual(part["changed"], 1)
        same = machine.read("diff", f"{first}:{self.source}/a", f"latest:{self.source}/a").summary
        self.assertEqual(same["changed"], 1)
        for before in (first, f"{first}:{self.source}/b"):
            ran = machine.run("diff", before, f"latest:{self.source}/a", passphrase=PASSPHRASE,
                              expect=USAGE)
            self.assert_message(ran, "one path")

    def test_stats_name_what_is_missing(self):
        machine = self.created()
        write(f"{self.source}/x", b"x")
        machine.backup(self.source, self.path("no\nwhere"), expect=WARNINGS)
        problems = [o for o in machine.read("stats", "latest").objects if o["type"] == "problem"]
        self.assertEqual([p["path"] for p in problems], [self.path("no\nwhere")])
        told = machine.run("stats", "latest", passphrase=PASSPHRASE).out
        self.assertIn("no\\nwhere: No such file", told)
        for to in (self.path("to"), "-"):
            ran = machine.run("restore", "latest", "--to", to, passphrase=PASSPHRASE,
                              expect=WARNINGS)
            self.assertIn("holdfast stats", ran.err)

    def test_percentages(self):
        machine = self.created()
        write(f"{self.source}/x", b"x")
        machine.backup(self.source)
        for text in ("0", "101", "nan", "10x", "-5", self.vault):
            ran = machine.run("vault", "check", f"--read-data={text}", passphrase=PASSPHRASE,
                              expect=USAGE)
            self.assert_message(ran, "percentage")
        for options in (["--read-data"], ["--read-data", "50"], ["--read-data=100"]):
            machine.run("vault", "check", self.vault, *options, passphrase=PASSPHRASE, expect=DONE)

    def test_json_tells_the_exit_code_of_wrong_usage(self):
        machine = self.created()
        for words in (["backup", "x", "--read-limit", "fast"],
                      ["restore", "latest", "--to", "-", "--verify"],
                      ["vault", "check", "--read-data=no"]):
            ran = machine.run(*words, passphrase=PASSPHRASE, expect=USAGE,
                              env={"HOLDFAST_VAULT": self.vault})
            self.assertEqual(ran.code, USAGE)
            if "-" in words:
                continue  # its output is the stream
            ran = machine.run(*words, "--json", passphrase=PASSPHRASE, expect=USAGE)
            self.assertEqual(ran.summary["exit_code"], USAGE)

    def test_which_agent(self):
        machine = self.created()
        ran = machine.run("vault", "enrol", "--join", "nobody", passphrase=PASSPHRASE,
                          expect=FAILED)
        self.assert_message(ran, "nobody", "vault status")
        machine.read("vault", "enrol", "--join", os.uname().nodename)  # its own domain: nothing to do
        other = self.machine("other")
        other.read("vault", "enrol", "--name", "other")
        ran = machine.run("vault", "enrol", "--join", "other", passphrase=PASSPHRASE,
                          expect=FAILED)
        self.assert_message(ran, "already", "--new")
        ran = machine.run("vault", "enrol", "--name", "renamed", passphrase=PASSPHRASE,
                          expect=WARNINGS)
        self.assertIn("--new", ran.err)
        self.machine("third").read("vault", "enrol", "--name", "other")
        ran = machine.run("vault", "key", "rotate", "domain", "--agent", "other",
                          passphrase=PASSPHRASE, expect=FAILED)
        self.assert_message(ran, "several dedup domains", "id")
        ran = machine.run("vault", "key", "remove", "3f2a", passphrase=PASSPHRASE, expect=USAGE)
        self.assert_message(ran, "3f2a", "vault key list")
        ran = machine.run("vault", "key", "remove", "3f" * 16, passphrase=PASSPHRASE,
                          expect=FAILED)
        self.assert_message(ran, "3f" * 16, "vault key list")

    def test_a_lost_credential(self):
        """With --join and the old name nothing is stored again."""
        write(f"{self.source}/x", os.urandom(1_000_000))
        machine = self.created()
        machine.backup(self.source)
        again = self.machine("again")
        again.read("vault", "enrol", "--join", os.uname().nodename)
        self.assertEqual(again.backup(self.source).summary["bytes_new"], 0)
        self.assertEqual(read(f"{self.source}/x"),
                         again.run("cat", f"{again.points()[-1]['id']}:{self.source}/x",
                                   passphrase=PASSPHRASE).out_bytes)


if __name__ == "__main__":
    main()
