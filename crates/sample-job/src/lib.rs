//! The sample program of the built-in image `builtin.groundrun/job`, as bytes.
//!
//! It is static and needs no library, so that the image is one file and is built with nothing but the Rust toolchain and
//! a linker. As a job it counts primes (`examples/primes`); its verbs are what the tests need from inside a container:
//!
//! | verb | does |
//! |---|---|
//! | none | counts the primes below `PRIMES_LIMIT` in the task's share; `FAIL_FIRST_ATTEMPT_OF=index` fails that task's attempt 0 |
//! | `true` · `exit N` · `signal N` | ends: with 0, with N, by killing itself |
//! | `sleep SECS` | sleeps, with fractions; as process 1 it does not mind SIGTERM |
//! | `wait-term N` | says `waiting`, waits for SIGTERM, exits with N |
//! | `eat MIB` · `write-file PATH MIB` | fills memory, or a file |
//! | `leave PATH TEXT` | writes the text into a file that is there, such as the termination message |
//! | `spew LINES BYTES` · `drip LINES MILLIS` · `stderr TEXT` | writes lines; drips them with a pause behind each |
//! | `args …` · `env` · `status` · `cat PATH` · `ls PATH` | prints its arguments, environment, `/proc/self/status`, a file, a directory |
//! | `stat PATH…` | prints of each its mode in octal, its owner and its group |
//! | `try-mknod` · `try-mount` · `try-unshare` · `try-clone3` | asks the kernel for what must be refused, prints `errno N` or `permitted` |
//! | `fork-hold SECS` | exits at once; a child of it holds standard output open |
//! | `fork-eat MIB SECS` | a child of it fills memory; exits with 0 so many seconds after the child's end |
//! | `hold-exit` | sleeps; a child of it asks to trace it, so that its end would wait for the child; that says `held` or `errno N` |
//! | `serve PORT TEXT [SECS [FILE]]` | after so many seconds makes the file, listens on 127.0.0.1 and says `listening`; answers every connection with the text; ends with 0 at SIGTERM |
//! | `fetch PORT` | connects to 127.0.0.1 and prints what comes, or `errno N` |
//! | `ask PATH TEXT` | says the text to the socket PATH and that this is all, prints what comes, or `errno N`; says `closed` when nothing does |
//! | `host PORT TIMES` | finds `host.docker.internal` by 169.254.169.254, connects there and prints what comes, so many times; what hangs up without a word is asked again |
//! | `tell PORT` | sends `execution task attempt` as a datagram to 127.0.0.1, a witness that no log can make up |

/// The program, an ELF executable for this target.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/job"));
