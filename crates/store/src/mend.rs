//! What mends a damaged record, in the words that every command uses.

use std::path::Path;

/// The commands that mend the record at `db`, as an operator types them.
#[must_use]
pub fn commands(db: &Path) -> String {
    let db = quoted(db);
    format!(
        "`neo recover --repair --db {db}` (or `neo run --repair --db {db}`, which trades afterwards) sets it aside \
         untouched, takes the newest good backup and adds every row that can still be read; `neo restore latest --db \
         {db}` goes back to the backup alone; `neo verify --db {db}` tells what is wrong"
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/\\._-:".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_blank_can_be_copied_from_the_message() {
        assert!(commands(Path::new("data/neo-sim.db")).contains("--db data/neo-sim.db`"));
        assert!(commands(Path::new("my data/neo.db")).contains("--db \"my data/neo.db\"`"));
    }
}
