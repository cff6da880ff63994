#!/usr/bin/env python3
"""Makes poly-vectors.txt: known answers of the polynomial hash, from Python's integers alone.

    python3 make_poly_vectors.py > poly-vectors.txt

A line is "r parts hash" in hexadecimal; the parts are joined by commas, an empty one is "-".
"""

import hashlib

MODULUS = 1 << 128 | 1 << 7 | 1 << 2 | 1 << 1 | 1


def times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        b >>= 1
    for degree in range(product.bit_length() - 1, 127, -1):
        if product >> degree & 1:
            product ^= MODULUS << (degree - 128)
    return product


def poly(r, parts):
    total, power = 0, r
    for part in parts:
        for at in range(0, len(part), 16):
            total ^= times(int.from_bytes(part[at : at + 16], "little"), power)
            power = times(power, r)
    return total


def drawn(label, length):
    return hashlib.shake_256(label.encode()).digest(length)


def main():
    block = (1).to_bytes(16, "little")
    top = (1 << 127).to_bytes(16, "little")
    full = b"\xff" * 16
    cases = [
        (bytes(16), [full]),
        (full, []),
        (full, [b"", b""]),
        (block, [block, block, top]),
        (top, [top]),
        (top, [top, top, top]),
        (full, [full * 33]),
    ]
    shapes = [[n] for n in (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 255, 256, 257)]
    shapes += [[n] for n in (511, 512, 513, 528, 1023, 1024, 1040, 1537)]
    shapes += [[64, 1], [64, 1000], [16, 16, 700], [0, 5, 0, 17, 512, 3], [1] * 40]
    for number, shape in enumerate(shapes):
        r = drawn(f"r {number}", 16)
        cases.append((r, [drawn(f"part {number} {i}", n) for i, n in enumerate(shape)]))
    for r, parts in cases:
        shown = ",".join(part.hex() or "-" for part in parts) or "none"
        answer = poly(int.from_bytes(r, "little"), parts).to_bytes(16, "little")
        print(r.hex(), shown, answer.hex())


main()
