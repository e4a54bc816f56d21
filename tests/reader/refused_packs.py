"""Forged and damaged packs and index runs; see refusals.py."""

import os
import unittest

import support
from forge import block, decode_parts, encode_pack, seal_part
from holdfast_reader import crypto, packs
from holdfast_reader.chunks import chunk_id
from holdfast_reader.wire import u32, u64, varint
from refusals import OTHER, RefusalTest


class Packs(RefusalTest):
    # --- Packs, by somebody without a key: every public hash is right

    def test_taken_apart_and_put_together(self):
        """What the forgeries below do besides: nothing is changed, so nothing is refused."""
        for vector in ("pack.data", "pack.metadata", "pack.data2", "pack.metadata2"):
            name = self.small.pack(vector)
            self.assertEqual(self.small.replace_pack(name, lambda parts: None), name)
        self.assert_whole()

    def forge(self, vector, change, **more):
        return self.small.replace_pack(self.small.pack(vector), change, **more)

    def test_swapped_edges(self):
        """Of the root page: its two leaves change places."""
        root = self.small.vectors["map.root.id"]

        def change(parts):
            for part in parts:
                part.chunks = [(k, i, e[::-1] if i == root else e) for k, i, e in part.chunks]
        self.forge("pack.metadata", change)
        self.assert_unreadable("/etc/hosts", "authenticate")

    def test_replaced_edge(self):
        """The edge to a file's chunk is made that of another file."""
        v = self.small.vectors
        leaf, note, hosts = v["map.leaf1.id"], v["chunk.note.id"], v["chunk.hosts.id"]

        def change(parts):
            for part in parts:
                part.chunks = [(k, i, [note if x == hosts else x for x in e] if i == leaf else e)
                               for k, i, e in part.chunks]
        self.forge("pack.metadata", change)
        self.assert_unreadable("/etc/hosts", "authenticate")

    def test_edges_that_the_footer_does_not_have(self):
        small = self.small
        name = small.pack("pack.metadata")
        data = bytearray(small.get(name))
        at = bytes(data).index(small.vectors["map.root.edges"])
        data[at:at + 64] = data[at + 32:at + 64] + data[at:at + 32]
        small.put(name, bytes(data))
        self.assert_unreadable("/etc/hosts", "edges")

    def test_swapped_segments(self):
        def change(parts):
            parts[0].stored, parts[1].stored = parts[1].stored, parts[0].stored
        self.forge("pack.data", change)
        self.assert_unreadable("/etc/hosts", "authenticate")

    def test_moved_segments_are_right(self):
        """Where a segment stands does not matter, if all that is said of it goes with it."""
        self.forge("pack.data", lambda parts: parts[::-1])
        self.remove_runs()
        self.assert_reads()

    def test_swapped_segments_in_place(self):
        small = self.small
        name = small.pack("pack.data")
        _, _, parts = decode_parts(small.store, small.id, name)
        small.put(name, b"HFV1PACK" + parts[1].stored + parts[0].stored
                  + small.get(name)[8 + len(parts[0].stored) + len(parts[1].stored):])
        self.assert_unreadable("/etc/hosts", "damaged")

    def test_chunks_under_each_others_ids(self):
        def change(parts):
            parts[0].chunks.reverse()
        self.forge("pack.data", change)
        self.assert_unreadable("/etc/hosts", "authenticate")
        self.assert_unreadable("/home/a", "authenticate", check=False)

    def test_chunk_under_a_foreign_id(self):
        """The new hosts file is to be the old one again."""
        v = self.small.vectors
        old, new = v["chunk.hosts.id"], v["chunk.new_hosts.id"]

        def change(parts):
            for part in parts:
                part.chunks = [(k, new if i == old else i, e) for k, i, e in part.chunks]
        for vector in ("pack.data2", "pack.adopted"):  # all copies of the new one go
            name = self.small.pack(vector)
            if new in self.small.get(name):
                self.small.remove(name)
        self.forge("pack.data", change)
        self.assert_unreadable("/etc/hosts", "authenticate", point=1)

    def test_other_kinds(self):
        """An attribute chunk posing as a page, and a page as attributes."""
        def change(parts):
            for part in parts:
                part.chunks = [(5 - k if not e else k, i, e) for k, i, e in part.chunks]
        self.forge("pack.metadata", change)
        self.assert_unreadable("/etc/hosts", "authenticate")

    def test_other_counter_codec_and_wrap(self):
        other, _ = self.small.session(3)

        def counter(parts):
            parts[0].counter += 1

        def codec(parts):
            parts[0].codec ^= 1

        def wrap(parts):
            parts[0].wrap = other
        for change in (counter, codec, wrap):
            with self.subTest(change.__name__):
                self.new_vault()
                self.forge("pack.data", change)
                self.assert_unreadable("/etc/hosts", "authenticate")
                support.remove_tree(self.dir + "/out")

    def test_pack_of_another_vault_or_domain(self):
        for more in ({"vault": OTHER}, {"domain": OTHER}):
            with self.subTest(*more):
                self.new_vault()
                self.forge("pack.data", lambda parts: None, **more)
                self.assert_unreadable("/etc/hosts", "no pack has it")
                support.remove_tree(self.dir + "/out")

    def test_truncated_and_extended_packs(self):
        name = self.small.pack("pack.data")
        data = self.small.get(name)
        for changed in (data[:-1], data[:len(data) // 2], data[:8], b"", data[:8] + data[9:]):
            with self.subTest(len(changed)):
                self.small.put(name, changed)
                self.assert_unreadable("/etc/hosts", name)
                support.remove_tree(self.dir + "/out")
        # Where sizes come from an index run the program looks at neither (pack.md); a check does.
        for changed in (data + b"\0", b"HFV1PACX" + data[8:]):
            with self.subTest(len(changed)):
                self.small.put(name, changed)
                self.assertIn(name, self.reader("cat", self.ids[0], "etc/hosts", expect=1).err)
                self.assertIn(name, self.check(expect=1).out)

    def test_every_part_of_a_pack_damaged(self):
        small, name = self.small, self.small.pack("pack.data")
        data = small.get(name)
        for at in (20, 50, len(data) - 300, len(data) - 150, len(data) - 10, len(data) - 3):
            with self.subTest(at):
                small.put(name, data[:at] + bytes([data[at] ^ 16]) + data[at + 1:])
                self.assert_unreadable("/etc/hosts")
                support.remove_tree(self.dir + "/out")

    def test_an_own_wrap_for_a_sound_session_id(self):
        """A forged pack with the session's id and another encapsulation must not spoil the keys of
        sound packs, which a reader may keep."""
        small = self.small
        wrap, key = small.new_session(session=small.vectors["session1.id"])
        chunk = (packs.DATA, small.vectors["chunk.hosts.id"], [])
        part = seal_part(small.id, small.domain, wrap, key, 0, [chunk], [b"forged"])
        data, footer = encode_pack(small.id, small.domain, packs.DATA_PACK, [part])
        # Sorts first, so that it is the first copy that is tried where footers are read.
        small.put(f"packs/{bytes(16).hex()}/{crypto.sha256(footer).hex()}", data)
        self.remove_runs()
        self.assert_reads(code=(0, 3))

    # --- Packs, by an insider: whoever has the agent's secret seals what he likes

    def insider(self, change, kind=packs.DATA_PACK, vector="pack.data", **more):
        """Puts a segment of chunks (kind, id, edges, content) in the place of a pack."""
        small = self.small
        wrap, key = small.new_session()
        chunks = change()
        part = seal_part(small.id, small.domain, wrap, key, 0, [c[:3] for c in chunks],
                         [c[3] for c in chunks], **more)
        data, footer = encode_pack(small.id, small.domain, kind, [part])
        old = small.pack(vector)
        small.remove(old)
        small.put(old[:-64] + crypto.sha256(footer).hex(), data)

    def content(self, *names):
        v = self.small.vectors
        return [(packs.DATA, v[f"chunk.{n}.id"], [], v[f"chunk.{n}.bytes"]) for n in names]

    def pages(self):
        v, out = self.small.vectors, []
        for n in ("extents1", "extents2", "extents_root", "leaf1", "leaf2", "root"):
            edges = v[f"map.{n}.edges"]
            out.append((packs.NODE, v[f"map.{n}.id"],
                        [edges[i:i + 32] for i in range(0, len(edges), 32)], v[f"map.{n}.bytes"]))
        out.append((packs.ATTRIBUTES, v["chunk.attributes.id"], [], v["chunk.attributes.bytes"]))
        return out

    def test_insider_who_is_honest(self):
        self.insider(lambda: self.content("hosts", "note", "letters", "promise"))
        self.insider(self.pages, packs.METADATA_PACK, "pack.metadata")
        self.remove_runs()
        self.assert_reads()

    def test_insider_puts_a_chunk_under_another_id(self):
        def swapped():
            hosts, note, *rest = self.content("hosts", "note", "letters", "promise")
            return [hosts[:3] + note[3:], note[:3] + hosts[3:], *rest]
        self.insider(swapped)
        self.assert_unreadable("/etc/hosts", "does not have the chunk's id")

    def test_insider_swaps_edges(self):
        def swapped():
            pages = self.pages()
            kind, i, edges, data = pages[5]
            pages[5] = kind, i, edges[::-1], data
            return pages
        self.insider(swapped, packs.METADATA_PACK, "pack.metadata")
        self.assert_unreadable("/etc/hosts", "does not have the chunk's id")

    def test_insider_changes_kinds(self):
        def retyped():
            return [(packs.ATTRIBUTES if i == leaf else k, i, [] if i == leaf else e, data)
                    for k, i, e, data in self.pages()]
        leaf = self.small.vectors["map.extents1.id"]
        self.insider(retyped, packs.METADATA_PACK, "pack.metadata")
        self.assert_unreadable("/home/large", "kind")

    def test_insider_pads_with_something(self):
        self.insider(lambda: self.content("hosts", "note", "letters", "promise"), padding=b"\1")
        self.assert_unreadable("/etc/hosts", "padding")

    def put_file_as_root(self):
        """A point whose root is a chunk that was backed up as a file, with the bytes of a page."""
        small = self.small
        page = small.vectors["map.root.bytes"]
        wrong = chunk_id(small.vectors["keys.id_key"], packs.DATA, [], page)
        wrap, key = small.new_session()
        part = seal_part(small.id, small.domain, wrap, key, 0, [(packs.DATA, wrong, [])], [page])
        data, footer = encode_pack(small.id, small.domain, packs.DATA_PACK, [part])
        small.put(f"packs/{wrap.session.hex()}/{crypto.sha256(footer).hex()}", data)
        name = self.put_point(small.manifest(4, wrap, key, root=wrong))
        return crypto.sha256(small.get(name)).hex()

    def test_insiders_file_as_a_page(self):
        point = self.put_file_as_root()
        self.assertIn("kind", self.reader("ls", point, expect=1).err)
        self.program("ls", point, expect=1)
        self.program("restore", point, "--to", self.dir + "/out", expect=(1, 3))

    def test_a_check_sees_that_a_root_is_no_page(self):
        """A point whose root is a chunk of a file: nobody could list it."""
        self.put_file_as_root()
        self.check(expect=1)

    def test_nothing_is_written_through_a_link(self):
        """An insider's map has a symbolic link, and below it a file."""
        small, outside = self.small, self.dir + "/outside"
        os.mkdir(outside)
        times = b"\0" + u32(0)
        owners = b"\1\0\0" * 2
        leaf = (b"\1\2" + u64(0) + owners
                + b"\0" + block(b"a") + b"\3\0" + varint(0o777) + b"\0\0" + times
                + block(outside.encode())
                + b"\1" + block(b"/b") + b"\1\0" + varint(0o644) + b"\0\0" + times + b"\0")
        root = chunk_id(small.vectors["keys.id_key"], packs.NODE, [], leaf)
        wrap, key = small.new_session()
        part = seal_part(small.id, small.domain, wrap, key, 0, [(packs.NODE, root, [])], [leaf])
        data, footer = encode_pack(small.id, small.domain, packs.METADATA_PACK, [part])
        small.put(f"packs/{wrap.session.hex()}/{crypto.sha256(footer).hex()}", data)
        point = crypto.sha256(small.get(self.put_point(small.manifest(4, wrap, key, root=root)))).hex()
        self.assertEqual(len(self.reader("ls", point).out.splitlines()), 2)
        self.reader("extract", point, self.dir + "/out", expect=3)
        self.program("restore", point, "--to", self.dir + "/out2", expect=(1, 3))
        self.assertEqual(os.readlink(self.dir + "/out/a"), outside)
        self.assertEqual(os.listdir(outside), [])

    def test_a_good_copy_is_found_behind_forged_ones(self):
        small = self.small
        for i, session in enumerate((bytes(16), b"\xff" * 16)):
            wrap, key = small.new_session()
            chunks = self.content("hosts", "new_hosts", "note", "new_note")
            part = seal_part(small.id, small.domain, wrap, key, i, [c[:3] for c in chunks],
                             [b"forged %d" % i] * 4)
            data, footer = encode_pack(small.id, small.domain, packs.DATA_PACK, [part])
            small.put(f"packs/{session.hex()}/{crypto.sha256(footer).hex()}", data)
        self.assert_reads(code=(0, 3))
        self.remove_runs()
        self.assert_reads(code=(0, 3))
        self.check(expect=1)

    # --- Index runs: hints, whatever they say

    def test_index_runs_cost_time_only(self):
        small = self.small
        runs = {n: small.get(n) for n in small.store.list("index")}

        def entries_at(data):
            packs_, filters, bits = data[48], data[52], data[57]
            return 72 + 64 * packs_ + 32 * filters + 4 * ((1 << bits) + 1)

        def without_filter(data):
            at = 72 + 64 * data[48]
            return data[:at] + bytes(32 * data[52]) + data[at + 32 * data[52]:]

        def wrong_places(data):
            at = entries_at(data)
            return data[:at] + b"".join(data[i:i + 12] + u32(0) + b"\0\0\xff\0"
                                        for i in range(at, len(data), 20))

        def other_ids(data):
            at = entries_at(data)
            return data[:at] + b"\x42" * (len(data) - at)

        def buckets(data):
            at = entries_at(data)
            return data[:at - 8] + b"\xff" * 8 + data[at:]

        for change in (without_filter, wrong_places, other_ids, buckets, lambda d: d[:-1],
                       lambda d: b"HFV1INDY" + d[8:], lambda d: b""):
            with self.subTest(getattr(change, "__name__", "")):
                for name, data in runs.items():
                    small.put(name, change(data))
                self.assert_reads_of_reader(code=(0, 3))
        # The runs are named by their content, so a check sees it.
        self.check(expect=1)

    def test_the_program_reads_past_a_wrong_index_run(self):
        """What a run names but does not list, or lists elsewhere, is found in the packs."""
        small = self.small
        for name in small.store.list("index"):
            data = small.get(name)
            at = 72 + 64 * data[48]  # the filter says that nothing is there
            small.put(name, data[:at] + bytes(32 * data[52]) + data[at + 32 * data[52]:])
        self.assert_reads(code=(0, 3))
