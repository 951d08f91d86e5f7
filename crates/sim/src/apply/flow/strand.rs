//! From paths to strands: the steps that a payment may take, and whether it may take them (rippled, `PaySteps`,
//! `StepChecks`).

use neo_ledger::{Address, Asset, Currency, Token};

use super::Request;
use super::book::{BookStep, CrossingRules};
use super::deferred::XRP_ACCOUNT;
use super::direct::Direct;
use super::endpoint::Endpoint;
use super::pool::Pool;
use super::step::Step;
use super::view::View;
use super::{Hop, Stop};
use crate::amendment::Amendment;
use crate::apply::Failure;
use crate::apply::funds::{LSF_HIGH_DEEP_FREEZE, LSF_LOW_DEEP_FREEZE};
use crate::state::{
    Book, LSF_GLOBAL_FREEZE, LSF_HIGH_AUTH, LSF_HIGH_FREEZE, LSF_HIGH_NO_RIPPLE, LSF_LOW_AUTH, LSF_LOW_FREEZE,
    LSF_LOW_NO_RIPPLE, LSF_REQUIRE_AUTH, LineKey,
};
use crate::ter::Ter;

/// Steps from the sender to the receiver.
pub(super) type Strand = Vec<Step>;

/// No currency is XRP; an account of an issue need not be its issuer.
type Code = Option<Currency>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Issue {
    code: Code,
    account: Address,
}

impl Issue {
    fn of(asset: Asset) -> Issue {
        match asset {
            Asset::Xrp => Issue { code: None, account: XRP_ACCOUNT },
            Asset::Token(Token { currency, issuer }) => Issue { code: Some(currency), account: issuer },
        }
    }

    /// As a book's asset; XRP has no issuer and tokens have one.
    fn asset(self) -> Result<Asset, Stop> {
        match self.code {
            None if self.account == XRP_ACCOUNT => Ok(Asset::Xrp),
            Some(currency) if self.account != XRP_ACCOUNT => Ok(Asset::Token(Token { currency, issuer: self.account })),
            _ => Err(refused(Ter::TEM_BAD_PATH)),
        }
    }
}

/// A point of a path: an account to go through, or a book to change into another asset.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    account: Option<Address>,
    code: Option<Code>,
    issuer: Option<Address>,
}

impl Node {
    fn account(account: Address) -> Node {
        Node { account: Some(account), ..Node::default() }
    }
}

const fn refused(ter: Ter) -> Stop {
    Stop::Fail(Failure(ter))
}

/// The strands of a payment, each once; or why there is none.
pub(super) fn strands(view: &View<'_>, request: &Request<'_>) -> Result<Result<Vec<Strand>, Ter>, Stop> {
    if !request.default_path && request.paths.is_empty() {
        return Ok(Err(Ter::TEM_RIPPLE_EMPTY));
    }
    let default: &[Hop] = &[];
    let default = request.default_path.then_some(default);
    let (mut strands, mut last): (Vec<Strand>, Ter) = (Vec::new(), Ter::SUCCESS);
    for path in default.into_iter().chain(request.paths.iter().map(Vec::as_slice)) {
        match Builder::new(view, request, path).build(path) {
            Ok(strand) => {
                if !strands.iter().any(|known| is_same(known, &strand)) {
                    strands.push(strand);
                }
            }
            Err(Stop::Fail(Failure(ter))) => {
                let only_default = path.is_empty() && request.paths.is_empty();
                if ter.is_malformed() || only_default {
                    return Ok(Err(ter));
                }
                if !path.is_empty() {
                    last = ter;
                }
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(if strands.is_empty() { Err(last) } else { Ok(strands) })
}

fn is_same(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
}

/// Builds one strand.
struct Builder<'a, 'b> {
    view: &'a View<'b>,
    request: &'a Request<'a>,
    default_path: bool,
    strand: Strand,
    /// Issues that steps along lines begin and end with; a strand goes through each once.
    begun: Vec<Issue>,
    ended: Vec<Issue>,
    book_outputs: Vec<Issue>,
}

/// Notes an issue; false when it was seen before.
fn first_time(seen: &mut Vec<Issue>, issue: Issue) -> bool {
    let new = !seen.contains(&issue);
    if new {
        seen.push(issue);
    }
    new
}

impl<'a, 'b> Builder<'a, 'b> {
    fn new(view: &'a View<'b>, request: &'a Request<'a>, path: &[Hop]) -> Builder<'a, 'b> {
        let (strand, begun, ended, book_outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Builder { view, request, default_path: path.is_empty(), strand, begun, ended, book_outputs }
    }

    /// The sender's side of what is spent: the first step goes from him to the issuer.
    fn first_issue(&self) -> Issue {
        match self.request.send_max.map_or(self.request.deliver.1, |(_, asset)| asset) {
            Asset::Xrp => Issue::of(Asset::Xrp),
            Asset::Token(token) => Issue { code: Some(token.currency), account: self.request.from },
        }
    }

    /// The path with the points that are implied: sender, issuer of what is spent, the last book, issuer of what is
    /// delivered, receiver.
    fn nodes(&self, path: &[Hop]) -> Result<Vec<Node>, Stop> {
        let (from, to) = (self.request.from, self.request.to);
        let deliver = Issue::of(self.request.deliver.1);
        let first = self.first_issue();
        let mut nodes = vec![Node { account: Some(from), code: Some(first.code), issuer: Some(first.account) }];
        if let Some((_, asset)) = self.request.send_max {
            let issuer = Issue::of(asset).account;
            if issuer != from && path.first().and_then(|hop| hop.account) != Some(issuer) {
                nodes.push(Node::account(issuer));
            }
        }
        for hop in path {
            nodes.push(checked(hop)?);
        }
        let last = nodes.iter().rev().find_map(|node| node.code.map(|code| (code, node.issuer)));
        let changes_issuer = |issuer| self.request.crossing.is_some() && issuer != Some(deliver.account);
        if last.is_none_or(|(code, issuer)| code != deliver.code || changes_issuer(issuer)) {
            nodes.push(Node { account: None, code: Some(deliver.code), issuer: Some(deliver.account) });
        }
        let back = |nodes: &[Node]| nodes.last().and_then(|node| node.account);
        if back(&nodes) != Some(deliver.account) && to != deliver.account {
            nodes.push(Node::account(deliver.account));
        }
        if back(&nodes) != Some(to) {
            nodes.push(Node::account(to));
        }
        Ok(nodes)
    }

    fn build(mut self, path: &[Hop]) -> Result<Strand, Stop> {
        let nodes = self.nodes(path)?;
        let mut issue = self.first_issue();
        let last = nodes.len().saturating_sub(2);
        for (place, (here, next)) in nodes.iter().zip(nodes.iter().skip(1)).enumerate() {
            if let Some(account) = here.account.or(here.issuer) {
                issue.account = account;
            }
            if let Some(code) = here.code {
                issue.code = code;
                if code.is_none() {
                    issue.account = XRP_ACCOUNT;
                }
            }
            match (here.account, next.account) {
                (None, Some(account)) => self.after_book(issue, account, place == last)?,
                (Some(from), Some(to)) => self.between_accounts(here, from, to, issue.code, place == last)?,
                (_, None) => {
                    let code = next.code.unwrap_or(issue.code);
                    let out = Issue { code, account: next.issuer.unwrap_or(issue.account) };
                    self.through_book(issue, out)?;
                }
            }
        }
        Ok(self.strand)
    }

    /// A book's output reaches the next account by itself, or along its issuer's line.
    fn after_book(&mut self, issue: Issue, account: Address, is_last: bool) -> Result<(), Stop> {
        if issue.account == account || account == XRP_ACCOUNT {
            return Ok(());
        }
        match issue.code {
            None if is_last => self.endpoint(account, false),
            None => Err(refused(Ter::TEM_BAD_PATH)),
            code => self.direct(issue.account, account, code, false),
        }
    }

    fn between_accounts(
        &mut self,
        here: &Node,
        from: Address,
        to: Address,
        code: Code,
        is_last: bool,
    ) -> Result<(), Stop> {
        if self.strand.is_empty() && here.code == Some(None) {
            self.endpoint(from, is_last)
        } else if is_last && from == XRP_ACCOUNT && here.code.is_none() {
            self.endpoint(to, true)
        } else {
            self.direct(from, to, code, is_last)
        }
    }

    fn endpoint(&mut self, account: Address, is_last: bool) -> Result<(), Stop> {
        let is_first = self.strand.is_empty();
        if account == XRP_ACCOUNT {
            return Err(refused(Ter::TEM_BAD_PATH));
        }
        if self.view.root(account).is_none() {
            return Err(refused(Ter::TER_NO_ACCOUNT));
        }
        if !is_first && !is_last {
            return Err(refused(Ter::TEM_BAD_PATH));
        }
        if is_last && self.view.has_flag(account, LSF_GLOBAL_FREEZE) {
            return Err(refused(Ter::TER_NO_LINE));
        }
        let seen = if is_last { &mut self.begun } else { &mut self.ended };
        let xrp = Issue::of(Asset::Xrp);
        if self.view.rules.enabled(Amendment::Fix1781) && !first_time(seen, xrp) {
            return Err(refused(Ter::TEM_BAD_PATH_LOOP));
        }
        let endpoint = match self.request.crossing {
            Some(_) => Endpoint::crossing(account, is_first, is_last, self.view, self.request.deliver.1),
            None => Endpoint::new(account, is_last),
        };
        self.strand.push(Step::Xrp(endpoint));
        Ok(())
    }

    fn direct(&mut self, from: Address, to: Address, code: Code, is_last: bool) -> Result<(), Stop> {
        let (Some(currency), false) = (code, from == XRP_ACCOUNT || to == XRP_ACCOUNT || from == to) else {
            return Err(refused(Ter::TEM_BAD_PATH));
        };
        if self.view.root(from).is_none() {
            return Err(refused(Ter::TER_NO_ACCOUNT));
        }
        // What only goes between an issuer and a holder cannot be frozen.
        if !(is_last && self.strand.is_empty()) {
            self.check_freeze(from, to, currency)?;
        }
        if let Some(before) = self.strand.last().and_then(Step::direct_from) {
            self.check_no_ripple(before, from, to, currency)?;
        }
        self.check_direct_loop(Issue { code, account: from }, Issue { code, account: to })?;
        if self.request.crossing.is_none() {
            self.check_line(from, to, currency)?;
        }
        self.strand.push(Step::Direct(Direct::new(from, to, currency, is_last, self.request.crossing.is_some())));
        Ok(())
    }

    fn check_freeze(&self, from: Address, to: Address, currency: Currency) -> Result<(), Stop> {
        let key = LineKey::of(from, to, currency);
        let by_receiver = if to == key.high { LSF_HIGH_FREEZE } else { LSF_LOW_FREEZE };
        let flags = by_receiver | LSF_LOW_DEEP_FREEZE | LSF_HIGH_DEEP_FREEZE;
        let line_frozen = self.view.state.line(key).is_some_and(|line| line.flags & flags != 0);
        if self.view.has_flag(to, LSF_GLOBAL_FREEZE) || line_frozen || self.view.pool_token_is_frozen(from, to) {
            return Err(refused(Ter::TER_NO_LINE));
        }
        Ok(())
    }

    /// An account that set NoRipple on both lines lets nothing through.
    fn check_no_ripple(&self, before: Address, here: Address, next: Address, currency: Currency) -> Result<(), Stop> {
        let flag = |peer| if here > peer { LSF_HIGH_NO_RIPPLE } else { LSF_LOW_NO_RIPPLE };
        let (Some(into), Some(out)) = (self.view.line(before, here, currency), self.view.line(here, next, currency))
        else {
            return Err(refused(Ter::TER_NO_LINE));
        };
        if into.flags & flag(before) != 0 && out.flags & flag(next) != 0 {
            return Err(refused(Ter::TER_NO_RIPPLE));
        }
        Ok(())
    }

    fn check_direct_loop(&mut self, from: Issue, to: Issue) -> Result<(), Stop> {
        let back_to_book = self.book_outputs.contains(&from)
            && match self.strand.last() {
                Some(before) => before.book().is_some_and(|book| Issue::of(book.gets) != from),
                None => true,
            };
        if back_to_book || !first_time(&mut self.begun, from) || !first_time(&mut self.ended, to) {
            return Err(refused(Ter::TEM_BAD_PATH_LOOP));
        }
        Ok(())
    }

    /// A payment needs the line, the sender's approval of it, and room on it.
    fn check_line(&self, from: Address, to: Address, currency: Currency) -> Result<(), Stop> {
        let Some(line) = self.view.line(from, to, currency) else { return Err(refused(Ter::TER_NO_LINE)) };
        let (auth, no_ripple) =
            if from > to { (LSF_HIGH_AUTH, LSF_HIGH_NO_RIPPLE) } else { (LSF_LOW_AUTH, LSF_LOW_NO_RIPPLE) };
        let approves = !self.view.has_flag(from, LSF_REQUIRE_AUTH) || line.flags & auth != 0;
        if !approves && line.balance.is_zero() {
            return Err(refused(Ter::TER_NO_AUTH));
        }
        if self.strand.last().is_some_and(|before| before.book().is_some()) && line.flags & no_ripple != 0 {
            return Err(refused(Ter::TER_NO_RIPPLE));
        }
        // What the sender owes the receiver already, against what the receiver accepts.
        let (owed, limit) =
            if from > to { (line.balance, line.low_limit) } else { (line.balance.neg(), line.high_limit) };
        if owed.mantissa() >= 0 && owed >= limit {
            return Err(refused(Ter::TEC_PATH_DRY));
        }
        Ok(())
    }

    fn through_book(&mut self, input: Issue, output: Issue) -> Result<(), Stop> {
        if input.code.is_none() && output.code.is_none() {
            return Err(refused(Ter::TEM_BAD_PATH));
        }
        let output = if output.code.is_none() { Issue::of(Asset::Xrp) } else { output };
        let book = Book { pays: input.asset()?, gets: output.asset()? };
        if book.pays == book.gets {
            return Err(refused(Ter::TEM_BAD_PATH));
        }
        if !first_time(&mut self.book_outputs, output) || self.begun.contains(&output) || self.ended.contains(&output) {
            return Err(refused(Ter::TEM_BAD_PATH_LOOP));
        }
        for issue in [input, output] {
            if issue.code.is_some() && self.view.root(issue.account).is_none() {
                return Err(refused(Ter::TEC_NO_ISSUER));
            }
        }
        if let (Some(before), Some(currency)) = (self.strand.last().and_then(Step::direct_from), input.code) {
            let Some(line) = self.view.line(before, input.account, currency) else {
                return Err(refused(Ter::TER_NO_LINE));
            };
            let flag = if input.account > before { LSF_HIGH_NO_RIPPLE } else { LSF_LOW_NO_RIPPLE };
            if line.flags & flag != 0 {
                return Err(refused(Ter::TER_NO_RIPPLE));
            }
        }
        let crossing = self.request.crossing.and(self.request.limit_quality);
        let step = BookStep {
            book,
            from: self.request.from,
            to: self.request.to,
            owner_pays: self.request.owner_pays,
            crossing: crossing.map(|threshold| CrossingRules { default_path: self.default_path, threshold }),
            pool: Pool::find(self.view, book.pays, book.gets, self.request.from)?,
            inactive: false,
            offers_used: 0,
            cache: None,
        };
        self.strand.push(Step::Book(Box::new(step)));
        Ok(())
    }
}

/// A hop of a path as a point of it; an account goes alone, and XRP has no issuer.
fn checked(hop: &Hop) -> Result<Node, Stop> {
    let code = hop.asset_code();
    let bad = (hop.account.is_none() && code.is_none() && hop.issuer.is_none())
        || (hop.account.is_some() && (code.is_some() || hop.issuer.is_some()))
        || hop.account == Some(XRP_ACCOUNT)
        || hop.issuer == Some(XRP_ACCOUNT)
        || (hop.issuer.is_some() && code == Some(None));
    if bad {
        return Err(refused(Ter::TEM_BAD_PATH));
    }
    Ok(Node { account: hop.account, code, issuer: hop.issuer })
}
