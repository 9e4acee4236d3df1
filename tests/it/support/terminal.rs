//! A terminal of a test's own.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

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

/// What a command shows on a terminal of this width, from which it reads nothing, and its exit code. Lines end with a carriage return
/// there.
pub fn shown(columns: u16, command: &mut Command) -> (String, Option<i32>) {
    let (terminal, user) = open(columns);
    let output = user.try_clone().expect("another descriptor");
    command.stdin(Stdio::null()).stdout(output).stderr(user);
    let mut child = command.spawn().expect("the binary runs");
    // The last copies on this side: reading ends when the program does.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut shown = Vec::new();
    // A terminal ends with an error when its last user has gone.
    let _ = File::from(terminal).read_to_end(&mut shown);
    let code = child.wait().expect("it ends").code();
    (String::from_utf8(shown).expect("text"), code)
}
