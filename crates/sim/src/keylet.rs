//! Where entries stand in the ledger: the 256-bit index of each kind (xrpl.org, "Ledger Object IDs").

use neo_ledger::{Address, Asset, Hash, sha512_half};

use crate::amm::AssetPair;
use crate::amount::Quality;
use crate::state::{Book, LineKey, OfferKey, TicketKey};

/// Index of an account's root.
#[must_use]
pub fn account(address: Address) -> Hash {
    sha512_half(&[&[0x00, 0x61], &address.0])
}

/// Index of an offer.
#[must_use]
pub fn offer(key: OfferKey) -> Hash {
    sha512_half(&[&[0x00, 0x6F], &key.account.0, &key.sequence.to_be_bytes()])
}

/// Index of a ticket.
#[must_use]
pub fn ticket(key: TicketKey) -> Hash {
    sha512_half(&[&[0x00, 0x54], &key.account.0, &key.sequence.to_be_bytes()])
}

/// Index of a trust line.
#[must_use]
pub fn line(key: LineKey) -> Hash {
    sha512_half(&[&[0x00, 0x72], &key.low.0, &key.high.0, &key.currency.0])
}

/// Index of a pool.
#[must_use]
pub fn amm(pair: AssetPair) -> Hash {
    let (currency, issuer) = asset_bytes(pair.asset);
    let (currency2, issuer2) = asset_bytes(pair.asset2);
    sha512_half(&[&[0x00, 0x41], &issuer, &currency, &issuer2, &currency2])
}

/// Index of the directory that holds a book's offers of one quality: the book's own 192 bits, then the quality.
#[must_use]
pub fn book_directory(book: Book, quality: Quality) -> Hash {
    let (pays_currency, pays_issuer) = asset_bytes(book.pays);
    let (gets_currency, gets_issuer) = asset_bytes(book.gets);
    let mut index = sha512_half(&[&[0x00, 0x42], &pays_currency, &gets_currency, &pays_issuer, &gets_issuer]);
    for (to, from) in index.0.iter_mut().skip(24).zip(quality.0.to_be_bytes()) {
        *to = from;
    }
    index
}

fn asset_bytes(asset: Asset) -> ([u8; 20], [u8; 20]) {
    match asset {
        Asset::Xrp => ([0; 20], [0; 20]),
        Asset::Token(token) => (token.currency.0, token.issuer.0),
    }
}

#[cfg(test)]
mod tests {
    use neo_ledger::{Currency, Token};

    use super::*;

    /// Indexes as a running rippled 2.6.1 gave them.
    #[test]
    fn indexes_are_those_of_a_real_node() {
        let holder: Address = "rUYkdjQkbCqYDQsgm7BrFqgQ8bAQp6v12x".parse().unwrap();
        let issuer: Address = "rhfgRW9rZ4fr6xeobJA36tPwLY6sZDYBHc".parse().unwrap();
        let expect = |text: &str| text.parse::<Hash>().unwrap();
        assert_eq!(account(holder), expect("0D67B417B2A64C1F4ED5A2103075ADE38A8FFA7938C015CB694BDE88E1B26EAB"));
        let key = OfferKey { account: holder, sequence: 7 };
        assert_eq!(offer(key), expect("9279704FBD01BA230302C3DF90CBEA4A5A48E8A116A580E4535CB3DDC3631201"));
        let key = LineKey::of(holder, issuer, Currency::RLUSD);
        assert_eq!(line(key), expect("F6C27589326052E64D552EC8727DE534B2A1932F6A48F4E2DE1C5455B46E8CE4"));
        let rlusd = Asset::Token(Token { currency: Currency::RLUSD, issuer });
        let asks = Book { pays: rlusd, gets: Asset::Xrp };
        assert_eq!(
            book_directory(asks, Quality(0x4F07_3F5E_8357_8000)),
            expect("B1ACF68E41F6FF33716913E623E058A220CB62E4A6E187F84F073F5E83578000")
        );
        let bids = Book { pays: Asset::Xrp, gets: rlusd };
        assert_eq!(
            book_directory(bids, Quality(0x5A12_E5BC_DED9_0AE5)),
            expect("F49F3B5474D2992328DC58759C8B19B22A7B21B5799334155A12E5BCDED90AE5")
        );
    }
}
