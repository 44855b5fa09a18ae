//! The screen over the client: rooms, log, composer, status.
//!
//! [`app`] is all state, [`update`] all decisions, [`view`] all drawing; `items` lays the log
//! out, `keymap` knows the keys and `theme` the looks. `driver` is the loop that joins them with
//! the terminal (`events`), the store (`load`) and the client. Nothing is drawn unless something
//! changed.

mod action;
mod app;
mod command;
mod composer;
mod drafts;
mod driver;
mod editing;
mod events;
mod inspector;
mod items;
mod key;
mod keymap;
mod ladder;
mod layout;
mod load;
mod moving;
mod msg;
mod popups;
mod signals;
mod slash;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod typing;
mod update;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;

use tokio::sync::mpsc;

use self::app::App;
use self::drafts::Drafts;
use self::driver::Driver;
pub(crate) use self::events::Events as TerminalEvents;
#[cfg(test)]
pub(crate) use self::ladder::LADDER_ROWS_MAX;
pub(crate) use self::ladder::{
    ArrowFate, ArrowFrame, FrameWhat, LOST, Ladder, LadderRow, LadderTime, LadderView, LadderWhat,
    Role, SeenFrame, Signs, TextRow, right_lane, short_id,
};
use self::load::load;
use self::msg::Effects;
use self::signals::RaisedSignals;
use self::terminal::Screen;
pub(crate) use self::terminal::{
    Screen as TerminalScreen, give_back_on_panic as restore_terminal_on_panic,
};
pub(crate) use self::text::{fit, width, wrap};
pub use self::theme::{BARS, Theme};
pub use self::typing::typing;
use crate::client::actor::Client;
use crate::client::session::Status;
use crate::client::store::{Reader, Store};
use crate::sqlite::DbError;
use crate::system;

/// Maximum messages that wait for the screen.
const MESSAGES_MAX: usize = 256;

/// The parameters of a screen.
pub struct ScreenOptions {
    pub theme: Theme,
    pub store: Store,
    /// Starts the client; called after the first screen is drawn.
    pub connect: Box<dyn FnOnce() -> io::Result<Client>>,
    /// The status before that.
    pub status: Status,
    /// Named when a bug ends the program.
    pub log_file: PathBuf,
    /// Called before Ctrl-Z stops the program, and after it is continued.
    pub pause: Box<dyn Fn(bool)>,
    /// A notice for the user at the start.
    pub notice: Option<String>,
}

/// Runs the chat until the user quits, a signal arrives or the terminal closes.
///
/// # Errors
/// When the terminal cannot be set up, or the store cannot be read.
pub async fn run(options: ScreenOptions) -> io::Result<()> {
    let mut signals = RaisedSignals::listen()?;
    let reader = options.store.reader().map_err(io::Error::other)?;
    terminal::give_back_on_panic(&options.log_file);
    let size = crossterm::terminal::size()?;
    let mut app =
        first_screen(&reader, options.theme, options.status, size).map_err(io::Error::other)?;
    if let Some(notice) = options.notice {
        app.show_error(notice);
    }
    let mut screen = Screen::enter()?;
    screen.terminal.draw(|frame| view::draw(frame, &app))?;
    let client = (options.connect)()?;
    let (msgs, inbox) = mpsc::channel(MESSAGES_MAX);
    let drafts = Drafts::new(options.store.clone());
    drafts.kept().iter().for_each(|draft| {
        app.composers
            .entry(Some(draft.room))
            .or_default()
            .set(draft.text.clone())
    });
    let driver = Driver {
        app,
        screen,
        reader,
        client: client.clone(),
        store: options.store,
        msgs,
        pause: options.pause,
        drafts,
        load_at: None,
        loaded_at: None,
        inspect_at: None,
        inspected_at: None,
        journal: None,
        postponed: VecDeque::new(),
        work: VecDeque::new(),
        uncertain: BTreeSet::new(),
        dirty: true,
        ended: false,
        quit_warned: BTreeSet::new(),
    };
    let result = driver.run(inbox, &mut signals).await;
    client.quit().await;
    result
}

/// Returns a picture of the first screen over a store, without a terminal.
///
/// # Errors
/// [`DbError`] when the store cannot be read.
pub fn still(
    reader: &Reader,
    theme: Theme,
    status: Status,
    (columns, rows): (u16, u16),
) -> Result<ratatui::buffer::Buffer, DbError> {
    let app = first_screen(reader, theme, status, (columns, rows))?;
    let Ok(mut terminal) =
        ratatui::Terminal::new(ratatui::backend::TestBackend::new(columns, rows));
    let Ok(drawn) = terminal.draw(|frame| view::draw(frame, &app));
    Ok(drawn.buffer.clone())
}

fn first_screen(
    reader: &Reader,
    theme: Theme,
    status: Status,
    size: (u16, u16),
) -> Result<App, DbError> {
    let mut app = App::new(theme, jiff::tz::TimeZone::system(), status);
    app.size = size;
    app.wall = system::unix_ms();
    for _ in 0..2 {
        let snapshot = load(reader, &app)?;
        // The first time it chooses a room.
        app.update(msg::Input::Loaded(Box::new(snapshot)), &mut Effects::new());
    }
    Ok(app)
}
