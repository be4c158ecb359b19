//! What the tests of the command share: a folder of their own, the command itself, and a peer that does as it is told.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// No test waits for so long unless it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own for each test, in which the command also keeps what it remembers. Gone at the end.
pub(crate) struct Lab {
    root: TempDir,
}

/// What a finished command has left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab { root: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A file in the lab; returns its path.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The command, in the lab's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rustor"));
        command.args(arguments).current_dir(self.root.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path("state")).env("HOME", self.root.path()).env("TMPDIR", self.root.path());
        command.env_remove("NO_COLOR");
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the command, which must succeed; returns its results.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
        outcome.stdout
    }

    /// Starts the command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Running { child, stdout, stderr }
    }

    /// A torrent of the file or folder `name`, made by the command, with pieces of 16 KiB.
    pub(crate) fn torrent(&self, name: &str, more: &[&str]) -> String {
        let torrent = format!("{name}.torrent");
        self.succeed(&[&["create", name, "-o", &torrent, "-p", "16K"], more].concat());
        torrent
    }
}

impl Outcome {
    /// That the command has failed so, with one line for people that mentions `what`.
    #[track_caller]
    pub(crate) fn is_one_line(&self, code: i32, what: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(what) && lines[0].len() < 300, "{what}: {self:?}");
        assert_eq!(self.stdout, "");
    }
}

/// A command under way. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    /// The first line of results that fits; those before it are dropped.
    #[track_caller]
    pub(crate) fn result(&self, fits: impl Fn(&str) -> bool) -> String {
        wait_for(&self.stdout, fits).unwrap_or_else(|seen| panic!("no such result, but {seen:?} and on standard error {:?}", self.rest()))
    }

    /// The first line on standard error that contains `text`; those before it are dropped.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> String {
        wait_for(&self.stderr, |line| line.contains(text)).unwrap_or_else(|seen| panic!("no line with {text:?}, but {seen:?}"))
    }

    /// The port in a line such as `seeding … on 127.0.0.1:6881`.
    #[track_caller]
    pub(crate) fn port(&self, text: &str) -> u16 {
        let line = self.line(text);
        let digits = line.split_once("127.0.0.1:").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no port in {line:?}"))
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        while let Ok(line) = self.stderr.recv_timeout(PATIENCE) {
            said.push_str(&line);
            said.push('\n');
        }
        (self.child.wait().unwrap(), said)
    }

    fn rest(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn wait_for(lines: &Receiver<String>, fits: impl Fn(&str) -> bool) -> Result<String, Vec<String>> {
    let (begin, mut seen) = (Instant::now(), Vec::new());
    while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
        if fits(&line) {
            return Ok(line);
        }
        seen.push(line);
    }
    Err(seen)
}

/// Bytes that look random and are always the same.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = length as u64 | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// That two files, or all files below two folders, are the same.
#[track_caller]
pub(crate) fn assert_same(one: &Path, other: &Path) {
    if one.is_dir() {
        let names = |folder: &Path| -> Vec<_> {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(one), names(other));
        for name in names(one) {
            assert_same(&one.join(&name), &other.join(&name));
        }
    } else {
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{} differs from {}", other.display(), one.display());
    }
}
