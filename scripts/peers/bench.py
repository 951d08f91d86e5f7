"""xrpl-py, unmodified: the same work as examples/peer_bench.rs. Usage: python bench.py FILE"""

import hashlib
import json
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, getcontext

from xrpl.models import IssuedCurrencyAmount, OfferCreate
from xrpl.transaction import sign
from xrpl.utils import get_balance_changes
from xrpl.wallet import Wallet

RLUSD = "524C555344000000000000000000000000000000"
getcontext().prec = 60


def plain(number):
    return format(number.normalize(), "f")


def decode(text, head):
    """Changes of our XRP in drops and of our RLUSD."""
    message = json.loads(text)
    xrp, token = 0, Decimal(0)
    for row in get_balance_changes(message["meta"]):
        if row["account"] == head["account"]:
            for balance in row["balances"]:
                if balance["currency"] == "XRP":
                    xrp = int(Decimal(balance["value"]) * 1_000_000)
                elif balance["currency"] == RLUSD and balance["issuer"] == head["issuer"]:
                    token = Decimal(balance["value"])
    return xrp, token


def digits(number, places, rounding):
    return number.quantize(Decimal(1).scaleb(-places), rounding=rounding)


def plan(tick):
    """Two levels a side, 10 and 20 bps from the middle, 100 XRP each."""
    mid = (Decimal(tick["bid"]) + Decimal(tick["ask"])) / 2
    quotes = []
    for level in range(2):
        for side, sign_of, rounding in (("bid", -1, ROUND_FLOOR), ("ask", 1, ROUND_CEILING)):
            price = digits(mid * (10_000 + sign_of * 10 * (level + 1)) / 10_000, 6, rounding)
            if price >= Decimal(tick["ask"]) if side == "bid" else price <= Decimal(tick["bid"]):
                raise ValueError("the offer would trade at once")
            quotes.append((side, level, price, 100_000_000, 100 * price))
    return quotes


def signed(quotes, tick, head, wallet):
    blobs = []
    for n, (side, _, _, drops, rlusd) in enumerate(quotes):
        token = IssuedCurrencyAmount(currency=RLUSD, issuer=head["issuer"], value=plain(rlusd))
        gets, pays = (token, str(drops)) if side == "bid" else (str(drops), token)
        transaction = sign(
            OfferCreate(
                account=head["account"], sequence=tick["sequence"] + n, fee="10", expiration=tick["expiration"],
                last_ledger_sequence=tick["ledger_index"] + 5, network_id=head["network_id"],
                taker_gets=gets, taker_pays=pays,
            ),
            wallet,
        )
        blobs.append((transaction.blob(), transaction.get_hash()))
    return blobs


def quantiles(times):
    times = sorted(times)
    at = lambda percent: f"{times[min(len(times) * percent // 100, len(times) - 1)] / 1000:.1f}"
    return {"p50": at(50), "p99": at(99)}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        head = json.loads(next(file))
        ticks = [json.loads(line) for line in file]
    wallet = Wallet.from_seed(head["seed"])
    said = hashlib.sha256()
    stages = {"decode": [], "plan": [], "sign": [], "all": []}
    clock = time.perf_counter_ns
    for timed in (False, True):
        for tick in ticks:
            start = clock()
            xrp, token = decode(tick["message"], head)
            decoded = clock()
            quotes = plan(tick)
            planned = clock()
            blobs = signed(quotes, tick, head, wallet)
            end = clock()
            if not timed:
                continue
            for name, ns in zip(stages, (decoded - start, planned - decoded, end - planned, end - start)):
                stages[name].append(ns)
            words = f"{xrp} {plain(token)}\n"
            words += "".join(f"{s} {l} {plain(p)} {d} {plain(r)}\n" for s, l, p, d, r in quotes)
            words += "".join(f"{blob} {hash_}\n" for blob, hash_ in blobs)
            said.update(words.encode())
    summary = {name: quantiles(times) for name, times in stages.items()}
    print(json.dumps({"what": "xrpl-py", "ticks": len(ticks), "output": said.hexdigest(), "us": summary}))


main()
