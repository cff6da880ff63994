"""Computes the frame of golden.rs from FORMAT.md sections 1 and 9 with big integers only.

    python3 golden_frame.py

It shares no code with the Rust side. Key byte i is (37 * i + 11) mod 256.
"""


def mul(a, b):
    """Product in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bit i the coefficient of x^i."""
    product = 0
    for i in range(128):
        if b >> i & 1:
            product ^= a << i
    for i in range(254, 127, -1):
        if product >> i & 1:
            product ^= (1 << 128 | 0x87) << (i - 128)
    return product


def poly(r, message):
    message += bytes(-len(message) % 16)
    total, power = 0, 1
    for at in range(0, len(message), 16):
        power = mul(power, r)
        total ^= mul(power, int.from_bytes(message[at : at + 16], "little"))
    return total


def le(number, size):
    return number.to_bytes(size, "little")


def show(key_start, kept, payload, is_open):
    stream = 0 if is_open else len(payload)
    key = bytes((37 * i + 11) % 256 for i in range(32 + stream + kept))
    header = b"WFRM" + bytes([1, 0, is_open, 0]) + bytes(range(16)) + bytes(range(0x10, 0x20))
    header += le(0, 8) + le(key_start, 8) + le(len(payload), 4) + le(kept, 4)
    ciphertext = payload if is_open else bytes(p ^ k for p, k in zip(payload, key[32:]))
    r = int.from_bytes(key[:16], "little")
    tag = poly(r, header + ciphertext) ^ int.from_bytes(key[16:32], "little")
    frame = header + ciphertext + le(tag, 16)
    for at in range(0, len(frame), 32):
        print(frame[at : at + 32].hex())
    print("kept", key[32 + stream :].hex())


body = b"a share, or part of one"
object_id = bytes(range(0xA0, 0xB0))
payload = le(5, 2) + le(0, 2) + le(len(body), 4) + object_id + bytes([3, 1, 0, 0])
payload += le(7, 4) + le(0x0102030405060708, 8) + le(len(body), 8) + le(0, 8)
payload += le(0x1112131415161718, 8) + body
show(1024, 16, payload, 0)

# An offer of two keys of 128 bytes for the direction from B to A, class 1: not masked.
body = bytes([1, 1, 0, 0, 0, 0, 0, 0]) + le(128, 8) + bytes(range(0x40, 0x60))
payload = le(13, 2) + le(0, 2) + le(len(body), 4) + object_id + bytes(32)
payload += le(9, 8) + body
show(1024, 0, payload, 1)
