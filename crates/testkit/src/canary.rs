//! A value that tests give to secrets, and the search for it: what a secret holds is for the programs of tasks alone, so that
//! nothing that the tests leave, write or print may have it, plain or encoded.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem::Finder;

/// Where the gate's tests find their canary, in the environment.
pub const CANARY: &str = "GROUNDRUN_TEST_CANARY";

/// The canary of this run: the gate's, or that of tests that run without it.
#[must_use]
pub fn canary() -> String {
    std::env::var(CANARY).unwrap_or_else(|_| "canary-6b1f0c5d-nobody-may-see-this".to_owned())
}

/// Read at once. Whatever lies across two reads is found too.
const CHUNK: usize = 1 << 20;

/// The search for one value.
#[derive(Clone, Debug)]
pub struct Search {
    needles: Vec<Finder<'static>>,
    longest: usize,
}

impl Search {
    /// For `value` as it is, in hexadecimal digits, and in base64, wherever in a longer text it stands.
    #[must_use]
    pub fn of(value: &str) -> Self {
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let encoded = (0..3).flat_map(|before| encoded(value, before));
        let needles: Vec<_> =
            [value.to_owned(), hex.to_uppercase(), hex].into_iter().chain(encoded).collect();
        let longest = needles.iter().map(String::len).max().unwrap_or_default();
        let needles = needles.iter().map(|needle| Finder::new(needle).into_owned()).collect();
        Self { needles, longest }
    }

    /// Whether it is in `bytes`.
    #[must_use]
    pub fn finds_in(&self, bytes: &[u8]) -> bool {
        self.needles.iter().any(|needle| needle.find(bytes).is_some())
    }

    /// Whether it is in what is read to the end; `seen` gets all of that, in pieces.
    ///
    /// # Errors
    /// The reader's.
    pub fn finds_in_all_of(
        &self,
        mut reader: impl Read,
        mut seen: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        let mut window = vec![0; self.longest + CHUNK];
        let (mut kept, mut found) = (0, false);
        loop {
            let read = match reader.read(&mut window[kept..]) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(found);
            }
            seen(&window[kept..kept + read]);
            let filled = kept + read;
            found = found || self.finds_in(&window[..filled]);
            // What may be the beginning of it.
            kept = filled.min(self.longest);
            window.copy_within(filled - kept..filled, 0);
        }
    }

    /// The files below `dir` that have it. Links are not followed, and what is gone meanwhile has nothing.
    #[must_use]
    pub fn files_below(&self, dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => found.extend(self.files_below(&path)),
                Ok(kind) if kind.is_file() && self.is_in_file(&path) => found.push(path),
                _ => {}
            }
        }
        found
    }

    /// Whether it is in the file at `path`.
    #[must_use]
    pub fn is_in_file(&self, path: &Path) -> bool {
        let file = File::open(path);
        file.and_then(|file| self.finds_in_all_of(file, |_| {})).unwrap_or(false)
    }
}

/// What of `value` shows in base64 of a text that has it after `before` bytes, modulo three, whatever is around it.
fn encoded(value: &str, before: usize) -> [String; 2] {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let sure = |text: String| {
        // Six bits each: the first ones and the last one are mixed with what is around.
        let begin = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        text[begin..end].to_owned()
    };
    [sure(STANDARD_NO_PAD.encode(&bytes)), sure(URL_SAFE_NO_PAD.encode(&bytes))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "canary?>~ of a test";

    #[test]
    fn it_is_found_plain_and_encoded_wherever_it_stands() {
        let search = Search::of(VALUE);
        for before in ["", "1", "12", "123", "1234"] {
            let text = format!("{before}{VALUE} and more");
            assert!(search.finds_in(text.as_bytes()));
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                assert!(search.finds_in(encoded.as_bytes()), "{encoded}");
            }
        }
        assert!(!search.finds_in(b"canary of a test"));
    }

    #[test]
    fn it_is_found_across_two_reads_and_everything_is_passed_on() {
        /// Gives one byte at a time.
        struct Slowly<'a>(&'a [u8]);
        impl Read for Slowly<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
                buffer[0] = *first;
                self.0 = rest;
                Ok(1)
            }
        }
        let text = format!("{} {VALUE}\n", "x".repeat(1000));
        let mut passed = Vec::new();
        let search = Search::of(VALUE);
        let found = search
            .finds_in_all_of(Slowly(text.as_bytes()), |bytes| passed.extend_from_slice(bytes));
        assert!(found.expect("it can be read"));
        assert_eq!(passed, text.as_bytes());
        let found = search.finds_in_all_of(Slowly(&text.as_bytes()[..1010]), |_| {});
        assert!(!found.expect("it can be read"));
    }

    #[test]
    fn files_that_have_it_are_named() {
        let dir = std::env::temp_dir().join(format!("testkit-canary-{}", std::process::id()));
        fs::create_dir_all(dir.join("deep/down")).expect("made");
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("written");
        write("clean", "nothing");
        write("deep/down/dirty", &format!("{}{VALUE}", "x".repeat(3 * CHUNK)));
        std::os::unix::fs::symlink("deep", dir.join("link")).expect("made");
        let found = Search::of(VALUE).files_below(&dir);
        fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(found, [dir.join("deep/down/dirty")]);
    }
}
