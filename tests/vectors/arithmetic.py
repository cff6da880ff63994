"""The arithmetic of FORMAT.md, sections 1, 2, 4 and 6: two fields, a checksum, two hashes.

Tables and branches follow the data: fit for tests only.
"""

import functools

import numpy as np

BLOCK_BYTES = 16

# Section 1: GF(2^8). MUL[a][b] is the product.

def _gf256_product(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11B
        b >>= 1
    return product


MUL = np.array([[_gf256_product(a, b) for b in range(256)] for a in range(256)], dtype=np.uint8)
INVERSE = [0] + [int(np.flatnonzero(MUL[a] == 1)[0]) for a in range(1, 256)]


def lagrange(xs, at):
    """Coefficients that take the values at `xs` to the value at `at` (section 2)."""
    coefficients = []
    for x in xs:
        product = 1
        for other in xs:
            if other != x:
                product = MUL[product][MUL[other ^ at][INVERSE[other ^ x]]]
        coefficients.append(int(product))
    return coefficients


def evaluate(points, at=0):
    """The bytes at `at` of the polynomials through `points`, a dict from x to bytes."""
    xs = list(points)
    total = np.zeros(len(points[xs[0]]), dtype=np.uint8)
    for x, coefficient in zip(xs, lagrange(xs, at)):
        total ^= MUL[coefficient][np.frombuffer(points[x], dtype=np.uint8)]
    return total.tobytes()


# Section 1: GF(2^128), numbers whose bit i is the coefficient of x^i.

def gf128_double(a):
    a <<= 1
    return (a ^ 0x87) & ((1 << 128) - 1) if a >> 128 else a


def gf128_product(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = gf128_double(a)
        b >>= 1
    return product


def gf128_power(base, exponent):
    power = 1
    while exponent:
        if exponent & 1:
            power = gf128_product(power, base)
        base = gf128_product(base, base)
        exponent >>= 1
    return power


def _gf128_rows(c):
    """rows[p][v] = c * (v << 8p), for the byte v at place p of a block."""
    rows = []
    for _ in range(BLOCK_BYTES):
        row = [0]
        for _ in range(8):
            row += [value ^ c for value in row]
            c = gf128_double(c)
        rows.append(row)
    return rows


POLY_LANES = 1024


@functools.lru_cache(maxsize=512)
def _poly_tables(r):
    rows = _gf128_rows(gf128_power(r, POLY_LANES))
    low_mask = (1 << 64) - 1
    low = np.array([[v & low_mask for v in row] for row in rows], dtype=np.uint64)
    high = np.array([[v >> 64 for v in row] for row in rows], dtype=np.uint64)
    return _gf128_rows(r), low, high


def poly_plain(r, message):
    """poly(r, m) by its definition; slow."""
    total = 0
    for at in reversed(range(0, len(message), BLOCK_BYTES)):
        block = int.from_bytes(message[at:at + BLOCK_BYTES], "little")
        total = gf128_product(total ^ block, r)
    return total


def poly(r, message):
    """poly(r, m) of section 1: block j counts with r^(j+1); a short last block is zero-filled."""
    if len(message) <= 64 * BLOCK_BYTES:
        return poly_plain(r, message)
    stride = POLY_LANES * BLOCK_BYTES
    words = np.frombuffer(message + bytes(-len(message) % stride), dtype="<u8")
    words = words.reshape(-1, POLY_LANES, 2)
    rows, low_table, high_table = _poly_tables(r)
    sums = np.zeros((POLY_LANES, 2), dtype=np.uint64)
    for line in words[::-1]:
        places = sums.view(np.uint8)
        low, high = line[:, 0].copy(), line[:, 1].copy()
        for p in range(BLOCK_BYTES):
            low ^= low_table[p][places[:, p]]
            high ^= high_table[p][places[:, p]]
        sums = np.stack((low, high), axis=1)
    total = 0
    for low, high in reversed(sums.tolist()):
        block = total ^ low ^ high << 64
        total = 0
        for p in range(BLOCK_BYTES):
            total ^= rows[p][block >> 8 * p & 0xFF]
    return total


# Section 1: CRC-64/NVME.

def _crc_tables():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
        table.append(value)
    tables = [table]
    for _ in range(7):
        tables.append([table[v & 0xFF] ^ v >> 8 for v in tables[-1]])
    return tables


CRC = _crc_tables()
CRC_BY_PLACE = np.array(CRC[::-1], dtype=np.uint64)
CRC_LANES = 1024


def _crc_step(states):
    places = states.view(np.uint8).reshape(-1, 8)
    after = np.zeros_like(states)
    for p in range(8):
        after ^= CRC_BY_PLACE[p][places[:, p]]
    return after


@functools.lru_cache(maxsize=64)
def _crc_skip(zero_words):
    """Tables, by byte place of the state, of what `zero_words` words of zeros make of it."""
    places = np.arange(8, dtype=np.uint64)[:, None] * np.uint64(8)
    states = (np.arange(256, dtype=np.uint64)[None, :] << places).reshape(-1)
    for _ in range(zero_words):
        states = _crc_step(states)
    return states.reshape(8, 256).tolist()


def crc64(message):
    """CRC-64/NVME of `message`."""
    state = (1 << 64) - 1
    words_per_lane = len(message) // (8 * CRC_LANES)
    start = words_per_lane * 8 * CRC_LANES
    if words_per_lane:
        words = np.frombuffer(message[:start], dtype="<u8").reshape(CRC_LANES, words_per_lane)
        lanes = np.zeros(CRC_LANES, dtype=np.uint64)
        for column in range(words_per_lane):
            lanes = _crc_step(lanes ^ words[:, column])
        skip = _crc_skip(words_per_lane)
        for lane in lanes.tolist():
            for p in range(8):
                lane ^= skip[p][state >> 8 * p & 0xFF]
            state = lane
    table = CRC[0]
    for byte in message[start:]:
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ (1 << 64) - 1


def chunk_hash(r, blind, content):
    """H of section 4, as a number."""
    return poly(r, len(content).to_bytes(BLOCK_BYTES, "little") + blind + content)


# Section 6: the parts of a capsule.

def part_bytes(content_bytes):
    """Bytes of a capsule part: content filled to the least odd number of blocks, then x and f."""
    blocks = -(-content_bytes // BLOCK_BYTES)
    return (blocks + (blocks % 2 == 0) + 2) * BLOCK_BYTES


def amd_tag(x, body):
    """f of section 6 over `body`, an odd number of blocks."""
    return gf128_power(x, len(body) // BLOCK_BYTES + 2) ^ poly(x, body)


def amd_holds(part):
    x, f = (int.from_bytes(part[at:at + 16], "little") for at in (len(part) - 32, len(part) - 16))
    return amd_tag(x, part[:-32]) == f
