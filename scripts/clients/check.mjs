// xrpl.js, unmodified, against a simulated ledger. Usage: node check.mjs ws://ADDRESS API_VERSION
import assert from 'node:assert/strict'
import xrpl from 'xrpl'

const { Client, Wallet, ECDSA, getBalanceChanges, xrpToDrops, RippledError } = xrpl

const [url, version] = [process.argv[2], Number(process.argv[3])]
const client = new Client(url, { timeout: 20_000 })
client.apiVersion = version
// An account's balance changes. xrpl.js offers a fifth more than the fee that the node asks: 12 drops.
const changes = (meta, address) =>
  Object.fromEntries(
    (getBalanceChanges(meta).find((change) => change.account === address)?.balances ?? [])
      .map((balance) => [balance.issuer ? `${balance.currency}.${balance.issuer}` : 'XRP', balance.value])
  )
const sent = async (transaction, wallet) => {
  const { result } = await client.submitAndWait(transaction, { wallet, autofill: true })
  assert.equal(result.validated, true)
  assert.equal(result.meta.TransactionResult, 'tesSUCCESS', transaction.TransactionType)
  const fields = version === 1 ? result : result.tx_json
  assert.equal(fields.TransactionType, transaction.TransactionType)
  assert.equal(fields.NetworkID, 65001)
  assert.equal(typeof result.hash, 'string')
  assert.equal(result.ledger_index > 0, true)
  return result
}

await client.connect()
assert.equal(client.isConnected(), true)
assert.equal(client.networkID, 65001)
assert.match(client.buildVersion, /^2\./)

const master = Wallet.fromSeed('snoPBrXtMeMyMHUVTgbuqAfg1SUTb', { algorithm: ECDSA.secp256k1 })
assert.equal(master.address, 'rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh')
const [issuer, maker, taker] = [
  Wallet.generate(ECDSA.ed25519), Wallet.generate(ECDSA.secp256k1), Wallet.generate(ECDSA.ed25519),
]
for (const wallet of [issuer, maker, taker]) {
  const funded = await sent(
    { TransactionType: 'Payment', Account: master.address, Destination: wallet.address, Amount: xrpToDrops(1000) },
    master,
  )
  assert.equal(funded.meta.delivered_amount, '1000000000')
  assert.deepEqual(changes(funded.meta, wallet.address), { XRP: '1000' })
  assert.deepEqual(changes(funded.meta, master.address), { XRP: '-1000.000012' })
  assert.equal(await client.getXrpBalance(wallet.address), 1000)
}

// Streams, on the same connection as the requests.
const heard = { ledgers: [], transactions: [], books: 0 }
client.on('ledgerClosed', (ledger) => heard.ledgers.push(ledger.ledger_index))
client.on('transaction', (message) => heard.transactions.push(message))
// The client passes this one on from its connection alone.
client.connection.on('bookChanges', () => (heard.books += 1))
const book = { taker_gets: { currency: 'XRP' }, taker_pays: { currency: 'USD', issuer: issuer.address } }
const subscribed = await client.request({
  command: 'subscribe', streams: ['ledger', 'transactions', 'book_changes'], accounts: [maker.address],
  books: [{ ...book, taker: taker.address, both: true, snapshot: true }],
})
assert.deepEqual([subscribed.result.bids, subscribed.result.asks], [[], []])
assert.equal(subscribed.result.reserve_base, 1_000_000)

await sent({ TransactionType: 'AccountSet', Account: issuer.address, SetFlag: 8 }, issuer)
const usd = (value) => ({ currency: 'USD', issuer: issuer.address, value })
for (const wallet of [maker, taker]) {
  await sent({ TransactionType: 'TrustSet', Account: wallet.address, LimitAmount: usd('100000') }, wallet)
  const paid = await sent(
    { TransactionType: 'Payment', Account: issuer.address, Destination: wallet.address, Amount: usd('500') }, issuer,
  )
  assert.deepEqual(paid.meta.delivered_amount, usd('500'))
  assert.deepEqual(changes(paid.meta, wallet.address), { [`USD.${issuer.address}`]: '500' })
}
const lines = await client.request({ command: 'account_lines', account: maker.address, ledger_index: 'validated' })
assert.deepEqual(lines.result.lines.map((line) => [line.account, line.balance, line.limit, line.currency]),
  [[issuer.address, '500', '100000', 'USD']])

// An offer that rests, is read, is taken in part, and is cancelled.
const ask = await sent(
  { TransactionType: 'OfferCreate', Account: maker.address, TakerGets: xrpToDrops(100), TakerPays: usd('250') }, maker,
)
const sequence = version === 1 ? ask.Sequence : ask.tx_json.Sequence
const offers = await client.request({ command: 'book_offers', ...book, ledger_index: 'validated' })
assert.equal(offers.result.offers.length, 1)
const [resting] = offers.result.offers
assert.deepEqual([resting.Account, resting.Sequence, resting.TakerGets, resting.TakerPays.value, resting.quality],
  [maker.address, sequence, '100000000', '250', '0.0000025'])
// What the maker can give: all but the reserve of the account, its line and its offer.
const root = await client.request({ command: 'account_info', account: maker.address, ledger_index: 'validated' })
assert.equal(resting.owner_funds, String(BigInt(root.result.account_data.Balance) - 1_400_000n))
const orderbook = await client.getOrderbook({ currency: 'XRP' }, { currency: 'USD', issuer: issuer.address })
assert.equal(orderbook.sell.length + orderbook.buy.length, 1)

const take = await sent(
  { TransactionType: 'OfferCreate', Account: taker.address, TakerGets: usd('100'), TakerPays: xrpToDrops(40) }, taker,
)
const key = `USD.${issuer.address}`
assert.deepEqual(changes(take.meta, maker.address), { XRP: '-40', [key]: '100' })
assert.deepEqual(changes(take.meta, taker.address), { XRP: '39.999988', [key]: '-100' })
const modified = take.meta.AffectedNodes.map((node) => node.ModifiedNode)
  .find((node) => node?.LedgerEntryType === 'Offer')
assert.deepEqual([modified.PreviousFields.TakerGets, modified.FinalFields.TakerGets, modified.FinalFields.TakerPays],
  ['100000000', '60000000', usd('150')])
const ofMaker = await client.request({ command: 'account_offers', account: maker.address, ledger_index: 'validated' })
assert.deepEqual(ofMaker.result.offers.map((offer) => [offer.seq, offer.taker_gets, offer.taker_pays.value]),
  [[sequence, '60000000', '150']])
const bookChanges = await client.request({ command: 'book_changes', ledger_index: take.ledger_index })
assert.deepEqual(bookChanges.result.changes.map((change) => [change.volume_a, change.volume_b, change.close]),
  [['40000000', '100', '400000']])

const cancel = await sent({ TransactionType: 'OfferCancel', Account: maker.address, OfferSequence: sequence }, maker)
assert.deepEqual(changes(cancel.meta, maker.address), { XRP: '-0.000012' })
const none = await client.request({ command: 'account_offers', account: maker.address, ledger_index: 'validated' })
assert.deepEqual(none.result.offers, [])

// Histories and what else the client asks.
const pages = await client.requestAll({
  command: 'account_tx', account: maker.address, ledger_index_min: -1, ledger_index_max: -1, limit: 2, forward: true,
})
const history = pages.flatMap((page) => page.result.transactions)
assert.deepEqual(history.map((row) => (row.tx ?? row.tx_json).TransactionType),
  ['Payment', 'TrustSet', 'Payment', 'OfferCreate', 'OfferCreate', 'OfferCancel'])
const balances = await client.getBalances(taker.address)
assert.deepEqual(balances.map((balance) => [balance.currency, balance.issuer, balance.value]).at(-1),
  ['USD', issuer.address, '400'])
const ledger = await client.request({
  command: 'ledger', ledger_index: take.ledger_index, transactions: true, expand: true,
})
const [row] = ledger.result.ledger.transactions
assert.equal(version === 1 ? row.metaData.TransactionResult : row.meta.TransactionResult, 'tesSUCCESS')
assert.equal(row.hash, take.hash)
const owed = await client.request({ command: 'gateway_balances', account: issuer.address, ledger_index: 'validated' })
assert.deepEqual(owed.result.obligations, { USD: '1000' })
const simulated = await client.simulate({
  TransactionType: 'Payment', Account: maker.address, Destination: taker.address, Amount: '1000000',
})
assert.equal(simulated.result.engine_result, 'tesSUCCESS')
assert.equal((await client.getLedgerIndex()) >= take.ledger_index, true)

// What is refused, in the client's own words.
await assert.rejects(client.request({ command: 'account_info', account: Wallet.generate().address }), (error) => {
  assert.ok(error instanceof RippledError)
  assert.deepEqual([error.data.error, error.data.error_code], ['actNotFound', 19])
  return true
})
await assert.rejects(client.request({ command: 'foo_bar' }), /Unknown method/)
await assert.rejects(
  client.submitAndWait({ TransactionType: 'OfferCreate', Account: maker.address, TakerGets: '1', TakerPays: '1' },
    { wallet: maker }), /temBAD_OFFER/)
await assert.rejects(
  client.submit({ TransactionType: 'AccountSet', Account: maker.address, Sequence: 1, Fee: '10', NetworkID: 65001 },
    { wallet: taker, autofill: false }).then((answer) => assert.equal(answer.result.engine_result, 'tesSUCCESS')),
  /tef/)

assert.equal(heard.ledgers.every((index, at) => at === 0 || index === heard.ledgers[at - 1] + 1), true, 'ledgers')
assert.equal(heard.books, heard.ledgers.length)
const heardOf = (hash) => heard.transactions.filter((message) => (message.hash ?? message.transaction.hash) === hash)
// By the stream of all, by the account, and by the book.
assert.equal(heardOf(take.hash).length, 3)
assert.equal(heardOf(take.hash)[0].engine_result, 'tesSUCCESS')
await client.request({ command: 'unsubscribe', streams: ['ledger', 'transactions'], accounts: [maker.address] })
await client.disconnect()
