//! What a node says that the checks judge.

use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, AccountLines, FeeResult, ProtocolError, ServerInfo, TrustLine, close_time};
use neo_ledger::types::{Address, LedgerTime, Token};
use serde_json::Value;

use super::checks::{self, Wanted};
use super::link::{Link, LinkError};

/// What a node says.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Of itself.
    pub server: ServerInfo,
    /// Of the ledger; not asked for while the node is unfit.
    pub ledger: Option<LedgerFacts>,
}

/// What a fit node says of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerFacts {
    /// The trading account; `None` when the ledger has no such account.
    pub account: Option<AccountInfo>,
    /// The token's issuer; `None` when the ledger has no such account.
    pub issuer: Option<AccountInfo>,
    /// The trust line; `None` when there is none.
    pub line: Option<TrustLine>,
    /// What transactions cost.
    pub fee: FeeResult,
    /// When the newest validated ledger closed.
    pub close_time: LedgerTime,
    /// What the node said to `ledger_accept`, where the configuration has the engine close its ledgers.
    pub ledger_accept: Option<Result<(), String>>,
}

impl Facts {
    /// Asks for everything.
    ///
    /// # Errors
    /// [`LinkError`] when an answer is missing.
    pub fn read(link: &mut Link, wanted: &Wanted) -> Result<Facts, LinkError> {
        // A stand-alone node that was just started has no validated ledger until the first close.
        let ledger_accept = match wanted.ledger_accept {
            false => None,
            true => {
                let said = link.ask("ledger_accept", request::ledger_accept)?;
                Some(said.map(|_| ()).map_err(|error| error.to_string()))
            }
        };
        let server = link.need("server_info", request::server_info)?;
        let server = understood("server_info", ServerInfo::from_value(&server))?;
        if !checks::is_fit(&server, wanted) {
            return Ok(Facts { server, ledger: None });
        }
        let account = account(link, wanted.account)?;
        let issuer = self::account(link, wanted.token.issuer)?;
        let line = match account {
            Some(_) => trust_line(link, wanted.account, wanted.token)?,
            None => None,
        };
        let fee = link.need("fee", request::fee)?;
        let fee = understood("fee", FeeResult::from_value(&fee))?;
        let closed = link.need("ledger", |id| request::ledger(id, Index::Validated))?;
        let close_time = understood("ledger", close_time(&closed))?;
        Ok(Facts { server, ledger: Some(LedgerFacts { account, issuer, line, fee, close_time, ledger_accept }) })
    }
}

fn understood<T>(what: &'static str, read: Result<T, ProtocolError>) -> Result<T, LinkError> {
    read.map_err(|error| LinkError::NotUnderstood { what, error: error.to_string() })
}

/// An account of the newest validated ledger, if it is there.
///
/// # Errors
/// [`LinkError`].
pub fn account(link: &mut Link, account: Address) -> Result<Option<AccountInfo>, LinkError> {
    let what = "account_info";
    match link.ask(what, |id| request::account_info(id, account, Index::Validated))? {
        Ok(value) => understood(what, AccountInfo::from_value(&value)).map(Some),
        Err(error) if error.error == "actNotFound" => Ok(None),
        Err(error) => Err(LinkError::Refused { what, error: error.to_string() }),
    }
}

/// The account's trust line for a token, if it is there.
///
/// # Errors
/// [`LinkError`].
pub fn trust_line(link: &mut Link, account: Address, token: Token) -> Result<Option<TrustLine>, LinkError> {
    let what = "account_lines";
    let mut marker: Option<Value> = None;
    loop {
        let page = link.need(what, |id| {
            request::account_lines(id, account, Some(token.issuer), Index::Validated, marker.as_ref())
        });
        let page = understood(what, AccountLines::from_value(&page?))?;
        let found = page.lines.into_iter().find(|line| line.currency == token.currency && line.peer == token.issuer);
        if found.is_some() || page.marker.is_none() {
            return Ok(found);
        }
        marker = page.marker;
    }
}
