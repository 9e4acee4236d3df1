"""Compares the ratios that the benches wrote as JSON with the limits that stand here: twice what docs/benchmarks.md shows."""

import json
import pathlib
import sys

# bench, row, figure, the worst that passes, and whether more of it is worse.
LIMITS = [
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
