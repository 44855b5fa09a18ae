//! `landfall chaos`: the faulty proxy, with commands from a plan and from lines on stdin, reporting in lines of
//! JSON.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};

use super::exit::{self, Failure};
use crate::chaos::{Event, Proxy, Step, command_text, steps};
use crate::print;

pub(super) fn run(listen: SocketAddr, upstream: &str, plan: Option<&Path>) -> Result<u8, Failure> {
    let plan = plan.map(read).transpose()?.unwrap_or_default();
    let proxy = Proxy::start(listen, upstream, |event: Event| print(&event)).map_err(|error| {
        let is_taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let what = if is_taken {
            "the port is in use".to_owned()
        } else {
            error.to_string()
        };
        Failure::new(
            exit::UNAVAILABLE,
            format!("cannot listen on {listen}: {what}; choose another with --listen"),
        )
    })?;
    let proxy = Arc::new(proxy);
    let (over, is_over) = mpsc::channel();
    let (planned, plan_over) = (proxy.clone(), over.clone());
    std::thread::spawn(move || {
        plan.iter()
            .for_each(|step| carry_out(&planned, step, &plan_over))
    }); // in addition to the lines of stdin
    std::thread::spawn(move || take_lines(&proxy, &over));
    // Started without an input, it runs until a signal ends it.
    let _ = is_over.recv();
    Ok(exit::OK)
}

fn carry_out(proxy: &Proxy, step: &Step, over: &mpsc::Sender<()>) {
    match step {
        Step::Commands(commands) => proxy.apply_all(commands),
        Step::Wait(time) => std::thread::sleep(*time),
        Step::Status => print(&proxy.counts()),
        Step::Quit => drop(over.send(())), // it is ending already
    }
}

/// Carries out the lines of stdin at once, also while a plan waits.
fn take_lines(proxy: &Proxy, over: &mpsc::Sender<()>) {
    let (mut input, mut line) = (std::io::stdin().lock(), Vec::new());
    while input
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        let text = String::from_utf8_lossy(&line).into_owned();
        line.clear();
        match command_text(&text).map(str::parse::<Step>) {
            None => {}
            Some(Ok(step)) => carry_out(proxy, &step, over),
            Some(Err(mistake)) => print::note(mistake),
        }
    }
    std::thread::park(); // ending the thread would drop the sender, and with it end the proxy
}

fn read(plan: &Path) -> Result<Vec<Step>, Failure> {
    let text = std::fs::read_to_string(plan).map_err(|error| {
        let text = format!("cannot read {}: {error}", plan.display());
        Failure::new(exit::NO_INPUT, text)
    })?;
    steps(&text).map_err(|(line, mistake)| {
        Failure::usage(mistake).at(format!("{}, line {line}", plan.display()))
    })
}

fn print(object: &impl serde::Serialize) {
    let value = serde_json::to_value(object).unwrap_or_default();
    let _ = print::json(&value); // the proxy works without a reader too
}
