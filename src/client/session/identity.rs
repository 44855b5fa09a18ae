//! PURE. Who this device is to its server.

use crate::client::cause::Cause;
use crate::client::persist::{Loaded, Write};
use crate::protocol::{
    AccountId, DeviceId, Dial, Enrol, Hello, InstanceId, ServerId, SessionId, Token, Welcome,
};

use super::rooms::contradiction;

/// The content of a hello, and the identity that welcomes have established.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) device: DeviceId,
    instance: InstanceId,
    token: Token,
    enrol: Option<Enrol>,
    server: Option<ServerId>,
    pub(super) account: Option<AccountId>,
    session: Option<SessionId>,
    /// Whether the next hello enrols again, since the server did not know this device.
    enrols_again: bool,
}

impl Identity {
    pub(super) fn new(loaded: &Loaded) -> Self {
        Self {
            device: loaded.device,
            instance: loaded.instance,
            token: loaded.token.clone(),
            enrol: loaded.enrol.clone(),
            server: loaded.server,
            account: loaded.account,
            session: loaded.session,
            enrols_again: false,
        }
    }

    /// The hello of a dial to this server.
    ///
    /// # Errors
    /// The profile belongs to another server.
    pub(super) fn hello(&self, dial: Dial, server: ServerId) -> Result<Hello, Cause> {
        self.check_server(server)?;
        let is_new = self.account.is_none() || self.enrols_again;
        Ok(Hello {
            token: self.token.clone(),
            device: self.device,
            instance: self.instance,
            dial,
            session: self.session,
            enrol: self.enrol.clone().filter(|_| is_new),
        })
    }

    fn check_server(&self, server: ServerId) -> Result<(), Cause> {
        match self.server {
            Some(known) if known != server => Err(Cause::OtherServer),
            Some(_) | None => Ok(()),
        }
    }

    /// A welcome: returns what to store of it.
    ///
    /// # Errors
    /// It is of another server, or for another account.
    pub(super) fn on_welcome(&mut self, welcome: &Welcome) -> Result<Write, Cause> {
        self.check_server(welcome.server)?;
        if self.account.is_some_and(|known| known != welcome.account) {
            return Err(contradiction("it takes this device for another account's"));
        }
        self.enrols_again = false;
        self.server = Some(welcome.server);
        self.account = Some(welcome.account);
        self.session = Some(welcome.session);
        Ok(Write::Welcome {
            server: welcome.server,
            account: welcome.account,
            name: welcome.name.clone(),
            session: welcome.session,
        })
    }

    /// The server does not know this device: it may have been restored from an older backup.
    /// Returns whether to enrol again; once only.
    pub(super) fn on_unknown_device(&mut self) -> bool {
        let may_enrol = self.enrol.is_some() && !self.enrols_again;
        self.enrols_again |= may_enrol;
        may_enrol
    }
}
