#!/usr/bin/env python3
"""Writes the powers of ten that core/number_power.h describes, as rows of a C array.

usage: powers.py FIRST LAST OUTPUT

Each row is the smallest 128-bit integer g, 2^127 <= g < 2^128, with g * 2^e >= 10^q for a whole e,
so that g is 5^q without its binary exponent, rounded up. Python's integers make this exact.
"""

import sys

BITS = 128


def power(q):
    if q >= 0:
        value = 5 ** q
        drop = value.bit_length() - BITS
        return value << -drop if drop <= 0 else -(-value >> drop)
    divisor = 5 ** -q
    shift = BITS - 1 + divisor.bit_length()
    g = -(-(1 << shift) // divisor)
    return g if g < 1 << BITS else -(-(1 << (shift - 1)) // divisor)


def main():
    first, last = int(sys.argv[1]), int(sys.argv[2])
    rows = []
    for q in range(first, last + 1):
        g = power(q)
        assert 1 << (BITS - 1) <= g < 1 << BITS
        # Users step back from "rounded up" to "rounded down" without looking for a borrow.
        assert g & (2 ** 64 - 1) or 0 <= q <= 55
        rows.append("{0x%016xU, 0x%016xU}, /* %d */" % (g >> 64, g & (2 ** 64 - 1), q))
    with open(sys.argv[3], "w", encoding="utf-8") as stream:
        stream.write("/* Written by tools/powers.py. */\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
