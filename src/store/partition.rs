//! A partition for each month.

use tokio_postgres::Client;

use super::StoreError;
use super::column::column;
use super::schema::LOCK;

/// Makes the partition of a month where there is none. Several gates may do that at once, and none of them keeps the
/// others from writing: it is made beside the table, and attached when it is whole.
pub(super) async fn ensure(
    client: &mut Client,
    (year, month): (i16, i8),
) -> Result<(), StoreError> {
    let name = format!("dtgate.record_{year}_{month:02}");
    let attached = "SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT FROM pg_inherits
                    WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass('dtgate.record'))";
    let found = client.query_one(attached, &[&name]).await?;
    if column(&found, 1)? {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    transaction.execute(lock, &[&LOCK]).await?;
    let found = transaction.query_one(attached, &[&name]).await?;
    if column(&found, 1)? {
        return Ok(());
    }
    if column(&found, 0)? {
        return Err(StoreError::Detached(name));
    }
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    let made = format!(
        "CREATE TABLE {name} (LIKE dtgate.record INCLUDING DEFAULTS);
         ALTER TABLE dtgate.record ATTACH PARTITION {name} FOR VALUES
           FROM ('{year}-{month:02}-01 00:00:00+00') TO ('{next_year}-{next_month:02}-01 00:00:00+00')"
    );
    transaction.batch_execute(&made).await?;
    transaction.commit().await?;
    tracing::info!(table = %name, "the store has a table for another month");
    Ok(())
}
