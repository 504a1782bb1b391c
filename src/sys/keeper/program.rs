//! `keeper`: one tiny process per pod that outlives the pod's shim.
//!
//! It is a child subreaper in a session of its own, holds the fds that must
//! not be lost, starts the shim, reaps what a dead shim left and notes those
//! exits, and starts the shim again. `keeper_protocol.rs` is its whole
//! interface.
//!
//! | event                        | answer                                    |
//! |------------------------------|-------------------------------------------|
//! | message of the shim          | hold or close an fd                       |
//! | a child that is not the shim | note its exit, tell the shim              |
//! | the shim ended `FINISHED`    | end                                       |
//! | the shim ended otherwise     | read what it still sent, start it again   |
//!
//! Once the loop runs, no failure ends it: it is written to stderr (the pod's
//! `shim.log`) and the loop goes on.

#![no_std]
#![no_main]
#![no_builtins]

#[path = "../keeper_protocol.rs"]
mod protocol;
#[path = "../tiny/mod.rs"]
#[allow(dead_code)]
mod tiny;

mod calls;
mod exits;
mod line;
mod table;

use calls::{Child, PollFd};
use line::Line;
use protocol::{
    ALIVE, BAD_TABLE, CONTROL_FD, EXITS, EXITS_KEY, FINISHED, FIRST_DELAY_MS, HOLD, KEY_BYTES,
    LAST_DELAY_MS, PROMPT_RESTARTS, REFUSED, RELEASE, SETTLED_MS, SHIM_KEY, TABLE_FD,
};
use table::{TABLE, Table};
use tiny::calls::{WEXITED, WNOHANG, WNOWAIT, block_signals, exit, set_name, wait_any};

/// The shim at present.
#[derive(Clone, Copy)]
enum Shim {
    Running { pid: i32, control: i32, since_ms: u64 },
    /// It died; the next start is due at this boot time.
    Due { at_ms: u64 },
}

struct Keeper {
    table: &'static mut Table,
    arguments: calls::Arguments,
    children: i32,
    shim: Shim,
    quick_deaths: u32,
    /// Some shim has said `ALIVE`.
    proven: bool,
}

#[unsafe(no_mangle)]
extern "C" fn podrt_main(stack: *const usize) -> ! {
    block_signals(u64::MAX);
    calls::reset_child_signal();
    calls::become_subreaper();
    calls::setsid();
    calls::raise_fd_limit();
    set_name(c"podrt-keeper");
    // SAFETY: called once, by the only thread, so this is the only reference.
    let table = unsafe { &mut *TABLE.get() };
    // SAFETY: `_start` hands over the stack as the kernel laid it out.
    let arguments = unsafe { calls::Arguments::new(stack) };
    let usable = table.adopt() && table.find(SHIM_KEY).is_some();
    let children = calls::child_events();
    if !usable || children < 0 {
        Line::new(b"cannot start: no usable hand-over table").log();
        exit(BAD_TABLE);
    }
    // No fd that arrives later may take this number: the next shim's goes there.
    calls::dup_to(TABLE_FD, CONTROL_FD, true);
    let shim = Shim::Due { at_ms: 0 };
    Keeper { table, arguments, children, shim, quick_deaths: 0, proven: false }.run()
}

impl Keeper {
    fn run(mut self) -> ! {
        // A shim that became a keeper may have children that ended before
        // their ends were watched for.
        self.reap_all();
        loop {
            let (control, timeout_ms) = match self.shim {
                Shim::Running { control, .. } => (control, None),
                Shim::Due { at_ms } => {
                    let now_ms = calls::boot_ms();
                    if now_ms >= at_ms {
                        self.start_shim();
                        continue;
                    }
                    (-1, Some(at_ms - now_ms))
                }
            };
            let mut ready = [PollFd::readable(self.children), PollFd::readable(control)];
            calls::poll(&mut ready, timeout_ms);
            let [children, control] = ready;
            if control.is_ready() {
                self.receive_all();
            }
            if children.is_ready() {
                calls::drain_child_events(self.children);
                self.reap_all();
            }
        }
    }

    fn start_shim(&mut self) {
        let Some(executable) = self.table.find(SHIM_KEY) else { exit(BAD_TABLE) };
        let now_ms = calls::boot_ms();
        let Some((ours, theirs)) = calls::socket_pair() else {
            self.shim_is_gone(now_ms);
            return;
        };
        let written = self.table.publish();
        let child = if written { calls::fork() } else { Child::Failed };
        match child {
            Child::Failed => {
                Line::new(b"cannot start the shim").log();
                calls::close(ours);
                self.shim_is_gone(now_ms);
            }
            Child::Here => self.execute_shim(executable, theirs),
            Child::Parent(pid) => {
                self.shim = Shim::Running { pid, control: ours, since_ms: now_ms };
            }
        }
        calls::close(theirs);
    }

    fn execute_shim(&self, executable: i32, control: i32) -> ! {
        calls::dup_to(control, CONTROL_FD, false);
        calls::set_inheritable(TABLE_FD);
        self.table.make_inheritable();
        block_signals(0);
        let errno = calls::execute(executable, &self.arguments);
        Line::new(b"cannot execute the shim: errno ").number(errno).log();
        exit(127)
    }

    /// Reads until the queue is empty. At end of file the socket is forgotten;
    /// the shim itself counts until it is reaped.
    fn receive_all(&mut self) {
        let Shim::Running { pid, control, since_ms } = self.shim else { return };
        if control < 0 {
            return;
        }
        let mut message = [0_u8; KEY_BYTES + 1];
        loop {
            match calls::receive(control, &mut message) {
                calls::Received::Nothing => return,
                calls::Received::End => {
                    calls::close(control);
                    self.shim = Shim::Running { pid, control: -1, since_ms };
                    return;
                }
                calls::Received::Message { len, fd } => {
                    if let Some((&kind, key)) = message.get(..len).and_then(<[u8]>::split_first) {
                        self.obey(control, kind, key, fd);
                    }
                }
            }
        }
    }

    fn obey(&mut self, control: i32, kind: u8, key: &[u8], fd: Option<i32>) {
        match (kind, fd) {
            (HOLD, Some(fd)) if !key.starts_with(b"@") && self.table.hold(key, fd) => {}
            (HOLD, fd) => {
                fd.map(calls::close);
                Line::new(b"cannot hold ").text(key).log();
                calls::send(control, REFUSED, key);
            }
            (RELEASE, None) if !key.starts_with(b"@") => self.table.release(key),
            (ALIVE, None) => self.proven = true,
            (_, fd) => {
                fd.map(calls::close);
                Line::new(b"unknown message, ignoring").log();
            }
        }
    }

    /// Notes every ended child, the shim last of what it sent.
    fn reap_all(&mut self) {
        let mut noted = false;
        // First without reaping: a zombie's start time and cgroup still read.
        while let Some(ended) = wait_any(WEXITED | WNOHANG | WNOWAIT) {
            match self.shim {
                Shim::Running { pid, since_ms, .. } if pid == ended.pid => {
                    calls::reap(ended.pid);
                    self.shim_ended(ended.status, since_ms);
                }
                _ => {
                    self.note_exit(ended.pid, ended.status);
                    calls::reap(ended.pid);
                    noted = true;
                }
            }
        }
        if let (true, Shim::Running { control, .. }) = (noted, self.shim) {
            // A full queue is fine: the shim has a bell of ours unread.
            calls::send(control, EXITS, &[]);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_exit(&self, pid: i32, status: i32) {
        let line = exits::line(pid, status);
        let written = self.table.find(EXITS_KEY).is_some_and(|file| line.append_to(file));
        if !written {
            Line::new(b"cannot note an exit: ").text(line.bytes()).log();
        }
    }

    fn shim_ended(&mut self, status: i32, since_ms: u64) {
        self.receive_all();
        if status == FINISHED << 8 {
            exit(0);
        }
        if let Shim::Running { control, .. } = self.shim {
            calls::close(control);
        }
        Line::new(b"the shim ended with wait status ").number(status).log();
        self.shim_is_gone(since_ms);
    }

    fn shim_is_gone(&mut self, since_ms: u64) {
        let now_ms = calls::boot_ms();
        let quick = now_ms.saturating_sub(since_ms) < SETTLED_MS;
        self.quick_deaths = if quick { self.quick_deaths.saturating_add(1) } else { 0 };
        let Some(excess) = self.quick_deaths.checked_sub(PROMPT_RESTARTS + 1) else {
            self.shim = Shim::Due { at_ms: now_ms };
            return;
        };
        if !self.proven {
            Line::new(b"giving up: the shim never came up").log();
            exit(1);
        }
        let delay_ms = (FIRST_DELAY_MS << excess.min(16)).min(LAST_DELAY_MS);
        self.shim = Shim::Due { at_ms: now_ms + delay_ms };
    }
}
