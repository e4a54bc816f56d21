"""tools/bench, after everything is built."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import cases
import measure
import report
import tools

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Compares Holdfast with restic, BorgBackup, bup and casync.")
    parser.add_argument("what", choices=["files"])
    parser.add_argument("--quick", action="store_true",
                        help="small data and one run: shows that it works, not how fast")
    parser.add_argument("--only", action="append", metavar="CASE",
                        choices=[c.name for c in cases.ALL],
                        help="one of " + ", ".join(c.name for c in cases.ALL) + "; may be repeated")
    parser.add_argument("--runs", type=int, help="medians of so many (default: 3; quick: 1)")
    parser.add_argument("--rivals-only", action="store_true",
                        help="without bup and casync, which do not encrypt and take the most time")
    parser.add_argument("--work", metavar="DIR",
                        help="where to work; the data made is kept there for the next time "
                             "(default: a temporary directory, removed at the end)")
    parser.add_argument("--json", metavar="FILE", help="write everything measured there")
    a = parser.parse_args()
    if a.runs is None:
        a.runs = 1 if a.quick else 3
    if a.runs < 1:
        parser.error("--runs takes a number above 0")
    return a


def file_system_of(path):
    return subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], capture_output=True,
                          text=True).stdout.strip() or "unknown file system"


def main():
    a = arguments()
    tools.Holdfast.program = os.path.join(ROOT, "build/bin/holdfast")
    raw_pipeline = os.path.join(ROOT, "build/bin/raw_pipeline")
    versions = {kind.name: kind.version() for kind in tools.ALL}
    if a.work:
        os.makedirs(a.work, exist_ok=True)
    # Real paths: tools differ in what they make of a link above the tree.
    work = os.path.realpath(a.work or tempfile.mkdtemp(prefix="holdfast-bench-"))
    runs = os.path.join(work, "runs")
    if os.path.exists(runs):
        print(f"tools/bench: {runs} is there from another run; remove it first", file=sys.stderr)
        return 1
    os.makedirs(runs)
    # Copies: a build may replace the programs meanwhile.
    tools.Holdfast.program = shutil.copy2(tools.Holdfast.program, runs)
    settings = cases.Settings(work, a.quick, a.runs, a.rivals_only,
                              shutil.copy2(raw_pipeline, runs))
    os.makedirs(settings.data, exist_ok=True)
    chosen = [c for c in cases.ALL if not a.only or c.name in a.only]
    file_system = file_system_of(work)
    print(report.header(settings, versions, file_system))
    try:
        for case in chosen:
            case(settings).measure()
            print()
            print(report.table(case, report.rows(settings.samples)), flush=True)
    finally:
        # Only now: after many files were deleted ext4 is slower at making new ones for a while.
        subprocess.run(["chmod", "-R", "u+rwX", runs], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", runs if a.work else work])
    groups = report.rows(settings.samples)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(report.as_json(settings, versions, file_system, groups), f, indent=1)
            f.write("\n")
    for text in settings.failed:
        print(f"FAILED {text}", file=sys.stderr)
    return 1 if settings.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except measure.CommandFailed as failure:
        print(f"tools/bench: {failure}", file=sys.stderr)
        sys.exit(1)
