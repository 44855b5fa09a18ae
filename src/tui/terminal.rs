//! The terminal: raw mode, alternate screen, paste, focus, keys and cursor.
//!
//! Restored on drop, on panic, before a suspend, and when a signal ends the program.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
    KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::print;

/// The terminal while it shows a screen.
pub(crate) struct Screen {
    pub(crate) terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    pub(crate) fn enter() -> io::Result<Self> {
        take()?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())))?;
        Ok(Self { terminal })
    }

    /// Sets up the terminal again, and forgets the drawn content.
    pub(super) fn reenter(&mut self) -> io::Result<()> {
        take()?;
        // Not `clear`: it asks the terminal for its cursor, and the answer would go to the program that
        // reads the keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    // Terminals that do not support the kitty keyboard protocol ignore the request. No answer is
    // awaited, since it might never arrive.
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        Clear(ClearType::All), // a program that was killed may have left its picture there
        EnableBracketedPaste,
        EnableFocusChange,
        PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES),
    )
}

/// Restores the terminal. It may be called twice, and after the terminal has closed.
pub(super) fn give_back() {
    let _ = execute!(
        io::stdout(),
        PopKeyboardEnhancementFlags,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show,
    );
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// After a panic: restores the terminal, names the log file and ends the program.
pub(crate) fn give_back_on_panic(log_file: &Path) {
    let log_file = log_file.to_owned();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        tracing::error!(%panic, "panic");
        print::note(format!("a bug ended it: {panic}"));
        print::note(format!(
            "what you wrote is kept; the log is {}",
            log_file.display()
        ));
        std::process::exit(70); // EX_SOFTWARE
    }));
}

/// Whether the terminal is gone: nothing is seen or typed any more.
pub(super) fn is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut fds = [
        PollFd::new(&stdin, PollFlags::empty()),
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let is_gone =
        |flags: PollFlags| flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    poll(&mut fds, Some(&at_once)).is_ok() && fds.iter().any(|fd| is_gone(fd.revents()))
}

/// Resolves when the terminal is gone: then nothing can be read or typed, and its event stream would
/// never end.
pub(super) async fn vanished() {
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    let watch = move || {
        use rustix::event::{PollFd, PollFlags, poll};
        let stdin = io::stdin();
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_)
                    if fds[0]
                        .revents()
                        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) =>
                {
                    break;
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return std::mem::forget(tx), // it cannot be watched; SIGHUP remains
            }
        }
        let _ = tx.send(()); // the screen may have ended
    };
    std::thread::spawn(watch); // ends with the process
    if rx.await.is_err() {
        std::future::pending::<()>().await;
    }
}
