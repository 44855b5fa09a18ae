//! Ctrl-Z: the process stops between two transactions.

/// Stops this process as the terminal would, and returns when it is continued. Does nothing where no
/// shell of the session could continue it, as the kernel does for orphaned process groups (POSIX
/// 3.264).
pub(super) fn stop(with_group: bool) {
    use rustix::process::{Signal, getpid, getppid, kill_current_process_group, kill_process};
    // rustix asserts that no session is 0, which is the number of a session outside of this PID
    // namespace.
    let session = |of: Option<rustix::process::Pid>| {
        nix::unistd::getsid(of.map(|pid| nix::unistd::Pid::from_raw(pid.as_raw_pid())))
    };
    let has_shell = getppid()
        .is_some_and(|parent| session(Some(parent)).is_ok_and(|of| session(None) == Ok(of)));
    if !has_shell {
        return;
    }
    let stopped = if with_group {
        kill_current_process_group(Signal::STOP)
    } else {
        kill_process(getpid(), Signal::STOP)
    };
    if let Err(error) = stopped {
        tracing::warn!(%error, "cannot be stopped");
    }
}
