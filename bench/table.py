#!/usr/bin/env python3
"""The newest figure of each kind from build/bench/results.jsonl, as a Markdown table.

usage: bench/table.py [PREFIX ...]      rows whose bench begins with a prefix; all by default
"""
import json
import sys

import figures


def shown(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def main():
    prefixes = tuple(sys.argv[1:]) or ("",)
    newest = {}
    for line in figures.RESULTS.read_text().splitlines():
        row = json.loads(line)
        if row["bench"].startswith(prefixes):
            newest[row["bench"], row["figure"]] = row
    print("| bench | figure | measured | goal | peer |")
    print("| --- | --- | --- | --- | --- |")
    for row in newest.values():
        better = "<=" if row["better"] == "lower" else ">="
        goal = f"{better} {shown(row['goal'])}" if "goal" in row else ""
        peer = ""
        if "peer" in row:
            peer = row["peer"] + (
                ": missing" if "peer_missing" in row
                else f": {shown(row['peer_value'])}, {row['ratio']:.1f}x"
            )
            if "ratio_goal" in row:
                goal = f">= {row['ratio_goal']:g}x the peer"
        name = row["figure"].replace("_", " ")
        value = f"{shown(row['value'])} {row['unit']}"
        print(f"| {row['bench']} | {name} | {value} | {goal} | {peer} |")


if __name__ == "__main__":
    main()
