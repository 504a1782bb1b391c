//! Containers' outputs through pipes and terminals into logs, and kills between
//! the steps.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::model::plan::LogLimits;

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    pump: Pump,
    log: ContainerLog,
    shown: Vec<u8>,
}

fn bench(limits: LogLimits) -> (Bench, File, File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c/0.log");
    let (out_reader, out_writer) = fd::pipe().unwrap();
    let (err_reader, err_writer) = fd::pipe().unwrap();
    let file = LogFile::open(&path, None, limits).unwrap();
    let log = ContainerLog::of_pipes(file, 0, [out_reader.into(), err_reader.into()]).unwrap();
    let pump = Pump::new(Journal::new().unwrap()).unwrap();
    let bench = Bench { _dir: dir, path, pump, log, shown: Vec::new() };
    (bench, out_writer.into(), err_writer.into())
}

impl Bench {
    fn turn(&mut self, stream: Stream) -> Turn {
        let shown = &mut self.shown;
        self.pump
            .turn(&mut self.log, stream, Timestamp(0), &mut |bytes| {
                shown.extend_from_slice(bytes);
            })
            .unwrap()
    }

    fn text(&self) -> String {
        let text = fs::read_to_string(&self.path).unwrap();
        text.replace("1970-01-01T00:00:00.000000000Z ", "")
    }
}

#[test]
fn both_outputs_become_entries_and_the_ends_are_noticed() {
    let (mut bench, mut out, mut err) = bench(LogLimits::default());
    assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
    out.write_all(b"one\ntwo\n").unwrap();
    err.write_all(b"bad\n").unwrap();
    assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
    assert_eq!(bench.turn(Stream::Stderr), Turn::Idle);
    assert_eq!(bench.text(), "stdout F one\nstdout F two\nstderr F bad\n");
    drop((out, err));
    assert_eq!(bench.turn(Stream::Stdout), Turn::Ended);
    assert_eq!(bench.turn(Stream::Stderr), Turn::Ended);
    assert!(bench.log.fd(Stream::Stdout).is_none());
}

#[test]
fn an_unfinished_line_waits_in_the_pipe_and_is_shown_once() {
    let (mut bench, mut out, _err) = bench(LogLimits::default());
    for part in ["no ", "newline", " yet"] {
        out.write_all(part.as_bytes()).unwrap();
        assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
    }
    assert_eq!(bench.text(), "");
    assert_eq!(bench.shown, b"no newline yet");
    out.write_all(b"\nrest").unwrap();
    drop(out);
    assert_eq!(bench.turn(Stream::Stdout), Turn::Ended);
    assert_eq!(bench.text(), "stdout F no newline yet\nstdout P rest\n");
    assert_eq!(bench.shown, b"no newline yet\nrest");
}

#[test]
fn a_pipe_full_of_small_pieces_without_a_newline_does_not_stop_the_container() {
    let (mut bench, mut out, _err) = bench(LogLimits::default());
    // O_DIRECT: every write takes a place of its own in the pipe.
    let direct = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_DIRECT);
    nix::fcntl::fcntl(&out, direct).unwrap();
    for _ in 0..16 {
        out.write_all(b"x").unwrap();
    }
    assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
    out.write_all(b"y\n").unwrap();
    assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
    assert_eq!(bench.text(), "stdout P xxxxxxxxxxxxxxxx\nstdout F y\n");
    assert_eq!(bench.shown, b"xxxxxxxxxxxxxxxxy\n");
}

#[test]
fn a_flood_is_handled_in_turns_and_rotated_without_losing_a_line() {
    let limits = LogLimits { max_bytes: 300_000, max_files: 1000 };
    let (mut bench, mut out, _err) = bench(limits);
    let writer = std::thread::spawn(move || {
        for number in 0..50_000 {
            writeln!(out, "line {number:08}").unwrap();
        }
    });
    loop {
        match bench.turn(Stream::Stdout) {
            Turn::Ended => break,
            Turn::More => {}
            Turn::Idle => std::thread::yield_now(),
        }
    }
    writer.join().unwrap();
    let mut files = super::super::file::rotated(&bench.path);
    files.sort();
    files.push(bench.path.clone());
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut lines = text.lines();
    for number in 0..50_000 {
        let want = format!("line {number:08}");
        assert!(lines.next().is_some_and(|line| line.ends_with(&want)), "{want}");
    }
    assert_eq!(lines.next(), None);
    assert!(files.len() > 5);
}

#[test]
fn the_last_lines_are_in_the_newest_file_however_full_it_is() {
    let (mut bench, mut out, _err) = bench(LogLimits { max_bytes: 10, max_files: 3 });
    for line in ["first, and longer than the limit\n", "second\n"] {
        out.write_all(line.as_bytes()).unwrap();
        assert_eq!(bench.turn(Stream::Stdout), Turn::Idle);
        assert_eq!(bench.text(), format!("stdout F {line}"));
    }
    assert_eq!(super::super::file::rotated(&bench.path).len(), 1);
}

#[test]
fn after_a_kill_at_any_point_no_line_is_lost_and_none_is_there_twice() {
    // The steps of a turn: entries appended, committed, taken. A kill after
    // each is played by doing the steps by hand up to it.
    for step in 0..4 {
        let (bench, mut out, _err) = bench(LogLimits::default());
        let Bench { _dir, path, pump, mut log, .. } = bench;
        log.file.append(b"earlier\n").unwrap();
        pump.journal.settle(0, log.file.length());
        out.write_all(b"a\nb\nrest").unwrap();
        let taking = Taking { stream: Stream::Stdout, length: 4, last: b'\n' };
        if step >= 1 {
            log.file.append(b"- stdout F a\n- stdout F b\n").unwrap();
        }
        if step >= 2 {
            pump.journal.commit(0, log.file.length(), taking);
        }
        if step >= 3 {
            let marker = pump.journal.marker(0).unwrap();
            take(log.fd(Stream::Stdout).unwrap(), &mut [0; 3], marker).unwrap();
        }
        // The next shim.
        let good = pump.journal.read(0).unwrap().log_length;
        log.file = LogFile::open(&path, Some(good), LogLimits::default()).unwrap();
        log.resume(&pump.journal).unwrap();
        drop(out);
        let turn = pump.turn(&mut log, Stream::Stdout, Timestamp(0), &mut |_| {}).unwrap();
        assert_eq!(turn, Turn::Ended);
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("1970-01-01T00:00:00.000000000Z ", "- ");
        let want = "earlier\n- stdout F a\n- stdout F b\n- stdout P rest\n";
        assert_eq!(text, want, "killed after step {step}");
    }
}

#[test]
fn a_terminals_lines_are_logged_and_its_end_is_the_streams_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let pty = nix::pty::openpty(None, None).unwrap();
    let file = LogFile::open(&path, None, LogLimits::default()).unwrap();
    let mut log = ContainerLog::of_terminal(file, 0, pty.master.into()).unwrap();
    let pump = Pump::new(Journal::new().unwrap()).unwrap();
    File::from(pty.slave).write_all(b"hello\nprompt> ").unwrap();
    let mut turn = Turn::More;
    while turn != Turn::Ended {
        turn = pump.turn(&mut log, Stream::Stdout, Timestamp(0), &mut |_| {}).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("1970-01-01T00:00:00.000000000Z ", "");
    assert_eq!(text, "stdout F hello\nstdout P prompt> \n");
}
