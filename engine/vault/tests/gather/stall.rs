//! A site whose answers are held back.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use warifu_link::hello::SERVER_HELLO_BYTES;

/// Listens where a site did. Of what the site answers it lets the hello pass, so that the other end
/// waits as long as for any answer, and the rest once it is let go. It serves one connection.
pub(crate) struct Stall {
    begun: Receiver<()>,
    go: Sender<()>,
    thread: JoinHandle<()>,
}

impl Stall {
    /// In front of the site that listens at `site` now.
    pub(crate) fn at(address: &str, site: String) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (begins, begun) = channel();
        let (go, gone_on) = channel();
        let thread = std::thread::spawn(move || {
            let (asking, _) = listener.accept().unwrap();
            let asked = TcpStream::connect(site).unwrap();
            let (mut from, mut to) = (asking.try_clone().unwrap(), asked.try_clone().unwrap());
            let asks = std::thread::spawn(move || {
                let _whether_it_broke = copy(&mut from, &mut to);
                to.shutdown(Shutdown::Both).unwrap_or_default();
            });
            answer(asked, asking, &begins, &gone_on);
            asks.join().unwrap();
        });
        Self { begun, go, thread }
    }

    /// Waits until somebody waits for an answer.
    pub(crate) fn has_begun(&self) {
        self.begun.recv().unwrap();
    }

    /// Lets all answers pass, until that connection ends.
    pub(crate) fn let_go(self) {
        self.go.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn answer(mut from: TcpStream, mut to: TcpStream, begins: &Sender<()>, gone_on: &Receiver<()>) {
    let mut hello = [0; SERVER_HELLO_BYTES];
    from.read_exact(&mut hello).unwrap();
    to.write_all(&hello).unwrap();
    begins.send(()).unwrap();
    // Where the test has failed there is nobody to wait for.
    if gone_on.recv().is_ok() {
        let _whether_it_broke = copy(&mut from, &mut to);
    }
    to.shutdown(Shutdown::Both).unwrap_or_default();
}
