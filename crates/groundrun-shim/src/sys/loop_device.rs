//! Loop devices: a file as a disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, BorrowedFd},
    path::PathBuf,
};

use linux_raw_sys::loop_device::{
    LO_FLAGS_AUTOCLEAR, LOOP_CONFIGURE, LOOP_CTL_GET_FREE, loop_config,
};

/// A device that shows a file, until it is neither open nor mounted.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    /// By this it can be mounted as long as `_device` is open.
    pub(crate) path: PathBuf,
    _device: File,
}

/// Others may take a device that was free a moment before.
const TRIES_MAX: usize = 32;

impl LoopDevice {
    /// Takes a free device for `file`.
    pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let open = |path: &str| OpenOptions::new().read(true).write(true).open(path);
        let control = open("/dev/loop-control")?;
        // SAFETY: a loop_config is plain numbers, for which all zero is a value.
        let mut config: loop_config = unsafe { std::mem::zeroed() };
        config.fd = file.as_raw_fd().cast_unsigned();
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR as u32;
        for _ in 0..TRIES_MAX {
            // SAFETY: the ioctl takes no argument and gives a number.
            let number = super::checked(
                unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE.into()) }.into(),
            )?;
            let path = format!("/dev/loop{number}");
            let device = open(&path)?;
            // SAFETY: the ioctl reads one loop_config, which lives through the call.
            let done = super::checked(
                unsafe {
                    libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE.into(), &raw const config)
                }
                .into(),
            );
            match done {
                Err(err) if err.kind() == io::ErrorKind::ResourceBusy => {}
                Err(err) => return Err(err),
                Ok(_) => return Ok(Self { path: path.into(), _device: device }),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}
