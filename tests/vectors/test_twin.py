"""Tests of the twin: what `fixture` writes comes back, what is damaged is named."""

import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

import zstandard

import arithmetic
import fixture
import twin
from sharefile import SLOT_BYTES

HERE = os.path.dirname(os.path.abspath(__file__))
FOOT_CHECKSUM = 48


def seeded(count, seed):
    return random.Random(seed).randbytes(count)


class Arithmetic(unittest.TestCase):
    def test_known_values(self):
        self.assertEqual(arithmetic.crc64(b"123456789"), 0xAE8B14860A799888)
        self.assertEqual(arithmetic.MUL[0x57][0x83], 0xC1)  # the example of FIPS 197
        self.assertEqual(arithmetic.gf128_product(1 << 127, 2), 0x87)

    def test_poly_is_the_sum_it_is_defined_as(self):
        rng = random.Random(1)
        r, blocks = rng.getrandbits(128), [rng.getrandbits(128) for _ in range(5)]
        total = 0
        for j, block in enumerate(blocks):
            total ^= arithmetic.gf128_product(block, arithmetic.gf128_power(r, j + 1))
        message = b"".join(block.to_bytes(16, "little") for block in blocks)
        self.assertEqual(arithmetic.poly(r, message), total)

    def test_lanes_equal_definitions(self):
        for count in (0, 1, 15, 16, 8191, 8192, 8193, 16_384, 40_001, 70_000):
            message = seeded(count, count)
            r = random.Random(count + 1).getrandbits(128)
            with self.subTest(count=count):
                self.assertEqual(arithmetic.poly(r, message), arithmetic.poly_plain(r, message))
                state = (1 << 64) - 1
                for byte in message:
                    state ^= byte
                    for _ in range(8):
                        state = state >> 1 ^ (0x9A6C9329AC4BC9B5 if state & 1 else 0)
                self.assertEqual(arithmetic.crc64(message), state ^ (1 << 64) - 1)

    def test_hash_is_linear(self):
        rng = random.Random(3)
        r = rng.getrandbits(128)
        first, second = rng.randbytes(4112), rng.randbytes(4112)
        both = bytes(a ^ b for a, b in zip(first, second))
        whole, other, sum_of_both = (
            arithmetic.chunk_hash(r, each[:16], each[16:]) for each in (first, second, both))
        length = arithmetic.gf128_product(r, 4096)
        self.assertEqual(whole ^ other ^ sum_of_both, length)

    def test_code_is_as_defined(self):
        x = int.from_bytes(seeded(16, 6), "little")
        part = fixture.encode_part(seeded(60, 7), x.to_bytes(16, "little"))
        self.assertEqual(len(part), (5 + 2) * 16)  # 4 blocks, filled to 5
        expected = arithmetic.gf128_power(x, 7)
        for i in range(1, 6):
            block = int.from_bytes(part[16 * i - 16:16 * i], "little")
            expected ^= arithmetic.gf128_product(block, arithmetic.gf128_power(x, i))
        self.assertEqual(int.from_bytes(part[-16:], "little"), expected)

    def test_code_catches_any_altered_block(self):
        part = bytearray(fixture.encode_part(seeded(100, 4), seeded(16, 5)))
        self.assertTrue(arithmetic.amd_holds(bytes(part)))
        for at in range(0, len(part), 8):
            part[at] ^= 1
            self.assertFalse(arithmetic.amd_holds(bytes(part)), at)
            part[at] ^= 1


class Folders(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.source = os.path.join(self.folder, "sample.bam")
        self.out = os.path.join(self.folder, "restored")

    def split(self, count, k, n, seed="seed", **options):
        self.content = seeded(count, count)
        with open(self.source, "wb") as file:
            file.write(self.content)
        stores = os.path.join(self.folder, f"stores-{seed}")
        self.made = fixture.split(self.source, k, n, stores, seed, **options)
        return [os.path.dirname(path) for path in self.made.paths]

    def restore(self, folders):
        if os.path.exists(self.out):
            os.remove(self.out)
        report, code = twin.restore(folders, self.out)
        if code == 0:
            with open(self.out, "rb") as file:
                self.assertEqual(file.read(), self.content)
        else:
            self.assertFalse(os.path.exists(self.out))
        return report, code

    def shape(self, number=0):
        return twin.ShareFile(self.made.paths[number], "").shape

    def alter(self, number, at, change=b"\x01"):
        """XORs `change` onto share file `number` at byte `at`."""
        with open(self.made.paths[number], "r+b") as file:
            file.seek(at)
            old = file.read(len(change))
            file.seek(at)
            file.write(bytes(a ^ b for a, b in zip(old, change)))

    def forge(self, number, slot):
        """Alters the content of a slot and mends its checksum, as a lying site would."""
        offset, length = self.shape().slot(slot)
        self.alter(number, offset + length // 2)
        with open(self.made.paths[number], "r+b") as file:
            file.seek(offset)
            covered = file.read(length + FOOT_CHECKSUM)
            file.write(arithmetic.crc64(covered).to_bytes(8, "little"))

    def alter_capsule(self, number, at):
        """Alters a capsule share and mends its checksum."""
        shape = self.shape()
        self.alter(number, shape.capsule_offset + at)
        with open(self.made.paths[number], "r+b") as file:
            file.seek(shape.capsule_offset)
            capsule = file.read(shape.capsule_bytes)
            file.write(arithmetic.crc64(capsule).to_bytes(8, "little"))

    def rewrite_header(self, number, at, value):
        with open(self.made.paths[number], "r+b") as file:
            header = bytearray(file.read(4088))
            header[at:at + len(value)] = value
            file.seek(0)
            file.write(header + arithmetic.crc64(bytes(header)).to_bytes(8, "little"))


class RoundTrips(Folders):
    def test_every_set_of_k_restores(self):
        for k, n, xs in ((2, 3, None), (3, 5, [9, 255, 1, 77, 128]), (4, 7, None), (1, 1, None)):
            folders = self.split(70_000, k, n, f"{k}-{n}", xs=xs)
            for start in range(n):
                chosen = (folders + folders)[start:start + k]
                with self.subTest(k=k, n=n, start=start):
                    report, code = self.restore(chosen)
                    self.assertEqual((code, report["bytes"], report["name"]),
                                     (0, 70_000, "sample.bam"))
                    self.assertEqual((report["k"], report["n"]), (k, n))
                    self.assertEqual(set(report["sites"]),
                                     {os.path.basename(folder) for folder in chosen})
                    self.assertEqual(report["outliers"] + report["rejected"], [])
            if k > 1:
                report, code = self.restore(folders[:k - 1])
                self.assertEqual(code, twin.EXIT_TOO_FEW)

    def test_sizes_around_the_borders(self):
        attributes = 3 * 6 + len("sample.bam") + 8 + 4
        fits = twin.PAGE_BYTES - twin.PROLOGUE_BYTES - attributes - twin.TRAILER_BYTES
        chunk = fits + twin.CHUNK_BYTES - twin.PAGE_BYTES
        for count in (0, 1, fits, fits + 1, chunk, chunk + 1):
            with self.subTest(count=count):
                folders = self.split(count, 2, 3, str(count))
                self.assertEqual(self.restore(folders[1:])[1], 0)
                whole = -(-(count + twin.PAGE_BYTES - fits) // twin.PAGE_BYTES)
                self.assertEqual(self.shape().payload_bytes, whole * twin.PAGE_BYTES)

    def test_attempts_are_checked(self):
        folders = self.split(twin.CHUNK_BYTES + 1, 2, 3, attempts={1: 7})
        self.assertEqual(self.restore(folders)[1], 0)
        slots = twin.show(self.made.paths[0])[0]["slots"]
        self.assertEqual([slot["attempt"] for slot in slots], [0, 7])
        offset, length = self.shape().slot(0)
        self.alter(0, offset + length + 12)
        self.forge(0, 0)  # mends the checksum
        report, code = self.restore(folders)
        self.assertEqual(code, 0)
        self.assertEqual([item["site"] for item in report["rejected"]], ["site-1"])
        self.assertIn("attempt 1, not 0", report["rejected"][0]["reason"])

    def test_same_seed_same_bytes(self):
        self.split(5000, 2, 3)
        again = fixture.split(self.source, 2, 3, os.path.join(self.folder, "again"), "seed")
        for first, second in zip(self.made.paths, again.paths):
            with open(first, "rb") as file, open(second, "rb") as other:
                self.assertEqual(file.read(), other.read())

    def test_mask_of_64_chunks(self):
        folders = self.split(63 * twin.CHUNK_BYTES + 1, 2, 2)
        self.assertEqual(self.shape().masks, 1)
        self.assertEqual(len(twin.show(self.made.paths[1])[0]["slots"]), 65)
        report, code = self.restore(folders)
        self.assertEqual((code, report["rejected"]), (0, []))
        self.forge(1, 64)
        report, code = self.restore(folders)
        self.assertEqual(code, 0)
        self.assertEqual([(item["x"], item["reason"]) for item in report["rejected"]],
                         [(2, "slot 64: hash")])


class Damages(Folders):
    def assert_rejected(self, folders, site, reason):
        report, code = self.restore(folders)
        self.assertEqual(code, 0)
        found = [(item["site"], item["reason"]) for item in report["rejected"]]
        self.assertEqual(found, [(site, reason)])

    def test_rot_and_lies_in_any_slot_are_named(self):
        for number, slot, forge in ((0, 0, True), (1, 2, True), (2, 1, False), (4, 2, False)):
            with self.subTest(number=number, slot=slot, forge=forge):
                folders = self.split(2 * twin.CHUNK_BYTES + 5000, 3, 5, f"{number}{slot}")
                if forge:
                    self.forge(number, slot)
                else:
                    self.alter(number, self.shape().slot(slot)[0] + 17)
                reason = f"slot {slot}: {'hash' if forge else 'checksum'}"
                self.assert_rejected(folders, f"site-{number + 1}", reason)

    def test_a_share_set_aside_stays_aside(self):
        folders = self.split(2 * twin.CHUNK_BYTES, 2, 3)
        self.forge(0, 0)
        self.assertEqual(self.restore(folders)[1], 0)
        self.forge(1, 1)
        report, code = self.restore(folders)
        self.assertEqual(code, twin.EXIT_CORRUPT)
        self.assertEqual([item["x"] for item in report["rejected"]], [1, 2])

    def test_feet(self):
        offset, length = 4096, 8192
        for at, change, reason in ((0, b"\x01", "slot 0 foot: magic"),
                                   (9, b"\x01", "slot 0 foot: zero fields"),
                                   (32, b"\x01", "slot 0: checksum"),
                                   (60, b"\x01", "slot 0 foot: zero fields hold something")):
            folders = self.split(5000, 2, 3, str(at))
            self.assertEqual(self.shape().slot(0), (offset, length))
            self.alter(1, offset + length + at, change)
            with self.subTest(at=at):
                self.assert_rejected(folders, "site-2", reason)

    def test_swapped_slots(self):
        folders = self.split(3 * twin.CHUNK_BYTES, 2, 3)
        with open(self.made.paths[2], "r+b") as file:
            file.seek(twin.PAGE_BYTES)
            first, second = file.read(SLOT_BYTES), file.read(SLOT_BYTES)
            file.seek(twin.PAGE_BYTES)
            file.write(second + first)
        self.assert_rejected(folders, "site-3", "slot 0 foot: another slot's")

    def test_headers(self):
        for at, change, reason in ((0, b"\x01", "header: magic or version"),
                                   (20, b"\x01", "header: checksum"),
                                   (4090, b"\x01", "header: checksum")):
            folders = self.split(5000, 2, 3, str(at))
            self.alter(0, at, change)
            with self.subTest(at=at):
                self.assert_rejected(folders, None, reason)

    def test_truncated_and_renamed(self):
        folders = self.split(5000, 2, 3)
        os.truncate(self.made.paths[0], os.path.getsize(self.made.paths[0]) - 4096)
        self.assert_rejected(folders, None, "file: length")
        os.remove(self.made.paths[0])
        os.rename(self.made.paths[1], self.made.paths[1].replace("-02.", "-03."))
        report, code = self.restore(folders)
        self.assertEqual(code, twin.EXIT_CORRUPT)
        self.assertEqual(report["rejected"][0]["reason"], "file name: another x")

    def test_outliers_of_head_and_verdicts(self):
        for k, n, liars in ((2, 3, [0]), (3, 5, [1, 4]), (4, 7, [0, 2, 3])):
            folders = self.split(5000, k, n, f"o{k}")
            for place, number in enumerate(liars):
                self.alter_capsule(number, 70 if place == 0 else self.shape().head_bytes + 20)
            with self.subTest(k=k, n=n):
                report, code = self.restore(folders)
                self.assertEqual((code, report["rejected"]), (0, []))
                self.assertEqual({item["x"] - 1 for item in report["outliers"]}, set(liars))
                self.assertTrue({f"site-{number + 1}" for number in liars}
                                .isdisjoint(report["sites"]))
                self.assertEqual(self.restore(folders[:k])[1], twin.EXIT_CORRUPT)

    def test_each_liar_in_another_verdict(self):
        folders = self.split(5000, 2, 3)
        shape = self.shape()
        self.alter_capsule(0, shape.head_bytes + 20)
        self.alter_capsule(1, shape.head_bytes + shape.verdict_bytes + 20)
        report, code = self.restore(folders)
        self.assertEqual(code, 0)
        self.assertEqual({item["site"] for item in report["outliers"]}, {"site-1", "site-2"})

    def test_rotten_capsule_is_an_outlier(self):
        folders = self.split(5000, 2, 3)
        self.alter(2, self.shape().capsule_offset)
        report, code = self.restore(folders)
        self.assertEqual((code, report["outliers"][0]["reason"]), (0, "capsule area: checksum"))

    def test_a_lie_about_k_is_outvoted(self):
        folders = self.split(5000, 2, 3)
        self.rewrite_header(0, 11, b"\x01")
        self.assert_rejected(folders, "site-1",
                             "header: another geometry than the capsule's")

    def test_a_forged_object_of_fewer_shares_is_outvoted(self):
        folders = self.split(5000, 3, 5)
        honest = self.made
        forged = os.path.join(self.folder, "forged")
        liar = fixture.split(self.source, 1, 1, forged, "seed", individual="someone else")
        self.assertEqual(liar.object, honest.object)
        os.replace(liar.paths[0], honest.paths[0])
        report, code = self.restore(folders)
        self.assertEqual((code, report["individual"]), (0, "twin-individual"))
        self.assertEqual([item["site"] for item in report["rejected"]], ["site-1"])

    def test_all_bad_is_corrupt_and_none_is_too_few(self):
        folders = self.split(5000, 2, 2)
        self.assertEqual(self.restore([self.folder + "/nothing"])[1], twin.EXIT_TOO_FEW)
        self.forge(0, 0)
        self.assertEqual(self.restore(folders)[1], twin.EXIT_CORRUPT)

    def test_random_alterations_never_deliver_other_bytes(self):
        folders = self.split(20_000, 2, 3)
        size = os.path.getsize(self.made.paths[0])
        rng = random.Random(11)
        for _ in range(60):
            at, number = rng.randrange(size), rng.randrange(3)
            change = bytes([rng.randrange(1, 256)])
            self.alter(number, at, change)
            report, code = self.restore(folders)
            self.assertEqual(code, 0, at)
            named = {item["x"] for item in report["rejected"] + report["outliers"]}
            self.assertEqual(named, {number + 1}, at)
            self.alter(number, at, change)


class Payloads(Folders):
    def deliver(self, payload):
        with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as target:
            file.write(payload)
            return twin.deliver(file, len(payload), target)

    def test_encodings(self):
        rng = random.Random(3)
        reads = bytes(rng.choices(b"ACGT", k=(2 << 20) + 77))
        noise = rng.randbytes((1 << 20) + 5)
        for data in (b"", b"x", reads, noise, reads[:1 << 20] + noise):
            for compress, pad in ((False, True), (True, False)):
                payload = fixture.encode_payload(data, b"n", None, None, compress, pad)
                self.assertEqual(len(payload) % (1 << 16), 0)
                with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as target:
                    file.write(payload)
                    twin.deliver(file, len(payload), target)
                    target.seek(0)
                    self.assertEqual(target.read(), data)
        packed = fixture.encode_payload(reads, compress=True)
        self.assertLess(len(packed), len(reads) // 2)

    def test_coarse_lengths(self):
        for length, padded in ((0, 0), (1, 1 << 16), ((1 << 16) + 1, 1 << 17),
                               ((1 << 20) + 1, (1 << 20) + (1 << 16)),
                               ((1 << 30) + 1, (1 << 30) + (1 << 25)), (1 << 40, 1 << 40)):
            self.assertEqual(fixture.coarse(length), padded)

    def test_malformed_frames(self):
        good = fixture.encode_payload(b"ACGT" * (1 << 19), b"name", compress=True)
        end = len(good) - 96
        # Both frames, the zeros behind them, the table, and what the trailer says of it.
        for at in (80, 90, 200, end - 17, end - 16, end - 9, end - 8, end - 1, end + 8, end + 9,
                   end + 12, end + 15, end + 16, end + 24, end + 32, end + 40, end + 48, end + 95):
            payload = bytearray(good)
            payload[at] ^= 0x40
            with self.subTest(at=at), self.assertRaises(twin.Damage):
                self.deliver(bytes(payload))

    def test_a_frame_is_one_frame_that_states_its_size(self):
        given = bytes(1 << 20)
        frame = zstandard.ZstdCompressor().compress(given)
        self.assertEqual(twin.unpack(frame, len(given)), given)
        skippable = b"\x50\x2a\x4d\x18\x01\x00\x00\x00\x07"
        half = zstandard.ZstdCompressor().compress(given[:1 << 19])
        sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(given)
        for bad in (frame + skippable, skippable + frame, frame + frame, half + half, sizeless):
            with self.assertRaises(twin.Damage):
                twin.unpack(bad, len(given))

    def test_malformed_payloads(self):
        good = fixture.encode_payload(b"x" * 100, b"name", -5, 0o640)
        attributes, data_bytes = self.deliver(good)
        self.assertEqual(data_bytes, 100)
        self.assertEqual(int.from_bytes(attributes[2], "little", signed=True), -5)
        end = len(good) - 96
        for at in (0, 8, 10, 11, 12, 15, 16, 63, 66, 200, end - 1, end, end + 8, end + 9, end + 12,
                   end + 16, end + 23, end + 24, end + 32, end + 40, end + 48, end + 56, end + 88):
            payload = bytearray(good)
            payload[at] ^= 0x80
            with self.subTest(at=at), self.assertRaises(twin.Damage):
                self.deliver(bytes(payload))
        unknown = bytearray(good)
        unknown[64] ^= 0x80
        self.assertEqual(sorted(self.deliver(bytes(unknown))[0]), [2, 3, 0x81])
        twice = bytearray(good)
        twice[64 + 10:64 + 12] = b"\x01\x00"
        with self.assertRaises(twin.Damage):
            self.deliver(bytes(twice))
        for name in (b"a" * 1024, b"...", b"a"):
            self.assertEqual(self.deliver(fixture.encode_payload(b"", name))[0][1], name)
        for name in (b"a/b", b"a\0b", b"", b".", b"..", b"a" * 1025):
            with self.assertRaises(twin.Damage):
                self.deliver(fixture.encode_payload(b"", name))


class CommandLine(Folders):
    def run_twin(self, *options):
        ran = subprocess.run([sys.executable, os.path.join(HERE, "twin.py"), *options],
                             capture_output=True, text=True, check=False)
        return json.loads(ran.stdout), ran.returncode

    def test_split_show_restore(self):
        self.split(0, 2, 3)
        stores = os.path.join(self.folder, "cli")
        made, code = self.run_twin("split", self.source, "--k", "2", "--n", "3", "--out", stores,
                                   "--seed", "s", "--x", "5,6,250", "--attempt", "0=3")
        self.assertEqual(code, 0)
        shown, code = self.run_twin("show", made["files"][2])
        self.assertEqual((code, shown["header"]["x"], shown["slots"][0]["attempt"]), (0, 250, 3))
        report, code = self.run_twin("restore", stores, "--object", made["object"],
                                     "-o", self.out)
        self.assertEqual((code, report["bytes"], report["sites"]), (0, 0, ["site-5", "site-6"]))
        self.assertEqual(self.run_twin("restore", stores, "--object", "00" * 16,
                                       "-o", self.out)[1], twin.EXIT_TOO_FEW)
        os.truncate(made["files"][0], 10_000)
        self.assertEqual(self.run_twin("show", made["files"][0])[1], twin.EXIT_CORRUPT)


if __name__ == "__main__":
    unittest.main()
