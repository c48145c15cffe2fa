//! What stands in a column of an answer: the tables may have been changed by somebody, and nothing here may panic by it.

use std::fmt::Display;

use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::FromSql;

use super::StoreError;

/// A value, by the place or the name of its column.
pub(super) fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    at: impl RowIndex + Display + Copy,
) -> Result<T, StoreError> {
    row.try_get(at).map_err(|_another_type| {
        let at = at.to_string();
        let place = at.parse().ok();
        let named = place.and_then(|place: usize| row.columns().get(place));
        StoreError::Column(named.map_or(at, |column| column.name().to_owned()))
    })
}
