#!/usr/bin/env python3
"""Writes the 256 entries by which core/crc32c.c divides a byte at a time.

usage: crc_table.py OUTPUT
"""

import sys

CASTAGNOLI = 0x82F63B78  # bits reversed


def entry(value):
    for _ in range(8):
        value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
    return value


with open(sys.argv[1], "w", encoding="utf-8") as stream:
    stream.write("/* Written by tools/crc_table.py. */\n")
    for first in range(0, 256, 4):
        row = ", ".join("0x%08xU" % entry(value) for value in range(first, first + 4))
        stream.write(row + ",\n")
