//! What `--help` shows after the options of each command: examples and exit codes.

use super::demo::{PLAN_USAGE, scenarios};

/// Heading of the options that every command has.
pub(super) const EVERYWHERE: &str = "With every command";

pub(super) const SERVE_HELP: &str = "\
Examples:
  landfall serve                          on this machine only, port 7000
  landfall serve --listen 0.0.0.0:7000    for other machines; in the invite, replace 0.0.0.0 with this machine's name

SIGTERM and Ctrl-C shut it down cleanly. GET /healthz answers ok.";

pub(super) const JOIN_HELP: &str = "\
Examples:
  landfall join ws://HOST:7000#CODE --name ana             then `landfall` opens the chat on that server
  landfall join ws://OTHER:7000#CODE --profile work        a second server: `landfall --profile work`";

pub(super) const SEND_HELP: &str = "\
Examples:
  landfall send ops deploy is done
  dmesg | tail -5 | landfall send ops        all of it as one message
  landfall send ops --lines < list.txt       each line as a message of its own

Exit code 0: on the server; 65: rejected; 75: saved on this computer, not acknowledged yet.";

pub(super) const TAIL_HELP: &str = "\
Examples:
  landfall tail ops
  landfall tail ops --json --follow | jq -r .body

Prints messages in the log's order and fetches missing ones first. Exit code 75: some messages could not be fetched yet.";

pub(super) const OUTBOX_HELP: &str = "\
Examples:
  landfall outbox                   unsent and rejected messages, with ids
  landfall outbox list --json
  landfall outbox retry             send all rejected messages again
  landfall outbox drop ID";

pub(super) const FEED_HELP: &str = "\
Examples:
  vmstat -n 1 | awk 'NR>2 {print \"idle\", $15; fflush()}' | landfall feed ops
  landfall --as bob watch ops            watch as another user: a profile has one connection, and `feed` uses it

A line is a key and its value. Only the latest value per key is kept; older ones are dropped, not queued.
Messages are never dropped.";

pub(super) const JOURNAL_HELP: &str = "\
Examples:
  landfall journal                       the last 10,000 changes of the connection state
  landfall journal --since 2h            or 14:00, or 2026-11-24, or '2026-11-24 14:00'
  landfall journal --ladder --since 1d   yesterday's outages, with waits as long as they were
  landfall journal --json | jq -r 'select(.to == \"backoff\") | .why'";

pub(super) const BACKUP_HELP: &str = "\
Examples:
  landfall backup ~/backups/                     of this profile; the file's name gets the date
  landfall backup --data /srv/chat /backup/      of a server, while it runs

The file is complete and consistent, also while the original is in use. It contains the profile's or the server's secrets: keep
it as safe as the original. `landfall check FILE` checks it, `landfall restore FILE` puts it back.";

pub(super) const RESTORE_HELP: &str = "\
Examples:
  landfall restore ~/backups/landfall-default-20261127-221500.db
  landfall restore --data /srv/chat /backup/landfall-server-20261127-221500.db
  landfall --home /tmp/rehearsal restore --data /tmp/rehearsal/server FILE        a rehearsal, beside the original

Every landfall that uses the database must be ended first. The replaced data is kept under another name.";

pub(super) const CHECK_HELP: &str = "\
Examples:
  landfall check                       this profile: pages, tables, and each log's order against its hash chain
  landfall check --data /srv/chat      a server, while it runs
  landfall check FILE                  a backup

Exit code 0: no damage; 74: damage. The hash chain covers authors, ids and order of the messages; a changed text
is not found.";

pub(super) const INVITE_HELP: &str = "\
Examples:
  landfall invite                      the line that others give to `landfall join`
  landfall invite --data /srv/chat new       a new one; the old one ends at once

Devices that have joined keep their access; `landfall device revoke ID` ends it.";

pub(super) const DEVICE_HELP: &str = "\
Examples:
  landfall device list                 id, date of joining and user of each device
  landfall device --data /srv/chat revoke 0193b1a2-…      for a stolen laptop: closes its connections at once

Both work whether or not the server is running.";

/// Help of the demo: examples, the scenarios, and how a plan file is written.
pub(super) fn demo_help() -> String {
    let scenarios: String = scenarios()
        .map(|(name, title)| format!("  {name:<10} {title}\n"))
        .collect();
    format!(
        "\
Examples:
  landfall demo                          five acts, two minutes; no key is needed
  landfall demo --act 3                  one of them
  landfall demo --scenario tunnel        a story from life
  landfall demo --scenario my.plan --headless --json

Scenarios:
{scenarios}
A plan file has one step per line; # at the start of a line begins a comment:
{PLAN_USAGE}

Exit code 0: Landfall has everything once, and everything happened; 1: not so."
    )
}

pub(super) const CHAOS_HELP: &str = "\
Examples:
  landfall chaos --upstream 127.0.0.1:7000                       then join through the address it prints
  printf 'wait 5s\\nhalf\\nwait 20s\\npass\\n' > tunnel.txt
  landfall chaos --upstream 127.0.0.1:7000 --plan tunnel.txt

Commands, one a line on stdin or in the plan (`pass; rate 2000`: both at one moment):
  pass                    stops every fault; a connection that lost bytes stays dead until one side notices
  cut                     resets all connections and refuses new ones
  reset | close           closes all connections, by a reset or cleanly; clients can reconnect at once
  refuse | mute           refuses new connections, or accepts and never answers them
  portal                  answers new connections with a redirect to a login page, as hotel networks do
  half | dead up|down     drops the bytes of both directions, or of one (up: to the server); connections stay open
  stall                   keeps all bytes until another command
  latency TIME [JITTER]   delays bytes, such as: latency 300ms 50ms
  rate BYTES              limits each direction to BYTES per second
  reset-after BYTES up|down    resets each connection after BYTES more bytes
  late-fin TIME           when one side closes a connection, the other side learns of it after TIME
  corrupt up|down         changes the next byte
  swallow FRAME COUNT     drops the next COUNT frames of type FRAME from the server: swallow ack 1
  flap TIME               switches between cut and pass every TIME
  status | quit           status prints the counters; quit ends the proxy
  wait TIME               pauses before the next line of a plan; # starts a comment
A TIME is written as 2s or 300ms. While a plan plays, commands from stdin work too. Every event is printed as one line of JSON.";

pub(super) const AFTER_HELP: &str = "\
Start here:
  landfall                          chat on this machine. The first chat also runs the server; when it ends, another open chat takes it over
  landfall --as bob                 a second user on the same machine
  landfall serve --listen 0.0.0.0:7000     a server for others; prints an invite
  landfall join ws://HOST:7000#CODE        join it; then just `landfall`

Every message is saved to your disk before the input line clears, and is re-sent until the server has saved it too.
Exit codes follow sysexits: 0 done; 64 usage; 65 rejected; 66 no such file; 69 unavailable; 70 internal error; 73 cannot create; 74 disk
trouble; 75 saved but not acknowledged; 76 not a landfall server; 77 access denied; 78 files that you must sort out, or that a newer version wrote.";
