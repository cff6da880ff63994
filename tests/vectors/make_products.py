#!/usr/bin/env python3
"""Makes gf256-products.bin: all products of GF(2^8) modulo 0x11B, by the library `galois`.

    pip install galois && python3 make_products.py

Byte 256 a + b of the file is the product of a and b.
"""

import pathlib

import galois
import numpy

FIELD = galois.GF(2**8, irreducible_poly=0x11B)
every = FIELD(numpy.arange(256, dtype=numpy.uint8))
products = numpy.multiply.outer(every, every)
assert products.shape == (256, 256)
path = pathlib.Path(__file__).with_name("gf256-products.bin")
path.write_bytes(bytes(numpy.asarray(products, dtype=numpy.uint8).tobytes()))
