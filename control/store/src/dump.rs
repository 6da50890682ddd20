//! The whole database as text, out of one kind of database and into another.
//!
//! ```text
//! {"format":"kiln database 1","schema":3}
//! {"table":"users","columns":["id","name",…]}
//! [1,"ann",…]
//! …
//! {"rows":1234}
//! ```
//!
//! Numbers, texts and nothing are all that there is in it, so what SQLite wrote PostgreSQL can
//! read, and the other way round.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AssertSqlSafe, Column, Row, ValueRef};

use crate::database::{MIGRATIONS, Write as Writing, failed};
use crate::{Store, StoreError};

const FORMAT: &str = "kiln database 1";

/// Every table, in an order in which they can be filled: what a row refers to is there before it.
/// With each how many columns its rows are told apart by, from the first on, and whether the
/// database makes that number.
const TABLES: [(&str, usize, Ids); 28] = [
    ("users", 1, Ids::Made),
    ("tokens", 1, Ids::Made),
    ("tickets", 1, Ids::Given),
    ("uploads", 2, Ids::Given),
    ("projects", 1, Ids::Made),
    ("members", 2, Ids::Given),
    ("repos", 2, Ids::Given),
    ("snapshots", 3, Ids::Given),
    ("published", 3, Ids::Given),
    ("workers", 1, Ids::Made),
    ("audit", 1, Ids::Made),
    ("queue", 1, Ids::Given),
    ("answered", 2, Ids::Given),
    ("hooks", 1, Ids::Made),
    ("heard", 2, Ids::Given),
    ("listeners", 1, Ids::Made),
    ("builds", 1, Ids::Made),
    ("jobs", 1, Ids::Made),
    ("stages", 3, Ids::Given),
    ("locks", 3, Ids::Given),
    ("artifacts", 2, Ids::Given),
    ("waits", 2, Ids::Given),
    ("verdicts", 1, Ids::Given),
    ("outbox", 1, Ids::Made),
    ("attestations", 2, Ids::Given),
    ("log_entries", 1, Ids::Given),
    ("log_nodes", 2, Ids::Given),
    ("log_heads", 1, Ids::Given),
];

/// How many rows are read at one time.
const PAGE: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    Made,
    Given,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    schema: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    table: String,
    columns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    rows: u64,
}

/// A line of a dump, by its first character and its fields.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Vec<Value>),
    Table(Table),
    End(End),
}

fn schema() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

impl Store {
    /// Writes all that is in the store at one moment, while others go on with it. Tells how many
    /// rows.
    pub async fn dump(&self, to: &mut (impl Write + Send)) -> Result<u64, StoreError> {
        const DOING: &str = "copying the database";
        let mut moment = self.read_moment(DOING).await?;
        say(to, &Head { format: FORMAT.to_owned(), schema: schema() })?;
        let mut rows = 0;
        for (table, keys, _) in TABLES {
            let order = ["1", "1, 2", "1, 2, 3"][keys - 1];
            let mut columns: Option<Vec<String>> = None;
            let mut at = 0;
            loop {
                let text =
                    format!("SELECT * FROM {table} ORDER BY {order} LIMIT {PAGE} OFFSET {at}");
                let page = moment.list(sqlx::query(AssertSqlSafe(text))).await?;
                for row in &page {
                    if columns.is_none() {
                        let names = row.columns().iter().map(|one| one.name().to_owned());
                        let names = columns.insert(names.collect());
                        say(to, &Table { table: table.to_owned(), columns: names.clone() })?;
                    }
                    say(to, &values(row)?)?;
                }
                rows += page.len() as u64;
                at += page.len();
                if page.len() < PAGE {
                    break;
                }
            }
        }
        say(to, &End { rows })?;
        Ok(rows)
    }

    /// Fills an empty store with what [`Store::dump`] wrote, all of it or nothing. Tells how many
    /// rows.
    pub async fn load(&self, from: &mut (impl BufRead + Send)) -> Result<u64, StoreError> {
        let mut write = self.write_for_good("filling the database").await?;
        for (table, ..) in TABLES.iter().filter(|(table, ..)| *table != "queue") {
            let text = AssertSqlSafe(format!("SELECT 1 FROM {table} LIMIT 1"));
            if write.find(sqlx::query(text)).await?.is_some() {
                return Err(StoreError::NotEmpty);
            }
        }
        write.run(sqlx::query("DELETE FROM queue")).await?;
        let mut lines = Lines { from, number: 0, text: String::new() };
        let head: Head = lines.next()?;
        if head.format != FORMAT || head.schema > schema() {
            let why = format!("it is of {}, schema {}", head.format, head.schema);
            return Err(lines.wrong(why));
        }
        let rows = fill(&mut write, &mut lines).await?;
        if self.is_shared() {
            for (table, ..) in TABLES.iter().filter(|(.., ids)| *ids == Ids::Made) {
                let text = format!(
                    "SELECT 1 FROM setval(pg_get_serial_sequence('{table}', 'id'),
                     (SELECT COALESCE(MAX(id), 1) FROM {table}),
                     (SELECT COUNT(*) > 0 FROM {table}))"
                );
                write.one(sqlx::query(AssertSqlSafe(text))).await?;
            }
        }
        write.commit().await?;
        Ok(rows)
    }
}

async fn fill<R: BufRead>(
    write: &mut Writing,
    lines: &mut Lines<'_, R>,
) -> Result<u64, StoreError> {
    let mut table: Option<Table> = None;
    let mut rows = 0;
    loop {
        match lines.next()? {
            Line::Table(next) => {
                let is_known = TABLES.iter().any(|(name, ..)| *name == next.table);
                let is_plain = |name: &String| {
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                };
                if !is_known || !next.columns.iter().all(is_plain) {
                    return Err(lines.wrong("no such table".to_owned()));
                }
                table = Some(next);
            }
            Line::Row(values) => {
                let into = table.as_ref().filter(|it| it.columns.len() == values.len());
                let into = into.ok_or_else(|| lines.wrong("a row of nothing".to_owned()))?;
                insert(write, into, &values).await?.ok_or_else(|| {
                    lines.wrong("a row with something other than numbers and texts".to_owned())
                })?;
                rows += 1;
            }
            Line::End(End { rows: said }) if said == rows => return Ok(rows),
            Line::End(_) => return Err(lines.wrong(format!("{rows} rows, and that is not all"))),
        }
    }
}

/// Nothing where a value is not one that a database of ours can have.
async fn insert(
    write: &mut Writing,
    table: &Table,
    values: &[Value],
) -> Result<Option<()>, StoreError> {
    // What is nothing has no type that each database would take: it is written out.
    let mut count = 0;
    let places = values.iter().map(|value| match value {
        Value::Null => "NULL".to_owned(),
        _ => {
            count += 1;
            format!("${count}")
        }
    });
    let places: Vec<String> = places.collect();
    let Table { table, columns } = table;
    let text =
        format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in values {
        query = match value {
            Value::Null => query,
            Value::String(text) => query.bind(text.as_str()),
            Value::Number(number) => match number.as_i64() {
                Some(number) => query.bind(number),
                None => return Ok(None),
            },
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Ok(None),
        };
    }
    write.run(query).await.map(|_| Some(()))
}

fn values(row: &AnyRow) -> Result<Vec<Value>, StoreError> {
    const DOING: &str = "copying the database";
    let value = |at: usize| -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        match raw.type_info().kind() {
            AnyTypeInfoKind::Text => row.try_get::<String, _>(at).map(Value::from),
            _ => row.try_get::<i64, _>(at).map(Value::from),
        }
    };
    (0..row.len()).map(|at| value(at).map_err(failed(DOING))).collect()
}

fn say(to: &mut impl Write, line: &impl Serialize) -> Result<(), StoreError> {
    let written = serde_json::to_writer(&mut *to, line).map_err(std::io::Error::from);
    let written = written.and_then(|()| to.write_all(b"\n"));
    written.map_err(|source| StoreError::Place { place: "a copy of the database".into(), source })
}

struct Lines<'a, R> {
    from: &'a mut R,
    number: u64,
    text: String,
}

impl<R: BufRead> Lines<'_, R> {
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        self.text.clear();
        self.number += 1;
        let failed = |source| StoreError::Place { place: "a copy of the database".into(), source };
        match self.from.read_line(&mut self.text).map_err(failed)? {
            0 => Err(self.wrong("it is cut off".to_owned())),
            _ => serde_json::from_str(&self.text).map_err(|error| self.wrong(error.to_string())),
        }
    }

    fn wrong(&self, why: String) -> StoreError {
        StoreError::Dump { line: self.number, why }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_table_is_forgotten() {
        let known: BTreeSet<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
        let all: BTreeSet<&str> = MIGRATIONS
            .iter()
            .flat_map(|(_, _, text)| text.split("CREATE TABLE ").skip(1))
            .filter_map(|rest| rest.split([' ', '(']).next())
            .collect();
        assert_eq!(known, all);
    }
}
