// xrpl.js, unmodified, signs what crates/ledger/examples/signing.rs signed. Usage: node sign.mjs FILE COUNT
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import xrpl from 'xrpl'

const [file, count] = [process.argv[2], Number(process.argv[3])]
const wallets = new Map()
const walletOf = ({ text, algorithm }) => {
  const key = `${algorithm} ${text}`
  if (!wallets.has(key)) wallets.set(key, xrpl.Wallet.fromSeed(text, { algorithm }))
  return wallets.get(key)
}
const kinds = new Map()
// Of these kinds the engine signs some with a ticket: Sequence 0, and the ticket's number beside it.
const ticketed = new Map(['OfferCreate', 'OfferCancel', 'TicketCreate'].map((kind) => [kind, 0]))
let [same, different, refused] = [0, 0, 0]
for await (const line of createInterface({ input: createReadStream(file) })) {
  const { seed, tx, blob, hash } = JSON.parse(line)
  const kind = `${seed.algorithm} ${tx.TransactionType}`
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  try {
    const signed = walletOf(seed).sign(tx)
    if (signed.tx_blob === blob && signed.hash === hash) {
      same += 1
      if (tx.Sequence === 0 && tx.TicketSequence > 0 && ticketed.has(tx.TransactionType)) {
        ticketed.set(tx.TransactionType, ticketed.get(tx.TransactionType) + 1)
      }
      continue
    }
    different += 1
    console.error(`differs: ${JSON.stringify(tx)}\n  xrpl.js ${signed.tx_blob} ${signed.hash}\n  ours    ${blob} ${hash}`)
  } catch (error) {
    refused += 1
    console.error(`xrpl.js refuses ${JSON.stringify(tx)}: ${error.message}`)
  }
  if (different + refused >= 5) break
}
for (const [kind, number] of [...kinds].sort()) console.log(`  ${kind}: ${number}`)
for (const [kind, number] of ticketed) console.log(`  ${kind} with a ticket: ${number}`)
console.log(`${same} equal byte for byte, ${different} different, ${refused} refused by xrpl.js`)
// Of a few transactions chance may leave a kind out.
const missing = count >= 1000 ? [...ticketed].filter(([, number]) => number === 0).map(([kind]) => kind) : []
if (missing.length > 0) console.error(`none with a ticket of ${missing.join(', ')}`)
process.exit(same === count && different + refused === 0 && missing.length === 0 ? 0 : 1)
