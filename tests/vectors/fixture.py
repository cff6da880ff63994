"""An encoder of share files, written from engine/core/FORMAT.md alone: what `twin.py split` runs.

Every random byte follows from a seed, so the files are good for nothing but tests.
"""

import os
import struct
from dataclasses import dataclass

import blake3
import zstandard

from arithmetic import amd_tag, chunk_hash, crc64, evaluate, part_bytes
from sharefile import CHUNK_BYTES, PAGE_BYTES, PAYLOAD_LIMIT_BYTES

MASK_FROM_CHUNKS = 64
FRAME_BYTES = 1 << 20
TRAILER_BYTES = 96
CREATED = 1_700_000_000
ROLE_PAD, ROLE_COMPUTED = 0, 1
CHANNEL_LOCAL = 1


@dataclass(frozen=True)
class Made:
    """What a split wrote: one path for each share, in the order of `xs`."""
    object: bytes
    xs: list
    paths: list


class Drawn:
    """Bytes drawn from a seed: each name is a stream of its own."""

    def __init__(self, seed):
        self.key = blake3.blake3(seed.encode()).digest()

    def bytes(self, count, *name):
        label = "/".join(map(str, name)).encode()
        return blake3.blake3(label, key=self.key).digest(length=count)


def filled(source, multiple):
    return source + bytes(-len(source) % multiple)


def coarse(length):
    """Padmé of section 3: all but the leading bits of a length are rounded away."""
    step = 1 << 16
    if length >= 2:
        exponent = length.bit_length() - 1
        step = max(step, 1 << max(0, exponent - exponent.bit_length()))
    return -(-length // step) * step


def frames_of(data, level=5):
    """The zstd frames of section 3; one that would not get shorter is the data itself."""
    frames = []
    for start in range(0, len(data), FRAME_BYTES):
        given = data[start:start + FRAME_BYTES]
        packed = zstandard.ZstdCompressor(level=level).compress(given)
        frames.append(packed if len(packed) < len(given) else given)
    return frames


def encode_payload(data, name=None, modified=None, mode=None, compress=False, pad=False):
    """The payload of section 3 for `data`; attributes that are None are left out."""
    attributes = b""
    values = (name, None if modified is None else struct.pack("<q", modified),
              None if mode is None else struct.pack("<I", mode))
    for tag, value in enumerate(values, start=1):
        if value is not None:
            attributes += struct.pack("<HI", tag, len(value)) + value
    prologue = struct.pack("<8sHHI48x", b"WARIFUPL", 1, 0, len(attributes))
    frames = frames_of(data) if compress else [data]
    table = b""
    if compress:
        end = 0
        for frame in frames:
            end += len(frame)
            table += struct.pack("<Q", end)
    front = prologue + attributes + b"".join(frames)
    needed = len(front) + len(table) + TRAILER_BYTES
    length = coarse(needed) if compress or pad else -(-needed // PAGE_BYTES) * PAGE_BYTES
    if length > PAYLOAD_LIMIT_BYTES:
        raise ValueError("payload too long")
    place = (length - TRAILER_BYTES - len(table), len(table)) if compress else (0, 0)
    trailer = struct.pack("<8sB3xI5Q32s8x", b"WARIFUPT", int(compress),
                          FRAME_BYTES if compress else 0, 64 + len(attributes), len(data),
                          sum(map(len, frames)), *place, blake3.blake3(data).digest())
    return front + bytes(length - needed) + table + trailer


def encode_part(content, x):
    """A capsule part with its AMD code (section 6)."""
    body = content + bytes(part_bytes(len(content)) - 32 - len(content))
    tag = amd_tag(int.from_bytes(x, "little"), body)
    return body + x + tag.to_bytes(16, "little")


def share_out(secret, xs, k, drawn, *name):
    """Shares of `secret` at `xs`: the first k-1 are drawn, the others computed (section 2)."""
    points = {0: secret}
    for x in xs[:k - 1]:
        points[x] = drawn.bytes(len(secret), *name, x)
    computed = {x: evaluate(points, x) for x in xs[k - 1:]}
    return [points[x] if x in points else computed[x] for x in xs]


class Encoder:
    """Everything about one object that its n files have in common."""

    def __init__(self, k, xs, seed, attempts, individual, label):
        if not (1 <= k <= len(xs) and len(set(xs)) == len(xs) and all(0 < x < 256 for x in xs)):
            raise ValueError("k must be 1 to n, the x distinct and from 1 to 255")
        self.k, self.xs, self.attempts = k, xs, attempts
        self.individual, self.label = individual.encode(), label.encode()
        self.drawn = Drawn(seed)
        self.object = self.drawn.bytes(16, "object")

    def role(self, number):
        return ROLE_PAD if number < self.k - 1 else ROLE_COMPUTED

    def header(self, number, payload_bytes, masks, head_bytes, verdict_bytes):
        header = struct.pack(
            "<8sHBBBBH16s16sQIIII4016x", b"WARIFUSH", 1, self.xs[number], self.k, len(self.xs),
            self.role(number), 0, self.object, bytes(16), payload_bytes, CHUNK_BYTES, masks,
            head_bytes, verdict_bytes)
        return header + struct.pack("<Q", crc64(header))

    def head(self, payload_bytes, masks):
        head = struct.pack("<8sHBBBBH16sQIIQ", b"WARIFUCA", 1, self.k, len(self.xs), 1, 0, 0,
                           self.object, payload_bytes, CHUNK_BYTES, masks, CREATED)
        head += struct.pack("<HHI", len(self.individual), len(self.label), 0)
        head += self.individual + self.label
        for number, x in enumerate(self.xs):
            head += struct.pack("<BBBB16s", x, self.role(number), CHANNEL_LOCAL, 0, bytes(16))
            for text in (f"site-{x}", f"zone-{x}", f"domain-{x}"):
                head += bytes([len(text)]) + text.encode()
        head += struct.pack("<I", len(self.attempts))
        for chunk, attempt in sorted(self.attempts.items()):
            head += struct.pack("<QI", chunk, attempt)
        return encode_part(head, self.drawn.bytes(16, "amd", "head"))

    def verdict(self, x, r, hashes):
        content = bytes([x]) + bytes(15) + r.to_bytes(16, "little")
        content += b"".join(value.to_bytes(16, "little") for value in hashes)
        return encode_part(content, self.drawn.bytes(16, "amd", x))

    def slot(self, kind, index, attempt, blind, content):
        foot = struct.pack("<8sB3xIQI4x16s", b"WARIFUSL", kind, attempt, index, len(content),
                           blind)
        return filled(content + foot + struct.pack("<Q", crc64(content + foot)), PAGE_BYTES)

    def write(self, payload, files):
        """Writes the shares of `payload` to `files`, one for each x."""
        chunks = range(0, len(payload), CHUNK_BYTES)
        masks = 1 if len(chunks) >= MASK_FROM_CHUNKS else 0
        rs = [int.from_bytes(self.drawn.bytes(16, "r", x), "little") for x in self.xs]
        hashes = [[] for _ in self.xs]

        def put(number, kind, index, place, content):
            blind = self.drawn.bytes(16, "blind", place, self.xs[number])
            attempt = self.attempts.get(place, 0)
            files[number].write(self.slot(kind, index, attempt, blind, content))
            hashes[number].append(chunk_hash(rs[number], blind, content))

        for file in files:
            file.seek(PAGE_BYTES)
        for index, start in enumerate(chunks):
            secret = payload[start:start + CHUNK_BYTES]
            shares = share_out(secret, self.xs, self.k, self.drawn, "pad", index)
            for number, content in enumerate(shares):
                put(number, 0, index, index, content)
        for mask in range(masks):
            for number, x in enumerate(self.xs):
                content = self.drawn.bytes(CHUNK_BYTES, "mask", mask, x)
                put(number, 1, mask, len(chunks) + mask, content)

        head = self.head(len(payload), masks)
        verdicts = [self.verdict(*each) for each in zip(self.xs, rs, hashes)]
        capsule = head + b"".join(verdicts)
        shares = share_out(capsule, self.xs, self.k, self.drawn, "capsule")
        for number, (file, share) in enumerate(zip(files, shares)):
            file.write(filled(share + struct.pack("<Q", crc64(share)), PAGE_BYTES))
            file.seek(0)
            file.write(self.header(number, len(payload), masks, len(head), len(verdicts[0])))


def split(source, k, n, out, seed, xs=None, attempts=None, individual="twin-individual",
          label="", compress=False, pad=False):
    """Writes a share of the file `source` to each of n new folders under `out`.

    `attempts` gives the attempt of a chunk, or of mask m as chunk N + m; the others are 0.
    The class is computational: the pads come from a seed.
    """
    xs = list(xs or range(1, n + 1))
    if len(xs) != n:
        raise ValueError("as many x as n are needed")
    encoder = Encoder(k, xs, seed, attempts or {}, individual, label)
    with open(source, "rb") as file:
        data = file.read()
    status = os.stat(source)
    payload = encode_payload(data, os.path.basename(source).encode(), status.st_mtime_ns,
                             status.st_mode & 0o7777, compress, pad)
    paths, files = [], []
    try:
        for x in xs:
            folder = os.path.join(out, f"site-{x}")
            os.makedirs(folder, exist_ok=True)
            paths.append(os.path.join(folder, f"{encoder.object.hex()}-{x:02x}.share"))
            files.append(open(paths[-1], "xb"))
        encoder.write(payload, files)
    finally:
        for file in files:
            file.close()
    return Made(encoder.object, xs, paths)
