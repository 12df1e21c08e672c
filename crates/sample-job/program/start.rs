//! What the kernel hands over at the start, and what the compiler expects of a platform.

use core::{arch::global_asm, panic::PanicInfo, slice};

use crate::kernel;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2", start = sym start);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {start}", "brk 1", start = sym start);

/// Arguments and environment, as they lie on the stack.
pub struct World {
    arguments: &'static [*const u8],
    environment: &'static [*const u8],
}

extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: at the entry the stack holds argc, argv, a null, envp, a null (System V ABI); all live for ever.
    let world = unsafe {
        let count = *stack;
        let arguments = stack.add(1).cast::<*const u8>();
        let environment = arguments.add(count + 1);
        let mut length = 0;
        while !(*environment.add(length)).is_null() {
            length += 1;
        }
        World {
            arguments: slice::from_raw_parts(arguments, count),
            environment: slice::from_raw_parts(environment, length),
        }
    };
    kernel::exit(crate::run(&world))
}

/// The bytes of a C string with its final zero.
fn bytes_z(pointer: *const u8) -> &'static [u8] {
    let mut length = 0;
    // SAFETY: the kernel's strings end with a zero and live for ever.
    unsafe {
        while *pointer.add(length) != 0 {
            length += 1;
        }
        slice::from_raw_parts(pointer, length + 1)
    }
}

fn bytes(pointer: *const u8) -> &'static [u8] {
    let all = bytes_z(pointer);
    &all[..all.len() - 1]
}

impl World {
    pub fn argument(&self, index: usize) -> Option<&'static [u8]> {
        self.arguments.get(index).map(|&pointer| bytes(pointer))
    }

    /// With its final zero, as the kernel wants paths.
    pub fn argument_z(&self, index: usize) -> Option<&'static [u8]> {
        self.arguments.get(index).map(|&pointer| bytes_z(pointer))
    }

    pub fn arguments(&self) -> impl Iterator<Item = &'static [u8]> {
        self.arguments.iter().map(|&pointer| bytes(pointer))
    }

    pub fn environment(&self) -> impl Iterator<Item = &'static [u8]> {
        self.environment.iter().map(|&pointer| bytes(pointer))
    }

    pub fn variable(&self, name: &[u8]) -> Option<&'static [u8]> {
        self.environment().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
    }

    pub fn number(&self, name: &[u8]) -> Option<u64> {
        self.variable(name).and_then(crate::number)
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    kernel::write(2, b"the sample job has a fault\n");
    kernel::exit(101)
}

// What code of `core` may name; there is no unwinding, and copies are short.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for index in 0..count {
        // SAFETY: the caller's contract.
        unsafe { *to.add(index) = *from.add(index) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: the caller's contract; forwards is right when the target lies below.
        return unsafe { memcpy(to, from, count) };
    }
    for index in (0..count).rev() {
        // SAFETY: the caller's contract.
        unsafe { *to.add(index) = *from.add(index) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    for index in 0..count {
        // SAFETY: the caller's contract.
        unsafe { *to.add(index) = value as u8 };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for index in 0..count {
        // SAFETY: the caller's contract.
        let (a, b) = unsafe { (*left.add(index), *right.add(index)) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's contract.
    unsafe { memcmp(left, right, count) }
}
