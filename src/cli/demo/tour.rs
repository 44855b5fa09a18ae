//! The guided tour: each mechanism is broken in turn, and what your chat noticed, did, and when is
//! told.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::fault::Fault;
use super::stage::Stage;
use super::teller::Teller;
use super::values::Values;
use crate::cli::exit::{self, Failure};
use crate::client::link::LinkState;
use crate::client::session::Command;
use crate::client::{Cause, LinkCounters, brief};

/// Longer than anything in the tour takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Messages that share a slow link with values.
const MESSAGES: usize = 12;

/// Something is waited for in vain.
fn in_vain(what: &str) -> Failure {
    Failure::new(exit::SOFTWARE, format!("waited in vain: {what}"))
}

/// Runs the tour, one mechanism after another.
pub(super) struct Tour<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) teller: &'a Teller,
    pub(super) values: &'a Values,
    /// Rest between the stations, for people who read.
    pub(super) pause: Duration,
}

impl Tour<'_> {
    /// Goes through all stations.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        self.connected().await?;
        self.reconnecting().await?;
        self.heartbeat().await?;
        self.resending().await?;
        self.outbox().await?;
        self.catching_up().await?;
        self.jumping().await?;
        self.sharing().await?;
        self.healing().await
    }

    async fn station(&self, number: u32, title: &str) {
        self.teller.station(number, title);
        tokio::time::sleep(self.pause).await;
    }

    /// Says what was done, and lets people read it.
    async fn did(&self, what: &str) {
        self.teller.did(what);
        tokio::time::sleep(self.pause).await;
    }

    async fn reconnecting(&mut self) -> Result<(), Failure> {
        self.station(1, "reconnecting with backoff").await;
        self.breaks(Fault::Cut).await?;
        self.until(
            "three tries failed",
            |link| matches!(link, LinkState::Backoff { attempt, .. } if *attempt > 3),
        )
        .await?;
        let waits = self
            .stage
            .me
            .running
            .client
            .details()
            .await
            .map(|details| details.waits)
            .unwrap_or_default();
        let waits: Vec<_> = waits
            .iter()
            .rev()
            .take(3)
            .map(|wait| brief(wait.drawn.as_millis() as u64))
            .collect();
        self.did(&format!(
            "dialled again after waits drawn at random, longer and longer: newest first {}",
            waits.join(", ")
        ))
        .await;
        self.breaks(Fault::Pass).await?;
        self.connected().await
    }

    async fn heartbeat(&mut self) -> Result<(), Failure> {
        self.station(2, "a heartbeat that trusts nobody's silence")
            .await;
        self.breaks(Fault::HalfOpen).await?;
        self.stage
            .me
            .author
            .send("into a connection that only seems to stand")
            .await?;
        #[expect(clippy::disallowed_methods, reason = "people want to know when")]
        let began = Instant::now();
        self.left("the dead link is noticed").await?;
        let took = brief(began.elapsed().as_millis() as u64);
        self.did(&format!(
            "missed the ack, asked, heard nothing, and left the link {took} after you typed"
        ))
        .await;
        self.breaks(Fault::Pass).await?;
        self.connected().await
    }

    async fn resending(&mut self) -> Result<(), Failure> {
        self.station(3, "acks, and sending again").await;
        let before = self.figures().await;
        self.breaks(Fault::DeadDown).await?;
        self.stage.me.author.send("whose ack is lost").await?;
        self.left("the link is left").await?;
        self.breaks(Fault::Pass).await?;
        self.settled().await?;
        self.connected().await?;
        let after = self.figures().await;
        let (again, known) = (
            after.resent - before.resent,
            after.deduplicated - before.deduplicated,
        );
        // Which of the two comes first on the next link is chance: the log that was missed, or the
        // message once more.
        self.did(&match (again, known) {
            (_, 1..) => "sent it again on the next link; the server said that it has it, and added nothing".to_owned(),
            (1.., 0) => {
                "sent it again on the next link, where its entry came first; the server added nothing".to_owned()
            }
            (0, 0) => "got its entry on the next link before it was sent again, and did not send it".to_owned(),
        })
        .await;
        Ok(())
    }

    async fn outbox(&mut self) -> Result<(), Failure> {
        self.station(4, "writing offline").await;
        let client = self.stage.me.running.client.clone();
        client.command(Command::GoOffline(Cause::Person)).await;
        self.until("offline", |link| matches!(link, LinkState::Offline { .. }))
            .await?;
        for n in 1..=5 {
            self.stage
                .me
                .author
                .send(&format!("written offline, number {n}"))
                .await?;
        }
        let counts = self.stage.me.reader.counts()?;
        self.did(&format!(
            "kept {} messages on disk; closing the program or pulling the plug would change nothing",
            counts.queued
        ))
        .await;
        client.command(Command::GoOnline).await;
        self.connected().await?;
        self.settled().await
    }

    async fn catching_up(&mut self) -> Result<(), Failure> {
        self.station(5, "resuming where it stopped").await;
        self.breaks(Fault::Cut).await?;
        for n in 1..=20 {
            for person in &self.stage.others {
                person
                    .author
                    .send(&format!("said while you were away, number {n}"))
                    .await?;
            }
        }
        self.others_settled().await?;
        self.breaks(Fault::Pass).await?;
        self.connected().await?;
        self.did(
            "told the server how far its log goes, and got what followed, no more: 40 messages",
        )
        .await;
        Ok(())
    }

    async fn jumping(&mut self) -> Result<(), Failure> {
        self.station(6, "a long absence").await;
        self.breaks(Fault::Cut).await?;
        let ana = &self.stage.others[0];
        ana.author
            .send_all((1..=1_500).map(|n| format!("one of very many, number {n}")))
            .await?;
        self.others_settled().await?;
        self.breaks(Fault::Pass).await?;
        self.connected().await?;
        self.did("began near the newest, so that you read at once, and filled the gap behind it: 1,500 messages").await;
        Ok(())
    }

    async fn sharing(&mut self) -> Result<(), Failure> {
        self.station(
            7,
            "a slow link for what must arrive and for what must be fresh",
        )
        .await;
        self.values.forget();
        self.breaks(Fault::Slow).await?;
        let ana = &self.stage.others[0];
        ana.author
            .send_all((1..=MESSAGES).map(|n| format!("on a slow link, number {n}")))
            .await?;
        self.others_settled().await?;
        self.same_everywhere().await;
        timeout(PATIENCE, self.values.skip())
            .await
            .map_err(|_| in_vain("values give way to newer ones"))?;
        let figures = self.values.figures().of_all();
        self.did(&format!(
            "got each of {MESSAGES} messages, and of the values beside them the newest; {figures}"
        ))
        .await;
        self.breaks(Fault::Pass).await?;
        self.connected().await
    }

    async fn healing(&mut self) -> Result<(), Failure> {
        self.station(8, "a server put back from an older copy")
            .await;
        self.stage.copy()?;
        for n in 1..=5 {
            for person in self.stage.people() {
                person
                    .author
                    .send(&format!("what the copy does not have, number {n}"))
                    .await?;
            }
        }
        self.settled().await?;
        self.others_settled().await?;
        self.teller
            .noticed("15 messages are acked and read by all, and the copy has none of them");
        tokio::time::sleep(self.pause).await;
        self.breaks(Fault::PutServerBack).await?;
        self.left("the server is away").await?;
        self.stage
            .me
            .running
            .client
            .command(Command::RetryNow)
            .await; // Ctrl-R: earlier stations made the waits long
        self.connected().await?;
        self.same_everywhere().await;
        self.did("compared its log with the server's, found where they part, and each one gave back what was theirs")
            .await;
        Ok(())
    }

    /// Breaks something, and says so.
    async fn breaks(&mut self, fault: Fault) -> Result<(), Failure> {
        self.teller.broke(fault);
        self.stage.carry_out(fault).await
    }

    async fn until(&self, what: &str, is_so: impl Fn(&LinkState) -> bool) -> Result<(), Failure> {
        let mut status = self.stage.me.running.client.status();
        let found = timeout(PATIENCE, status.wait_for(|status| is_so(&status.link))).await;
        found
            .map_err(|_| in_vain(what))?
            .map_err(|_| in_vain("the link's task ended"))?;
        Ok(())
    }

    /// What passed on the links of this process.
    async fn figures(&self) -> LinkCounters {
        self.stage
            .me
            .running
            .client
            .details()
            .await
            .map(|details| details.of_process)
            .unwrap_or_default()
    }

    /// Waits until there is no link any more.
    async fn left(&self, what: &str) -> Result<(), Failure> {
        self.until(what, |link| {
            !matches!(
                link,
                LinkState::Connected { .. } | LinkState::Resyncing { .. }
            )
        })
        .await
    }

    async fn connected(&self) -> Result<(), Failure> {
        self.until("connected", |link| {
            matches!(link, LinkState::Connected { .. })
        })
        .await?;
        for side in &self.stage.naive {
            side.connected().await;
        }
        Ok(())
    }

    /// Waits until nothing of yours waits any more.
    async fn settled(&self) -> Result<(), Failure> {
        let me = std::slice::from_ref(&self.stage.me);
        timeout(PATIENCE, super::stage::settled(me))
            .await
            .map_err(|_| in_vain("everything of yours is in the log"))?
    }

    async fn others_settled(&self) -> Result<(), Failure> {
        let all = super::stage::settled(&self.stage.others);
        timeout(PATIENCE, all)
            .await
            .map_err(|_| in_vain("everything of the others is in the log"))?
    }

    /// Waits until all show the same, or for as long as anything may take.
    async fn same_everywhere(&self) {
        // the proof tells what is not
        let _ = timeout(PATIENCE, self.stage.same_everywhere()).await;
    }
}
