//! `landfall chaos`: the faulty proxy, told by a plan and by lines on stdin, telling in lines of JSON.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;

use super::exit::{self, Failure};
use crate::chaos::{Event, Proxy, Step, steps};

pub(super) fn run(listen: SocketAddr, upstream: &str, plan: Option<&Path>) -> Result<u8, Failure> {
    let plan = plan.map(read).transpose()?.unwrap_or_default();
    let proxy = Proxy::start(listen, upstream, |event: Event| print(&event)).map_err(|error| {
        let is_taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let what = if is_taken { "the port is in use".to_owned() } else { error.to_string() };
        Failure::new(exit::UNAVAILABLE, format!("cannot listen on {listen}: {what}; choose another with --listen"))
    })?;
    for step in plan {
        match step {
            Step::Tell(command) => proxy.tell(&command),
            Step::Wait(time) => std::thread::sleep(time),
        }
    }
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "" => {}
            "quit" => return Ok(exit::OK),
            "status" => print(&proxy.counts()),
            command => match command.parse() {
                Ok(command) => proxy.tell(&command),
                Err(mistake) => eprintln!("landfall: {}", crate::protocol::harmless_line(&format!("{mistake}"))),
            },
        }
    }
    // Started with nobody to type: it goes on until a signal ends it.
    loop {
        std::thread::park();
    }
}

fn read(plan: &Path) -> Result<Vec<Step>, Failure> {
    let text = std::fs::read_to_string(plan)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", plan.display())))?;
    steps(&text).map_err(|(line, mistake)| Failure::usage(mistake).at(format!("{}, line {line}", plan.display())))
}

fn print(object: &impl serde::Serialize) {
    let line = serde_json::to_string(object).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{line}"); // with nobody listening it does its work all the same
}
