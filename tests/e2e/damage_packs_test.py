"""Packs of a vault that are missing, cut off or altered: found and named by check, harmless to
whatever does not need them, and never restored as wrong bytes."""

import os
import random

from damage import DAMAGES, DamageTest, flip
from support import DONE, FAILED, PASSPHRASE, WARNINGS, main


class DamagedPacks(DamageTest):
    def test_packs(self):
        packs = self.objects("packs")
        self.assertGreaterEqual(len(packs), 5)
        for i, name in enumerate(packs):
            kinds = list(DAMAGES) if i < 2 else ["missing", "bit flipped"]
            for how in kinds:
                with self.subTest(name=name, how=how):
                    self.damage(name, how)
                    self.check(name)
                    affected = 0
                    for point in (self.first, self.second, self.other):
                        ran, gone = self.restore(point)
                        if ran.code == DONE:
                            continue
                        affected += 1
                        text = ran.out
                        self.assertNotEqual(gone, set())
                        for path in gone or ():
                            if gone is not None and self.tree[point][path]["kind"] == "file":
                                self.assertIn(os.fsdecode(path), text)  # named
                    self.assertGreater(affected, 0)
                    # The other item shares nothing with it, or the first two share nothing.
                    self.assertLess(affected, 3)
        print(f"{self.faults} faults")

    def test_every_part_of_a_data_pack(self):
        """A bit flipped anywhere in it is found, with and without keys."""
        name = max(self.objects("packs"), key=lambda n: os.path.getsize(
            os.path.join(self.vault, n)))
        size = os.path.getsize(os.path.join(self.vault, name))
        rng = random.Random(5)
        places = [0, 7, 8, size - 1, size - 40] + [rng.randrange(size) for _ in range(15)]
        for at in places:
            with self.subTest(at=at):
                self.mend()
                flip(os.path.join(self.vault, name), at)
                self.faults += 1
                self.check(name)
                if at in places[::4]:
                    self.check(name, "--read-data", passphrase=PASSPHRASE)
                    self.restore(self.first)
        print(f"{self.faults} faults")

    def test_files_of_a_damaged_pack_are_named(self):
        self.mend()
        packs = self.objects("packs")
        # The pack that holds the second point's own content.
        own = [n for n in packs if os.path.getsize(os.path.join(self.vault, n)) > 150_000]
        for name in own:
            self.mend()
            flip(os.path.join(self.vault, name))
            told = self.client.run("vault", "check", "--json", expect=FAILED, passphrase=PASSPHRASE)
            points = {o["point"]: o for o in told.of("point")}
            self.assertTrue(points)
            for point, o in points.items():
                self.assertGreater(o["chunks_lost"], 0)
                self.assertTrue(o["files"])
                ran, gone = self.restore(point, expect=(WARNINGS, FAILED))
                lost = {os.fsdecode(p) for p in gone}
                listed = {os.path.relpath(f.split(": ")[0], self.source
                                          if point != self.other else self.other_source)
                          for f in o["files"]}
                self.assertLessEqual(lost, listed)
            for point in self.tree.keys() - points.keys():
                ran, gone = self.restore(point, expect=DONE)


if __name__ == "__main__":
    main()
