//! What the kernel opens to run a program: the file, and the interpreters that files name in their first bytes.
//!
//! A magic link among them, such as `/proc/self/exe`, leads out of the container, to the server's own program while the
//! init has not yet become another. So it is looked for before the kernel follows it.

use std::{
    ffi::{CStr, CString},
    fs::File,
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

/// Docker's, when the environment has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where `program` may be: itself when it has a slash, else in each directory of `path`.
pub(super) fn candidates(program: &str, path: Option<&str>) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(':');
    let directories = directories.map(|name| if name.is_empty() { "." } else { name });
    directories.map(|directory| format!("{directory}/{program}")).collect()
}

/// The kernel gives up after five interpreters of interpreters.
const INTERPRETERS_MAX: usize = 6;

/// Whether the kernel would follow a magic link to run the file at `path`. To be asked with the right to read any file: a
/// program need not be readable for its user.
pub(super) fn leads_out(path: &str) -> bool {
    let mut next = CString::new(path).ok();
    for _ in 0..=INTERPRETERS_MAX {
        let Some(path) = next else { return false };
        if is_beyond_magic_link(&path) {
            return true;
        }
        next = interpreter_of(&path);
    }
    false
}

fn is_beyond_magic_link(path: &CStr) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = |resolve| openat2(CWD, path, flags, Mode::empty(), resolve);
    // Links in a circle are the same error, with magic or without.
    matches!(open(ResolveFlags::NO_MAGICLINKS), Err(Errno::LOOP))
        && open(ResolveFlags::empty()).is_ok()
}

fn interpreter_of(path: &CStr) -> Option<CString> {
    // Not even a FIFO or a terminal of an image's makes this wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let file = File::from(file);
    let mut head = [0; 256];
    let length = file.read_at(&mut head, 0).ok()?;
    match &head[..length] {
        [b'#', b'!', line @ ..] => script_interpreter(line),
        [0x7f, b'E', b'L', b'F', ..] => elf_interpreter(&file, &head),
        _ => None,
    }
}

/// As the kernel reads the first line, of which it looks at 256 bytes.
fn script_interpreter(line: &[u8]) -> Option<CString> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0));
    CString::new(words.find(|word| !word.is_empty())?).ok()
}

/// Of a 64-bit program: one of 32 bits cannot be loaded by the server's own.
fn elf_interpreter(file: &File, head: &[u8; 256]) -> Option<CString> {
    const INTERPRETER: u32 = 3;
    const ENTRY_BYTES: usize = 56;
    const PATH_BYTES_MAX: usize = 4096;
    let table_at = number(head, 32)?;
    let count = usize::from(u16::from_le_bytes(*head.get(56..)?.first_chunk()?));
    let mut table = vec![0; count * ENTRY_BYTES];
    file.read_exact_at(&mut table, table_at).ok()?;
    let is_wanted = |entry: &&[u8]| {
        entry.first_chunk().map(|kind| u32::from_le_bytes(*kind)) == Some(INTERPRETER)
    };
    let entry = table.chunks_exact(ENTRY_BYTES).find(is_wanted)?;
    let length = usize::try_from(number(entry, 32)?).ok()?.min(PATH_BYTES_MAX);
    let mut path = vec![0; length];
    file.read_exact_at(&mut path, number(entry, 8)?).ok()?;
    CStr::from_bytes_until_nul(&path).ok().map(CStr::to_owned)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_the_path() {
        assert_eq!(candidates("./a", Some("/x")), ["./a"]);
        assert_eq!(candidates("a", Some("/x::/y")), ["/x/a", "./a", "/y/a"]);
        assert_eq!(candidates("a", None).len(), 6);
    }

    #[test]
    fn a_first_line_names_its_interpreter() {
        let check = |line: &str, want: Option<&str>| {
            let found = script_interpreter(line.as_bytes());
            assert_eq!(
                found.as_deref(),
                want.map(|text| CString::new(text).expect("it has no NUL")).as_deref(),
                "{line:?}"
            );
        };
        check("/bin/sh\necho", Some("/bin/sh"));
        check(" \t/bin/sh -e", Some("/bin/sh"));
        check("\n/bin/sh", None);
        check("", None);
    }

    #[test]
    fn magic_links_lead_out_and_others_do_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path =
            |name: &str| directory.path().join(name).to_str().expect("it is text").to_owned();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, path(name)).expect("a link can be made");
        };
        link("circle", "circle");
        link("/proc/self/exe", "out");
        std::fs::write(path("script"), "#!circle").expect("it is written");
        let own = std::env::current_exe()
            .expect("it has a path")
            .to_str()
            .expect("it is text")
            .to_owned();
        for name in [path("circle"), path("script"), path("nothing"), own] {
            assert!(!leads_out(&name), "{name}");
        }
        assert!(leads_out(&path("out")));
    }
}
