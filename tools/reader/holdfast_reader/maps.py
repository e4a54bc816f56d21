"""Path maps and extents maps: map.md."""

import dataclasses

from .packs import ATTRIBUTES, DATA, NODE
from .wire import CHUNK_BYTES_MAX, LABEL_BYTES_MAX, PATH_BYTES_MAX, SIZE_MAX, TEXT_BYTES_MAX, \
    U32_MAX, Cursor, refuse_if

PATH_LEAF, PATH_INNER, EXTENTS_LEAF, EXTENTS_INNER = 1, 2, 3, 4
FILE, DIRECTORY, SYMLINK, CHAR_DEVICE, BLOCK_DEVICE, FIFO, SOCKET = range(1, 8)
HAS_XATTRS, HAS_XATTR_CHUNKS, HAS_ATTRIBUTES, HAS_LINK = 0x01, 0x02, 0x04, 0x08
HAS_FURTHER_NAMES, INCONSISTENT, HAS_MAP, HAS_LIST = 0x10, 0x20, 0x40, 0x80
LEVEL_MAX = 32
LIST_EXTENTS_MAX, PAGE_EXTENTS_MAX = 8, 1024
ENTRY_BYTES_MIN = 12


# --- Keys ------------------------------------------------------------------------------------

def is_valid_key(key):
    if len(key) > PATH_BYTES_MAX or b"\0" in key:
        return False
    return key == b"" or all(c not in (b"", b".", b"..") for c in key.split(b"/"))


def key_order(key):
    """Sorts as keys do: no key has a zero byte, so it can stand for the least one."""
    return key.replace(b"/", b"\0")


def read_key(c, before):
    """A key written against the one before it."""
    shared = c.varint(len(before))
    key = before[:shared] + c.block(PATH_BYTES_MAX)
    c.refuse_if(not is_valid_key(key), "an invalid key")
    return key


class References:
    """The edges of a page, named in the order of first use."""

    def __init__(self, edges):
        self.edges, self.named = edges, 0

    def read(self, c):
        r = c.varint()
        if r == 0:
            c.refuse_if(self.named == len(self.edges), "a reference to an edge that is not there")
            self.named += 1
            return self.edges[self.named - 1]
        c.refuse_if(r > self.named, "a reference to an edge that is not yet named")
        return self.edges[r - 1]

    def finish(self, c):
        c.refuse_if(self.named != len(self.edges), "an edge that nothing refers to")


# --- Entries ---------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Extent:
    length: int
    chunk: bytes  # None: a hole


@dataclasses.dataclass
class Entry:
    key: bytes
    type: int
    fields: int
    mode: int
    user: tuple  # id, name
    group: tuple
    mtime_s: int
    mtime_ns: int
    attributes: int = 0
    xattrs: list = None  # (name, value); None: none, or in xattr_chunks
    xattr_chunks: tuple = ()
    link: bytes = b""
    size: int = 0
    extents: tuple = ()  # unless in a map
    extents_root: bytes = None
    target: bytes = b""
    device: tuple = (0, 0)

    @property
    def content(self):
        """Equal for entries that may be names of one file, in one domain."""
        return self.type, self.size, self.extents, self.extents_root, self.target, self.device


def read_extent(c, references):
    v = c.varint()
    length = v >> 1
    c.refuse_if(length == 0, "an extent of length 0")
    if v & 1:
        return Extent(length, None)
    c.refuse_if(length > CHUNK_BYTES_MAX, "an extent longer than a chunk can be")
    return Extent(length, references.read(c))


def decode_xattrs(data):
    c = Cursor(data, "extended attributes")
    xattrs = c.list(lambda: (c.text(LABEL_BYTES_MAX), c.block(CHUNK_BYTES_MAX)), 2)
    c.finish()
    names = [name for name, _ in xattrs]
    c.refuse_if(b"" in names or any(a >= b for a, b in zip(names, names[1:])),
                "names that are empty or do not rise")
    return xattrs


def read_entry(c, before, base_time, users, groups, references):
    key = read_key(c, before)
    type_, fields, mode = c.u8(), c.varint(), c.varint(0o7777)
    c.refuse_if(not FILE <= type_ <= SOCKET, f"unknown type {type_}")
    c.refuse_if(fields > 0xFF, "unknown fields")
    user, group = (owners[_index(c, len(owners))] for owners in (users, groups))
    seconds = (c.svarint() + base_time + 2**63) % 2**64 - 2**63
    nanoseconds = c.u32()
    c.refuse_if(nanoseconds >= 10**9, "a second has less nanoseconds")
    e = Entry(key, type_, fields, mode, user, group, seconds, nanoseconds)
    if fields & HAS_ATTRIBUTES:
        e.attributes = c.varint(U32_MAX)
        c.refuse_if(e.attributes == 0, "attributes of 0")
    c.refuse_if(fields & HAS_XATTRS and fields & HAS_XATTR_CHUNKS,
                "extended attributes in two places")
    if fields & HAS_XATTRS:
        e.xattrs = decode_xattrs(c.block(CHUNK_BYTES_MAX))
        c.refuse_if(not e.xattrs, "an empty set of extended attributes")
    if fields & HAS_XATTR_CHUNKS:
        e.xattr_chunks = tuple(c.list(lambda: references.read(c), 1))
        c.refuse_if(not e.xattr_chunks, "an empty list of extended attributes")
    if fields & HAS_LINK:
        c.refuse_if(type_ == DIRECTORY, "a directory with a link")
        e.link = c.text(PATH_BYTES_MAX)
        c.refuse_if(not e.link or not is_valid_key(e.link) or key_order(e.link) >= key_order(key),
                    "a link that does not come before")
    if type_ == FILE:
        _read_content(c, e, references)
    else:
        c.refuse_if(fields & (HAS_MAP | HAS_LIST), "extents in what is no file")
    if type_ == SYMLINK:
        e.target = c.text(TEXT_BYTES_MAX)
    if type_ in (CHAR_DEVICE, BLOCK_DEVICE):
        e.device = c.varint(U32_MAX), c.varint(U32_MAX)
    return e


def _index(c, count):
    i = c.varint()
    c.refuse_if(i >= count, "an owner that is not there")
    return i


def _read_content(c, e, references):
    e.size = c.varint(SIZE_MAX)
    c.refuse_if(e.fields & HAS_MAP and e.fields & HAS_LIST, "extents in two places")
    c.refuse_if(e.fields & (HAS_MAP | HAS_LIST) and e.size == 0, "extents of an empty file")
    if e.fields & HAS_MAP:
        e.extents_root = references.read(c)
    elif e.fields & HAS_LIST:
        e.extents = tuple(c.list(lambda: read_extent(c, references), 1, LIST_EXTENTS_MAX))
        c.refuse_if(sum(x.length for x in e.extents) != e.size, "extents that do not add up")
        c.refuse_if(len(e.extents) == 1 and e.extents[0].chunk, "a list of one whole chunk")
    elif e.size:
        c.refuse_if(e.size > CHUNK_BYTES_MAX, "a chunk longer than chunks can be")
        e.extents = (Extent(e.size, references.read(c)),)


# --- Pages -----------------------------------------------------------------------------------

@dataclasses.dataclass
class PathChild:
    key: bytes
    entries: int
    bytes: int
    page: bytes


def decode_path_leaf(payload, edges):
    c, references = Cursor(payload, "path leaf"), References(edges)
    c.expect(bytes([PATH_LEAF]), "kind of page")
    count = c.count(1)
    base_time = c.i64()
    users, groups = (c.list(lambda: (c.varint(U32_MAX), c.text(LABEL_BYTES_MAX)), 2)
                     for _ in range(2))
    c.refuse_if(count == 0 or count * ENTRY_BYTES_MIN > c.left, f"{count} entries")
    entries = []
    for _ in range(count):
        before = entries[-1].key if entries else b""
        e = read_entry(c, before, base_time, users, groups, references)
        c.refuse_if(entries and key_order(e.key) <= key_order(before), "keys do not rise")
        entries.append(e)
    c.finish()
    references.finish(c)
    return entries


def decode_path_inner(payload, edges):
    """(level, children)"""
    c = Cursor(payload, "path inner page")
    c.expect(bytes([PATH_INNER]), "kind of page")
    level = c.u8()
    c.refuse_if(not 1 <= level <= LEVEL_MAX, f"level {level}")
    count = c.count(4)
    c.refuse_if(count == 0 or count != len(edges), "another number of children than of edges")
    children = []
    for edge in edges:
        before = children[-1].key if children else b""
        key = read_key(c, before)
        c.refuse_if(children and key_order(key) <= key_order(before), "keys do not rise")
        children.append(PathChild(key, c.varint(), c.varint(), edge))
    c.finish()
    return level, children


def decode_extents_leaf(payload, edges):
    c, references = Cursor(payload, "extents leaf"), References(edges)
    c.expect(bytes([EXTENTS_LEAF]), "kind of page")
    extents = c.list(lambda: read_extent(c, references), 1, PAGE_EXTENTS_MAX)
    c.refuse_if(not extents, "a leaf without extents")
    c.finish()
    references.finish(c)
    return extents


def decode_extents_inner(payload, edges):
    """(level, list of (length, page))"""
    c, references = Cursor(payload, "extents inner page"), References(edges)
    c.expect(bytes([EXTENTS_INNER]), "kind of page")
    level = c.u8()
    c.refuse_if(not 1 <= level <= LEVEL_MAX, f"level {level}")

    def child():
        length = c.varint(SIZE_MAX)
        c.refuse_if(length == 0, "a child of length 0")
        return length, references.read(c)

    children = c.list(child, 2, PAGE_EXTENTS_MAX)
    c.refuse_if(not children, "a page without children")
    c.finish()
    references.finish(c)
    return level, children


# --- Walks -----------------------------------------------------------------------------------

def walk_paths(chunks, root):
    """All entries of a path map in key order. Refused raised in the middle ends the walk; what came
    before it was right. `chunks.get(id, kind)` gives (bytes, edges)."""
    # Pages to come, the next one last: id, level or None for the root, first key, key bound above.
    todo = [(root, None, None, None)]
    while todo:
        page, level, first, below = todo.pop()
        payload, edges = chunks.get(page, NODE)
        what = f"page {page.hex()}"
        refuse_if(payload[:1] not in (bytes([PATH_LEAF]), bytes([PATH_INNER])),
                  f"{what}: no page of a path map")
        if payload[0] == PATH_LEAF:
            refuse_if(level not in (None, 0), f"{what}: a leaf at level {level}")
            entries = decode_path_leaf(payload, edges)
            refuse_if(first is not None and entries[0].key != first, f"{what}: another first key")
            refuse_if(below is not None and key_order(entries[-1].key) >= key_order(below),
                      f"{what}: a key that belongs to a later page")
            yield from entries
            continue
        own_level, children = decode_path_inner(payload, edges)
        refuse_if(level not in (None, own_level), f"{what}: level {own_level}, not {level}")
        refuse_if(first is not None and children[0].key != first, f"{what}: another first key")
        bounds = [child.key for child in children[1:]] + [below]
        for child, bound in reversed(list(zip(children, bounds))):
            todo.append((child.page, own_level - 1, child.key, bound))


def walk_extents(chunks, root, size):
    """All extents of a large file in order."""
    todo = [(root, None, size)]
    while todo:
        page, level, length = todo.pop()
        payload, edges = chunks.get(page, NODE)
        what = f"page {page.hex()}"
        refuse_if(payload[:1] not in (bytes([EXTENTS_LEAF]), bytes([EXTENTS_INNER])),
                  f"{what}: no page of an extents map")
        if payload[0] == EXTENTS_LEAF:
            refuse_if(level not in (None, 0), f"{what}: a leaf at level {level}")
            extents = decode_extents_leaf(payload, edges)
            refuse_if(sum(x.length for x in extents) != length, f"{what}: lengths do not add up")
            yield from extents
            continue
        own_level, children = decode_extents_inner(payload, edges)
        refuse_if(level not in (None, own_level), f"{what}: level {own_level}, not {level}")
        refuse_if(sum(n for n, _ in children) != length, f"{what}: lengths do not add up")
        todo.extend((child, own_level - 1, n) for n, child in reversed(children))


def find(chunks, root, key):
    """The entry of a key, or None. Walks everything before it: simple, and checks the most."""
    for entry in walk_paths(chunks, root):
        if entry.key == key:
            return entry
        if key_order(entry.key) > key_order(key):
            return None
    return None


def file_pieces(chunks, entry):
    """A file's content piece by piece: bytes, or an int for so many zeros of a hole."""
    extents = entry.extents
    if entry.extents_root is not None:
        extents = walk_extents(chunks, entry.extents_root, entry.size)
    for extent in extents:
        if extent.chunk is None:
            yield extent.length
            continue
        data, _ = chunks.get(extent.chunk, DATA)
        refuse_if(len(data) != extent.length, "a chunk of another length than its extent")
        yield data


def all_xattrs(chunks, entry):
    """(name, value) of all extended attributes."""
    if entry.xattr_chunks:
        return decode_xattrs(b"".join(chunks.get(i, ATTRIBUTES)[0] for i in entry.xattr_chunks))
    return entry.xattrs or []
