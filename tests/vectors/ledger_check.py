"""Checks ledgers against what crossed the wire: no position of key is ever used twice.

Written from FORMAT.md, sections 8 and 9, alone. A capture is one direction of one TCP connection,
raw bytes as sent: the hello, then frames. A ledger doesn't name its pool, so that is taken from
`POOL=FILE` or `POOL:END=FILE` (END is A or B), else from 32 hexadecimal digits in its path, else
it is the one link that the captures show. Its end follows from what it accepted and granted.
"""

import argparse
import bisect
import hashlib
import json
import re
import struct
import sys
from dataclasses import dataclass

from arithmetic import crc64

RECORD_BYTES = 64
CREATED, ADDED, GRANTED, ACCEPTED, RELEASED, BURNED, PEER, OPENED, MARK, ZEROISED = range(10)
RANGED = (ADDED, GRANTED, ACCEPTED, RELEASED, BURNED)

HELLO_CLIENT, HELLO_SERVER, HELLO_REFUSAL = 1, 2, 3
HELLO_BYTES = {HELLO_CLIENT: 64, HELLO_SERVER: 96, HELLO_REFUSAL: 64}
FRAME_HEADER_BYTES = 64
TAG_BYTES = 16
PAYLOAD_LIMITS_BYTES = (64, (1 << 20) + 65_536)
KEPT_LIMIT_BYTES = (1 << 20) + 64
POSITIONS = 1 << 64

ENDS = "AB"
POOL_IN_PATH = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])")


class Malformed(Exception):
    """Bytes that are not as the format says."""


class Ranges:
    """A set of positions as disjoint half-open ranges, ascending."""

    def __init__(self):
        self.starts, self.ends = [], []

    def _touching(self, start, end):
        return slice(bisect.bisect_left(self.ends, start), bisect.bisect_right(self.starts, end))

    def add(self, start, end):
        at = self._touching(start, end)
        merged = min([start, *self.starts[at]]), max([end, *self.ends[at]])
        self.starts[at], self.ends[at] = [merged[0]], [merged[1]]

    def remove(self, start, end):
        at = self._touching(start, end)
        old = list(zip(self.starts[at], self.ends[at]))
        left = [(a, min(b, start)) for a, b in old] + [(max(a, end), b) for a, b in old]
        left = sorted((a, b) for a, b in left if a < b)
        self.starts[at], self.ends[at] = [a for a, _ in left], [b for _, b in left]

    def meets(self, start, end):
        """Whether any position of [start, end) is in the set."""
        at = bisect.bisect_right(self.ends, start)
        return at < len(self.starts) and self.starts[at] < end

    def covers(self, start, end):
        """Whether every position of [start, end) is in the set; neighbours count as one."""
        at = bisect.bisect_right(self.starts, start) - 1
        return at >= 0 and end <= self.ends[at]


class Ledger:
    """One ledger replayed: per direction, what is accepted, granted and burned at its end."""

    def __init__(self, path, pool, end, report):
        self.path, self.pool, self.report = path, pool, report
        self.sets = {kind: (Ranges(), Ranges()) for kind in (GRANTED, ACCEPTED, BURNED)}
        self.ever = {kind: (Ranges(), Ranges()) for kind in (GRANTED, ACCEPTED)}
        self.added_bytes = [0, 0]
        self.records, self.cut_bytes = 0, 0
        self._read()
        self.end = end or self._own_end()

    def _read(self):
        with open(self.path, "rb") as file:
            while record := file.read(RECORD_BYTES):
                if len(record) < RECORD_BYTES:
                    self.cut_bytes = len(record)
                    return
                try:
                    self._apply(record)
                except Malformed as problem:
                    self.report.violation("ledger damaged", self._place(), str(problem))
                    return
                self.records += 1

    def _place(self):
        return f"{self.path} record {self.records}"

    def _apply(self, record):
        magic, kind, direction, zero, sequence, start, end = struct.unpack("<4sBBHQQQ",
                                                                           record[:32])
        if magic != b"WLDG" or kind > ZEROISED or direction > 1 or zero:
            raise Malformed("magic, kind, direction or zero field")
        if struct.unpack("<Q", record[56:])[0] != crc64(record[:56]):
            raise Malformed("checksum")
        if sequence != self.records:
            raise Malformed(f"sequence {sequence}")
        if (kind == CREATED) != (sequence == 0):
            self.report.warning("created is not the first record", self._place(), "")
        if kind in RANGED:
            if start >= end:
                raise Malformed(f"range [{start}, {end})")
            self._ranged(kind, direction, start, end)

    def _ranged(self, kind, direction, start, end):
        where = f"direction {direction} [{start}, {end})"
        if kind == ADDED:
            if start != self.added_bytes[direction]:
                self.report.violation("segment with gap or overlap", self._place(), where)
            self.added_bytes[direction] = end
        elif kind == RELEASED:
            released = [each for each in (GRANTED, ACCEPTED)
                        if self.sets[each][direction].covers(start, end)]
            if not released:
                self.report.violation("released what was not held", self._place(), where)
            for each in (GRANTED, ACCEPTED):
                self.sets[each][direction].remove(start, end)
        elif kind == BURNED:
            self.sets[BURNED][direction].add(start, end)
        else:
            name = "accepted" if kind == ACCEPTED else "granted"
            if self.sets[kind][direction].meets(start, end):
                self.report.violation(f"{name} twice", self._place(), where)
            if self.sets[BURNED][direction].meets(start, end):
                self.report.violation(f"{name} after it was burned", self._place(), where)
            self.sets[kind][direction].add(start, end)
            self.ever[kind][direction].add(start, end)

    def _own_end(self):
        """A accepts direction 0 and grants direction 1, B the reverse; None if nothing tells."""
        sent = {direction for direction in (0, 1) if self.ever[ACCEPTED][direction].starts}
        sent |= {1 - direction for direction in (0, 1) if self.ever[GRANTED][direction].starts}
        if len(sent) == 2:
            self.report.violation("ledger of both ends", self.path,
                                  "it accepted and granted in one direction")
        return ENDS[sent.pop()] if len(sent) == 1 else None


@dataclass(frozen=True)
class Frame:
    """A frame or the beginning of one: where it is captured, and the positions it uses."""
    path: str
    at: int
    header: bytes
    body: bytes  # digest of the whole ciphertext and tag, or all there is of a cut one
    cut: bool
    link: str
    direction: int
    start: int
    end: int

    @property
    def place(self):
        return f"{self.path} byte {self.at}"

    @property
    def where(self):
        return f"link {self.link} direction {self.direction} [{self.start}, {self.end})"


class Capture:
    """One direction of a connection, parsed to its last whole or begun frame."""

    def __init__(self, path, report):
        self.path, self.report = path, report
        self.frames, self.refused, self.link, self.sequence = [], False, None, -1
        with open(path, "rb") as file:
            self.source = file.read()
        self.at = 0
        try:
            self._hello()
            while self.at < len(self.source):
                self._frame()
        except Malformed as problem:
            report.violation("capture malformed", f"{path} byte {self.at}", str(problem))
        self.source = b""

    def _hello(self):
        hello = self.source[:HELLO_BYTES[HELLO_CLIENT]]
        if len(hello) < HELLO_BYTES[HELLO_CLIENT]:
            self.at = len(self.source)
            return
        magic, version, self.kind, zero, link, nonce = struct.unpack("<4sBBH16s16s", hello[:40])
        if magic != b"WHLO" or version != 1 or zero or self.kind not in HELLO_BYTES:
            raise Malformed("hello: magic, version, kind or zero field")
        self.link, self.nonce = link.hex(), nonce
        self.at = min(HELLO_BYTES[self.kind], len(self.source))
        if self.kind == HELLO_REFUSAL:
            self.refused = True
            if len(self.source) > self.at:
                raise Malformed("bytes after a refusal")
        elif struct.unpack("<Q", hello[56:])[0]:
            raise Malformed("hello: zero field")

    def _frame(self):
        header = self.source[self.at:self.at + FRAME_HEADER_BYTES]
        if len(header) < FRAME_HEADER_BYTES:
            self.at = len(self.source)
            return
        (magic, version, direction, flags, link, session, sequence, start, payload,
         kept) = struct.unpack("<4sBBH16s16sQQII", header)
        if magic != b"WFRM" or version != 1 or direction > 1 or flags > 1:
            raise Malformed("frame: magic, version, direction or flags")
        low, high = PAYLOAD_LIMITS_BYTES
        if not low <= payload <= high or kept > KEPT_LIMIT_BYTES:
            raise Malformed(f"frame: payload {payload} or kept bytes {kept}")
        # A frame with the flag leaves its payload unmasked: it takes key for the tag alone.
        if flags and kept:
            raise Malformed("frame: open, and keeps key")
        end = start + 32 + (0 if flags else payload) + kept
        if end > POSITIONS:
            raise Malformed("frame: range beyond 2^64")
        if link.hex() != self.link or direction != self.kind - HELLO_CLIENT:
            raise Malformed("frame: link or direction is not the hello's")
        body_at = self.at + FRAME_HEADER_BYTES
        body = self.source[body_at:body_at + payload + TAG_BYTES]
        cut = len(body) < payload + TAG_BYTES
        if body:
            kept_body = body if cut else hashlib.sha256(body).digest()
            self.frames.append(Frame(self.path, self.at, header, kept_body, cut, self.link,
                                     direction, start, end))
        self._check_session(session, sequence)
        self.at = body_at + len(body)

    def _check_session(self, session, sequence):
        own = session[:8] if self.kind == HELLO_CLIENT else session[8:]
        place = f"{self.path} byte {self.at}"
        if own != self.nonce[:8]:
            self.report.warning("session is not the hello's", place, session.hex())
        if sequence != self.sequence + 1:
            self.report.warning("sequence", place, f"{sequence} after {self.sequence}")
        self.sequence = sequence


class Report:
    """Violations and warnings, as found."""

    def __init__(self):
        self.violations, self.warnings = [], []

    def violation(self, what, place, detail):
        self.violations.append({"what": what, "place": place, "detail": detail})

    def warning(self, what, place, detail):
        self.warnings.append({"what": what, "place": place, "detail": detail})


def whole_body(frame):
    with open(frame.path, "rb") as file:
        file.seek(frame.at + FRAME_HEADER_BYTES)
        return file.read(struct.unpack("<I", frame.header[56:60])[0] + TAG_BYTES)


def same(frame, other):
    """Whether two captured frames are one frame sent twice, the one maybe cut short."""
    if frame.header != other.header:
        return False
    if not frame.cut and not other.cut:
        return frame.body == other.body
    body, other_body = whole_body(frame), whole_body(other)
    length = min(len(body), len(other_body))
    return body[:length] == other_body[:length]


def check_once(frames, report):
    """No position of a (link, direction) in two different frames; the count of repeats."""
    repeats = 0
    by_space = {}
    for frame in frames:
        by_space.setdefault((frame.link, frame.direction), []).append(frame)
    for space in by_space.values():
        # The longest capture of a frame comes first of its repeats.
        space.sort(key=lambda frame: (frame.start, frame.end, frame.header, frame.cut,
                                      -len(frame.body)))
        furthest = None
        for frame in space:
            if furthest and frame.start < furthest.end:
                if same(frame, furthest):
                    repeats += 1
                    continue
                report.violation("positions used twice", frame.place,
                                 f"{frame.where} and {furthest.where} at {furthest.place}")
            if not furthest or frame.end > furthest.end:
                furthest = frame
    return repeats


def check_covered(frames, ledgers, report):
    """Every frame lies in what its sender accepted and its receiver granted."""
    checked = 0
    for frame in frames:
        sender = ENDS[frame.direction]
        receiver = ENDS[1 - frame.direction]
        for end, kind, name in ((sender, ACCEPTED, "accepted"), (receiver, GRANTED, "granted")):
            known = [ledger for ledger in ledgers
                     if ledger.pool == frame.link and ledger.end == end]
            if not known:
                continue
            checked += 1
            place = (frame.direction, frame.start, frame.end)
            if covered([ledger.sets[kind] for ledger in known], *place):
                continue
            ever = covered([ledger.ever[kind] for ledger in known], *place)
            what = f"used though released ({name})" if ever else f"used but never {name}"
            report.violation(what, frame.place, frame.where)
    return checked


def covered(sets, direction, start, end):
    """Whether one of the ledgers' sets of a direction holds all of [start, end)."""
    return any(each[direction].covers(start, end) for each in sets)


def ledger_argument(text):
    named = re.fullmatch(r"([0-9a-fA-F]{32})(?::([AB]))?=(.+)", text)
    if named:
        return named[1].lower(), named[2], named[3]
    found = POOL_IN_PATH.findall(text)
    return (found[-1].lower() if found else None), None, text


def settle_pools(ledgers, captures, report):
    """Gives the one captured link to ledgers without a pool; what stays unknown is a violation.

    A frame needs both ends' ledgers, so one that accepted and granted nothing is no harmless case.
    """
    links = {capture.link for capture in captures if capture.link}
    used = {frame.link for capture in captures for frame in capture.frames}
    for ledger in ledgers:
        if ledger.pool is None and len(links) == 1:
            ledger.pool = next(iter(links))
        if ledger.pool is None and links:
            report.violation("pool unknown", ledger.path, "name it as POOL=FILE")
        elif ledger.end is None and ledger.pool in used:
            report.violation("end unknown", ledger.path,
                             "nothing accepted or granted; name the end as POOL:END=FILE")


def check(ledger_arguments, capture_paths):
    """Checks everything given; a summary with counts."""
    report = Report()
    ledgers = [Ledger(path, pool, end, report)
               for pool, end, path in map(ledger_argument, ledger_arguments)]
    captures = [Capture(path, report) for path in capture_paths]
    settle_pools(ledgers, captures, report)
    frames = [frame for capture in captures for frame in capture.frames]
    repeats = check_once(frames, report)
    checked = check_covered(frames, ledgers, report)
    return {
        "ledgers": [{"file": ledger.path, "pool": ledger.pool, "end": ledger.end,
                     "records": ledger.records, "cut_bytes": ledger.cut_bytes}
                    for ledger in ledgers],
        "captures": len(captures),
        "refusals": sum(capture.refused for capture in captures),
        "frames": len(frames),
        "cut_frames": sum(frame.cut for frame in frames),
        "repeated_frames": repeats,
        "frames_against_ledgers": checked,
        "positions_used": sum(frame.end - frame.start for frame in frames),
        "warnings": report.warnings,
        "violations": report.violations,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ledger", nargs="+", action="extend", default=[],
                        metavar="[POOL[:END]=]FILE")
    parser.add_argument("--capture", nargs="+", action="extend", default=[], metavar="FILE")
    options = parser.parse_args()
    summary = check(options.ledger, options.capture)
    print(json.dumps(summary, indent=2))
    return 1 if summary["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
