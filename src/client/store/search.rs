//! Full-text search of the stored messages; offline too.

use rusqlite::{Row, params};

use super::query;
use super::reader::Reader;
use super::rows::{LINE, LineColumns};
use super::shown::Line;
use crate::protocol::{AccountId, RoomId};
use crate::sqlite::DbError;

/// A search result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    pub room: RoomId,
    pub room_name: String,
    pub line: Line,
}

impl Reader {
    /// Returns messages with all of these words, newest first, at most `limit`. The last word may
    /// be incomplete.
    pub fn search(&self, words: &str, limit: usize) -> Result<Vec<Hit>, DbError> {
        let Some(pattern) = pattern(words) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {LINE}, r.id AS room, r.name AS room_name FROM words w JOIN log l ON l.n = w.rowid JOIN rooms r ON r.n = l.room
             WHERE w.words MATCH ?2 AND l.kind = 'message' AND r.name <> '' ORDER BY w.rowid DESC LIMIT ?3"
        );
        let db = self.db()?;
        let account: Option<AccountId> = query::meta(&db, "account")?;
        let mut statement = db.prepare_cached(&sql)?;
        let columns = LineColumns::of(&statement)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let hit = |row: &Row<'_>| {
            Ok(Hit {
                line: columns.line(row)?,
                room: row.get("room")?,
                room_name: row.get("room_name")?,
            })
        };
        let found = statement
            .query_map(params![account, pattern, limit], hit)?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().filter(|hit| !hit.line.redacted).collect())
    }
}

/// Returns the words as an FTS5 query, each quoted, so that none is an operator. `None` without
/// words.
fn pattern(words: &str) -> Option<String> {
    let quoted = words
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric));
    let quoted: Vec<_> = quoted
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect();
    let last = quoted.last()?;
    // A prefix of few letters matches too much.
    let is_begun = last.chars().count() > 3 && !words.ends_with(char::is_whitespace);
    Some(format!(
        "{}{}",
        quoted.join(" "),
        if is_begun { "*" } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn nothing_that_is_typed_is_an_operator() {
        assert_eq!(pattern("two words").as_deref(), Some("\"two\" \"words\"*"));
        assert_eq!(pattern("two words ").as_deref(), Some("\"two\" \"words\""));
        assert_eq!(
            pattern("a OR b\"c - *").as_deref(),
            Some("\"a\" \"OR\" \"b\"\"c\"*")
        );
        assert_eq!(pattern("x").as_deref(), Some("\"x\""));
        assert_eq!(pattern(" -- \" "), None);
    }
}
