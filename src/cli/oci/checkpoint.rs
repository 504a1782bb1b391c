//! `podrt checkpoint`, and what `restore` shares with it.

use std::path::{Path, PathBuf};

use super::flags::{Flag, Grammar, Typed, switch, value};
use super::process::absolute;
use super::report::{Failure, Outcome};
use super::verb::id;
use crate::cli::globals::Globals;
use crate::container::checkpoint::{
    self, CgroupMode, CheckpointOptions, Images, PageServer, Shared,
};
use crate::sys::prctl;

pub const IMAGE_PATH: Flag = value("image-path", "", "folder of criu's images (./checkpoint)");
pub const WORK_PATH: Flag = value("work-path", "", "folder of criu's logs (that of the images)");
pub const TCP_ESTABLISHED: Flag = switch("tcp-established", "", "allow open TCP connections");
pub const EXT_UNIX_SK: Flag = switch("ext-unix-sk", "", "allow UNIX sockets to the outside");
pub const SHELL_JOB: Flag = switch("shell-job", "", "allow shell jobs");
pub const FILE_LOCKS: Flag = switch("file-locks", "", "allow file locks");
pub const LAZY_PAGES: Flag = switch("lazy-pages", "", "move memory when it is needed");
pub const CGROUPS_MODE: Flag =
    value("manage-cgroups-mode", "", "criu's cgroup mode: soft, full, strict or ignore");
pub const EMPTY_NS: Flag =
    value("empty-ns", "", "leave out what is in this namespace: network only");
pub const AUTO_DEDUP: Flag = switch("auto-dedup", "", "free what of the images is used up");

pub const GRAMMAR: Grammar = Grammar {
    verb: "checkpoint",
    words: "ID",
    about: "Write a running container to files, by means of criu.",
    flags: &[
        IMAGE_PATH,
        WORK_PATH,
        value("parent-path", "", "images of an earlier --pre-dump, relative to --image-path"),
        switch("leave-running", "", "leave the container running"),
        TCP_ESTABLISHED,
        switch("tcp-skip-in-flight", "", "leave out TCP connections that are being made"),
        switch("link-remap", "", "allow open files that were unlinked"),
        EXT_UNIX_SK,
        SHELL_JOB,
        LAZY_PAGES,
        value("status-fd", "", "descriptor that gets a zero byte when pages can be fetched"),
        value("page-server", "", "ADDRESS:PORT that gets the pages of memory"),
        FILE_LOCKS,
        switch("pre-dump", "", "write memory only and leave the container running"),
        CGROUPS_MODE,
        EMPTY_NS,
        AUTO_DEDUP,
    ],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    let id = id(typed)?;
    prctl::default_sigchld();
    let status_fd = typed.number("status-fd")?.map(i32::try_from).transpose();
    let options = CheckpointOptions {
        images: images(typed)?,
        shared: shared(typed)?,
        parent: parent(typed)?,
        leave_running: typed.has("leave-running"),
        pre_dump: typed.has("pre-dump"),
        tcp_skip_in_flight: typed.has("tcp-skip-in-flight"),
        link_remap: typed.has("link-remap"),
        page_server: typed.text("page-server")?.map(page_server).transpose()?,
        status_fd: status_fd
            .map_err(|_| Failure::Contradiction("--status-fd: no descriptor".to_owned()))?,
    };
    let root = absolute(&globals.roots.root)?;
    checkpoint::checkpoint(&root, &id, &options).map_err(Failure::of("checkpoint", id.as_str()))?;
    Ok(0)
}

/// Callers ask by `--help` whether a runtime can do this.
///
/// # Errors
/// Where criu is not installed.
pub fn refusal(verb: &str) -> Option<Failure> {
    let asked = ["checkpoint", "restore"].contains(&verb);
    (asked && !checkpoint::installed()).then(|| {
        let why = "exec: \"criu\": executable file not found in $PATH";
        Failure::Contradiction(format!("{verb}: not supported: {why}"))
    })
}

pub fn images(typed: &Typed) -> Result<Images, Failure> {
    let folder = typed.value("image-path").map_or(Path::new("checkpoint"), Path::new);
    let work = typed.value("work-path").map(|path| absolute(Path::new(path))).transpose()?;
    Ok(Images { folder: absolute(folder)?, work })
}

pub fn shared(typed: &Typed) -> Result<Shared, Failure> {
    Ok(Shared {
        tcp_established: typed.has("tcp-established"),
        ext_unix_sk: typed.has("ext-unix-sk"),
        shell_job: typed.has("shell-job"),
        file_locks: typed.has("file-locks"),
        lazy_pages: typed.has("lazy-pages"),
        auto_dedup: typed.has("auto-dedup"),
        empty_network: empty_network(typed)?,
        cgroups: cgroups(typed)?,
    })
}

fn empty_network(typed: &Typed) -> Result<bool, Failure> {
    match typed.text("empty-ns")? {
        None => Ok(false),
        Some("network") => Ok(true),
        Some(other) => {
            Err(Failure::Contradiction(format!("--empty-ns: namespace {other:?} is not supported")))
        }
    }
}

fn cgroups(typed: &Typed) -> Result<CgroupMode, Failure> {
    let Some(name) = typed.text("manage-cgroups-mode")? else { return Ok(CgroupMode::default()) };
    CgroupMode::parse(name)
        .ok_or_else(|| Failure::Contradiction(format!("Invalid manage-cgroups-mode {name:?}")))
}

/// criu looks for it from the folder of the images.
fn parent(typed: &Typed) -> Result<Option<PathBuf>, Failure> {
    match typed.value("parent-path").map(PathBuf::from) {
        Some(path) if path.is_absolute() => {
            Err(Failure::Contradiction("--parent-path must be relative".to_owned()))
        }
        path => Ok(path),
    }
}

fn page_server(text: &str) -> Result<PageServer, Failure> {
    let server = text.rsplit_once(':').and_then(|(address, port)| {
        let address = address.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(PageServer { address, port: port.parse().ok()? })
    });
    server.filter(|server| !server.address.is_empty() && server.port != 0).ok_or_else(|| {
        Failure::Contradiction("Use --page-server ADDRESS:PORT to specify page server".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Typed {
        GRAMMAR.parse(line.split_whitespace().map(Into::into).collect()).unwrap()
    }

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        let parse = |text| page_server(text).ok().map(|server| (server.address, server.port));
        assert_eq!(parse("10.0.0.1:27"), Some(("10.0.0.1".to_owned(), 27)));
        assert_eq!(parse("[::1]:27"), Some(("::1".to_owned(), 27)));
        for bad in ["", ":27", "host", "host:0", "host:port", "host:70000"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_criu_is_not_asked_for_is_refused_by_name() {
        let error = |line| shared(&typed(line)).unwrap_err().to_string();
        assert!(error("--empty-ns pid x").contains("\"pid\""));
        assert!(error("--manage-cgroups-mode none x").contains("\"none\""));
        assert!(parent(&typed("--parent-path /abs x")).is_err());
        let all = "--empty-ns network --manage-cgroups-mode ignore --parent-path ../pre x";
        assert_eq!(shared(&typed(all)).unwrap().cgroups, CgroupMode::Ignore);
        assert!(shared(&typed(all)).unwrap().empty_network);
    }
}
