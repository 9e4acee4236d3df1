"""Compares the ratios that the benches wrote as JSON with the limits below: twice the ratio in docs/benchmarks.md, or more if a
busy machine was measured near that."""

import json
import pathlib
import sys

# bench, row, figure, limit, and whether larger is worse
LIMITS = [
    ("append", "7000, 64 appenders", "speed_ratio", 0.35, False),
    ("append", "7000, 64 appenders", "amplification", 2.1, True),
    ("request", "7000", "cpu_ratio", 5.0, True),
    ("request", "40000", "cpu_ratio", 10.0, True),
    ("request", "heap of ours, 7000", "allocations", 30.0, True),
    ("publish", "7000", "speed_ratio", 0.5, False),
    ("publish", "7000", "cpu_ratio", 2.3, True),
    ("end_to_end", "7000, 64 connections", "cpu_ratio", 12.0, True),
    ("end_to_end", "7000, 1000/s, 32 connections", "cpu_ratio", 22.0, True),
    # A share of a core. A thread that polled instead of waiting took 0.95.
    ("end_to_end", "idle", "cpu_percent", 0.5, True),
    ("start", "full", "ratio_to_empty", 4.0, True),
]

folder = pathlib.Path(sys.argv[1])
failed = False
for bench, row, figure, limit, more_is_worse in LIMITS:
    rows = json.loads((folder / f"{bench}.json").read_text())["rows"]
    value = next(entry[figure] for entry in rows if entry["row"] == row)
    good = value <= limit if more_is_worse else value >= limit
    failed |= not good
    sign = "<=" if more_is_worse else ">="
    print(f"{'ok  ' if good else 'BAD '} {bench}: {row}: {figure} {value:.2f} (must be {sign} {limit})")
sys.exit(failed)
