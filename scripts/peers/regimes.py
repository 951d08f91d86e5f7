"""Strategies over regimes and seeds: see scripts/regimes.

usage: regimes.py NEO [--seeds 1..10] [--for 1h] [--jobs N]
"""
import argparse
import json
import subprocess
import sys

REGIMES = ["calm", "trending", "jumps", "informed", "thin-book", "amm-dominated"]
# Beside the pool one thin maker, or the book has no middle to quote around.
OF_REGIME = {"amm-dominated": ["sim.makers.levels=1", "sim.makers.spread_bps=60", "sim.makers.size_xrp=300"]}
OFFSETS = "5,10,15,20,30"
# One level of 100 XRP a side, moved as soon as the middle moves by a basis point: what differs is where it stands.
COMMON = ["quote.levels=1", "quote.refresh_ledgers=1", "quote.tolerance_bps=1"]
# Name, settings, the keys that make its grid (walked side by side where there are several).
STRATEGIES = [
    ("fixed", [], [f"bid_offset_bps={OFFSETS}", f"ask_offset_bps={OFFSETS}"]),
    ("fixed, leaning", ["quote.inventory_target_pct=50", "quote.skew_bps=40"],
     [f"bid_offset_bps={OFFSETS}", f"ask_offset_bps={OFFSETS}"]),
    ("fixed, widening", ["quote.volatility_widen=0.5"], [f"bid_offset_bps={OFFSETS}", f"ask_offset_bps={OFFSETS}"]),
    ("avellaneda_stoikov", ["quote.strategy=avellaneda_stoikov", "quote.inventory_target_pct=50"],
     ["gamma_per_bps=0.003,0.01,0.03"]),
    ("glft", ["quote.strategy=glft", "quote.inventory_target_pct=50"], ["gamma_per_bps=0.003,0.01,0.03"]),
]


def run(neo, regime, settings, grid, options):
    command = [neo, "backtest", "--scenario", regime, "--json", "--seeds", options.seeds, "--for", options.length]
    command += ["--jobs", str(options.jobs)] if options.jobs else []
    for setting in COMMON + OF_REGIME.get(regime, []) + settings:
        command += ["--set", setting]
    for axis in grid:
        command += ["--grid", axis]
    if len(grid) > 1:
        command += ["--paired", ",".join(axis.split("=")[0] for axis in grid)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        return None, done.stderr.strip()
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)["rows"], ""


def number(row, key):
    return float(row[key] or 0)


FIGURES = ["result_rlusd", "result_deviation_rlusd", "worst_drawdown_rlusd", "largest_inventory_xrp"]


def at_volume(fixed, volume):
    """The fixed offsets' figures at a mean volume, and how they were found."""
    known = sorted(fixed, key=lambda row: number(row, "volume_xrp"))
    below = [row for row in known if number(row, "volume_xrp") <= volume]
    above = [row for row in known if number(row, "volume_xrp") > volume]
    if not below or not above:
        nearest = known[0] if not below else known[-1]
        return {key: number(nearest, key) for key in FIGURES}, "nearest, outside the grid"
    low, high = below[-1], above[0]
    span = number(high, "volume_xrp") - number(low, "volume_xrp")
    share = (volume - number(low, "volume_xrp")) / span
    mixed = {key: number(low, key) + share * (number(high, key) - number(low, key)) for key in FIGURES}
    return mixed, ""


def offsets(row):
    return ", ".join(f"{key.split('.')[-1].replace('_offset_bps', '').replace('_per_bps', '')} {value}" for key, value in row["settings"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("neo")
    parser.add_argument("--seeds", default="1..10")
    parser.add_argument("--for", dest="length", default="1h")
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    print(f"Seeds {options.seeds}, {options.length} of ledgers each; RLUSD and XRP.\n", flush=True)
    print("| regime | strategy | setting | fills | took | volume | result | deviation | worst drawdown | largest inventory | "
          "fixed at that volume: result | deviation | worst drawdown | largest inventory |")
    print("| --- | --- | --- | " + "---: | " * 11, flush=True)
    left_out = {}
    for regime in REGIMES:
        fixed = None
        for name, settings, grid in STRATEGIES:
            rows, why = run(options.neo, regime, settings, grid, options)
            if rows is None:
                left_out[name] = why.splitlines()[0]
                continue
            rows.sort(key=lambda row: [float(value) for _, value in row["settings"]])
            fixed = fixed or rows
            for row in rows:
                cells = [regime, name, offsets(row), f"{number(row, 'fills'):.0f}", str(row["taker_fills"]),
                         f"{number(row, 'volume_xrp'):.0f}"]
                cells += [f"{number(row, key):.1f}" for key in FIGURES]
                if name == "fixed":
                    cells += [""] * 4
                else:
                    same, note = at_volume(fixed, number(row, "volume_xrp"))
                    cells += [f"{same[key]:.1f}" + ("*" if note else "") for key in FIGURES]
                print("| " + " | ".join(cells) + " |", flush=True)
    print("\n\\* no fixed offset of the grid trades so much, or so little: the nearest one's figures.")
    for name, why in left_out.items():
        print(f"\nLeft out: {name} ({why})")


main()
