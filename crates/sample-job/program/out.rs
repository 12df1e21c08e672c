//! Text out, in pieces of a line or of a buffer.

use crate::kernel;

/// Bytes held before they are written: a pipe takes 4 KiB at once without mixing.
const HELD: usize = 4096;

/// Standard output or standard error; what is held is written at the end.
pub struct Out {
    fd: usize,
    held: [u8; HELD],
    length: usize,
}

impl Out {
    pub fn stdout() -> Self {
        Self { fd: 1, held: [0; HELD], length: 0 }
    }

    pub fn stderr() -> Self {
        Self { fd: 2, held: [0; HELD], length: 0 }
    }

    pub fn file(fd: usize) -> Self {
        Self { fd, held: [0; HELD], length: 0 }
    }

    pub fn text(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            if self.length == HELD {
                self.flush();
            }
            self.held[self.length] = byte;
            self.length += 1;
        }
        self
    }

    pub fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text(&digits[at..])
    }

    /// Writes all that is held; what cannot be written is dropped.
    pub fn flush(&mut self) {
        let mut from = 0;
        while from < self.length {
            let written = kernel::write(self.fd, &self.held[from..self.length]);
            if written <= 0 {
                break;
            }
            from += written as usize;
        }
        self.length = 0;
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}
