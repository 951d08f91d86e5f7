//! Questions to a node and their answers, one after another, before a session begins or outside of one.

use std::time::Duration;

use anyhow::anyhow;
use neo_ledger::client::{self, ClientEvent, Endpoint};
use neo_ledger::message::{self, Message, NodeError};
use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How long a node may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The connection could not be opened, or ended.
    #[error("the node is not reached: {0}")]
    Ended(String),
    /// It said nothing for long.
    #[error("the node did not answer {what} within {} s; is it busy? Use another node", ANSWER.as_secs())]
    Silent {
        /// What was asked.
        what: &'static str,
    },
    /// It said no.
    #[error("the node refuses {what}: {error}; use another node, or wait until it is fit")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its words.
        error: String,
    },
    /// It said something else.
    #[error("the node's answer to {what} is not understood: {error}")]
    NotUnderstood {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        error: String,
    },
}

/// A connection to ask questions over. Dropping it closes it.
pub struct Link {
    runtime: Runtime,
    outgoing: UnboundedSender<String>,
    events: UnboundedReceiver<ClientEvent>,
    next_id: u64,
}

impl Link {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`LinkError::Ended`] when it cannot be.
    pub fn open(endpoint: impl Into<Endpoint>) -> Result<Link, LinkError> {
        let ended = |error: anyhow::Error| LinkError::Ended(format!("{error:#}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ended(anyhow!(error)))?;
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (heard, mut events) = mpsc::unbounded_channel();
        let talk = client::run(endpoint.into(), to_send, move |event| {
            if heard.send(event).is_err() {
                tracing::trace!("nobody asks any more");
            }
        });
        runtime.spawn(talk);
        match runtime.block_on(events.recv()) {
            Some(ClientEvent::Connected) => Ok(Link { runtime, outgoing, events, next_id: 1 }),
            Some(ClientEvent::Busy { error } | ClientEvent::Failed { error }) => Err(LinkError::Ended(error)),
            Some(ClientEvent::Closed { reason, .. }) => Err(LinkError::Ended(reason)),
            Some(ClientEvent::Text(_)) | None => Err(LinkError::Ended("it ended without a word".to_string())),
        }
    }

    /// Asks one question; the node may say no.
    ///
    /// # Errors
    /// [`LinkError`] when no answer came.
    pub fn ask(
        &mut self,
        what: &'static str,
        build: impl FnOnce(u64) -> String,
    ) -> Result<Result<Value, NodeError>, LinkError> {
        let id = self.next_id;
        self.next_id += 1;
        if self.outgoing.send(build(id)).is_err() {
            return Err(LinkError::Ended("the connection is over".to_string()));
        }
        let events = &mut self.events;
        let answer = async {
            loop {
                match events.recv().await {
                    Some(ClientEvent::Text(text)) => match message::parse(&text) {
                        Ok(Message::Response(response)) if response.id == Some(id) => return Ok(response.result),
                        Ok(_) => {}
                        Err(error) => return Err(LinkError::NotUnderstood { what, error: error.to_string() }),
                    },
                    Some(ClientEvent::Busy { error } | ClientEvent::Failed { error }) => {
                        return Err(LinkError::Ended(error));
                    }
                    Some(ClientEvent::Closed { reason, .. }) => return Err(LinkError::Ended(reason)),
                    Some(ClientEvent::Connected) => {}
                    None => return Err(LinkError::Ended("the connection is over".to_string())),
                }
            }
        };
        let in_time = self.runtime.block_on(async { tokio::time::timeout(ANSWER, answer).await });
        in_time.unwrap_or(Err(LinkError::Silent { what }))
    }

    /// Asks a question that must have an answer.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn need(&mut self, what: &'static str, build: impl FnOnce(u64) -> String) -> Result<Value, LinkError> {
        self.ask(what, build)?.map_err(|error| LinkError::Refused { what, error: error.to_string() })
    }

    /// Lets the connection go on for a while, as its pings need.
    pub fn wait(&mut self, time: Duration) {
        // The timer is made inside the runtime, or there is none.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}
