//! A ledger of its own that the engine knows by its address alone: `neo sim-ledger` as a stand-alone node, with whom else
//! trades there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use neo::live::link::Link;
use neo_ledger::message::ValidatedTransaction;
use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, AccountOffers, AccountTx};
use neo_ledger::types::{Asset, Currency, Token};
use neo_ledger::{Address, Algorithm, Keypair};
use serde_json::{Value, json};

use super::Engine;

/// The master account's seed, known to everybody (xrpl.org, "Start a New Genesis Ledger in Stand-Alone Mode").
const MASTER_SEED: &str = "snoPBrXtMeMyMHUVTgbuqAfg1SUTb";

/// A node that runs.
pub struct StandAlone {
    folder: PathBuf,
    child: Child,
    /// Its WebSocket address.
    pub url: String,
    link: Link,
    closes_on_request: bool,
    network_id: u32,
    issuer: Keypair,
}

impl StandAlone {
    /// A node whose ledgers close when somebody asks (`--manual`) or by themselves (`--speed N`). RLUSD's issuer is ours.
    pub fn start(engine: &Engine, how: &[&str], network_id: u32, more: &str) -> StandAlone {
        StandAlone::start_at(engine, how, network_id, more, "127.0.0.1:0")
    }

    /// Kills the node, and another begins its ledger anew at the same address.
    pub fn reset(&mut self, engine: &Engine, how: &[&str], more: &str) {
        let address = self.url.strip_prefix("ws://").unwrap().to_string();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.folder.join("endpoint.json")).unwrap();
        let new = StandAlone::start_at(engine, how, self.network_id, more, &address);
        // The one before is dead already, and dropping it kills it again, which does no harm.
        drop(std::mem::replace(self, new));
    }

    fn start_at(engine: &Engine, how: &[&str], network_id: u32, more: &str, address: &str) -> StandAlone {
        let folder = engine.folder().join("node");
        std::fs::create_dir_all(&folder).unwrap();
        let issuer = Keypair::from_entropy([2; 16], Algorithm::Secp256k1).unwrap();
        let scenario = format!(
            "network_id = {network_id}\nissuer = \"{}\"\nmaker_xrp = \"0\"\n{more}\n[takers]\narrivals_per_ledger = 2\n",
            issuer.address()
        );
        std::fs::write(folder.join("scenario.toml"), scenario).unwrap();
        let endpoint = folder.join("endpoint.json");
        let log = std::fs::File::create(folder.join("log.txt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_neo"));
        command.args(["sim-ledger", "--listen", address, "--linger", "60s", "--seed", "5"]).args(how);
        command.arg("--scenario").arg(folder.join("scenario.toml")).arg("--endpoint").arg(&endpoint);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let url = until(|| {
            assert!(child.try_wait().unwrap().is_none(), "{}", text(&folder.join("log.txt")));
            let written: Value = serde_json::from_str(&std::fs::read_to_string(&endpoint).ok()?).ok()?;
            Some(written["url"].as_str()?.to_string())
        });
        let link = Link::open(url.as_str()).unwrap();
        let closes_on_request = how.contains(&"--manual");
        StandAlone { folder, child, url, link, closes_on_request, network_id, issuer }
    }

    /// RLUSD of this ledger.
    pub fn token(&self) -> Token {
        Token { currency: Currency::RLUSD, issuer: self.issuer.address() }
    }

    /// A configuration for mode live on this node, beside the record.
    pub fn config(&self, engine: &Engine, account: Address, more: &str) -> PathBuf {
        let accept = if self.closes_on_request { "ledger_accept = true\nledger_accept_ms = 250\n" } else { "" };
        let text = format!(
            "[session]\nmode = \"live\"\n[network]\nkind = \"standalone\"\nurl = \"{}\"\nnetwork_id = {}\n{accept}\
             [account]\naddress = \"{account}\"\nissuer = \"{}\"\n{more}\n",
            self.url,
            self.network_id,
            self.issuer.address()
        );
        let file = engine.folder().join("live.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// XRP from the master account.
    pub fn fund(&mut self, account: Address, drops: u64) -> String {
        let master = Keypair::from_seed(MASTER_SEED).unwrap();
        self.submit(&master, json!({"TransactionType": "Payment", "Destination": account, "Amount": drops.to_string()}))
    }

    /// RLUSD from its issuer.
    pub fn issue(&mut self, account: Address, value: &str) -> String {
        let issuer = Keypair::from_entropy([2; 16], Algorithm::Secp256k1).unwrap();
        let token = self.token();
        let amount = json!({"currency": token.currency, "issuer": token.issuer, "value": value});
        self.submit(&issuer, json!({"TransactionType": "Payment", "Destination": account, "Amount": amount}))
    }

    /// Signs, sends, and waits until a validated ledger has it. Gives its hash.
    pub fn submit(&mut self, key: &Keypair, mut transaction: Value) -> String {
        let account = key.address();
        let info = self.link.need("account_info", |id| request::account_info(id, account, Index::Validated)).unwrap();
        let fields = transaction.as_object_mut().unwrap();
        fields.insert("Account".into(), json!(account));
        fields.insert("Sequence".into(), json!(AccountInfo::from_value(&info).unwrap().sequence));
        fields.insert("Fee".into(), json!("10"));
        if self.network_id > 1024 {
            fields.insert("NetworkID".into(), json!(self.network_id));
        }
        let signed = key.sign_json(&transaction).unwrap();
        let said = self.link.need("submit", |id| request::submit(id, &signed.blob, false)).unwrap();
        assert_eq!(said["engine_result"], "tesSUCCESS", "{said}");
        self.close();
        until(|| {
            let found = self.link.ask("tx", |id| request::tx(id, signed.hash, None)).unwrap().ok()?;
            (found["validated"] == true).then_some(())
        });
        signed.hash.to_string()
    }

    /// Signs for the number that is so many after the account's next one, hands it over and waits for nothing. Gives what the
    /// node said.
    pub fn hand_over(&mut self, key: &Keypair, ahead: u32, last_ledger: u32, mut transaction: Value) -> String {
        let sequence = self.account(key.address()).sequence + ahead;
        let fields = transaction.as_object_mut().unwrap();
        fields.insert("Account".into(), json!(key.address()));
        fields.insert("Sequence".into(), json!(sequence));
        fields.insert("Fee".into(), json!("10"));
        fields.insert("NetworkID".into(), json!(self.network_id));
        fields.insert("LastLedgerSequence".into(), json!(last_ledger));
        let signed = key.sign_json(&transaction).unwrap();
        let said = self.link.need("submit", |id| request::submit(id, &signed.blob, false)).unwrap();
        said["engine_result"].as_str().unwrap().to_string()
    }

    /// Signs and sends all of them with following sequence numbers, and has them in one ledger after the other, where
    /// ledgers are closed on request.
    pub fn submit_all(&mut self, key: &Keypair, transactions: Vec<Value>) {
        let next = self.account(key.address()).sequence;
        for (n, mut transaction) in (0..).zip(transactions) {
            let fields = transaction.as_object_mut().unwrap();
            fields.insert("Account".into(), json!(key.address()));
            fields.insert("Sequence".into(), json!(next + n));
            fields.insert("Fee".into(), json!("10"));
            if self.network_id > 1024 {
                fields.insert("NetworkID".into(), json!(self.network_id));
            }
            let signed = key.sign_json(&transaction).unwrap();
            let said = self.link.need("submit", |id| request::submit(id, &signed.blob, false)).unwrap();
            assert_eq!(said["engine_result"], "tesSUCCESS", "{said}");
            // What a ledger takes without a higher fee is limited.
            if n % 50 == 49 {
                self.close();
            }
        }
        self.close();
    }

    /// Closes a ledger, where they are closed on request.
    pub fn close(&mut self) {
        if self.closes_on_request {
            self.link.need("ledger_accept", request::ledger_accept).unwrap();
        }
    }

    /// The account of the newest validated ledger.
    pub fn account(&mut self, account: Address) -> AccountInfo {
        let info = self.link.need("account_info", |id| request::account_info(id, account, Index::Validated)).unwrap();
        AccountInfo::from_value(&info).unwrap()
    }

    /// The header of the newest validated ledger, as the ledger stream tells it.
    pub fn header(&mut self) -> Value {
        self.link.need("subscribe", request::subscribe_ledger).unwrap()
    }

    /// What a client is answered of the newest validated ledger, by method; the two sides of the book are `asks` and `bids`,
    /// the `account_info` of the token's issuer is `issuer`.
    pub fn answers(&mut self, account: Address) -> std::collections::BTreeMap<&'static str, Value> {
        let (token, link) = (self.token(), &mut self.link);
        let (xrp, token) = (Asset::Xrp, (Asset::Token(token), token.issuer));
        let at = Index::Validated;
        std::collections::BTreeMap::from([
            ("account_info", link.need("", |id| request::account_info(id, account, at)).unwrap()),
            (
                "account_lines",
                link.need("", |id| request::account_lines(id, account, Some(token.1), at, None)).unwrap(),
            ),
            ("account_objects", link.need("", |id| request::account_objects(id, account, at, None)).unwrap()),
            ("issuer", link.need("", |id| request::account_info(id, token.1, at)).unwrap()),
            ("account_offers", link.need("", |id| request::account_offers(id, account, at, None)).unwrap()),
            ("asks", link.need("", |id| request::book_offers(id, xrp, token.0, None, 200)).unwrap()),
            ("bids", link.need("", |id| request::book_offers(id, token.0, xrp, None, 200)).unwrap()),
        ])
    }

    /// What the account holds of the token.
    pub fn held(&mut self, account: Address) -> neo_market::Dec {
        let token = self.token();
        neo::live::facts::trust_line(&mut self.link, account, token).unwrap().unwrap().balance
    }

    /// How many offers of the account stand.
    pub fn offers(&mut self, account: Address) -> usize {
        let page = self.link.need("offers", |id| request::account_offers(id, account, Index::Validated, None)).unwrap();
        AccountOffers::from_value(&page).unwrap().offers.len()
    }

    /// Every transaction of the account, as the ledger tells it.
    pub fn history(&mut self, account: Address) -> Vec<ValidatedTransaction> {
        let (mut all, mut marker) = (Vec::new(), None);
        loop {
            let page = self
                .link
                .need("account_tx", |id| request::account_tx(id, account, 0, None, marker.as_ref(), true))
                .unwrap();
            let page = AccountTx::from_value(&page).unwrap();
            all.extend(page.transactions);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return all,
            }
        }
    }

    /// The fields of one transaction.
    pub fn fields(&mut self, hash: &str) -> Value {
        let hash = hash.parse().unwrap();
        self.link.need("tx", |id| request::tx(id, hash, None)).unwrap()["tx_json"].clone()
    }

    /// What the node logged.
    pub fn log(&self) -> String {
        text(&self.folder.join("log.txt"))
    }
}

impl Drop for StandAlone {
    fn drop(&mut self) {
        assert!(self.child.kill().is_ok());
        assert!(self.child.wait().is_ok());
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Looks until there is something to see.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing came of it in 30 s");
}
