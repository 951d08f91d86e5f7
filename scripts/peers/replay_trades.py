"""The trades that scripts/replay-bench compares on, as files of `time,side,price,size`.

usage: replay_trades.py TAPE.csv FOLDER
Writes real.csv (the tape's trades of 10 XRP and more), generated.csv (20,000 trades, seed 1) and volatile.csv (4,000 whose
price moves four times as far), and beside each a file with a line for each of its ledgers.
"""
import csv
import random
import sys
from decimal import Decimal

START_MS = 1_776_506_400_000
LEDGER_MS = 4_000


def write(folder, name, rows):
    with open(f"{folder}/{name}.csv", "w") as out:
        out.write("time,side,price,size\n")
        out.writelines(f"{at},{side},{price},{size}\n" for at, side, price, size in rows)
    ledgers = (rows[-1][0] - (rows[0][0] // LEDGER_MS + 1) * LEDGER_MS) // LEDGER_MS + 2
    with open(f"{folder}/{name}.ledgers", "w") as out:
        out.writelines(f"{1000 + at}\n" for at in range(ledgers))


def real(tape):
    for row in csv.DictReader(open(tape)):
        size = Decimal(row["qty_xrp"]).quantize(Decimal("0.000001"))
        if size >= 10:
            yield START_MS + int(row["t_ms"]), row["taker_side"], row["price"], size


def generated(count, deviation):
    draw = random.Random(1)
    at, price = START_MS, 2_400_000
    for _ in range(count):
        at += max(1, int(draw.expovariate(1 / 1_500)))
        price = max(2_000_000, min(3_000_000, price + int(draw.gauss(0, deviation))))
        yield at, draw.choice(["buy", "sell"]), f"{price // 10**6}.{price % 10**6:06d}", draw.randint(10, 200)


write(sys.argv[2], "real", list(real(sys.argv[1])))
write(sys.argv[2], "generated", list(generated(20_000, 150)))
write(sys.argv[2], "volatile", list(generated(4_000, 600)))
