//! PURE. Start and end of the session's connections.

use std::time::Duration;

use super::Session;
use super::journaling::ms;
use super::rooms::too_many_rooms;
use crate::client::cause::Cause;
use crate::client::journal::Ended;
use crate::client::link::{ConnectionPhase, Link};
use crate::client::meter::{ReceivedWelcome, Welcomed};
use crate::client::persist::{Query, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    Bye, ClientFrame, CloseCode, Dial, InstanceId, RejectCode, ServerId, Welcome, limits,
};

impl Session {
    /// A connection is requested. After another instance of a copied profile has replaced this one,
    /// the client takes the connection back as a new instance: the copied store would treat the old
    /// one as a process of its own.
    pub(super) fn on_dial_wanted(&mut self) {
        if self.replaced_by().is_some() {
            self.reload(true);
            return;
        }
        self.out.abandon_dial();
        self.dial();
    }

    /// Dials now, or probes the connection.
    pub(super) fn dial(&mut self) {
        let due = self.out.link.retry_now(self.out.now());
        self.out.perform(due);
    }

    /// The machine has slept, or its network changed.
    pub(super) fn on_network_changed(&mut self) {
        self.out.abandon_dial();
        let due = self.out.link.on_network_changed(self.out.now());
        self.out.perform(due);
    }

    pub(super) fn go_offline(&mut self, why: Cause) {
        if self.out.link.current().is_some() {
            self.end_connection(why.clone());
        }
        self.out.link.go_offline(why);
    }

    /// The instance that has replaced this one.
    const fn replaced_by(&self) -> Option<InstanceId> {
        match self.out.link.phase() {
            ConnectionPhase::Offline {
                why: Cause::Replaced { instance },
                ..
            } => Some(*instance),
            _ => None,
        }
    }

    /// The store was asked whether the instance that has replaced this one was a process of this
    /// profile. Then it is an earlier one, and this one connects.
    pub(super) fn on_instance(&mut self, instance: InstanceId, own: bool) {
        if own && self.replaced_by() == Some(instance) {
            let due = self.out.link.on_replaced_by_own(self.out.now());
            self.out.perform(due);
        }
    }

    pub(super) fn on_opened(&mut self, dial: Dial, server: ServerId) {
        match self.identity.hello(dial, server) {
            Ok(hello) => {
                self.out.link.on_opened(dial, self.out.now());
                self.out.send(&ClientFrame::Hello(hello));
            }
            Err(cause) => self.end_connection(cause),
        }
    }

    pub(super) fn on_welcome(&mut self, welcome: &Welcome) -> Result<(), Cause> {
        if welcome.rooms > limits::ROOMS_MAX as u64 {
            return Err(too_many_rooms());
        }
        let write = self.identity.on_welcome(welcome)?;
        let Some(dial) = self.out.link.current() else {
            return Ok(());
        };
        let now = self.out.now();
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms);
        self.out.link.on_welcome(dial, heartbeat, now);
        self.out.metrics.received = Some(ReceivedWelcome {
            at: now,
            took: self.out.link.rtt().unwrap_or_default(), // measured by the welcome itself
            welcome: Welcomed {
                session: welcome.session,
                resumed: welcome.resumed,
                server_now: welcome.now,
            },
        });
        self.out.persist(write);
        self.rooms
            .on_welcome(welcome.rooms, &self.outbox, &mut self.out);
        Ok(())
    }

    pub(super) fn on_bye(&mut self, bye: Bye) {
        let cause = Cause::Bye {
            code: bye.code,
            reason: bye.reason,
            retry_after: bye.retry_after_ms.map(Duration::from_millis),
        };
        match (bye.code, bye.instance) {
            (code, Some(_)) if Link::is_by_instance(code) && planted_bug!(ReplacedFights) => {
                let what = "replaced".to_owned();
                self.end_connection(Cause::Dropped { what });
            }
            // Until the store has returned whose instance it is, the session does not dial.
            (code, Some(instance)) if Link::is_by_instance(code) => {
                self.end_connection(Cause::Replaced { instance });
                self.out.ask(Query::Instance(instance));
            }
            (CloseCode::Unauthorized, _) if self.identity.on_unknown_device() => {
                let what = "the server does not know this device, joining again".to_owned();
                self.end_connection(Cause::Dropped { what });
            }
            _ => self.end_connection(cause),
        }
    }

    pub(super) fn end_connection(&mut self, cause: Cause) {
        let cause = cause.shortened();
        let now = self.out.now();
        self.out.hang_up();
        self.reject_blamed(&cause);
        self.journal
            .on_ended(self.out.link.uptime(now).map(|up| Ended {
                up_ms: ms(up),
                figures: self.out.metrics.link,
            }));
        self.out.link.on_ended(cause, now);
        self.outbox.on_link_changed();
        self.rooms.on_connection_ended();
        self.out.on_connection_ended();
    }

    /// An entry that made the server close the connection several times is rejected.
    fn reject_blamed(&mut self, cause: &Cause) {
        if let Cause::Bye { code, .. } = cause
            && code.blames_a_frame()
            && let Some(id) = self.outbox.on_blamed()
        {
            let reason = "the server closed the connection over it three times".to_owned();
            self.out.persist(Write::Rejected {
                id,
                code: RejectCode::BadEntry,
                reason,
            });
        }
    }
}
