//! The XRP Ledger's protocol: amounts, transactions, signing, messages, metadata, the book, requests, the client.
//!
//! Everything but the client and the files of a recording is pure: text or values in, values or typed errors out. Nothing here knows an actor, a
//! table or a quote. What a node sends is not trusted: it is checked, and a missing or wrong field is named.

pub mod amount;
mod base58;
pub mod book;
pub mod client;
pub mod codec;
mod curve;
pub mod error;
pub mod hex;
pub mod keys;
pub mod line;
pub mod message;
pub mod meta;
pub mod own;
pub mod owned;
pub mod pool;
pub mod recording;
pub mod request;
pub mod result;
pub mod terms;
pub mod tls;
pub mod traded;
pub mod tx;
pub mod types;
pub mod watch;

pub use book::Book;
pub use client::ClientEvent;
pub use codec::CodecError;
pub use error::ProtocolError;
pub use keys::{Algorithm, KeyError, Keypair, RemoteKey, SignError, Signed, SigningRequest};
pub use line::HeldLine;
pub use message::{LedgerClosed, Message, NodeError, Response, StreamTransaction, ValidatedTransaction};
pub use meta::Meta;
pub use own::{
    AccountAfter, FilledOffer, MetaError, OfferChange, OfferChangeKind, OwnTransaction, Removal, own_transaction,
};
pub use owned::{Owned, OwnedPage};
pub use request::Index;
pub use terms::{IssuerTerms, LineTerms, TokenTerms};
pub use tx::{Body, Transaction};
pub use types::{Address, Amount, Asset, Currency, Hash, LedgerTime, ParseError, Token, sha512_half};
