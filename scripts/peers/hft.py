"""A fixed-spread cancel/replace strategy in hftbacktest, on the trades that scripts/replay-bench made.

usage: hft.py TRADES.csv OFFSET_BPS SIZE FIRST LAST RUNS
Prints a line `LEDGER side PRICE` for each fill of the ledgers FIRST to LAST, then on standard error the seconds that each
of RUNS runs took after one that compiled. The rules are those of the engine on a file of trades without quotes:

- a decision every four seconds (a ledger), on the last trade before it; prices are whole numbers of a millionth;
- what is decided is in force from the next ledger on: an order latency of four seconds, replies at once;
- a side whose price changed is replaced, one that was filled is placed anew;
- an order that would cross the book as it comes into force takes at once, at the book's price, as on the ledger: the book is
  two offers a basis point beside the last trade before then. hftbacktest is given trades and no depth, because a resting
  order of its would trade with each depth that moved across it, which in the engine only trades do. So its strategy looks
  itself whether an order that has just arrived would have taken, counts that as the fill, and lets the order go.
"""
import csv
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT, EXCH_EVENT, FILLED, GTC, LIMIT, LOCAL_EVENT, SELL_EVENT, TRADE_EVENT, BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

LEDGER_NS = 4_000_000_000
FIRST_INDEX = 1_000


def events(path):
    rows = list(csv.DictReader(open(path)))
    data = np.zeros(len(rows), dtype=event_dtype)
    for at, row in enumerate(rows):
        side = BUY_EVENT if row["side"] == "buy" else SELL_EVENT
        moment = int(row["time"]) * 1_000_000
        data[at] = (TRADE_EVENT | EXCH_EVENT | LOCAL_EVENT | side, moment, moment, float(row["price"]), float(row["size"]), 0, 0, 0)
    return data


@njit
def trade(hbt, wait_ns, ledgers, offset_bps, size, fills):
    """A fill is (ledger, 1 for a bid or -1 for an ask, price in ten millionths)."""
    count = 0
    last = 0
    size_xrp = np.int64(size)
    # Of bids, then asks: the order in force, the one before it, and the price of the first.
    now = np.zeros(2, np.int64)
    before = np.zeros(2, np.int64)
    price = np.zeros(2, np.int64)
    # The ledger after which it was sent.
    sent = np.full(2, -2, np.int64)
    order_id = 0
    if hbt.elapse(wait_ns) != 0:
        return count
    for step in range(ledgers):
        trades = hbt.last_trades(0)
        if len(trades) > 0:
            last = np.int64(round(trades[len(trades) - 1].px * 1e6))
            hbt.clear_last_trades(0)
        orders = hbt.orders(0)
        for side in range(2):
            for which in range(2):
                the_id = now[side] if which == 0 else before[side]
                if the_id == 0:
                    continue
                order = orders.get(np.uint64(the_id))
                if order is not None and order.status == FILLED:
                    fills[count, 0] = step
                    fills[count, 1] = 1 - 2 * side
                    fills[count, 2] = order.exec_price_tick * 10
                    count += 1
                    if which == 0:
                        now[side] = 0
            before[side] = 0
        hbt.clear_inactive_orders(0)
        if last > 0:
            # The book in ten millionths: a basis point below (eight digits, down) and above (up) the last price.
            bid, ask = last * 9999 // 1000, -(-(last * 10001) // 1000)
            # The middle, twice.
            twice = bid + ask
            for side in range(2):
                if now[side] == 0 or sent[side] != step - 1:
                    continue
                takes = price[side] * 10 >= ask if side == 0 else price[side] * 10 <= bid
                if takes:
                    fills[count, 0] = step
                    fills[count, 1] = 1 - 2 * side
                    # A bid gets its XRP at that price. An ask is filled when it has the RLUSD that it asked for, and gives
                    # fewer XRP for them, in whole drops.
                    rlusd = price[side] * size_xrp
                    drops = -(-(rlusd * 10_000_000) // bid)
                    fills[count, 2] = ask if side == 0 else (rlusd * 20_000_000 + drops) // (2 * drops)
                    count += 1
                    hbt.cancel(0, np.uint64(now[side]), False)
                    now[side] = 0
            for side in range(2):
                if side == 0:
                    wanted = twice * (10_000 - offset_bps) // 200_000
                else:
                    wanted = -(-(twice * (10_000 + offset_bps)) // 200_000)
                if now[side] != 0 and wanted == price[side]:
                    continue
                order_id += 1
                if now[side] != 0:
                    hbt.cancel(0, np.uint64(now[side]), False)
                if side == 0:
                    hbt.submit_buy_order(0, np.uint64(order_id), wanted * 1e-6, size, GTC, LIMIT, False)
                else:
                    hbt.submit_sell_order(0, np.uint64(order_id), wanted * 1e-6, size, GTC, LIMIT, False)
                before[side] = now[side]
                now[side] = order_id
                price[side] = wanted
                sent[side] = step
        if hbt.elapse(LEDGER_NS) != 0:
            break
    return count


def run(data, ledgers, offset_bps, size):
    asset = (
        BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(LEDGER_NS - 1_000, 0)
        .risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        .tick_size(1e-6).lot_size(1e-6).last_trades_capacity(100_000)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    fills = np.zeros((4 * ledgers + 4, 3), np.int64)
    start = int(data[0]["exch_ts"])
    close = (start // LEDGER_NS + 1) * LEDGER_NS
    begun = time.perf_counter()
    # The clock begins with the first event; a decision falls a nanosecond before its ledger closes.
    count = trade(hbt, close - 1 - start, ledgers, offset_bps, size, fills)
    seconds = time.perf_counter() - begun
    hbt.close()
    return fills[:count], seconds


def main():
    path, offset_bps, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    first, last, runs = (int(word) for word in sys.argv[4:7])
    data = events(path)
    ledgers = int((data[-1]["exch_ts"] - data[0]["exch_ts"]) // LEDGER_NS) + 2
    fills, _ = run(data, ledgers, offset_bps, size)
    for step, side, price in fills:
        ledger = FIRST_INDEX + int(step)
        if first <= ledger <= last:
            print(ledger, "bid" if side > 0 else "ask", f"{int(price) // 10**7}.{int(price) % 10**7:07d}")
    seconds = sorted(run(data, ledgers, offset_bps, size)[1] for _ in range(runs))
    print(f"{seconds[len(seconds) // 2]:.6f} {ledgers} {len(data)}", file=sys.stderr)


main()
