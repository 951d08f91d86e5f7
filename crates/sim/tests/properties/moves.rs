//! The transactions of the random runs: what traders and issuers send.

use neo_ledger::{Address, Asset, Token};
use serde_json::{Value as Json, json};

use super::common::with;
use super::{World, tokens, trader};

impl World {
    fn pick<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[usize::try_from(self.below(u64::try_from(N).unwrap())).unwrap()]
    }

    fn amount(&mut self) -> Json {
        let digits = 1 + self.below(9_999);
        match self.below(5) {
            // XRP is in half of the markets.
            0 | 1 => json!((digits * 10_u64.pow(u32::try_from(self.below(7)).unwrap())).to_string()),
            which => {
                let token = tokens()[usize::try_from(which - 2).unwrap()];
                let value = if self.below(20) == 0 {
                    format!("{digits}e-14")
                } else {
                    format!("{digits}.{}", self.below(1_000_000))
                };
                of(token, value)
            }
        }
    }

    pub(super) fn transaction(&mut self) -> (Address, Json) {
        let (account, other) = (trader(self.rng.bits()), trader(self.rng.bits()));
        let fields = match self.below(100) {
            0..43 => self.offer(),
            43..48 => {
                let of = self.chain.open().offers_of(account).map(|(key, _)| key.sequence).collect::<Vec<_>>();
                let pick = usize::try_from(self.rng.bits() % 1_000).unwrap();
                let sequence = if of.is_empty() { 1 } else { of[pick % of.len()] };
                json!({ "TransactionType": "OfferCancel", "OfferSequence": sequence })
            }
            48..70 => self.payment(other),
            70..77 => {
                let (token, limit) = (self.pick(tokens()), ["0", "1000", "1000000000"]);
                let limit = limit[usize::try_from(self.below(10).min(2)).unwrap()];
                json!({ "TransactionType": "TrustSet", "LimitAmount": of(token, limit) })
            }
            77..86 => return self.of_an_issuer(other),
            86..88 => json!({ "TransactionType": "TicketCreate", "TicketCount": 1 + self.below(3) }),
            88..89 if self.below(4) == 0 => json!({ "TransactionType": "AccountSet", "SetFlag": 1 }),
            88..89 => json!({ "TransactionType": "AccountSet", "ClearFlag": 1 }),
            89..91 => json!({ "TransactionType": "SetRegularKey", "RegularKey": Address([77; 20]) }),
            _ => self.of_a_pool(),
        };
        (account, fields)
    }

    fn offer(&mut self) -> Json {
        let flags = self.pick([0, 0, 0, 0x0001_0000, 0x0002_0000, 0x0004_0000, 0x0008_0000, 0x000A_0000]);
        let mut offer = json!({ "TransactionType": "OfferCreate", "TakerGets": self.amount(), "TakerPays": self.amount(),
            "Flags": flags });
        if self.below(8) == 0 {
            offer["Expiration"] = json!(self.chain.header().close_time.0 + u32::try_from(self.below(60)).unwrap());
        }
        if self.below(6) == 0 {
            offer["OfferSequence"] = json!(1 + self.below(200));
        }
        offer
    }

    /// Direct, through a book, or by paths that are named, with or without the default one.
    fn payment(&mut self, destination: Address) -> Json {
        let mut payment = json!({ "TransactionType": "Payment", "Destination": destination, "Amount": self.amount() });
        if self.below(3) == 0 {
            return payment;
        }
        payment["SendMax"] = self.amount();
        let mut flags = self.pick([0, 0x0002_0000, 0x0002_0000, 0x0006_0000]);
        if self.below(2) == 0 {
            let paths: Vec<Json> = (0..=self.below(3)).map(|_| self.path()).collect();
            payment["Paths"] = json!(paths);
            flags |= self.pick([0, 0, 0x0001_0000]);
        }
        payment["Flags"] = json!(flags);
        payment
    }

    /// Through XRP, through a third token, through both, or through an issuer's account.
    fn path(&mut self) -> Json {
        let hop = |token: Token| json!({ "currency": token.currency, "issuer": token.issuer });
        let (first, second) = (self.pick(tokens()), self.pick(tokens()));
        let through_xrp = json!({ "currency": "XRP" });
        match self.below(6) {
            0 | 1 => json!([through_xrp]),
            2 => json!([hop(first)]),
            3 => json!([through_xrp, hop(second)]),
            4 => json!([hop(first), hop(second)]),
            _ => json!([{ "account": first.issuer }, hop(second)]),
        }
    }

    /// Freezes are rarer than thaws, so that most of a run trades.
    fn of_an_issuer(&mut self, holder: Address) -> (Address, Json) {
        let token = self.pick(tokens());
        // The issuer names the holder's side of the line as its own limit's other side.
        let line = |flags: u32| {
            let limit = of(Token { issuer: holder, ..token }, "0");
            json!({ "TransactionType": "TrustSet", "Flags": flags, "LimitAmount": limit })
        };
        let fields = match self.below(100) {
            0..2 => line(0x0010_0000),
            2..8 => line(0x0020_0000),
            8 => line(0x0050_0000),
            9..16 => line(0x00A0_0000),
            16 => json!({ "TransactionType": "AccountSet", "SetFlag": 7 }),
            17..29 => json!({ "TransactionType": "AccountSet", "ClearFlag": 7 }),
            29..39 => json!({ "TransactionType": "AccountSet", "TickSize": self.pick([0, 5, 8]) }),
            39..54 => {
                let value = format!("{}.{}", self.below(20_000), self.below(1_000));
                json!({ "TransactionType": "Clawback", "Amount": of(Token { issuer: holder, ..token }, value) })
            }
            _ => {
                json!({ "TransactionType": "Payment", "Destination": holder, "Amount": of(token, (1 + self.below(100_000)).to_string()) })
            }
        };
        (token.issuer, fields)
    }

    fn of_a_pool(&mut self) -> Json {
        let [usd, eur, _] = tokens();
        let (first, second) = self.pick([(None, usd), (None, eur), (Some(usd), eur)]);
        let asset = first.map_or(Asset::Xrp, Asset::Token);
        let many = |token: Token, value: u64| of(token, value.to_string());
        let one = match first {
            Some(token) => many(token, 1 + self.below(5_000)),
            None => json!((1 + self.below(1_000_000_000)).to_string()),
        };
        let pool = |kind: &str, flags: u32| json!({ "TransactionType": kind, "Asset": asset, "Asset2": second, "Flags": flags });
        match self.below(7) {
            0 => {
                json!({ "TransactionType": "AMMCreate", "Amount": one, "Amount2": many(second, 1 + self.below(10_000)),
                "TradingFee": self.below(1_001), "Fee": "200000" })
            }
            1 => {
                let both = json!({ "Amount": one, "Amount2": many(second, 1 + self.below(5_000)) });
                with(pool("AMMDeposit", 0x0010_0000), both)
            }
            2 => {
                let alone = json!({ "Amount": many(second, 1 + self.below(1_000)) });
                with(pool("AMMDeposit", 0x0008_0000), alone)
            }
            3 => with(pool("AMMWithdraw", 0x0008_0000), json!({ "Amount": one })),
            4 => {
                let both = json!({ "Amount": one, "Amount2": many(second, 1 + self.below(500)) });
                with(pool("AMMWithdraw", 0x0010_0000), both)
            }
            5 => pool("AMMWithdraw", 0x0002_0000),
            _ => with(pool("AMMVote", 0), json!({ "TradingFee": self.below(1_001) })),
        }
    }
}

fn of(token: Token, value: impl Into<String>) -> Json {
    json!({ "currency": token.currency, "issuer": token.issuer, "value": value.into() })
}
