"""Chunks by id: README.md, "From a passphrase to a file", steps 7 to 9, and chunk.md."""

import collections

from . import crypto
from .packs import DATA, IndexRun, Pack
from .store import hex_id
from .wire import MIB, Refused, u32

SEGMENTS_KEPT_BYTES = 16 * MIB


def chunk_id(id_key, kind, edges, data):
    return crypto.hmac(id_key, bytes([kind]) + u32(len(edges)) + b"".join(edges) + data)


def pack_names(store, report):
    names = []
    for name in store.list("packs"):
        parts = name.split("/")
        if len(parts) == 3 and hex_id(parts[1], 16) and hex_id(parts[2], 32):
            names.append(name)
        else:
            report.defect(name, "is no pack's name")
    return names


class Chunks:
    """The chunks of one domain. get() returns nothing that does not have its id.

    Index runs are asked first. What they say is a hint and what they do not say means nothing, so
    the footers of all packs are read as soon as they do not lead to a right copy.
    """

    def __init__(self, store, vault, domain, id_key, session_keys, report, use_index=True):
        self.store, self.vault, self.domain, self.id_key = store, vault, domain, id_key
        self.session_keys, self.report = session_keys, report
        self.packs = {}  # by name; None: refused
        self.places = None  # id -> places, of all footers, once they were needed
        self.segments = collections.OrderedDict()  # (pack, segment) -> chunks, last used last
        self.segments_bytes = 0
        self.runs = self._read_runs() if use_index else []

    def _read_runs(self):
        runs = []
        for name in self.store.list("index"):
            parts = name.split("/")
            if len(parts) != 3 or parts[1] != self.domain.hex() or not hex_id(parts[2], 32):
                continue
            try:
                data = self.store.mapped(name)
                if data is not None:
                    runs.append(IndexRun(data, self.vault, self.domain))
            except Refused as refused:
                self.report.remark(name, f"not used, {refused}")
        return runs

    def _pack(self, name):
        if name not in self.packs:
            self.packs[name] = None
            try:
                pack = Pack(self.store, self.vault, name)
                if pack.footer.domain == self.domain:
                    self.packs[name] = pack
            except Refused as refused:
                self.report.defect(name, str(refused))
        return self.packs[name]

    def _candidates(self, wanted):
        """Places (pack, segment, chunk) that have the id according to their footer."""
        seen = set()
        for run in self.runs:
            for name, segment, chunk in run.find(wanted):
                pack = self._pack(name)
                if pack and segment < len(pack.footer.segments) \
                        and chunk < len(pack.footer.segments[segment].ids) \
                        and pack.footer.segments[segment].ids[chunk] == wanted:
                    seen.add((name, segment, chunk))
                    yield pack, segment, chunk
        for place in self._all_places().get(wanted, ()):
            if place not in seen:
                yield self._pack(place[0]), *place[1:]

    def _all_places(self):
        if self.places is None:
            self.places = {}
            for name in pack_names(self.store, self.report):
                pack = self._pack(name)
                for s, segment in enumerate(pack.footer.segments if pack else ()):
                    for c, found in enumerate(segment.ids):
                        self.places.setdefault(found, []).append((name, s, c))
        return self.places

    def _content(self, pack, number):
        """The chunks of a segment, kept while there is room: neighbours are wanted next."""
        key = pack.name, number
        if key in self.segments:
            self.segments.move_to_end(key)
            return self.segments[key]
        chunks = pack.open_segment(pack.footer.segments[number], self.session_keys)
        self.segments[key] = chunks
        self.segments_bytes += sum(map(len, chunks))
        while self.segments_bytes > SEGMENTS_KEPT_BYTES and len(self.segments) > 1:
            _, old = self.segments.popitem(last=False)
            self.segments_bytes -= sum(map(len, old))
        return chunks

    def get(self, wanted, kind):
        """(bytes, edges) of the chunk. Every copy is tried until one is right; Refused if none."""
        why = []
        for pack, number, chunk in self._candidates(wanted):
            segment = pack.footer.segments[number]
            try:
                if segment.kinds[chunk] != kind:
                    raise Refused(f"{pack.name}: the copy is of kind {segment.kinds[chunk]}")
                edges = [] if kind == DATA else pack.chunk_edges(segment, chunk)
                data = self._content(pack, number)[chunk]
                if chunk_id(self.id_key, kind, edges, data) != wanted:
                    raise Refused(f"{pack.name}: the copy does not have the chunk's id")
                return data, edges
            except Refused as refused:
                why.append(str(refused))
                self.report.defect(pack.name, f"a copy of chunk {wanted.hex()} is refused: {refused}")
        raise Refused(f"chunk {wanted.hex()} of kind {kind}: "
                      + ("; ".join(why) if why else "no pack has it"))
