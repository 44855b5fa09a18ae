//! Colours by meaning. Each state is distinct without colour too.

use ratatui::style::{Color, Modifier, Style};

use super::view::Role;

/// What the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Palette {
    /// No colour at all.
    Plain,
    /// The sixteen colours, on a dark background.
    Sixteen,
    /// The sixteen colours, on a light or unknown background.
    SixteenLight,
    /// 24-bit colours, on a dark background.
    Dark,
    /// 24-bit colours, on a light background.
    Light,
}

impl Palette {
    /// Chooses by `NO_COLOR`, `COLORTERM` and `COLORFGBG`.
    pub(super) fn of_terminal(color: bool, read: impl Fn(&str) -> Option<String>) -> Self {
        if !color {
            return Self::Plain;
        }
        let is_true_color =
            read("COLORTERM").is_some_and(|term| matches!(term.as_str(), "truecolor" | "24bit"));
        let background =
            read("COLORFGBG").and_then(|colors| colors.rsplit(';').next()?.parse::<u8>().ok());
        let is_dark = background.map(|n| n < 7 || n == 8);
        match (is_true_color, is_dark) {
            (true, Some(false)) => Self::Light,
            (true, _) => Self::Dark,
            (false, Some(true)) => Self::Sixteen,
            (false, _) => Self::SixteenLight,
        }
    }

    pub(super) fn style(self, role: Role) -> Style {
        match self {
            Self::Plain => plain(role),
            Self::Sixteen => sixteen(role, true),
            Self::SixteenLight => sixteen(role, false),
            Self::Dark => true_color(role, &DARK),
            Self::Light => true_color(role, &LIGHT),
        }
    }
}

/// 24-bit colours; the contrast of each on common backgrounds is at least 4.5 (WCAG 2).
struct Shades {
    broken: u32,
    waiting: u32,
    safe: u32,
    focus: u32,
    dim: u32,
    head: u32,
}

const DARK: Shades = Shades {
    broken: 0x00ff_8f87,
    waiting: 0x00f2_cc60,
    safe: 0x008d_db8c,
    focus: 0x009e_cbff,
    dim: 0x00a9_b1bd,
    head: 0x00ff_ffff,
};

const LIGHT: Shades = Shades {
    broken: 0x00b3_121d,
    waiting: 0x007a_5200,
    safe: 0x0014_682b,
    focus: 0x000b_4fb3,
    dim: 0x005a_6069,
    head: 0x001b_1f24,
};

fn true_color(role: Role, shades: &Shades) -> Style {
    let style = |shade: u32| Style::new().fg(Color::from_u32(shade));
    match role {
        Role::Plain => Style::new(),
        Role::Dim => style(shades.dim),
        Role::Head => style(shades.head).add_modifier(Modifier::BOLD),
        Role::Broken => style(shades.broken),
        Role::Waiting => style(shades.waiting),
        Role::Safe => style(shades.safe),
        Role::Focus => style(shades.focus),
    }
}

fn sixteen(role: Role, is_dark: bool) -> Style {
    let bold = |style: Style| style.add_modifier(Modifier::BOLD);
    match role {
        Role::Plain | Role::Dim => Style::new(),
        Role::Head => bold(Style::new()),
        Role::Broken if is_dark => bold(Style::new().fg(Color::LightRed)),
        Role::Broken => bold(Style::new().fg(Color::Red)),
        Role::Waiting if is_dark => Style::new().fg(Color::Yellow),
        Role::Waiting => Style::new().add_modifier(Modifier::UNDERLINED),
        Role::Safe if is_dark => Style::new().fg(Color::Green),
        Role::Safe => Style::new(),
        Role::Focus => bold(Style::new()),
    }
}

fn plain(role: Role) -> Style {
    match role {
        Role::Plain | Role::Dim | Role::Safe => Style::new(),
        Role::Head | Role::Broken | Role::Focus => Style::new().add_modifier(Modifier::BOLD),
        Role::Waiting => Style::new().add_modifier(Modifier::UNDERLINED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(color: bool, term: Option<&str>, background: Option<&str>) -> Palette {
        let read = |name: &str| match name {
            "COLORTERM" => term.map(str::to_owned),
            _ => background.map(str::to_owned),
        };
        Palette::of_terminal(color, read)
    }

    #[test]
    fn palette_follows_the_terminal() {
        assert_eq!(of(false, Some("truecolor"), None), Palette::Plain);
        assert_eq!(of(true, Some("truecolor"), Some("0;15")), Palette::Light);
        assert_eq!(of(true, Some("24bit"), Some("15;0")), Palette::Dark);
        assert_eq!(of(true, None, Some("15;default;0")), Palette::Sixteen);
        assert_eq!(of(true, None, Some("nonsense")), Palette::SixteenLight);
    }

    #[test]
    fn broken_and_waiting_differ_without_colour() {
        let styles =
            [Role::Broken, Role::Waiting, Role::Safe].map(|role| Palette::Plain.style(role));
        assert!(styles[0] != styles[1] && styles[1] != styles[2] && styles[0] != styles[2]);
        assert!(styles.iter().all(|style| style.fg.is_none()));
    }
}
