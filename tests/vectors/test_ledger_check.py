"""Tests of the ledger checker: what is sound passes, each way to use a position twice is found."""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

import ledger_check as lc
from arithmetic import crc64

HERE = os.path.dirname(os.path.abspath(__file__))
LINK, OTHER_LINK = bytes(range(16)), bytes(range(1, 17))
CLIENT_NONCE, SERVER_NONCE = b"c" * 16, b"s" * 16
SESSION = CLIENT_NONCE[:8] + SERVER_NONCE[:8]


def record(sequence, kind, direction, start, end):
    body = struct.pack("<4sBBHQQQ16sQ", b"WLDG", kind, direction, 0, sequence, start, end,
                       b"i" * 16, 1)
    return body + struct.pack("<Q", crc64(body))


def ledger(*events):
    events = [(lc.CREATED, 0, 0, 0), *events]
    return b"".join(record(number, *event) for number, event in enumerate(events))


def hello(kind, link=LINK):
    nonce = CLIENT_NONCE if kind == lc.HELLO_CLIENT else SERVER_NONCE
    made = struct.pack("<4sBBH16s16sQQQ", b"WHLO", 1, kind, 0, link, nonce, 0, 0, 0)
    return made + struct.pack("<QQQQ", 0, 1000, 4096, 4096) if kind == lc.HELLO_SERVER else made


def frame(start, sequence=0, direction=0, payload=64, kept=0, seed=0, link=LINK, flags=0):
    header = struct.pack("<4sBBH16s16sQQII", b"WFRM", 1, direction, flags, link, SESSION, sequence,
                         start, payload, kept)
    return header + random.Random(seed).randbytes(payload + 16)


def client(*frames):
    return hello(lc.HELLO_CLIENT) + b"".join(frames)


USED = 32 + 64  # positions of a frame of 64 payload bytes


class Checks(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder, self.made = scratch.name, 0

    def file(self, content):
        self.made += 1
        path = os.path.join(self.folder, f"file-{self.made}")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def check(self, ledgers=(), captures=()):
        return lc.check([self.file(each) for each in ledgers],
                        [self.file(each) for each in captures])

    def found(self, ledgers=(), captures=()):
        return [each["what"] for each in self.check(ledgers, captures)["violations"]]


class Captures(Checks):
    def test_sound_ones(self):
        first, second = frame(0), frame(USED, 1, kept=1000)
        cut = frame(2 * USED + 1000, 2)[:70]
        server = hello(lc.HELLO_SERVER) + frame(0, direction=1)
        summary = self.check(captures=[client(first, second, cut), server])
        self.assertEqual((summary["violations"], summary["warnings"]), ([], []))
        self.assertEqual((summary["frames"], summary["cut_frames"]), (4, 1))
        self.assertEqual(summary["positions_used"], 4 * USED + 1000)

    def test_overlap_in_one_or_two_captures(self):
        for start, kept in ((0, 0), (USED - 1, 0), (50, 900)):
            twice = frame(start, 1, kept=kept, seed=1)
            with self.subTest(start=start):
                self.assertEqual(self.found(captures=[client(frame(0), twice)]),
                                 ["positions used twice"])
                self.assertEqual(self.found(captures=[client(frame(0)), client(twice)]),
                                 ["positions used twice"])
        self.assertEqual(self.found(captures=[client(frame(0)), client(frame(USED, 1))]), [])

    def test_kept_bytes_are_used_too(self):
        frames = frame(0, kept=100), frame(USED + 99, 1)
        self.assertEqual(self.found(captures=[client(*frames)]), ["positions used twice"])

    def test_an_open_frame_takes_key_for_its_tag_alone(self):
        opened = frame(0, payload=1000, flags=1)
        self.assertEqual(self.found(captures=[client(opened, frame(32, 1))]), [])
        self.assertEqual(self.found(captures=[client(opened, frame(31, 1))]),
                         ["positions used twice"])
        for bad in (frame(0, kept=16, flags=1), frame(0, flags=2)):
            self.assertEqual(self.found(captures=[client(bad)]), ["capture malformed"])

    def test_overlap_with_an_earlier_longer_frame(self):
        frames = (frame(0, kept=10_000), frame(USED + 5000, 1), frame(USED + 9000, 2))
        self.assertEqual(len(self.found(captures=[client(*frames)])), 2)

    def test_repeats_must_be_identical(self):
        summary = self.check(captures=[client(frame(0)), client(frame(0))])
        self.assertEqual((summary["violations"], summary["repeated_frames"]), ([], 1))
        self.assertEqual(self.found(captures=[client(frame(0)), client(frame(0, seed=1))]),
                         ["positions used twice"])

    def test_cut_frames(self):
        other = frame(0, 1, seed=1)
        for cut_bytes, expected in ((63, []), (64, []), (65, ["positions used twice"])):
            with self.subTest(cut_bytes=cut_bytes):
                captures = [client(frame(0)), client(other[:cut_bytes])]
                self.assertEqual(self.found(captures=captures), expected)
        captures = [client(frame(0)[:100]), client(frame(0)), client(frame(0)[:80])]
        summary = self.check(captures=captures)
        self.assertEqual((summary["violations"], summary["repeated_frames"]), ([], 2))

    def test_directions_and_links_are_apart(self):
        server = hello(lc.HELLO_SERVER) + frame(0, direction=1)
        other = hello(lc.HELLO_CLIENT, OTHER_LINK) + frame(0, link=OTHER_LINK)
        self.assertEqual(self.found(captures=[client(frame(0)), server, other]), [])

    def test_malformed_ones(self):
        bad_magic = bytearray(client(frame(0)))
        bad_magic[64] ^= 1
        refusal = hello(lc.HELLO_REFUSAL)
        for capture in (bytes(bad_magic), client(frame(0, direction=1)), b"x" * 64,
                        client(frame(0, link=OTHER_LINK)), refusal + b"x",
                        client(frame((1 << 64) - 95)), client(frame(0, payload=63)),
                        client(frame(0, kept=(1 << 20) + 65))):
            self.assertEqual(self.found(captures=[capture]), ["capture malformed"])
        for capture in (b"", b"WHLO", refusal, client(), client(frame((1 << 64) - 96))):
            self.assertEqual(self.found(captures=[capture]), [])


class Ledgers(Checks):
    def test_sound_ones(self):
        events = ((lc.ADDED, 0, 0, 1000), (lc.ADDED, 1, 0, 1000), (lc.ADDED, 0, 1000, 2000),
                  (lc.ACCEPTED, 0, 0, 500), (lc.RELEASED, 0, 200, 500),
                  (lc.ACCEPTED, 0, 200, 700), (lc.GRANTED, 1, 0, 300), (lc.GRANTED, 1, 300, 400),
                  (lc.RELEASED, 1, 100, 300), (lc.GRANTED, 1, 100, 300),
                  (lc.BURNED, 0, 700, 900), (lc.MARK, 0, 0, 900), (lc.ACCEPTED, 0, 900, 1000))
        made = ledger(*events)
        summary = self.check(ledgers=[made, made + record(len(events) + 1, lc.MARK, 0, 0, 0)[:-1]])
        self.assertEqual((summary["violations"], summary["warnings"]), ([], []))
        self.assertEqual([each["records"] for each in summary["ledgers"]], [14, 14])
        self.assertEqual([each["cut_bytes"] for each in summary["ledgers"]], [0, 63])
        self.assertEqual(summary["ledgers"][0]["end"], "A")

    def test_second_use_is_found(self):
        for kind, name in ((lc.ACCEPTED, "accepted"), (lc.GRANTED, "granted")):
            first = (kind, 0, 100, 200)
            for events, expected in (
                    ((first, (kind, 0, 199, 300)), f"{name} twice"),
                    ((first, (kind, 0, 0, 101)), f"{name} twice"),
                    ((first, (lc.RELEASED, 0, 100, 150), (kind, 0, 149, 151)), f"{name} twice"),
                    ((first, (lc.BURNED, 0, 150, 250), (kind, 0, 200, 300)),
                     f"{name} after it was burned"),
                    ((first, (lc.RELEASED, 0, 150, 201)), "released what was not held")):
                with self.subTest(events=events):
                    self.assertEqual(self.found(ledgers=[ledger(*events)]), [expected])

    def test_damage(self):
        made = ledger((lc.ADDED, 0, 0, 10), (lc.ACCEPTED, 0, 0, 10))
        for at in range(64, len(made)):
            altered = bytearray(made)
            altered[at] ^= 1
            self.assertEqual(self.found(ledgers=[bytes(altered)]), ["ledger damaged"])
        missing = made[:64] + made[128:]
        self.assertEqual(self.found(ledgers=[missing]), ["ledger damaged"])
        self.assertEqual(self.found(ledgers=[ledger((lc.ADDED, 0, 5, 10))]),
                         ["segment with gap or overlap"])
        self.assertEqual(self.found(ledgers=[ledger((lc.ACCEPTED, 0, 0, 9),
                                                    (lc.GRANTED, 0, 20, 30))]),
                         ["ledger of both ends"])

    def test_ranges_against_a_plain_set(self):
        rng = random.Random(5)
        for _ in range(300):
            ranges, plain = lc.Ranges(), set()
            for _ in range(20):
                start = rng.randrange(40)
                end = start + rng.randrange(1, 12)
                span = set(range(start, end))
                self.assertEqual(ranges.meets(start, end), bool(span & plain))
                self.assertEqual(ranges.covers(start, end), span <= plain)
                if rng.random() < 0.5:
                    ranges.add(start, end)
                    plain |= span
                else:
                    ranges.remove(start, end)
                    plain -= span
            self.assertEqual(ranges.starts, [p for p in range(60) if p in plain
                                             and p - 1 not in plain])


class Together(Checks):
    def test_frames_against_ledgers(self):
        capture = client(frame(0), frame(USED, 1))
        for start, end, sound in ((0, 2 * USED, True), (0, 2 * USED - 1, False), (1, 500, False)):
            sender = ledger((lc.ACCEPTED, 0, start, end), (lc.GRANTED, 1, 0, 500))
            receiver = ledger((lc.GRANTED, 0, start, end), (lc.ACCEPTED, 1, 0, 500))
            expected = [] if sound else ["used but never accepted"]
            self.assertEqual(self.found([sender], [capture]), expected)
            expected = [] if sound else ["used but never granted"]
            self.assertEqual(self.found([receiver], [capture]), expected)
            self.assertEqual(self.check([sender, receiver], [capture])["frames_against_ledgers"],
                             4)

    def test_two_leases_side_by_side(self):
        sender = ledger((lc.ACCEPTED, 0, 0, 50), (lc.ACCEPTED, 0, 50, 500))
        self.assertEqual(self.found([sender], [client(frame(0))]), [])

    def test_used_though_released(self):
        accepted = (lc.ACCEPTED, 0, 0, 500)
        sender = ledger(accepted, (lc.RELEASED, 0, USED - 1, 500))
        self.assertEqual(self.found([sender], [client(frame(0))]),
                         ["used though released (accepted)"])
        sender = ledger(accepted, (lc.RELEASED, 0, USED, 500))
        self.assertEqual(self.found([sender], [client(frame(0))]), [])

    def test_lease_burned_after_use(self):
        sender = ledger((lc.ACCEPTED, 0, 0, 500), (lc.BURNED, 0, 0, 500))
        self.assertEqual(self.found([sender], [client(frame(0))]), [])

    def test_ledger_that_says_nothing(self):
        empty = ledger((lc.ADDED, 0, 0, 1000))
        self.assertEqual(self.found([empty], [client(frame(0))]), ["end unknown"])
        named = f"{LINK.hex()}:A={self.file(empty)}"
        summary = lc.check([named], [self.file(client(frame(0)))])
        self.assertEqual([each["what"] for each in summary["violations"]],
                         ["used but never accepted"])

    def test_pool_from_the_path(self):
        folder = os.path.join(self.folder, "pools", OTHER_LINK.hex().upper())
        os.makedirs(folder)
        path = os.path.join(folder, "ledger")
        with open(path, "wb") as file:
            file.write(ledger((lc.ACCEPTED, 0, 0, 1)))
        capture = self.file(client(frame(0)))
        self.assertEqual(lc.check([path], [capture])["violations"], [])
        named = f"{LINK.hex()}={path}"
        self.assertEqual(len(lc.check([named], [capture])["violations"]), 1)

    def test_command_line(self):
        sender = self.file(ledger((lc.ACCEPTED, 0, 0, 500)))
        captures = [self.file(client(frame(0))), self.file(client(frame(0, seed=1)))]
        for used, code in ((captures[:1], 0), (captures, 1)):
            ran = subprocess.run([sys.executable, os.path.join(HERE, "ledger_check.py"),
                                  "--ledger", sender, "--capture", *used],
                                 capture_output=True, text=True, check=False)
            self.assertEqual(ran.returncode, code)
            self.assertEqual(len(json.loads(ran.stdout)["violations"]), code)


if __name__ == "__main__":
    unittest.main()
