//! What the node is asked and sent.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use neo_ledger::client::Endpoint;
use neo_ledger::meta::{Action, Entry};
use neo_ledger::request::{self, Index};
use neo_ledger::result::{
    AccountInfo, AccountOffer, AccountOffers, AccountTx, FeeResult, ProtocolError, ServerInfo, SubmitResult,
};
use neo_ledger::{Address, Body, Hash, Keypair, Owned, OwnedPage, Transaction};
use neo_market::Drops;

use super::sweep::{Said, said};
use crate::config::Config;
use crate::exit::ExitCode;
use crate::live::checks::{self, Finding, Verdict, Wanted};
use crate::live::facts;
use crate::live::link::{Link, LinkError};
use crate::live::{self, Refusal, key};
use crate::simulator;
use crate::venue::is_simulated;

/// Between two looks at the newest ledger.
const LOOK: Duration = Duration::from_millis(500);

/// How time passes on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    /// By itself.
    Alone,
    /// When it is asked to.
    OnRequest,
    /// Either: a simulated ledger that runs at full speed waits for its clients.
    Perhaps,
}

/// A validated ledger, as far as the account's offers go.
pub struct Look {
    /// The account.
    pub account: AccountInfo,
    /// All its offers.
    pub offers: Vec<AccountOffer>,
}

/// A cancel that was signed.
pub struct Cancel {
    /// Its sequence number.
    pub sequence: u32,
    /// Its hash.
    pub hash: Hash,
    blob: String,
}

/// The node, connected to when it is asked something.
pub struct Node<'a> {
    config: &'a Config,
    /// Tried in turn: an emergency takes whichever answers.
    nodes: Vec<Endpoint>,
    turn: usize,
    account: Address,
    network_id: u32,
    closes: Closes,
    link: Option<Link>,
    key: Option<Keypair>,
}

impl<'a> Node<'a> {
    /// The configured node; in mode sim the ledger that runs beside the record, `None` when none does.
    ///
    /// # Errors
    /// A configuration without an address.
    pub fn of(config: &'a Config, db: &Path) -> Result<Option<Node<'a>>> {
        let link = None;
        if is_simulated(config.session.mode) {
            let Some(url) = simulator::url_of_running(db)? else { return Ok(None) };
            let (account, network_id) = (simulator::key()?.address(), config.sim.network_id);
            let (nodes, closes) = (vec![url.as_str().into()], Closes::Perhaps);
            return Ok(Some(Node { config, nodes, turn: 0, account, network_id, closes, link, key: None }));
        }
        let account = config.account.address.context("account.address is not set: name the account's address")?;
        let closes = if config.network.ledger_accept { Closes::OnRequest } else { Closes::Alone };
        let network_id = config.network.expected_network_id();
        let nodes = live::nodes(config)?;
        Ok(Some(Node { config, nodes, turn: 0, account, network_id, closes, link, key: None }))
    }

    /// Connects, where there is no connection; a node that is of another network or unfit is refused.
    fn link(&mut self) -> Result<&mut Link> {
        if self.link.is_none() {
            let node = self.nodes.get(self.turn % self.nodes.len().max(1)).cloned().context("no node is configured")?;
            self.turn += 1;
            let mut link = Link::open(node)?;
            if !is_simulated(self.config.session.mode) {
                self.refuse_unfit(&mut link)?;
            }
            self.link = Some(link);
        }
        self.link.as_mut().context("there is no connection")
    }

    fn refuse_unfit(&self, link: &mut Link) -> Result<()> {
        if self.closes == Closes::OnRequest {
            // A stand-alone node that was just started has no validated ledger until the first close.
            link.need("ledger_accept", request::ledger_accept)?;
        }
        let wanted = Wanted::of(self.config, self.account, None)?;
        let server =
            understood("server_info", ServerInfo::from_value(&link.need("server_info", request::server_info)?))?;
        refuse(checks::node(&server, &wanted))
    }

    /// Forgets the connection: the next question opens another.
    pub fn hang_up(&mut self) {
        self.link = None;
    }

    /// The account and all its offers, of one validated ledger.
    ///
    /// # Errors
    /// [`LinkError`] where asking again may help, [`Refusal`] where it does not.
    pub fn look(&mut self) -> Result<Look> {
        let who = self.account;
        let link = self.link()?;
        let Some(account) = facts::account(link, who)? else {
            let text =
                format!("account {who} is not on this ledger, so it has no offers; is the network the right one?");
            return Err(Refusal { exit: ExitCode::Failed, text }.into());
        };
        let (mut offers, mut marker) = (Vec::new(), None);
        loop {
            // All pages of the same ledger.
            let index = Index::Ledger(account.ledger_index);
            let what = "account_offers";
            let page = link.need(what, |id| request::account_offers(id, who, index, marker.as_ref()))?;
            let page = understood(what, AccountOffers::from_value(&page))?;
            offers.extend(page.offers);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(Look { account, offers }),
            }
        }
    }

    /// The numbers of the account's tickets in the newest validated ledger: each holds an owner reserve until it is used.
    ///
    /// # Errors
    /// What the node did not say.
    pub fn tickets(&mut self) -> Result<BTreeSet<u32>> {
        let who = self.account;
        let link = self.link()?;
        let (mut owned, mut marker, mut index) = (Owned::default(), None, Index::Validated);
        loop {
            let what = "account_objects";
            let page = link.need(what, |id| request::account_objects(id, who, index, marker.as_ref()))?;
            let page = understood(what, OwnedPage::from_value(&page, who))?;
            owned.join(page.owned);
            // All pages of the same ledger.
            index = page.ledger_index.map_or(index, Index::Ledger);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok(owned.tickets().clone()),
            }
        }
    }

    /// Signs a cancel of each offer, with the account's next sequence numbers. Gives them and the last ledger that can
    /// have them.
    ///
    /// # Errors
    /// No key, another account's key; what the node did not say.
    pub fn sign(&mut self, look: &Look, targets: &[u32]) -> Result<(Vec<Cancel>, u32)> {
        if self.key.is_none() {
            let key = if is_simulated(self.config.session.mode) {
                simulator::key()?
            } else {
                key::load(&self.config.account)?
            };
            refuse([checks::signer(key.key_address(), &look.account)])?;
            self.key = Some(key);
        }
        let said = self.link()?.need("fee", request::fee)?;
        let asked = understood("fee", FeeResult::from_value(&said))?.open_ledger_fee;
        // Dearer than the ceiling it waits in the queue, if it gets there: better than not being sent.
        let fee = asked.max(Drops::new(10)).min(self.config.orders.cancel_max_fee_drops);
        let last_ledger = look.account.ledger_index.saturating_add(self.config.orders.last_ledger_offset);
        let key = self.key.as_ref().context("there is no key")?;
        let mut cancels = Vec::new();
        for (sequence, target) in (look.account.sequence..).zip(targets) {
            let signed = key.sign(&Transaction {
                account: self.account,
                sequence,
                ticket_sequence: None,
                fee,
                flags: 0,
                last_ledger_sequence: Some(last_ledger),
                network_id: self.network_id,
                body: Body::OfferCancel { offer_sequence: *target },
            })?;
            cancels.push(Cancel { sequence, hash: signed.hash, blob: signed.blob });
        }
        Ok((cancels, last_ledger))
    }

    /// Hands over those whose sequence numbers are not used up, until the node takes no more of them. Gives what it said
    /// where it took none.
    ///
    /// # Errors
    /// What it will never take.
    pub fn send(&mut self, cancels: &[Cancel], next_sequence: u32) -> Result<Option<String>> {
        let link = self.link()?;
        for cancel in cancels.iter().filter(|cancel| cancel.sequence >= next_sequence) {
            let said_it = link.need("submit", |id| request::submit(id, &cancel.blob, false))?;
            let result = understood("submit", SubmitResult::from_value(&said_it))?;
            let words = format!("{} ({})", result.engine_result, result.engine_result_message.unwrap_or_default());
            match said(&result.engine_result) {
                Said::GoOn => {}
                Said::Later => return Ok(Some(words)),
                Said::Never => bail!("the node refuses the cancels for good: {words}"),
            }
        }
        Ok(None)
    }

    /// Lets a ledger close, or some time pass.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn pass_time(&mut self) -> Result<()> {
        let closes = self.closes;
        let link = self.link()?;
        match closes {
            Closes::OnRequest => drop(link.need("ledger_accept", request::ledger_accept)?),
            Closes::Perhaps if link.ask("ledger_accept", request::ledger_accept)?.is_ok() => {}
            Closes::Perhaps | Closes::Alone => link.wait(LOOK),
        }
        Ok(())
    }

    /// Of our cancels in the validated ledgers `first` to `last`: how many took an offer away, and what all of them cost.
    ///
    /// # Errors
    /// A history that the node does not have.
    pub fn count(&mut self, hashes: &BTreeSet<Hash>, first: u32, last: u32) -> Result<(usize, Drops)> {
        let who = self.account;
        let link = self.link()?;
        let (mut cancelled, mut fees, mut marker) = (0, Drops::ZERO, None);
        loop {
            let what = "account_tx";
            let page = link.need(what, |id| request::account_tx(id, who, first, Some(last), marker.as_ref(), true))?;
            let page = understood(what, AccountTx::from_value(&page))?;
            for transaction in page.transactions.iter().filter(|transaction| hashes.contains(&transaction.hash)) {
                let mut nodes = transaction.meta.nodes.iter();
                cancelled += usize::from(nodes.any(|it| it.action == Action::Deleted && it.entry == Entry::Offer));
                fees = fees.add(transaction.fee)?;
            }
            match page.marker {
                Some(next) => marker = Some(next),
                None => return Ok((cancelled, fees)),
            }
        }
    }
}

fn refuse(findings: impl IntoIterator<Item = Finding>) -> Result<()> {
    for finding in findings {
        if let Verdict::Refuse(exit) = finding.verdict {
            return Err(Refusal { exit, text: finding.text }.into());
        }
    }
    Ok(())
}

fn understood<T>(what: &'static str, read: Result<T, ProtocolError>) -> Result<T, LinkError> {
    read.map_err(|error| LinkError::NotUnderstood { what, error: error.to_string() })
}
