use std::collections::BTreeMap;

use super::{Bytes, safe};

/// Folders inside each other that are told apart; a hostile torrent may have a million.
const DEEPEST: usize = 64;

/// A file to be shown.
pub(crate) struct Leaf<'a> {
    pub(crate) number: u32,
    pub(crate) path: Vec<&'a str>,
    pub(crate) length: u64,
}

/// Files with their numbers as a tree, each folder with the size of what is in it, as lines. At most `limit` lines; the last tells how
/// many files are not shown.
pub(crate) fn tree<'a>(root: &str, files: impl IntoIterator<Item = Leaf<'a>>, limit: usize) -> Vec<String> {
    let mut top = Node::default();
    let mut last = 0;
    for file in files {
        last = last.max(file.number);
        top.add(&file);
    }
    let mut page = Page { lines: Vec::new(), limit, column: last.to_string().len() };
    page.line(None, top.size, "", &format!("{}/", safe(root)));
    let hidden = top.write("", &mut page);
    if hidden > 0 {
        let column = page.column + 12;
        page.lines.push(format!("{:>column$}  … and {hidden} more file{}", "", super::plural(hidden)));
    }
    page.lines
}

/// A file, or a folder with its entries in order of their first mention.
#[derive(Default)]
struct Node<'a> {
    /// A file's number.
    number: Option<u32>,
    size: u64,
    files: u64,
    order: Vec<&'a str>,
    entries: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, file: &Leaf<'a>) {
        let mut node = self;
        node.size = node.size.saturating_add(file.length);
        node.files += 1;
        for name in file.path.iter().take(DEEPEST) {
            if !node.entries.contains_key(name) {
                node.order.push(name);
            }
            node = node.entries.entry(name).or_default();
            node.size = node.size.saturating_add(file.length);
            node.files += 1;
        }
        node.number = Some(file.number);
    }

    /// Adds the lines of what is in this folder; returns how many files had no room.
    fn write(&self, indent: &str, page: &mut Page) -> u64 {
        let mut hidden = 0;
        for (at, name) in self.order.iter().enumerate() {
            let Some(node) = self.entries.get(name) else { continue };
            if page.lines.len() >= page.limit {
                hidden += node.files;
                continue;
            }
            let last = at + 1 == self.order.len();
            let is_folder = !node.order.is_empty();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let number = node.number.filter(|_| !is_folder);
            page.line(number, node.size, &format!("{indent}{branch}"), &format!("{}{}", safe(name), if is_folder { "/" } else { "" }));
            hidden += node.write(&format!("{indent}{below}"), page);
        }
        hidden
    }
}

/// The lines so far.
struct Page {
    lines: Vec<String>,
    limit: usize,
    /// Columns for a number.
    column: usize,
}

impl Page {
    fn line(&mut self, number: Option<u32>, size: u64, branches: &str, name: &str) {
        let number = number.map_or_else(String::new, |number| number.to_string());
        let column = self.column;
        self.lines.push(format!("{number:>column$}  {:>10}  {branches}{name}", Bytes(size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&[&str], u64); 4] = [(&["cd 1", "a"], 1024), (&["cd 1", "b"], 1024), (&["cover"], 10), (&["cd 2", "a"], 0)];

    fn lines(limit: usize) -> Vec<String> {
        let files = (9..).zip(FILES).map(|(number, (path, length))| Leaf { number, path: path.to_vec(), length });
        tree("album", files, limit)
    }

    #[test]
    fn folders_come_with_what_is_in_them_and_files_with_their_numbers() {
        assert_eq!(
            lines(100),
            [
                "      2.01 KiB  album/",
                "         2 KiB  ├─ cd 1/",
                " 9       1 KiB  │  ├─ a",
                "10       1 KiB  │  └─ b",
                "11        10 B  ├─ cover",
                "           0 B  └─ cd 2/",
                "12         0 B     └─ a",
            ]
        );
    }

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(lines(3)[3], "                … and 3 more files");
        assert_eq!(lines(3).len(), 4);
        assert_eq!(lines(6).last().unwrap(), "                … and 1 more file");
    }
}
