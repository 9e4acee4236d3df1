//! A terminal of a test's own.

use std::os::fd::OwnedFd;

use rustix::pty::{self, OpenptFlags};
use rustix::termios::Winsize;

/// Both sides of a new terminal of this width: the test's, and the program's.
pub fn open(columns: u16) -> (OwnedFd, OwnedFd) {
    // It must not become the controlling terminal of the tests.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = pty::openpt(flags).expect("a terminal");
    pty::unlockpt(&terminal).expect("it is ours");
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal, size).expect("it takes a size");
    let user = pty::ioctl_tiocgptpeer(&terminal, flags).expect("its other side");
    (terminal, user)
}
