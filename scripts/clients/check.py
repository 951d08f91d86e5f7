"""xrpl-py, unmodified, against a simulated ledger. Usage: python check.py ws://ADDRESS"""

import asyncio
import sys
from decimal import Decimal

from xrpl import CryptoAlgorithm
from xrpl.account import get_balance, get_next_valid_seq_number
from xrpl.asyncio.clients import AsyncWebsocketClient
from xrpl.asyncio.transaction import autofill_and_sign as autofill_and_sign_async
from xrpl.asyncio.transaction import submit_and_wait as submit_and_wait_async
from xrpl.clients import JsonRpcClient, WebsocketClient
from xrpl.core.binarycodec import decode
from xrpl.models import (
    AccountInfo, AccountLines, AccountOffers, AccountSet, AccountSetAsfFlag, AccountTx, BookOffers, Fee,
    IssuedCurrency, IssuedCurrencyAmount, Ledger, OfferCancel, OfferCreate, Payment, ServerInfo, StreamParameter,
    Subscribe, TrustSet, Tx, Unsubscribe, XRP,
)
from xrpl.transaction import autofill_and_sign, submit, submit_and_wait
from xrpl.utils import get_balance_changes, get_order_book_changes, xrp_to_drops
from xrpl.wallet import Wallet

MASTER = Wallet.from_seed("snoPBrXtMeMyMHUVTgbuqAfg1SUTb", algorithm=CryptoAlgorithm.SECP256K1)
FEE = Decimal("0.00001")


def changes(meta, address):
    """An account's balance changes, by currency."""
    rows = [row for row in get_balance_changes(meta) if row["account"] == address]
    return {balance["currency"]: Decimal(balance["value"]) for row in rows for balance in row["balances"]}


def equal(got, expected):
    assert got == expected, f"{got!r}, not {expected!r}"


def sent(client, transaction, wallet):
    result = submit_and_wait(transaction, client, wallet).result
    equal((result["validated"], result["meta"]["TransactionResult"]), (True, "tesSUCCESS"))
    equal(result["tx_json"]["NetworkID"], 65001)
    return result


def asked(client, request, version):
    response = client.request(type(request).from_dict({**request.to_dict(), "api_version": version}))
    assert response.is_successful(), response
    return response.result


def trade(client):
    """Accounts, lines, an offer, half of it taken, the rest cancelled."""
    equal(MASTER.address, "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh")
    issuer, taker = Wallet.create(), Wallet.create()
    maker = Wallet.create(algorithm=CryptoAlgorithm.SECP256K1)
    for wallet in (issuer, maker, taker):
        funded = sent(client, Payment(account=MASTER.address, destination=wallet.address, amount=xrp_to_drops(1000)), MASTER)
        equal(changes(funded["meta"], wallet.address), {"XRP": Decimal(1000)})
        equal(changes(funded["meta"], MASTER.address), {"XRP": -1000 - FEE})
        equal(get_balance(wallet.address, client), 1_000_000_000)
    sent(client, AccountSet(account=issuer.address, set_flag=AccountSetAsfFlag.ASF_DEFAULT_RIPPLE), issuer)

    def usd(value):
        return IssuedCurrencyAmount(currency="USD", issuer=issuer.address, value=value)

    for wallet in (maker, taker):
        sent(client, TrustSet(account=wallet.address, limit_amount=usd("100000")), wallet)
        paid = sent(client, Payment(account=issuer.address, destination=wallet.address, amount=usd("500")), issuer)
        equal(paid["meta"]["delivered_amount"], usd("500").to_dict())
        equal(changes(paid["meta"], wallet.address), {"USD": Decimal(500)})
    ask = sent(client, OfferCreate(account=maker.address, taker_gets=xrp_to_drops(100), taker_pays=usd("250")), maker)
    sequence = ask["tx_json"]["Sequence"]
    for version in (1, 2):
        read(client, version, issuer, maker, sequence, ask)
    take = sent(client, OfferCreate(account=taker.address, taker_gets=usd("100"), taker_pays=xrp_to_drops(40)), taker)
    equal(changes(take["meta"], maker.address), {"XRP": Decimal(-40), "USD": Decimal(100)})
    equal(changes(take["meta"], taker.address), {"XRP": 40 - FEE, "USD": Decimal(-100)})
    [of_maker] = [row for row in get_order_book_changes(take["meta"]) if row["maker_account"] == maker.address]
    [offer] = of_maker["offer_changes"]
    equal((offer["sequence"], offer["status"]), (sequence, "partially-filled"))
    equal((Decimal(offer["taker_gets"]["value"]), Decimal(offer["taker_pays"]["value"])), (Decimal(-40), Decimal(-100)))
    sent(client, OfferCancel(account=maker.address, offer_sequence=sequence), maker)
    equal(asked(client, AccountOffers(account=maker.address, ledger_index="validated"), 2)["offers"], [])
    return maker, take["hash"]


def read(client, version, issuer, maker, sequence, ask):
    """What the client's requests say of one resting offer."""
    info = asked(client, AccountInfo(account=maker.address, ledger_index="validated"), version)
    equal(info["account_data"]["OwnerCount"], 2)
    equal(get_next_valid_seq_number(maker.address, client), info["account_data"]["Sequence"])
    [line] = asked(client, AccountLines(account=maker.address, ledger_index="validated"), version)["lines"]
    equal((line["account"], line["balance"], line["limit"]), (issuer.address, "500", "100000"))
    usd = IssuedCurrency(currency="USD", issuer=issuer.address)
    [offer] = asked(client, BookOffers(taker_gets=XRP(), taker_pays=usd, ledger_index="validated"), version)["offers"]
    equal((offer["Sequence"], offer["TakerGets"], offer["TakerPays"]["value"]), (sequence, "100000000", "250"))
    equal(int(offer["owner_funds"]), int(info["account_data"]["Balance"]) - 1_400_000)
    transaction = asked(client, Tx(transaction=ask["hash"]), version)
    fields = transaction if version == 1 else transaction["tx_json"]
    equal((fields["Account"], fields["Sequence"]), (maker.address, sequence))
    history = asked(client, AccountTx(account=maker.address, limit=1), version)
    equal((len(history["transactions"]), history["limit"]), (1, 1))
    [row] = asked(client, AccountTx(account=maker.address, limit=1, binary=True), version)["transactions"]
    equal(decode(row["tx_blob"])["TransactionType"], "OfferCreate")
    meta = decode(row["meta" if version == 1 else "meta_blob"])
    equal(meta["TransactionResult"], "tesSUCCESS")
    ledger = asked(client, Ledger(ledger_index="validated"), version)["ledger"]
    equal(type(ledger["ledger_index"]), str if version == 1 else int)
    equal(asked(client, Fee(), version)["drops"]["base_fee"], "10")
    equal(asked(client, ServerInfo(), version)["info"]["network_id"], 65001)
    missing = client.request(AccountInfo(account=Wallet.create().address, api_version=version))
    equal((missing.is_successful(), missing.result["error"]), (False, "actNotFound"))


def signed_and_submitted(client, maker):
    """Signed apart, submitted once, and refused the second time."""
    payment = Payment(account=maker.address, destination=MASTER.address, amount="1000000")
    signed = autofill_and_sign(payment, client, maker)
    first = submit(signed, client).result
    equal((first["engine_result"], first["applied"], first["kept"]), ("tesSUCCESS", True, True))
    equal(submit(signed, client).result["engine_result"], "tefPAST_SEQ")


async def listen(url, maker):
    """Streams reach a client that waits for them."""
    async with AsyncWebsocketClient(url) as client:
        streams = [StreamParameter.LEDGER, StreamParameter.TRANSACTIONS]
        await client.send(Subscribe(streams=streams, accounts=[maker.address]))
        payment = Payment(account=maker.address, destination=MASTER.address, amount="2000000")
        heard, closed = [], []

        async def hear(wanted):
            # The payment before this one may be validated only now: it is not counted.
            async for message in client:
                if message.get("type") == "ledgerClosed":
                    closed.append(message["ledger_index"])
                elif message.get("type") == "transaction" and message["hash"] == wanted:
                    heard.append(message["validated"])
                if len(heard) >= 2 and len(closed) >= 2:
                    return

        async with AsyncWebsocketClient(url) as other:
            signed = await autofill_and_sign_async(payment, other, maker)
            hearing = asyncio.create_task(hear(signed.get_hash()))
            result = (await submit_and_wait_async(signed, other)).result
            await asyncio.wait_for(hearing, 20)
        # Once by the stream of all, once by the account.
        equal((heard, result["validated"]), ([True, True], True))
        equal(closed, list(range(closed[0], closed[0] + len(closed))))
        await client.send(Unsubscribe(streams=streams))


def main():
    url = sys.argv[1]
    with WebsocketClient(url) as client:
        maker, taken = trade(client)
        signed_and_submitted(client, maker)
    http = JsonRpcClient(url.replace("ws://", "http://"))
    equal(asked(http, Tx(transaction=taken), 2)["validated"], True)
    maker, _ = trade(http)
    signed_and_submitted(http, maker)
    asyncio.run(listen(url, maker))


main()
