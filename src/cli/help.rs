//! What `--help` shows after the options of each command: examples and exit codes.

/// Over the options that every command has.
pub(super) const EVERYWHERE: &str = "With every command";

pub(super) const SERVE_HELP: &str = "\
Examples:
  landfall serve                          on this machine only, port 7000
  landfall serve --listen 0.0.0.0:7000    for others; share the invite line, with this machine's name in it

SIGTERM and Ctrl-C shut it down cleanly. GET /healthz answers ok.";

pub(super) const JOIN_HELP: &str = "\
Examples:
  landfall join ws://HOST:7000#CODE --name ana             then `landfall` is the chat there
  landfall join ws://OTHER:7000#CODE --profile work        a second server: `landfall --profile work`";

pub(super) const SEND_HELP: &str = "\
Examples:
  landfall send ops deploy is done
  dmesg | tail -5 | landfall send ops        all of it as one message
  landfall send ops --lines < list.txt       each line as one

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
  landfall --as bob watch ops            shows it to another user: each process needs a connection of its own

A line is a key and its value. Only the latest value per key is kept; older ones are dropped, not queued.
Messages are never dropped.";

pub(super) const JOURNAL_HELP: &str = "\
Examples:
  landfall journal                       the last 10,000 changes of the connection state
  landfall journal --since 2h            or 14:00, or 2026-11-24, or '2026-11-24 14:00'
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

Devices that have joined stay in: `landfall device revoke ID` ends that.";

pub(super) const DEVICE_HELP: &str = "\
Examples:
  landfall device list                 id, since when, whose
  landfall device --data /srv/chat revoke 0193b1a2-…      for a stolen laptop: closes its connections at once

Both work while the server runs, or not.";

pub(super) const CHAOS_HELP: &str = "\
Examples:
  landfall chaos --upstream 127.0.0.1:7000                       then join through the address it prints
  printf 'wait 5s\\nhalf\\nwait 20s\\npass\\n' > tunnel.txt
  landfall chaos --upstream 127.0.0.1:7000 --plan tunnel.txt

Commands, one a line on stdin or in the plan:
  pass                    every fault ends; a connection that lost bytes stays dead until one of its ends notices
  cut                     all connections are reset, new ones refused
  reset | close           all connections end, by a reset or in an orderly way; they may come back
  refuse | mute           new connections are refused, or taken in and never answered
  half | dead up|down     bytes are lost both ways, or one way; connections stay open
  stall                   nothing is lost, nothing goes through
  latency TIME [JITTER]   bytes come later, such as: latency 300ms 50ms
  rate BYTES              so many bytes a second, each way
  reset-after BYTES up|down    a connection is reset when so many more have passed
  late-fin TIME           when one side ends a connection, the other learns it so much later
  corrupt up|down         the next byte is changed
  swallow FRAME COUNT     so many frames of that type from the server are lost, such as: swallow ack 1
  flap TIME               cut and passed in turn
  status | quit           what went through so far; the end
  wait TIME               between two lines of a plan; # begins a remark
A TIME is written as 2s or 300ms. A plan plays while lines are taken from stdin. Every event is printed as one JSON object a line.";

pub(super) const AFTER_HELP: &str = "\
Start here:
  landfall                          chat on this machine; the first one runs the server, and another one takes over
  landfall --as bob                 a second user on the same machine
  landfall serve --listen 0.0.0.0:7000     a server for others; prints an invite
  landfall join ws://HOST:7000#CODE        join it; then just `landfall`

Every message is saved to your disk before the input line clears, and is re-sent until the server has saved it too.
Exit codes follow sysexits: 0 done, 64 usage, 65 rejected, 66 no such file, 69 unavailable, 73 cannot create, 74 disk trouble, 75 saved,
not acknowledged yet, 76 not a landfall server, 77 access denied, 78 files that need your decision, or of a newer version.";
