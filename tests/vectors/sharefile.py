"""Share files and their capsule: FORMAT.md, sections 5 and 6, read without a catalog."""

import functools
import itertools
import os
import re
import struct
from dataclasses import dataclass, field

from arithmetic import amd_holds, crc64, evaluate, part_bytes

PAGE_BYTES = 4096
CHUNK_BYTES = 1 << 20
SLOT_BYTES = CHUNK_BYTES + PAGE_BYTES
PAYLOAD_LIMIT_BYTES = 1 << 40
SUBSET_LIMIT = 200_000

SHARE_NAME = re.compile(r"([0-9a-fA-F]{32})-([0-9a-fA-F]{2})\.share")


class Damage(Exception):
    """Bytes that are not as the format says; the text names the field."""


def require(condition, reason):
    if not condition:
        raise Damage(reason)


class Cursor:
    """Takes fields off the front of some bytes; running out is damage."""

    def __init__(self, source, what):
        self.source, self.what, self.at = source, what, 0

    def take(self, count):
        require(count <= len(self.source) - self.at, f"{self.what}: ends early")
        self.at += count
        return self.source[self.at - count:self.at]

    def fields(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def text(self, count):
        try:
            return self.take(count).decode("utf-8")
        except UnicodeDecodeError:
            raise Damage(f"{self.what}: a text is not UTF-8") from None

    def rest_is_zero(self):
        require(not any(self.source[self.at:]), f"{self.what}: zero fields hold something")


@dataclass(frozen=True)
class Entry:
    """A share as the capsule's head lists it."""
    x: int
    role: int
    channel: int
    link: bytes
    site: str
    zone: str
    domain: str


@dataclass(frozen=True)
class Shape:
    """What the headers of all shares of one object have in common."""
    k: int
    n: int
    payload_bytes: int
    masks: int
    head_bytes: int
    verdict_bytes: int

    @property
    def chunks(self):
        return -(-self.payload_bytes // CHUNK_BYTES)

    @property
    def capsule_bytes(self):
        return self.head_bytes + self.n * self.verdict_bytes

    @property
    def capsule_offset(self):
        return PAGE_BYTES + self.payload_bytes + PAGE_BYTES * self.chunks + self.masks * SLOT_BYTES

    @property
    def file_bytes(self):
        return self.capsule_offset + -(-(self.capsule_bytes + 8) // PAGE_BYTES) * PAGE_BYTES

    def check(self):
        require(1 <= self.k <= self.n <= 255, "header: k and n")
        require(PAGE_BYTES <= self.payload_bytes <= PAYLOAD_LIMIT_BYTES, "header: payload bytes")
        require(self.payload_bytes % PAGE_BYTES == 0, "header: payload bytes")
        blocks, rest = divmod(self.head_bytes, 16)
        require(rest == 0 and blocks % 2 == 1 and blocks >= 7, "header: head part")
        verdict = part_bytes(32 + 16 * (self.chunks + self.masks))
        require(self.verdict_bytes == verdict, "header: verdict part")

    def slot(self, index):
        """Offset and content bytes of slot `index`; masks follow the chunks."""
        if index < self.chunks:
            length = min(CHUNK_BYTES, self.payload_bytes - index * CHUNK_BYTES)
            return PAGE_BYTES + index * SLOT_BYTES, length
        masks_offset = PAGE_BYTES + self.payload_bytes + PAGE_BYTES * self.chunks
        return masks_offset + (index - self.chunks) * SLOT_BYTES, CHUNK_BYTES


@dataclass
class Head:
    """Content of the capsule's head."""
    k: int
    n: int
    computational: bool
    object: bytes
    payload_bytes: int
    masks: int
    created: int
    individual: str
    label: str
    binding: bytes
    entries: list = field(default_factory=list)
    attempts: dict = field(default_factory=dict)

    @classmethod
    def parse(cls, body):
        cursor = Cursor(body, "capsule head")
        magic, version, k, n, computational, consent, zero = cursor.fields("8sHBBBBH")
        require(magic == b"WARIFUCA" and version == 1, "capsule head: magic or version")
        require(computational <= 1 and consent == 0 and zero == 0, "capsule head: class or consent")
        object_id, payload_bytes, chunk_bytes, masks, created = cursor.fields("16sQIIQ")
        require(chunk_bytes == CHUNK_BYTES, "capsule head: chunk bytes")
        individual_bytes, label_bytes, binding_bytes = cursor.fields("HHI")
        head = cls(k, n, bool(computational), object_id, payload_bytes, masks, created,
                   cursor.text(individual_bytes), cursor.text(label_bytes),
                   cursor.take(binding_bytes))
        head._parse_entries(cursor)
        head._parse_attempts(cursor)
        require(len(body) == part_bytes(cursor.at) - 32, "capsule head: more filling than needed")
        cursor.rest_is_zero()
        return head

    def _parse_entries(self, cursor):
        for _ in range(self.n):
            x, role, channel, zero, link = cursor.fields("BBBB16s")
            require(x != 0 and role <= 1 and channel <= 2 and zero == 0, "capsule head: an entry")
            texts = [cursor.text(cursor.take(1)[0]) for _ in range(3)]
            self.entries.append(Entry(x, role, channel, link, *texts))
        require(len({entry.x for entry in self.entries}) == self.n, "capsule head: x repeats")
        pads = sum(entry.role == 0 for entry in self.entries)
        require(pads == self.k - 1, "capsule head: not k-1 pads")

    def _parse_attempts(self, cursor):
        chunks = -(-self.payload_bytes // CHUNK_BYTES)
        last = -1
        for _ in range(cursor.fields("I")[0]):
            chunk, attempt = cursor.fields("QI")
            require(last < chunk < chunks + self.masks and attempt, "capsule head: attempts")
            self.attempts[chunk] = attempt
            last = chunk


class ShareFile:
    """A share file with its header verified (section 5)."""

    def __init__(self, path, directory):
        self.path, self.directory = path, directory
        name = SHARE_NAME.fullmatch(os.path.basename(path))
        require(name, "file name: not OBJECT-XX.share")
        with open(path, "rb") as file:
            cursor = Cursor(file.read(PAGE_BYTES), "header")
            file_bytes = file.seek(0, os.SEEK_END)
        magic, version, self.x, k, n, self.role, zero = cursor.fields("8sHBBBBH")
        require(magic == b"WARIFUSH" and version == 1, "header: magic or version")
        self.object, self.link, payload_bytes, chunk_bytes = cursor.fields("16s16sQI")
        self.shape = Shape(k, n, payload_bytes, *cursor.fields("III"))
        checksum = int.from_bytes(cursor.source[4088:], "little")
        require(len(cursor.source) == PAGE_BYTES, "header: ends early")
        require(checksum == crc64(cursor.source[:4088]), "header: checksum")
        require(zero == 0 and not any(cursor.source[cursor.at:4088]), "header: zero fields")
        require(chunk_bytes == CHUNK_BYTES, "header: chunk bytes")
        require(self.x != 0 and self.role <= 1, "header: x or role")
        self.shape.check()
        require(bytes.fromhex(name[1]) == self.object, "file name: another object")
        require(int(name[2], 16) == self.x, "file name: another x")
        require(file_bytes == self.shape.file_bytes, "file: length")

    def _read(self, offset, count):
        with open(self.path, "rb") as file:
            file.seek(offset)
            found = file.read(count)
        require(len(found) == count, "file: ends early")
        return found

    def slot(self, index):
        """Attempt, blind block and content of a slot, its foot and checksum verified."""
        offset, length = self.shape.slot(index)
        found = self._read(offset, length + PAGE_BYTES)
        content, foot = found[:length], Cursor(found[length:], f"slot {index} foot")
        magic, kind, zero, attempt, number = foot.fields("8sB3sIQ")
        require(magic == b"WARIFUSL", f"slot {index} foot: magic")
        foot_length, zero_too, blind, checksum = foot.fields("II16sQ")
        require(not any(zero) and zero_too == 0, f"slot {index} foot: zero fields")
        foot.rest_is_zero()
        require(checksum == crc64(content + foot.source[:48]), f"slot {index}: checksum")
        is_mask = index >= self.shape.chunks
        place = (int(is_mask), index - self.shape.chunks * is_mask, length)
        require((kind, number, foot_length) == place, f"slot {index} foot: another slot's")
        return attempt, blind, content

    def capsule(self):
        """This share's share of the capsule, its checksum verified."""
        length = self.shape.capsule_bytes
        offset = self.shape.capsule_offset
        area = Cursor(self._read(offset, self.shape.file_bytes - offset), "capsule area")
        capsule, checksum = area.take(length), area.fields("Q")[0]
        require(checksum == crc64(capsule), "capsule area: checksum")
        area.rest_is_zero()
        return capsule


class Capsule:
    """The capsule of one object, recovered from shares of one shape without a catalog."""

    def __init__(self, shares):
        self.shape, self.object = shares[0].shape, shares[0].object
        self.outliers = {}
        self._bodies, self._subset = {}, None
        for share in shares:
            try:
                self._bodies[share] = share.capsule()
            except Damage as damage:
                self.outliers[share] = str(damage)
        self.head = self._recover("head", 0, self.shape.head_bytes, self._parse_head)
        self.verdicts = {}
        for number, entry in enumerate(self.head.entries):
            offset = self.shape.head_bytes + number * self.shape.verdict_bytes
            parse = functools.partial(self._parse_verdict, entry)
            what = f"verdict of x {entry.x}"
            try:
                self.verdicts[entry.x] = self._recover(
                    what, offset, self.shape.verdict_bytes, parse)
            except Damage:
                continue

    def _subsets(self):
        if self._subset:
            yield self._subset
        for subset in itertools.combinations(self._bodies, self.shape.k):
            if len({share.x for share in subset}) == self.shape.k:
                yield subset

    def _recover(self, what, offset, length, parse):
        """The part parsed from the first k-subset whose code holds; the others are judged by it."""
        bodies = {s: body[offset:offset + length] for s, body in self._bodies.items()}
        for subset in itertools.islice(self._subsets(), SUBSET_LIMIT):
            points = {share.x: bodies[share] for share in subset}
            part = evaluate(points)
            if not amd_holds(part):
                continue
            try:
                parsed = parse(part[:-32])
            except Damage:
                continue
            self._subset = subset
            for share, body in bodies.items():
                if share not in subset and body != evaluate(points, share.x):
                    self.outliers.setdefault(share, f"capsule {what}: not on the polynomial")
            return parsed
        raise Damage(f"capsule {what}: no k shares join to a valid one")

    def _parse_head(self, body):
        head = Head.parse(body)
        found = (head.k, head.n, head.payload_bytes, head.masks, head.object)
        shape = self.shape
        meant = (shape.k, shape.n, shape.payload_bytes, shape.masks, self.object)
        require(found == meant, "capsule head: another geometry or object")
        return head

    def _parse_verdict(self, entry, body):
        cursor = Cursor(body, "verdict")
        require(cursor.take(16) == bytes([entry.x]) + bytes(15), "verdict: x")
        count = self.shape.chunks + self.shape.masks
        numbers = [int.from_bytes(cursor.take(16), "little") for _ in range(1 + count)]
        cursor.rest_is_zero()
        return numbers[0], numbers[1:]
