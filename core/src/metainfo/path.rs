use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

/// The longest name of a file or folder that common file systems take, in bytes of UTF-8.
const MAX_COMPONENT: usize = 255;

/// Makes one component of a path from a torrent safe as the name of a file or folder, on every system alike.
///
/// What could lead elsewhere or nowhere is replaced, never followed: an empty name, `.`, `..` and other names of nothing but dots
/// and spaces, separators of any system, control characters with NUL among them, drive letters, names of Windows devices whatever
/// their extension, bytes that are not UTF-8. Names above 255 bytes are cut, keeping a short extension. A safe name comes back as
/// it is.
pub fn sanitise(component: &[u8]) -> String {
    let replaced = |character: char| matches!(character, '/' | '\\') || character.is_control();
    let mut name = String::from_utf8_lossy(component).into_owned();
    if name.contains(replaced) {
        name = name.replace(replaced, "_");
    }
    if name.chars().all(|character| matches!(character, '.' | ' ')) {
        return "_".into();
    }
    if let [letter, b':', ..] = name.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        name.replace_range(1..2, "_");
    }
    if is_device(&name) {
        name.insert(0, '_');
    }
    shorten(name, "")
}

/// Whether Windows takes `name` for a device: alone or with an extension, in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ');
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    let numbered = |device: &str| {
        stem.get(..device.len()).is_some_and(|start| start.eq_ignore_ascii_case(device))
            && stem.get(device.len()..).is_some_and(|end| {
                let mut digits = end.chars();
                digits.next().is_some_and(|digit| digit.is_ascii_digit() || matches!(digit, '¹' | '²' | '³')) && digits.next().is_none()
            })
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].into_iter().any(is) || ["com", "lpt"].into_iter().any(numbered)
}

/// `name` with `suffix` before its extension, its stem cut so that all fits one component.
fn shorten(name: String, suffix: &str) -> String {
    if suffix.is_empty() && name.len() <= MAX_COMPONENT {
        return name;
    }
    // A dot at the start hides a file, and a long tail is no extension.
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= 16).unwrap_or(name.len());
    let (stem, extension) = name.split_at_checked(dot).unwrap_or((&name, ""));
    let mut end = stem.len().min(MAX_COMPONENT.saturating_sub(extension.len() + suffix.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}{extension}", stem.get(..end).unwrap_or_default())
}

/// The names given out so far to the files and folders of one torrent: no two files get the same.
///
/// Names that differ in case only, or in dots and spaces at the end, count as the same, because some systems take them so. The
/// work for each name depends on its length only, however many clash.
#[derive(Debug, Default)]
pub(super) struct Names {
    nodes: BTreeMap<(Folder, Box<str>), Node>,
    folders: u32,
    /// The next number for names so long that numbering cuts them, which makes different names equal.
    next_for_long: u32,
}

/// A folder's number; 0 is the root.
type Folder = u32;

#[derive(Debug)]
struct Node {
    /// The folder's own number; `None` for a file.
    folder: Option<Folder>,
    /// The number that the next file of this name tries first.
    next: u32,
    /// The number that a folder of this name got, if a file was here first: all that belongs inside finds the folder by it.
    moved: Option<u32>,
}

impl Names {
    /// A path of its own for a file with these sanitised components, joined by `/`.
    pub(super) fn place(&mut self, components: &[String]) -> String {
        let mut path = String::with_capacity(components.iter().map(|component| component.len() + 1).sum());
        let mut parent = 0;
        if let Some((file, folders)) = components.split_last() {
            for folder in folders {
                let (number, name) = self.place_folder(parent, folder);
                path.push_str(name.as_deref().unwrap_or(folder));
                path.push('/');
                parent = number;
            }
            path.push_str(self.place_file(parent, file).as_deref().unwrap_or(file));
        }
        path
    }

    /// Whether a file or folder stands at this path, in this or another case.
    pub(super) fn contains(&self, components: &[String]) -> bool {
        let mut parent = Some(0);
        components.iter().all(|component| match parent.and_then(|parent| self.nodes.get(&(parent, fold(component)))) {
            Some(node) => {
                parent = node.folder;
                true
            }
            None => false,
        })
    }

    /// The folder of this name, and its new name if it could not keep the old one.
    fn place_folder(&mut self, parent: Folder, name: &str) -> (Folder, Option<String>) {
        let key = (parent, fold(name));
        let Some(node) = self.nodes.get(&key) else { return (self.insert_folder(key), None) };
        if let Some(folder) = node.folder {
            return (folder, None);
        }
        if let Some(name) = node.moved.map(|number| numbered(name, number))
            && let Some(folder) = self.nodes.get(&(parent, fold(&name))).and_then(|node| node.folder)
        {
            return (folder, Some(name));
        }
        let (number, new_name) = self.free_name(&key, name);
        if let Some(node) = self.nodes.get_mut(&key) {
            node.moved = Some(number);
        }
        (self.insert_folder((parent, fold(&new_name))), Some(new_name))
    }

    fn insert_folder(&mut self, key: (Folder, Box<str>)) -> Folder {
        self.folders = self.folders.saturating_add(1);
        self.nodes.insert(key, Node { folder: Some(self.folders), next: 1, moved: None });
        self.folders
    }

    /// Notes a file of this name; returns its new name if it could not keep the old one.
    fn place_file(&mut self, parent: Folder, name: &str) -> Option<String> {
        let mut key = (parent, fold(name));
        let new_name = self.nodes.contains_key(&key).then(|| self.free_name(&key, name).1);
        if let Some(new_name) = &new_name {
            key = (parent, fold(new_name));
        }
        self.nodes.insert(key, Node { folder: None, next: 1, moved: None });
        new_name
    }

    /// The first free one of the numbered forms of a name that is taken, and its number.
    fn free_name(&mut self, key: &(Folder, Box<str>), name: &str) -> (u32, String) {
        let long = name.len() + " (4294967295)".len() > MAX_COMPONENT;
        let mut number = if long { self.next_for_long.max(1) } else { self.nodes.get(key).map_or(1, |node| node.next) };
        let new_name = loop {
            let candidate = numbered(name, number);
            number = number.saturating_add(1);
            if !self.nodes.contains_key(&(key.0, fold(&candidate))) {
                break candidate;
            }
        };
        if long {
            self.next_for_long = number;
        } else if let Some(node) = self.nodes.get_mut(key) {
            node.next = number;
        }
        (number.saturating_sub(1), new_name)
    }
}

fn numbered(name: &str, number: u32) -> String {
    shorten(name.into(), &format!(" ({number})"))
}

/// What names that some system takes for the same have in common.
fn fold(name: &str) -> Box<str> {
    name.trim_end_matches(['.', ' ']).to_lowercase().into()
}

/// All components of a path, made safe.
pub(super) fn sanitise_all<'a>(components: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    components.map(sanitise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn place_all(paths: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        paths.iter().map(|path| names.place(&sanitise_all(path.split('/').map(str::as_bytes)))).collect()
    }

    #[test]
    fn names_that_lead_elsewhere_are_replaced() {
        for (name, safe) in [
            ("", "_"),
            (".", "_"),
            ("..", "_"),
            (" .. ", "_"),
            ("...", "_"),
            ("/etc/passwd", "_etc_passwd"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("..\\windows", ".._windows"),
            ("a\0b\x1b[31m\n", "a_b_[31m_"),
            ("C:", "C_"),
            ("c:autoexec.bat", "c_autoexec.bat"),
            ("nul", "_nul"),
            ("NUL.tar.gz", "_NUL.tar.gz"),
            ("Con .txt", "_Con .txt"),
            ("com1", "_com1"),
            ("LPT².log", "_LPT².log"),
            ("aux:stream", "_aux:stream"),
            ("CONOUT$", "_CONOUT$"),
        ] {
            assert_eq!(sanitise(name.as_bytes()), safe, "{name:?}");
        }
        assert_eq!(sanitise(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn good_names_stay_as_they_are() {
        for name in ["a", ".hidden", "Mr.", "console.log", "com", "com10", "communism", "12:30", "日本語", "a b", "nul-terminated", "…"]
        {
            assert_eq!(sanitise(name.as_bytes()), name);
        }
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_extension() {
        let name = ["é".repeat(200).as_str(), ".flac"].concat();
        assert_eq!(sanitise(name.as_bytes()), ["é".repeat(125).as_str(), ".flac"].concat());
        assert_eq!(sanitise(&[b'a'; 256]).len(), 255);
        assert_eq!(sanitise(&[b'.', b'a'].repeat(128)).len(), 255);
        assert_eq!(sanitise(&[b'a'; 255]).len(), 255);
    }

    #[test]
    fn files_of_one_name_get_different_ones() {
        assert_eq!(place_all(&["a.txt", "a.txt", "A.TXT", "a (1).txt"]), ["a.txt", "a (1).txt", "A (2).TXT", "a (1) (1).txt"]);
        assert_eq!(place_all(&["x/..", "x/_", "x/."]), ["x/_", "x/_ (1)", "x/_ (2)"]);
        assert_eq!(place_all(&["b", "b. "]), ["b", "b (1). "]);
    }

    #[test]
    fn a_file_and_a_folder_of_one_name_get_different_ones() {
        assert_eq!(place_all(&["a", "a/b", "A/c", "a/b"]), ["a", "a (1)/b", "A (1)/c", "a (1)/b (1)"]);
        assert_eq!(place_all(&["a/b", "a", "a", "a/c"]), ["a/b", "a (1)", "a (2)", "a/c"]);
        assert_eq!(place_all(&["a (1)", "a", "a/b", "a/c"]), ["a (1)", "a", "a (2)/b", "a (2)/c"]);
    }

    #[test]
    fn cut_names_that_become_equal_get_different_ones() {
        let names: Vec<String> = (0..500).map(|number| format!("{}{number:03}", "x".repeat(252))).collect();
        let twice: Vec<&str> = names.iter().chain(&names).map(String::as_str).collect();
        let placed = place_all(&twice);
        assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 1000);
        assert!(placed.iter().all(|name| name.len() <= 255));
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_safe_and_sanitising_twice_changes_nothing(name in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "[.:/\\\\ aAcConNuUlLmMpPtT1\\x00$é]{0,8}".prop_map(String::into_bytes),
        ]) {
            let safe = sanitise(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 255 && safe != "." && safe != "..");
            prop_assert!(!safe.contains(['/', '\\', '\0']) && !is_device(&safe));
            prop_assert_eq!(sanitise(safe.as_bytes()), safe);
        }

        #[test]
        fn no_two_files_share_a_place_and_none_stands_in_anothers_way(paths in prop::collection::vec("[abA]{1,2}(/[abA .]{1,2}){0,2}", 0..40)) {
            let paths = place_all(&paths.iter().map(String::as_str).collect::<Vec<_>>());
            let mut files = BTreeSet::new();
            for path in &paths {
                prop_assert!(files.insert(fold_all(path)), "{} twice", path);
            }
            for file in &files {
                prop_assert!((1..file.len()).all(|end| !files.contains(&file[..end])));
            }
        }
    }

    fn fold_all(path: &str) -> Vec<Box<str>> {
        path.split('/').map(fold).collect()
    }

    #[test]
    fn what_was_placed_is_found_again() {
        let mut names = Names::default();
        names.place(&["a".into(), "b".into()]);
        for (path, there) in [("a", true), ("a/b", true), ("A/B", true), ("a/b/c", false), ("b", false)] {
            assert_eq!(names.contains(&sanitise_all(path.split('/').map(str::as_bytes))), there, "{path}");
        }
    }
}
