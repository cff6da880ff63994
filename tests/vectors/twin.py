"""A second decoder of warifu's share files, written from engine/core/FORMAT.md alone.

It shares no code with the engine, has no catalog, and prefers the literal reading of the format.
Section numbers in this file are those of FORMAT.md. It is a test instrument: it does not run in
constant time and leaves plaintext in memory, so it is not for real genomes on shared hosts.
"""

import argparse
import json
import os
import struct
import sys
import tempfile

import blake3
import zstandard

import fixture
from arithmetic import chunk_hash, evaluate
from sharefile import CHUNK_BYTES, PAGE_BYTES, SHARE_NAME, Capsule, Cursor, Damage, ShareFile
from sharefile import require

EXIT_TOO_FEW = 5
EXIT_CORRUPT = 13

PROLOGUE_BYTES = 64
TRAILER_BYTES = 96
ATTRIBUTES_LIMIT_BYTES = 65_472
DATA_LIMIT_BYTES = 1 << 40
NAME_LIMIT_BYTES = 1024
FRAME_BYTES = 1 << 20
ROLES = ("pad", "computed")


class TooFew(Exception):
    """Fewer than k good shares are left."""


def find_shares(directories, wanted):
    """Share files under `directories`, and a list of what was refused."""
    shares, refused, seen = [], [], set()
    for directory in directories:
        for folder, folders, names in os.walk(directory):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                known = SHARE_NAME.fullmatch(name)
                if not known or os.path.realpath(path) in seen:
                    continue
                if wanted and bytes.fromhex(known[1]) != wanted:
                    continue
                seen.add(os.path.realpath(path))
                try:
                    shares.append(ShareFile(path, directory))
                except (Damage, OSError) as damage:
                    refused.append({"x": int(known[2], 16), "site": None, "file": path,
                                    "reason": str(damage)})
    return shares, refused


class Restore:
    """One restore: what was found, what was set aside, and the way to the payload."""

    def __init__(self, directories, wanted):
        self.shares, self.rejected = find_shares(directories, wanted)
        self.capsule, self.live, self.used = None, [], set()

    def _name(self, share):
        if self.capsule:
            for entry in self.capsule.head.entries:
                if entry.x == share.x:
                    return entry.site
        return None

    def _item(self, share, reason):
        site = self._name(share)
        return {"x": share.x, "site": site, "file": share.path, "reason": reason}

    def _set_aside(self, share, reason):
        self.live = [other for other in self.live if other is not share]
        self.rejected.append(self._item(share, reason))

    def outliers(self):
        if not self.capsule:
            return []
        return [self._item(share, reason) for share, reason in self.capsule.outliers.items()]

    def open(self):
        """Recovers the capsule and keeps the shares that it lists."""
        if len({share.object for share in self.shares}) > 1:
            raise ValueError("several objects found: choose one with --object")
        shapes = {}
        for share in self.shares:
            shapes.setdefault(share.shape, []).append(share)

        # A site may lie about k. Fewer than k liars can't outnumber k honest sites.
        def support(shares):
            return len({s.directory for s in shares}), len({s.x for s in shares})
        problem = TooFew("fewer than k shares")
        for shape, shares in sorted(shapes.items(), key=lambda item: support(item[1]),
                                    reverse=True):
            if len({share.x for share in shares}) < shape.k:
                continue
            try:
                self.capsule = Capsule(shares)
                break
            except Damage as damage:
                problem = damage
        if not self.capsule:
            raise problem
        self._keep_listed()

    def _keep_listed(self):
        entries = {entry.x: entry for entry in self.capsule.head.entries}
        for share in self.shares:
            entry = entries.get(share.x)
            if share.shape != self.capsule.shape:
                self._set_aside(share, "header: another geometry than the capsule's")
            elif entry is None or entry.role != share.role:
                self._set_aside(share, "header: x or role is not the capsule's")
            elif share.x not in self.capsule.verdicts:
                self._set_aside(share, "capsule: no valid verdict")
            else:
                self.live.append(share)
        self.live.sort(key=lambda share: (share in self.capsule.outliers, share.x))

    def _verified(self, share, index):
        attempt, blind, content = share.slot(index)
        meant = self.capsule.head.attempts.get(index, 0)
        require(attempt == meant, f"slot {index} foot: attempt {attempt}, not {meant}")
        r, hashes = self.capsule.verdicts[share.x]
        require(chunk_hash(r, blind, content) == hashes[index], f"slot {index}: hash")
        return content

    def payload(self):
        """Yields the chunks of the payload, every slot of every share verified on the way."""
        shape = self.capsule.shape
        for index in range(shape.chunks + shape.masks):
            points = {}
            for share in list(self.live):
                try:
                    content = self._verified(share, index)
                except (Damage, OSError) as damage:
                    self._set_aside(share, str(damage))
                    continue
                if len(points) < shape.k and index < shape.chunks:
                    points.setdefault(share.x, content)
                    if points[share.x] is content:
                        self.used.add(share.x)
            if index < shape.chunks:
                if len(points) < shape.k:
                    raise TooFew(f"slot {index}: {len(points)} good shares of k = {shape.k}")
                yield evaluate(points)


# Section 3: the payload.

def parse_attributes(source):
    cursor, attributes = Cursor(source, "attributes"), {}
    while cursor.at < len(source):
        tag, length = cursor.fields("HI")
        value = cursor.take(length)
        require(tag not in attributes, f"attributes: tag {tag} twice")
        attributes[tag] = value
    name = attributes.get(1, b"")
    require(1 not in attributes or 1 <= len(name) <= NAME_LIMIT_BYTES,
            "attributes: length of the name")
    require(b"/" not in name and b"\0" not in name and name not in (b".", b".."),
            "attributes: name with a directory")
    require(len(attributes.get(2, bytes(8))) == 8, "attributes: modification time")
    require(len(attributes.get(3, bytes(4))) == 4, "attributes: permission bits")
    return attributes


class Layout:
    """What a trailer says of its payload."""

    def __init__(self, trailer, payload_bytes):
        cursor = Cursor(trailer, "trailer")
        magic, self.encoding, zeros, frame_bytes = cursor.fields("8sB3sI")
        self.offset, self.data_bytes, self.encoded_bytes, *table = cursor.fields("5Q")
        self.digest, filling = cursor.fields("32s8s")
        require(magic == b"WARIFUPT", "trailer: magic")
        require(not any(zeros + filling), "trailer: zero fields")
        require(self.encoding in (0, 1), "trailer: encoding")
        require(self.data_bytes <= DATA_LIMIT_BYTES, "trailer: bytes of data")
        compressed = self.encoding == 1
        frames = -(-self.data_bytes // FRAME_BYTES) if compressed else 0
        self.table = payload_bytes - TRAILER_BYTES - 8 * frames
        require(frame_bytes == FRAME_BYTES * compressed, "trailer: bytes of a frame")
        require(table == [self.table * compressed, 8 * frames], "trailer: frame table")
        if not compressed:
            require(self.encoded_bytes == self.data_bytes, "trailer: bytes as encoded")
        require(self.offset + self.encoded_bytes <= self.table, "trailer: no room for the data")

    def lengths(self, table):
        """The encoded length of each frame, with that of its data."""
        ends = struct.unpack(f"<{len(table) // 8}Q", table)
        left, start, found = self.data_bytes, 0, []
        for end in ends:
            given = min(left, FRAME_BYTES)
            require(1 <= end - start <= given, "frame table: length of a frame")
            found.append((end - start, given))
            left, start = left - given, end
        require(start == self.encoded_bytes, "frame table: its last entry")
        return found


def unpack(frame, given):
    """The data of a frame, which holds `given` bytes."""
    if len(frame) == given:
        return frame
    try:
        require(zstandard.frame_content_size(frame) == given, "frame: its content size")
        data = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damage(f"frame: {error}") from error
    require(len(data) == given, "frame: bytes of data")
    return data


def deliver(payload, payload_bytes, target):
    """Parses `payload` (a seekable file), writes the data to `target`; its attributes and D."""
    payload.seek(0)
    cursor = Cursor(payload.read(PROLOGUE_BYTES + ATTRIBUTES_LIMIT_BYTES), "prologue")
    magic, version, zero, length, filling = cursor.fields("8sHHI48s")
    require(magic == b"WARIFUPL" and version == 1, "prologue: magic or version")
    require(zero == 0 and not any(filling), "prologue: zero fields")
    require(length <= ATTRIBUTES_LIMIT_BYTES, "prologue: length of the attributes")
    attributes = parse_attributes(cursor.take(length))

    payload.seek(payload_bytes - TRAILER_BYTES)
    layout = Layout(payload.read(TRAILER_BYTES), payload_bytes)
    require(layout.offset == PROLOGUE_BYTES + length, "trailer: offset of the data")
    if layout.encoding == 1:
        payload.seek(layout.table)
        pieces = layout.lengths(payload.read(payload_bytes - TRAILER_BYTES - layout.table))
    else:
        whole, rest = divmod(layout.data_bytes, CHUNK_BYTES)
        pieces = [(CHUNK_BYTES, CHUNK_BYTES)] * whole + [(rest, rest)]

    payload.seek(layout.offset)
    hasher = blake3.blake3()
    for encoded, given in pieces:
        data = unpack(payload.read(encoded), given)
        hasher.update(data)
        target.write(data)
    filling = payload.read(layout.table - layout.offset - layout.encoded_bytes)
    require(not any(filling), "payload: zeros hold something")
    require(hasher.digest() == layout.digest, "payload: BLAKE3 of the data")
    return attributes, layout.data_bytes


def restore(directories, out, wanted=None):
    """Restores an object to the file `out`; its report and exit code."""
    job, failure = Restore(directories, wanted), None
    report = {"object": wanted.hex() if wanted else None}
    folder = os.path.dirname(os.path.abspath(out))
    try:
        job.open()
        head = job.capsule.head
        report |= {"object": head.object.hex(), "individual": head.individual,
                   "k": head.k, "n": head.n}
        with tempfile.TemporaryDirectory(dir=folder) as scratch, \
                open(os.path.join(scratch, "payload"), "w+b") as payload, \
                open(os.path.join(scratch, "out"), "wb") as target:
            for piece in job.payload():
                payload.write(piece)
            attributes, data_bytes = deliver(payload, job.capsule.shape.payload_bytes, target)
            target.close()
            os.replace(target.name, out)
        name = attributes.get(1)
        report |= {"bytes": data_bytes, "label": head.label, "created": head.created,
                   "class": "computational" if head.computational else "information-theoretic",
                   "name": None if name is None else name.decode("utf-8", "backslashreplace")}
        report["sites"] = [entry.site for entry in head.entries if entry.x in job.used]
    except (Damage, TooFew) as problem:
        failure = problem
        report["error"] = str(problem)
    report |= {"outliers": job.outliers(), "rejected": job.rejected}
    if failure is None:
        return report, 0
    corrupt = isinstance(failure, Damage) or report["outliers"] or report["rejected"]
    return report, EXIT_CORRUPT if corrupt else EXIT_TOO_FEW


def show(path):
    """What one share file says of itself, without its neighbours."""
    share = ShareFile(path, os.path.dirname(path))
    shape, slots, faults = share.shape, [], 0
    for index in range(shape.chunks + shape.masks):
        is_mask = index >= shape.chunks
        slot = {"class": "mask" if is_mask else "data",
                "index": index - shape.chunks * is_mask, "offset": shape.slot(index)[0]}
        try:
            attempt, _, content = share.slot(index)
            slot |= {"attempt": attempt, "bytes": len(content)}
        except Damage as damage:
            slot["error"], faults = str(damage), faults + 1
        slots.append(slot)
    capsule = {"offset": shape.capsule_offset, "head_bytes": shape.head_bytes,
               "verdict_bytes": shape.verdict_bytes, "bytes": shape.capsule_bytes}
    try:
        share.capsule()
    except Damage as damage:
        capsule["error"], faults = str(damage), faults + 1
    header = {"object": share.object.hex(), "x": share.x, "k": shape.k, "n": shape.n,
              "role": ROLES[share.role], "link": share.link.hex(),
              "payload_bytes": shape.payload_bytes, "masks": shape.masks}
    report = {"header": header, "capsule": capsule, "slots": slots}
    return report, EXIT_CORRUPT if faults else 0


def split(options):
    xs = [int(x) for x in options.x.split(",")] if options.x else None
    attempts = dict(map(int, item.split("=")) for item in options.attempt)
    made = fixture.split(options.source, options.k, options.n, options.out, options.seed,
                         xs=xs, attempts=attempts, individual=options.individual,
                         label=options.label, compress=options.compress, pad=options.pad)
    return {"object": made.object.hex(), "files": made.paths}, 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("restore", help="join the share files found under some folders")
    verb.add_argument("directories", nargs="+", metavar="DIR")
    verb.add_argument("--object", type=bytes.fromhex, metavar="HEX")
    verb.add_argument("-o", "--out", required=True)
    verb = verbs.add_parser("show", help="header, capsule shape and slots of a share file")
    verb.add_argument("file", metavar="FILE")
    verb = verbs.add_parser("split", help="write n store folders from a file")
    verb.add_argument("source", metavar="IN")
    verb.add_argument("--k", type=int, required=True)
    verb.add_argument("--n", type=int, required=True)
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument("--seed", required=True, help="every random byte follows from it")
    verb.add_argument("--x", help="x-coordinates, comma-separated; by default 1 to n")
    verb.add_argument("--attempt", action="append", default=[], metavar="CHUNK=ATTEMPT")
    verb.add_argument("--individual", default="twin-individual")
    verb.add_argument("--label", default="")
    verb.add_argument("--compress", action="store_true", help="the data as zstd frames")
    verb.add_argument("--pad", action="store_true", help="the length rounded up coarsely")
    return parser.parse_args()


def main():
    options = arguments()
    try:
        if options.verb == "restore":
            report, code = restore(options.directories, options.out, options.object)
        elif options.verb == "show":
            report, code = show(options.file)
        else:
            report, code = split(options)
    except Damage as damage:
        report, code = {"error": str(damage)}, EXIT_CORRUPT
    except (OSError, ValueError) as problem:
        report, code = {"error": str(problem)}, 1
    print(json.dumps(report, indent=2))
    return code


if __name__ == "__main__":
    sys.exit(main())
