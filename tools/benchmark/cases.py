"""What is measured. A case prepares its data once and then runs its operations, each for all tools
in turn before the next, so that whatever else the machine does falls on all of them alike."""

import os
import subprocess
import sys

import compare
import data
import measure
import tools
from measure import CommandFailed

GIB = 1 << 30
MIB = 1 << 20


def say(text):
    print(f"    {text}", file=sys.stderr, flush=True)


class Sample:
    """One operation of one tool in one run."""

    def __init__(self, case, run, operation, tool, cost=None, stored=None, added=None, note="",
                 unsynced=None):
        self.case = case
        self.run = run
        self.operation = operation
        self.tool = tool
        self.cost = cost        # None: failed or not supported, `note` says why
        self.stored = stored    # of the repository afterwards
        self.added = added      # bytes that the operation added to it
        self.note = note
        self.unsynced = unsynced    # seconds until a restored tree was on the disk too


class Settings:
    def __init__(self, work, quick, runs, rivals_only, raw_pipeline):
        self.work = work
        self.data = os.path.join(work, "data")
        self.rivals_only = rivals_only
        self.quick = quick
        self.runs = runs
        self.raw_pipeline = raw_pipeline
        self.samples = []
        self.failed = []    # of holdfast, or of any restore
        self.notes = {}     # case -> text


class Case:
    name = ""
    title = ""
    peers_once = (tools.Bup, tools.Casync)  # measured in the first run only, and not compared with
    change_names = ("100 files changed", "1 % of the files changed")
    copy = staticmethod(tools.copy_tree)  # an ordinary one, to compare restores with
    copy_name = "cp -a"
    few_inodes = False  # then what a run leaves may be deleted at once

    def __init__(self, settings):
        self.settings = settings
        self.place = ""  # of the run
        self.run_number = 0

    def prepare(self):
        """Makes the data; returns the path to back up."""
        raise NotImplementedError

    def change(self, source, which, seed):
        """Makes the first or second kind of change; returns what undoes it."""
        raise NotImplementedError

    # --- Running ---

    def measure(self):
        say(f"{self.name}: making the data")
        source = self.prepare()
        for self.run_number in range(1, self.settings.runs + 1):
            self.place = os.path.join(self.settings.work, "runs", f"{self.name}-{self.run_number}")
            os.makedirs(self.place)
            self.one_run(source)
            if self.few_inodes:
                subprocess.run(["rm", "-rf", self.place], check=True)

    def competitors(self):
        """In another order in each run."""
        kinds = [tools.Holdfast, tools.Restic, tools.Borg]
        turn = (self.run_number - 1) % len(kinds)
        kinds = kinds[turn:] + kinds[:turn]
        if self.run_number == 1 and not self.settings.rivals_only:
            kinds += self.peers_once
        return [k(os.path.join(self.place, k.name)) for k in kinds]

    def one_run(self, source):
        competitors = self.competitors()
        for tool in competitors:
            tool.create()
        self.for_all("first backup", competitors, lambda t: t.backup(source), source)
        measure.warm(source)
        self.baselines(source)
        self.for_all("nothing changed", competitors, lambda t: t.backup(source), source)
        undo = []
        for which, name in enumerate(self.change_names):
            undo.append(self.change(source, which, self.run_number * 10 + which))
            self.for_all(name, competitors, lambda t: t.backup(source), source)
        self.restores(source, competitors)
        for changes in reversed(undo):
            changes.undo()

    def baselines(self, source):
        measure.settle()
        cost, stored = tools.raw_pipeline(self.settings.raw_pipeline, source)
        self.add("first backup", "bare pipeline", cost, {"total": stored}, stored)

    def restore_baseline(self, operation, source):
        """An ordinary copy of what is restored."""
        measure.warm(source)
        measure.settle()
        cost = self.copy(source, os.path.join(self.place, "copied"))
        self.add(operation, self.copy_name, cost, unsynced=measure.sync_seconds())

    def restores(self, source, competitors):
        targets = {t: os.path.join(self.place, f"{t.name}-restored") for t in competitors}
        # In place borg and casync delete what is there, which makes ext4 slow at making files for
        # minutes: they come last.
        gentle = (tools.Holdfast, tools.Restic)
        last = sorted(competitors, key=lambda t: not isinstance(t, gentle))
        for name, order in (("restore, empty directory", competitors),
                            ("restore, in place", last)):
            self.for_all(name, order, lambda t: t.restore(targets[t], source))
            if order is competitors:
                self.restore_baseline(name, source)
            for tool in competitors:
                self.verify(name, tool, source, targets[tool])

    def verify(self, operation, tool, source, target):
        samples = [s for s in self.settings.samples if s.run == self.run_number and
                   s.case == self.name and s.operation == operation and s.tool == tool.name]
        if not samples or samples[0].cost is None:
            return
        found = compare.trees(source, tool.restored_path(target, source))
        samples[0].note = found.text()
        if found.content or (found.metadata and tool.name == "holdfast"):
            self.settings.failed.append(f"{self.name}: {tool.name}, {operation}: {found.text()}")

    def for_all(self, operation, competitors, work, source=None):
        """Backups of `source`, or restores."""
        for tool in competitors:
            # For each tool anew: borg takes what it has read out of the page cache, and Holdfast
            # writes past it.
            measure.warm(source or tool.repository)
            measure.settle()
            before = tool.stored()["total"] if source else None
            try:
                cost = work(tool)
            except tools.Unsupported as why:
                self.add(operation, tool.name, None, note=str(why))
                continue
            except CommandFailed as why:
                self.add(operation, tool.name, None, note="failed")
                self.settings.failed.append(f"{self.name}: {tool.name}, {operation}: {why}")
                continue
            if before is None:
                self.add(operation, tool.name, cost, unsynced=measure.sync_seconds())
            else:
                stored = tool.stored()
                self.add(operation, tool.name, cost, stored, stored["total"] - before)

    def add(self, operation, tool, cost, stored=None, added=None, note="", unsynced=None):
        self.settings.samples.append(Sample(self.name, self.run_number, operation, tool, cost, stored,
                                            added, note, unsynced))
        shown = f"{cost.wall:.2f} s" if cost else note
        say(f"{self.name} {self.run_number}/{self.settings.runs}: {operation}, {tool}: {shown}")


class TreeCase(Case):
    """A tree of which files are edited."""

    def change(self, source, which, seed):
        changes = data.FileChanges(source, os.path.join(self.place, f"originals-{which}"))
        if which == 0:
            changes.edit(100, seed)
        else:
            changes.edit_share(0.01, seed)
        return changes


class ImageCase(Case):
    """A large file of which blocks are overwritten."""
    change_names = ("100 blocks of 4 KiB overwritten", "1 % overwritten")
    few_inodes = True
    copy = staticmethod(tools.plain_copy)
    copy_name = "dd conv=fsync"
    data_bytes = 0

    def change(self, source, which, seed):
        changes = data.BlockChanges(source)
        if which == 0:
            changes.overwrite(100, 4096, seed)
        else:
            changes.overwrite(max(1, self.data_bytes // 100 // 65536), 65536, seed)
        return changes

    def baselines(self, source):
        super().baselines(source)
        measure.settle()
        cost = self.copy(source, os.path.join(self.place, "copy"))
        self.add("first backup", self.copy_name, cost)


class Linux(TreeCase):
    name = "linux"
    title = "Linux 6.1 source tree"

    def prepare(self):
        return data.linux_tree(self.settings.data, ["fs", "net"] if self.settings.quick else None)


class Incompressible(ImageCase):
    name = "incompressible"
    title = "One file that does not compress"
    peers_once = ()

    def prepare(self):
        self.data_bytes = 128 * MIB if self.settings.quick else 2 * GIB
        return data.random_file(self.settings.data, self.data_bytes)


class Image(ImageCase):
    name = "image"
    title = "Disk image (ext4, sparse)"

    def prepare(self):
        quick = self.settings.quick
        tree = data.linux_tree(self.settings.data, ["fs", "net"] if quick else None)
        filler = 64 * MIB if quick else 640 * MIB
        path = data.image(self.settings.data, GIB if quick else 8 * GIB, tree, filler)
        self.data_bytes = os.stat(path).st_blocks * 512
        return path


class Tiny(TreeCase):
    name = "tiny"
    title = "Tiny files"
    peers_once = ()

    def prepare(self):
        return data.tiny_files(self.settings.data, 5000 if self.settings.quick else 200_000)


class Versions(Case):
    name = "versions"
    title = "Successive versions of a source tree"

    def measure(self):
        parts = ["fs"] if self.settings.quick else ["fs", "net", "kernel", "mm", "lib", "include"]
        count = 5 if self.settings.quick else 20
        say(f"{self.name}: making the data")
        original = data.linux_tree(self.settings.data, parts)
        self.run_number = 1  # twenty backups are samples enough
        self.place = os.path.join(self.settings.work, "runs", self.name)
        os.makedirs(self.place)
        source = os.path.join(self.place, "tree")
        data.copy_tree(original, source)
        competitors = self.competitors()
        for tool in competitors:
            tool.create()
        for version in range(1, count + 1):
            if version > 1:
                data.next_version(source, version)
            name = "version 1" if version == 1 else f"versions 2 to {count}, each"
            self.for_all(name, competitors, lambda t: t.backup(source), source)
        self.restores(source, competitors)


ALL = [Linux, Incompressible, Image, Tiny, Versions]
