use std::collections::BTreeMap;

use super::{Bytes, safe};

/// Folders inside each other that are told apart; a hostile torrent may have a million.
const DEEPEST: usize = 64;

/// Files as a tree, each folder with the size of what is in it, as lines. At most `limit` lines; the last tells how many files are
/// not shown.
pub(crate) fn tree<'a>(root: &str, files: impl IntoIterator<Item = (Vec<&'a str>, u64)>, limit: usize) -> Vec<String> {
    let mut top = Node::default();
    for (path, length) in files {
        top.add(&path, length);
    }
    let mut lines = Vec::new();
    lines.push(line(top.size, "", &format!("{}/", safe(root))));
    let hidden = top.lines("", limit, &mut lines);
    if hidden > 0 {
        lines.push(format!("{:>10}  … and {hidden} more file{}", "", super::plural(hidden)));
    }
    lines
}

/// A file, or a folder with its entries in order of their first mention.
#[derive(Default)]
struct Node<'a> {
    size: u64,
    files: u64,
    order: Vec<&'a str>,
    entries: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, path: &[&'a str], length: u64) {
        let mut node = self;
        node.size = node.size.saturating_add(length);
        node.files += 1;
        for name in path.iter().take(DEEPEST) {
            if !node.entries.contains_key(name) {
                node.order.push(name);
            }
            node = node.entries.entry(name).or_default();
            node.size = node.size.saturating_add(length);
            node.files += 1;
        }
    }

    /// Adds the lines of what is in this folder; returns how many files had no room.
    fn lines(&self, indent: &str, limit: usize, lines: &mut Vec<String>) -> u64 {
        let mut hidden = 0;
        for (at, name) in self.order.iter().enumerate() {
            let Some(node) = self.entries.get(name) else { continue };
            if lines.len() >= limit {
                hidden += node.files;
                continue;
            }
            let last = at + 1 == self.order.len();
            let is_folder = !node.order.is_empty();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(line(node.size, &format!("{indent}{branch}"), &format!("{}{}", safe(name), if is_folder { "/" } else { "" })));
            hidden += node.lines(&format!("{indent}{below}"), limit, lines);
        }
        hidden
    }
}

fn line(size: u64, branches: &str, name: &str) -> String {
    format!("{:>10}  {branches}{name}", Bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&[&str], u64); 4] = [(&["cd 1", "a"], 1024), (&["cd 1", "b"], 1024), (&["cover"], 10), (&["cd 2", "a"], 0)];

    fn lines(limit: usize) -> Vec<String> {
        tree("album", FILES.map(|(path, length)| (path.to_vec(), length)), limit)
    }

    #[test]
    fn folders_come_with_what_is_in_them() {
        assert_eq!(
            lines(100),
            [
                "  2.01 KiB  album/",
                "     2 KiB  ├─ cd 1/",
                "     1 KiB  │  ├─ a",
                "     1 KiB  │  └─ b",
                "      10 B  ├─ cover",
                "       0 B  └─ cd 2/",
                "       0 B     └─ a",
            ]
        );
    }

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(lines(3)[3], "            … and 3 more files");
        assert_eq!(lines(3).len(), 4);
        assert_eq!(lines(6).last().unwrap(), "            … and 1 more file");
    }
}
