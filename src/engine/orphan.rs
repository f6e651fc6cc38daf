//! The end of a task whose engine is gone.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::error::exit_code;
use crate::base::lock::lock;

/// A folder that is removed with the program.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes this folder too when [`end_without_reader`] ends the program.
pub(super) fn remove_without_reader(folder: &Path) {
    *lock(&FOLDER) = Some(folder.to_owned());
}

/// Ends this program as soon as nothing reads its stdout any more. A task that computes would notice
/// it only with its next block.
///
/// A file as stdout has no reader, and changes nothing.
pub fn end_without_reader() {
    std::thread::spawn(|| {
        let stdout = std::io::stdout();
        loop {
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut watched, None) {
                Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    if let Some(folder) = lock(&FOLDER).take() {
                        fs::remove_dir_all(folder).ok();
                    }
                    std::process::exit(i32::from(exit_code::UNEXPECTED));
                }
                Err(Errno::INTR) => {}
                _ => return,
            }
        }
    });
}
