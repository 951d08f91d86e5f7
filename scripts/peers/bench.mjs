// xrpl.js, unmodified: the same work as examples/peer_bench.rs. Usage: node bench.mjs FILE
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import BigNumber from 'bignumber.js'
import xrpl from 'xrpl'

const RLUSD = '524C555344000000000000000000000000000000'
BigNumber.config({ DECIMAL_PLACES: 60, EXPONENTIAL_AT: 1e9 })
const { ROUND_FLOOR, ROUND_CEIL } = BigNumber
const [first, ...lines] = readFileSync(process.argv[2], 'utf8').trimEnd().split('\n')
const head = JSON.parse(first)
const ticks = lines.map((line) => JSON.parse(line))
const wallet = xrpl.Wallet.fromSeed(head.seed)

// Changes of our XRP in drops and of our RLUSD.
const decode = (text) => {
  const message = JSON.parse(text)
  let [drops, token] = ['0', '0']
  for (const { account, balances } of xrpl.getBalanceChanges(message.meta)) {
    if (account !== head.account) continue
    for (const { currency, issuer, value } of balances) {
      if (currency === 'XRP') drops = new BigNumber(value).times(1e6).toString()
      else if (currency === RLUSD && issuer === head.issuer) token = value
    }
  }
  return [drops, new BigNumber(token).toString()]
}

// Two levels a side, 10 and 20 bps from the middle, 100 XRP each.
const plan = ({ bid, ask }) => {
  const mid = new BigNumber(bid).plus(ask).div(2)
  const quotes = []
  for (const level of [0, 1]) {
    for (const [side, sign, rounding] of [['bid', -1, ROUND_FLOOR], ['ask', 1, ROUND_CEIL]]) {
      const price = mid.times(10_000 + sign * 10 * (level + 1)).div(10_000).decimalPlaces(6, rounding)
      if (side === 'bid' ? price.gte(ask) : price.lte(bid)) throw new Error('the offer would trade at once')
      quotes.push([side, level, price, '100000000', price.times(100)])
    }
  }
  return quotes
}

const sign = (quotes, tick) =>
  quotes.map(([side, , , drops, rlusd], n) => {
    const token = { currency: RLUSD, issuer: head.issuer, value: rlusd.toString() }
    const [TakerGets, TakerPays] = side === 'bid' ? [token, drops] : [drops, token]
    return wallet.sign({
      TransactionType: 'OfferCreate', Account: head.account, Sequence: tick.sequence + n, Fee: '10',
      Expiration: tick.expiration, LastLedgerSequence: tick.ledger_index + 5, NetworkID: head.network_id,
      TakerGets, TakerPays,
    })
  })

const said = createHash('sha256')
const stages = { decode: [], plan: [], sign: [], all: [] }
const now = process.hrtime.bigint
for (const timed of [false, true]) {
  for (const tick of ticks) {
    const start = now()
    const [drops, token] = decode(tick.message)
    const decoded = now()
    const quotes = plan(tick)
    const planned = now()
    const signed = sign(quotes, tick)
    const end = now()
    if (!timed) continue
    const times = [decoded - start, planned - decoded, end - planned, end - start]
    Object.keys(stages).forEach((name, n) => stages[name].push(Number(times[n])))
    said.update(`${drops} ${token}\n`)
    for (const [side, level, price, size, rlusd] of quotes) said.update(`${side} ${level} ${price} ${size} ${rlusd}\n`)
    for (const { tx_blob, hash } of signed) said.update(`${tx_blob} ${hash}\n`)
  }
}
const quantiles = (times) => {
  times.sort((a, b) => a - b)
  const at = (percent) => (times[Math.min(Math.floor((times.length * percent) / 100), times.length - 1)] / 1000).toFixed(1)
  return { p50: at(50), p99: at(99) }
}
const us = Object.fromEntries(Object.entries(stages).map(([name, times]) => [name, quantiles(times)]))
console.log(JSON.stringify({ what: 'xrpl.js', ticks: ticks.length, output: said.digest('hex'), us }))
