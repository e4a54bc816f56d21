"""The command line."""

import argparse
import datetime
import os
import sys

from . import extract, maps
from .vault import Report, Vault, printable
from .wire import Refused, Stop

DONE, FAILED, WARNINGS = 0, 1, 3
TYPE_LETTERS = "?-dlcbps"
_ZEROS = bytes(1 << 16)


def time_text(ns):
    try:
        moment = datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"


def points_command(vault, _):
    """A line a point: id, item, sequence, time, labels and paths, with tabs between."""
    for point in vault.points():
        m, body = point.manifest, point.body
        print(point.id.hex(), printable(body.item_name) if body else point.item.hex(), m.sequence,
              time_text(m.time_ns), printable(b",".join(m.labels)) or "-",
              printable(b" ".join(body.paths)) if body else "damaged",
              ("incomplete" if m.incomplete else "complete")
              + (", deleted" if point.deleted else ""), sep="\t")


def ls_command(vault, options):
    for e in maps.walk_paths(*vault.content(vault.point(options.point))):
        what = f" -> {printable(e.target)}" if e.type == maps.SYMLINK else ""
        print(f"{TYPE_LETTERS[e.type]}{e.mode:04o} {e.user[0]:>5} {e.group[0]:>5} {e.size:>12} "
              f"{time_text(e.mtime_s * 10**9)} /{printable(e.key)}{what}")


def cat_command(vault, options):
    chunks, root = vault.content(vault.point(options.point))
    key = os.fsencode(options.file).lstrip(b"/")
    entry = maps.find(chunks, root, key)
    if entry is None or entry.type != maps.FILE:
        raise Stop(f"{options.file}: no such file in the point")
    out = sys.stdout.buffer
    for piece in maps.file_pieces(chunks, entry):
        if isinstance(piece, int):
            for at in range(0, piece, len(_ZEROS)):
                out.write(_ZEROS[:piece - at])
        else:
            out.write(piece)
    out.flush()


def extract_command(vault, options):
    chunks, root = vault.content(vault.point(options.point))
    extract.Extraction(options.directory, chunks, vault.report).run(maps.walk_paths(chunks, root))


def passphrase(options):
    if options.passphrase_file:
        with open(options.passphrase_file, "rb") as file:
            return file.readline().rstrip(b"\r\n")
    text = os.environb.get(b"HOLDFAST_PASSPHRASE")
    if text is None:
        raise Stop("no passphrase: set HOLDFAST_PASSPHRASE or give --passphrase-file")
    return text


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="holdfast-reader", description="Reads a Holdfast vault, by docs/formats/ alone.",
        epilog="POINT: an id, its first digits, or latest. Exit codes: 0 done, 1 failed, 2 wrong "
               "usage, 3 done, with defects told on standard error.")
    parser.add_argument("--passphrase-file", metavar="FILE",
                        help="its first line is the passphrase or recovery code "
                             "(or HOLDFAST_PASSPHRASE)")
    parser.add_argument("--no-index", action="store_true", help="read the footers of all packs")
    parser.add_argument("vault", metavar="VAULT", help="the vault's directory")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("points", help="list recovery points").set_defaults(run=points_command)
    for name, run, extra, text in (
            ("ls", ls_command, None, "list what a point holds"),
            ("cat", cat_command, "file", "write a file to standard output"),
            ("extract", extract_command, "directory", "write everything below an empty directory")):
        command = commands.add_parser(name, help=text)
        command.add_argument("point", metavar="POINT")
        if extra:
            command.add_argument(extra, metavar=extra.upper())
        command.set_defaults(run=run)
    options = parser.parse_args(arguments)

    report = Report()
    try:
        vault = Vault(options.vault, passphrase(options), report, not options.no_index)
        options.run(vault, options)
    except (Stop, Refused, OSError) as error:
        print(f"holdfast-reader: {printable(os.fsencode(str(error)))}", file=sys.stderr)
        return FAILED
    return WARNINGS if report.defects else DONE
