"""An open vault: the steps of README.md, "From a passphrase to a file", in their order."""

import os
import sys

from . import keys, points
from .chunks import Chunks
from .store import Directory
from .wire import Refused, Stop


class Report:
    """What is passed over or refused, on standard error and each thing once."""

    def __init__(self, out=None):
        self.out, self.said, self.defects = out or sys.stderr, set(), 0

    def _say(self, word, name, why):
        line = f"{word}: {name}: {why}"
        if line not in self.said:
            self.said.add(line)
            self.defects += word == "defect"
            print(printable(os.fsencode(line)), file=self.out)

    def defect(self, name, why):
        self._say("defect", name, why)

    def remark(self, name, why):
        self._say("remark", name, why)


def printable(data):
    """Bytes of any content on one line, and nothing that a terminal would obey."""
    text = data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Vault:
    def __init__(self, path, text, report, use_index=True):
        """`text`: the passphrase or recovery code, bytes."""
        self.store, self.report, self.use_index = Directory(path), report, use_index
        data = self.store.get("vault")
        if data is None:
            raise Stop(f"{path} is no vault")
        self.description = keys.decode_description(data)
        self.id = self.description.vault
        self.secret, self.vault_keys = keys.unlock(self.store, self.description, text, report)
        self.roster = keys.roster_in_force(self.store, self.id, self.secret, self.vault_keys[-1],
                                           report)
        self.session_keys = keys.SessionKeys(self.id, self.secret, self.roster)
        self.domains = {}

    def points(self):
        return points.list_points(self.store, self.id, self.vault_keys, self.roster,
                                  self.session_keys, self.report)

    def point(self, wanted):
        """By its id, the first digits of one, or "latest", which was not deleted."""
        listed = self.points()
        if wanted == "latest":
            listed = [p for p in listed if not p.deleted]
            listed = sorted(listed, key=lambda p: p.manifest.time_ns)[-1:]
        else:
            listed = [p for p in listed if wanted and p.id.hex().startswith(wanted)]
        if len(listed) != 1:
            raise Stop(f"{wanted}: {'several' if listed else 'no'} such recovery points")
        if listed[0].body is None:
            self.report.defect(wanted, "its content is not to be taken for its agent's")
        return listed[0]

    def chunks(self, domain):
        if domain not in self.domains:
            id_key = self.roster.id_keys.get(domain)
            if id_key is None:
                raise Refused(f"domain {domain.hex()} is not in the roster")
            self.domains[domain] = Chunks(self.store, self.id, domain, id_key, self.session_keys,
                                          self.report, self.use_index)
        return self.domains[domain]

    def content(self, point):
        """(chunks, root of the path map) of a point."""
        if not point.manifest.roots:
            raise Refused("the point has nothing to restore")
        return self.chunks(point.manifest.domain), point.manifest.roots[0]
