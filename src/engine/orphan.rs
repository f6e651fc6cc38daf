//! The end of a task whose engine is gone.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::base::error::exit_code;

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
                    std::process::exit(i32::from(exit_code::UNEXPECTED));
                }
                Err(Errno::INTR) => {}
                _ => return,
            }
        }
    });
}
