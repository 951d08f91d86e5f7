"""Prints what scripts/peer-bench measured. Usage: python table.py FILE"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    *peers, engine = [json.loads(line) for line in file]
outputs = {peer["output"] for peer in peers}
if len(outputs) != 1:
    for peer in peers:
        print(f"{peer['what']}: {peer['output']}", file=sys.stderr)
    sys.exit("peer-bench: the outputs differ, so no times are shown")
stages = ["decode", "plan", "sign", "all"]
print(f"{peers[0]['ticks']} messages, outputs equal ({outputs.pop()[:12]}); p50 / p99 in microseconds a message\n")
print("| | " + " | ".join(stages) + " |\n| --- |" + " ---: |" * len(stages))
for peer in peers:
    print(f"| {peer['what']} | " + " | ".join(f"{peer['us'][s]['p50']} / {peer['us'][s]['p99']}" for s in stages) + " |")
us = engine["us"]
print(f"\nThe engine's own cores, {engine['ledgers']} whole ledgers of that market, p50 / p99 in microseconds a ledger:")
print(f"feed {us['feed']['p50']} / {us['feed']['p99']}, orders with signing {us['orders']['p50']} / {us['orders']['p99']}, "
      f"both {us['all']['p50']} / {us['all']['p99']}")
