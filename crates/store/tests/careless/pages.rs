//! Which page of a database is of which type, read from the file itself (sqlite.org/fileformat2.html).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageType {
    /// The first 100 bytes of the file.
    Header,
    /// Inner page of a table.
    TableInterior,
    /// Rows.
    TableLeaf,
    /// Inner page of an index.
    IndexInterior,
    /// Keys of an index.
    IndexLeaf,
    /// The rest of a long row.
    Overflow,
    /// A list of free pages.
    FreelistTrunk,
    /// A free page.
    FreelistLeaf,
}

/// The bytes of the file that mean something, by the type of their page: a flip in free space changes nothing.
pub fn by_type(path: &Path) -> BTreeMap<PageType, Vec<usize>> {
    let bytes = std::fs::read(path).unwrap();
    let page_size = usize::from(u16::from_be_bytes(bytes[16..18].try_into().unwrap()));
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let page = |number: usize| (number - 1) * page_size..number * page_size;
    let mut types: BTreeMap<PageType, Vec<usize>> = BTreeMap::new();
    types.entry(PageType::Header).or_default().extend(0..100);
    let overflow = overflow_pages(path);
    let mut free = BTreeSet::new();
    let mut trunk = word(32);
    while trunk != 0 {
        free.insert(trunk);
        let start = page(trunk).start;
        types.entry(PageType::FreelistTrunk).or_default().extend(start..start + 8 + 4 * word(start + 4));
        for leaf in 0..word(start + 4) {
            let number = word(start + 8 + 4 * leaf);
            types.entry(PageType::FreelistLeaf).or_default().extend(page(number));
            free.insert(number);
        }
        trunk = word(start);
    }
    for number in (1..=bytes.len() / page_size).filter(|number| !free.contains(number)) {
        let start = page(number).start;
        if overflow.contains(&number) {
            types.entry(PageType::Overflow).or_default().extend(page(number));
            continue;
        }
        let header = start + if number == 1 { 100 } else { 0 };
        let (kind, header_len) = match bytes[header] {
            2 => (PageType::IndexInterior, 12),
            5 => (PageType::TableInterior, 12),
            10 => (PageType::IndexLeaf, 8),
            13 => (PageType::TableLeaf, 8),
            other => panic!("page {number} begins with {other}"),
        };
        let half = |at: usize| usize::from(u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap()));
        let (cells, content) = (half(header + 3), half(header + 5));
        let used = types.entry(kind).or_default();
        used.extend(header..header + header_len + 2 * cells);
        used.extend(start + content..page(number).end);
    }
    types
}

fn overflow_pages(path: &Path) -> BTreeSet<usize> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare("SELECT pageno FROM dbstat WHERE pagetype = 'overflow'").unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    numbers.map(|number| usize::try_from(number.unwrap()).unwrap()).collect()
}
