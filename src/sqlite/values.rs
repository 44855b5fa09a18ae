//! How values of the protocol are stored in columns, and read from them.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::de::value::{self, StrDeserializer};

use crate::protocol::{
    AccountId, Chain, DeviceId, EntryId, InstanceId, RoomId, Seq, ServerId, SessionId,
};

/// Declares a struct with the place of each named column of a statement. A name is looked up once
/// for each statement, not for each row: looking a column up costs more than reading it.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident),+ $(,)? }) => {
        $(#[$doc])*
        pub(super) struct $name {
            $($column: usize),+
        }

        impl $name {
            pub(super) fn of(statement: &rusqlite::Statement<'_>) -> rusqlite::Result<Self> {
                Ok(Self {
                    $($column: statement.column_index(stringify!($column))?),+
                })
            }
        }
    };
}
pub(crate) use columns;

macro_rules! blob {
    ($($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let bytes = value.as_blob()?;
                let bytes = bytes.try_into().map_err(|_| FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: bytes.len() })?;
                Ok(Self::from_bytes(bytes))
            }
        }
    )*};
}

blob!(
    AccountId, Chain, DeviceId, EntryId, InstanceId, RoomId, ServerId, SessionId
);

impl ToSql for Seq {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(i64::try_from(self.0).unwrap_or(i64::MAX)))
    }
}

impl FromSql for Seq {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(u64::try_from(value.as_i64()?).unwrap_or_default()))
    }
}

/// Reads the only column of a row.
///
/// # Errors
/// When it is of another type.
pub fn scalar<T: FromSql>(row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

/// Returns the word of a unit variant, as it is on the wire and in the file.
#[must_use]
pub fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// The variant of a stored word; `None` for a word that this version does not know.
#[must_use]
pub fn variant<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    T::deserialize(StrDeserializer::<value::Error>::new(word)).ok()
}
