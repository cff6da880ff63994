#!/usr/bin/env python3
"""A stand-in for the Individual Number Card: its JPKI application over the vpcd protocol.

pcscd's virtual reader (vsmartcard) listens; this connects to it, and the reader has a card then.
It does what OpenSC's JPKI driver asks of the real card, PIN counters and the certificate that is
hidden behind a PIN included. Keys and certificates are PEM files; nothing but Python is needed.

    jpki_card.py --key K.key --certificate K.crt --ca ca.crt [--sign-certificate S.crt]
                 [--port 35963] [--tries N] [--log FILE] [--hang sign|verify]

It says "ready" on standard output once the reader has taken it, and ends with the reader. Each
command goes to --log, with what was answered and without PINs.
"""

import argparse
import base64
import socket
import struct
import sys
import time

ATR = bytes.fromhex("3be000ff8131fe4514")
JPKI = bytes.fromhex("D392F000260100000001")

AUTH_CERTIFICATE, AUTH_CA = 0x0A, 0x0B
SIGN_CERTIFICATE, SIGN_CA = 0x01, 0x02
AUTH_KEY, AUTH_PIN = 0x17, 0x18
SIGN_KEY, SIGN_PIN = 0x1A, 0x1B

OK = b"\x90\x00"
NOT_FOUND = b"\x6a\x82"
NOT_ALLOWED = b"\x69\x82"
LOCKED = b"\x69\x84"
NOTHING_SELECTED = b"\x69\x86"
WRONG_LENGTH = b"\x67\x00"
UNKNOWN = b"\x6d\x00"


def pem(path):
    """The first block of a PEM file, DER."""
    lines = open(path, encoding="ascii").read().split("-----")
    return base64.b64decode("".join(lines[2].split()))


def items(der):
    """The values in a DER sequence's content, each with its tag."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[at : at + count], "big")
            at += count
        yield tag, der[at : at + length]
        at += length


class RsaKey:
    """Modulus and private exponent of a key in PKCS#8 or PKCS#1."""

    def __init__(self, path):
        ((_, inside),) = items(pem(path))
        parts = list(items(inside))
        if parts[1][0] == 0x30:
            ((_, inside),) = items(parts[2][1])
            parts = list(items(inside))
        numbers = [int.from_bytes(value, "big") for _, value in parts]
        self.modulus, self.exponent = numbers[1], numbers[3]
        self.size = (self.modulus.bit_length() + 7) // 8

    def sign(self, digest_info):
        """PKCS#1 v1.5 over what the host put together."""
        fill = b"\xff" * (self.size - 3 - len(digest_info))
        block = int.from_bytes(b"\x00\x01" + fill + b"\x00" + digest_info, "big")
        return pow(block, self.exponent, self.modulus).to_bytes(self.size, "big")


class Pin:
    """A PIN with its counter, which power does not reset."""

    def __init__(self, value, limit, left):
        self.value, self.limit, self.left = value.encode(), limit, left

    def status(self):
        """How many tries are left, as a status word."""
        return bytes([0x63, 0xC0 | self.left])

    def verify(self, given):
        """Counts one try."""
        if self.left == 0:
            return LOCKED
        if given == self.value:
            self.left = self.limit
            return OK
        self.left -= 1
        return self.status()


class Card:
    """The JPKI application."""

    def __init__(self, args):
        left = 3 if args.tries is None else args.tries
        self.pins = {
            AUTH_PIN: Pin(args.pin, 3, left),
            SIGN_PIN: Pin(args.sign_pin, 5, 5),
        }
        own = RsaKey(args.key)
        self.keys = {AUTH_KEY: (own, AUTH_PIN), SIGN_KEY: (own, SIGN_PIN)}
        signing = args.sign_certificate or args.certificate
        self.files = {
            AUTH_CERTIFICATE: (pem(args.certificate), None),
            AUTH_CA: (pem(args.ca), None),
            SIGN_CERTIFICATE: (pem(signing), SIGN_PIN),
            SIGN_CA: (pem(args.ca), None),
        }
        self.hang = args.hang
        self.reset()

    def reset(self):
        """Power went off or came back."""
        self.selected, self.proved, self.in_application = None, set(), False

    def answer(self, command):
        """The answer to one command."""
        if len(command) < 4:
            return WRONG_LENGTH
        kind, instruction, first, second = command[:4]
        body = command[4:]
        content = body[1 : 1 + body[0]] if len(body) > 1 else b""
        expected = body[0] if len(body) == 1 else 0
        if instruction == 0xA4:
            return self.select(first, content)
        if instruction == 0x20:
            return self.verify(content)
        if instruction == 0xB0:
            return self.read((first << 8) | second, expected or 256)
        if (kind, instruction) == (0x80, 0x2A):
            return self.sign(content)
        return UNKNOWN

    def select(self, how, name):
        """An application by its name, or a file of it."""
        if how == 4:
            self.selected, self.in_application = None, name == JPKI
            return OK if self.in_application else NOT_FOUND
        known = [*self.files, *self.keys, *self.pins]
        number = int.from_bytes(name, "big")
        if how != 2 or not self.in_application or number not in known:
            return NOT_FOUND
        self.selected = number
        return OK

    def verify(self, given):
        """Looks at a PIN's counter, or tries the PIN."""
        if self.selected not in self.pins:
            return NOTHING_SELECTED
        pin = self.pins[self.selected]
        if not given:
            return pin.status()
        if self.hang == "verify":
            forever()
        answer = pin.verify(given)
        (self.proved.add if answer == OK else self.proved.discard)(self.selected)
        return answer

    def read(self, start, length):
        """A part of a certificate."""
        if self.selected not in self.files:
            return NOTHING_SELECTED
        content, pin = self.files[self.selected]
        if pin is not None and pin not in self.proved:
            return NOT_ALLOWED
        return content[start : start + length] + OK

    def sign(self, digest_info):
        """Signs with the selected key."""
        if self.selected not in self.keys:
            return NOTHING_SELECTED
        key, pin = self.keys[self.selected]
        if pin not in self.proved:
            return NOT_ALLOWED
        if self.hang == "sign":
            forever()
        if not 0 < len(digest_info) <= key.size - 11:
            return WRONG_LENGTH
        return key.sign(digest_info) + OK


def forever():
    """What a card does that hangs."""
    while True:
        time.sleep(3600)


def hidden(command):
    """The command as it may be logged: never with a PIN."""
    return command[:5].hex() + "..." if command[1:2] == b"\x20" else command.hex()


def receive(reader, count):
    """This many bytes, or the end."""
    received = b""
    while len(received) < count:
        more = reader.recv(count - len(received))
        if not more:
            sys.exit(0)
        received += more
    return received


def serve(card, reader, log):
    """Answers the reader: a length, then one byte of control or a command."""
    while True:
        (length,) = struct.unpack(">H", receive(reader, 2))
        message = receive(reader, length)
        if length == 1:
            if message[0] in (0, 1, 2):
                card.reset()
            elif message[0] == 4:
                reader.sendall(struct.pack(">H", len(ATR)) + ATR)
            continue
        answer = card.answer(message)
        if log:
            print(hidden(message), answer[-2:].hex(), file=log, flush=True)
        reader.sendall(struct.pack(">H", len(answer)) + answer)


def connected(host, port):
    """The reader, which listens a moment after pcscd has started."""
    for _ in range(100):
        try:
            return socket.create_connection((host, port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit(f"no reader listens at {host}:{port}: is pcscd running, with vsmartcard-vpcd?")


def main():
    """Reads the arguments and puts the card into the reader."""
    parser = argparse.ArgumentParser(description="A stand-in for the JPKI card.")
    parser.add_argument("--key", required=True, help="its RSA key, PEM")
    parser.add_argument("--certificate", required=True, help="for user authentication, PEM")
    parser.add_argument("--sign-certificate", help="for signatures, behind its PIN, PEM")
    parser.add_argument("--ca", required=True, help="the authority's, PEM")
    parser.add_argument("--pin", default="1234")
    parser.add_argument("--sign-pin", default="ABC123")
    parser.add_argument("--tries", type=int, help="tries left of the PIN for authentication")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0x8C7B)
    parser.add_argument("--log", help="where commands are written")
    parser.add_argument("--hang", choices=["sign", "verify"], help="never answer that")
    args = parser.parse_args()
    card = Card(args)
    log = open(args.log, "a", encoding="ascii") if args.log else None
    reader = connected(args.host, args.port)
    print("ready", flush=True)
    serve(card, reader, log)


if __name__ == "__main__":
    main()
