//! The pod's sandbox: namespaces, network, shared memory, and the files that
//! follow from its addresses.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::mounts::PodFiles;
use super::{Driver, names};
use crate::container::{Namespace, NamespaceFds};
use crate::lifecycle::Event;
use crate::model::event::EventType;
use crate::model::plan::{ContainerPlan, NetworkMode, PodPlan};
use crate::model::spec::{SandboxPid, SandboxSpec, UserSpec};
use crate::network::{Network, Owner};
use crate::sandbox::{self, Sandbox, SandboxOptions, SandboxRecord};
use crate::store::atomic::{self, Durability};
use crate::supervisor::token::Token;
use crate::sys::SyscallError;
use crate::sys::process::{CloneFlags, setns};
use crate::volume::files::{HostsInput, hostname, hosts, resolv_conf};

/// The keeper holds the pod's shared memory under this key.
pub(super) const SHM_KEY: &str = "shm";

/// containerd's size of a pod's `/dev/shm`.
const SHM_BYTES: u64 = 64 << 20;

/// A sandbox that was made for this pod.
#[derive(Debug)]
pub struct PodSandbox {
    pub attempt: u32,
    pub record: SandboxRecord,
    /// `None` once pause is gone.
    live: Option<Sandbox>,
    pub pod_ips: Vec<String>,
    pub host_ips: Vec<String>,
}

impl Driver {
    /// Makes the sandbox, and the pod's own files of `/etc`.
    pub fn create_sandbox(&mut self, attempt: u32, cx: &mut Context<'_>) {
        let alive = self.sandbox.as_ref().is_some_and(|sandbox| {
            sandbox.attempt == attempt && sandbox.live.as_ref().is_some_and(Sandbox::is_alive)
        });
        let made = if alive { Ok(()) } else { self.make_sandbox(attempt, cx) };
        let event = match (made, &self.sandbox) {
            (Ok(()), Some(sandbox)) => Event::SandboxCreated {
                attempt,
                pod_ips: sandbox.pod_ips.clone(),
                host_ips: sandbox.host_ips.clone(),
            },
            (Ok(()), None) => return,
            (Err(message), _) => Event::SandboxFailed { attempt, message },
        };
        cx.tell(event);
    }

    fn make_sandbox(&mut self, attempt: u32, cx: &mut Context<'_>) -> Result<(), String> {
        let spec = sandbox_spec(cx.plan, attempt)?;
        let owner = owner(cx.plan);
        let network = Network::machine();
        let options = SandboxOptions { spec: &spec, owner: &owner, network: &network };
        let live = Sandbox::create(&options).map_err(|error| error.to_string())?;
        let text = |list: &[std::net::IpAddr]| list.iter().map(ToString::to_string).collect();
        let sandbox = PodSandbox {
            attempt,
            record: live.record().clone(),
            pod_ips: text(&live.attachment().addresses),
            host_ips: text(&network.attach_to_host().addresses),
            live: Some(live),
        };
        let begun = self.take_up(sandbox, cx).and_then(|()| write_files(self, cx));
        begun.map_err(|error| error.to_string())?;
        if attempt == 0 && cx.plan.sandbox.dns.cluster_dns_missing {
            note_missing_dns(cx);
        }
        Ok(())
    }

    /// Waits for the end of a living sandbox, and lets the keeper hold its
    /// memory.
    fn take_up(&mut self, sandbox: PodSandbox, cx: &mut Context<'_>) -> Result<(), SyscallError> {
        let attempt = sandbox.attempt;
        let sandbox = self.sandbox.insert(sandbox);
        let Some(live) = &sandbox.live else { return Ok(()) };
        if let Some(shm) = live.shm_fd() {
            let copy = shm.try_clone_to_owned();
            let copy = copy.map_err(|e| SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &e))?;
            cx.hold(SHM_KEY, Arc::new(copy));
        }
        cx.wait_for(live.pidfd(), Token::Pause(attempt))
    }

    /// After a start of the shim: the sandbox that an earlier one made.
    pub(super) fn find_sandbox(
        &mut self,
        attempt: u32,
        record: SandboxRecord,
        host_ips: Vec<String>,
        cx: &mut Context<'_>,
    ) {
        let shm = cx.keeper.held(SHM_KEY).and_then(|fd| fd.try_clone().ok());
        let live = Sandbox::from_record(record.clone(), shm).unwrap_or_else(|error| {
            tracing::error!(error = %error, "cannot take up sandbox");
            None
        });
        let pod_ips = record.attachment.addresses.iter().map(ToString::to_string).collect();
        let sandbox = PodSandbox { attempt, record, live, pod_ips, host_ips };
        if let Err(error) = self.take_up(sandbox, cx) {
            tracing::error!(error = %error, "cannot watch sandbox");
        }
    }

    /// Tells the loss of a sandbox that was found dead. To be called when the
    /// exits of the containers have been told: an earlier shim may have ended
    /// the sandbox because of them, and was killed before that was on record.
    pub fn tell_dead_sandbox(&self, cx: &mut Context<'_>) {
        if let Some(sandbox) = self.sandbox.as_ref().filter(|sandbox| sandbox.live.is_none()) {
            cx.tell(Event::SandboxExited { attempt: sandbox.attempt });
        }
    }

    /// Pause has ended.
    pub fn pause_ended(&mut self, attempt: u32, cx: &mut Context<'_>) {
        let Some(sandbox) = self.sandbox.as_ref().filter(|s| s.attempt == attempt) else { return };
        if let Some(live) = &sandbox.live {
            cx.epoll.remove(live.pidfd());
            cx.tell(Event::SandboxExited { attempt });
        }
    }

    /// Ends the sandbox; the pod's cgroup stays for a next one.
    pub fn stop_sandbox(&mut self, attempt: u32, cx: &mut Context<'_>) {
        if let Some(sandbox) = self.sandbox.as_mut()
            && let Err(error) = sandbox.stop(cx)
        {
            tracing::error!(error = %error, "cannot stop sandbox");
            self.last_error = Some(error.to_string());
        }
        cx.let_go(SHM_KEY);
        cx.tell(Event::SandboxStopped { attempt });
    }

    /// The shared memory of one more container.
    pub(super) fn shared_memory(&self) -> sandbox::Result<Option<OwnedFd>> {
        let live = self.sandbox.as_ref().and_then(|sandbox| sandbox.live.as_ref());
        live.map_or(Ok(None), Sandbox::shm_tree)
    }

    /// The namespaces that a container joins.
    pub(super) fn namespaces(&self, container: &ContainerPlan) -> Result<NamespaceFds, String> {
        let live = self.sandbox.as_ref().and_then(|sandbox| sandbox.live.as_ref());
        let live = live.ok_or("the pod has no sandbox")?;
        let target = container.target_container.as_ref();
        let mut fds = live.namespaces(target.is_some()).map_err(|error| error.to_string())?;
        let running = self.runs.values().find(|run| Some(&run.name) == target);
        if let Some(process) = running.and_then(super::Run::running) {
            let path = format!("/proc/{}/ns/pid", process.pid);
            let file =
                fs::File::open(&path).map_err(|error| format!("open \"{path}\": {error}"))?;
            fds.insert(Namespace::Pid, file.into());
        }
        Ok(fds)
    }
}

impl PodSandbox {
    fn stop(&mut self, cx: &Context<'_>) -> sandbox::Result<()> {
        let network = Network::machine();
        match self.live.take() {
            Some(mut live) => {
                cx.epoll.remove(live.pidfd());
                live.stop(&network)
            }
            None => Sandbox::clear(&self.record, &network),
        }
    }

    /// Calls `work` with the pod's network in place of the machine's; what it
    /// opens there stays there.
    ///
    /// # Errors
    /// The pod's network cannot be entered.
    pub fn inside_network<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        let text = |error: SyscallError| error.to_string();
        let live = self.live.as_ref().ok_or("the pod has no sandbox")?;
        let fds = live.namespaces(true).map_err(|error| error.to_string())?;
        let Some(theirs) = fds.get(&Namespace::Network) else { return Ok(work()) };
        let ours = fs::File::open("/proc/self/ns/net").map_err(|error| error.to_string())?;
        setns(theirs.as_fd(), CloneFlags::NEWNET).map_err(text)?;
        let result = work();
        if let Err(error) = setns(ours.as_fd(), CloneFlags::NEWNET) {
            // Every later probe and pod would use the wrong network: the next
            // shim starts in the right one.
            tracing::error!(error = %error, "cannot return to the machine's network");
            crate::sys::process::exit_now(1);
        }
        Ok(result)
    }
}

/// The addresses of the pod and of the machine, while there is a sandbox.
pub(super) fn addresses(sandbox: Option<&PodSandbox>) -> (&[String], &[String]) {
    sandbox.map_or((&[], &[]), |sandbox| (&sandbox.pod_ips, &sandbox.host_ips))
}

pub(super) fn owner(plan: &PodPlan) -> Owner {
    Owner { root: plan.roots.root.clone(), uid: plan.uid.clone() }
}

fn sandbox_spec(plan: &PodPlan, attempt: u32) -> Result<SandboxSpec, String> {
    let sandbox = &plan.sandbox;
    let id = names::sandbox_id(plan, attempt).ok_or("the uid makes no sandbox id")?;
    let mut additional_gids = sandbox.supplemental_groups.clone();
    additional_gids.extend(sandbox.fs_group);
    Ok(SandboxSpec {
        id,
        hostname: sandbox.hostname.clone(),
        network: sandbox.network,
        host_ipc: sandbox.host_ipc,
        pid: match (sandbox.host_pid, sandbox.share_process_namespace) {
            (true, _) => SandboxPid::Host,
            (_, true) => SandboxPid::Shared,
            _ => SandboxPid::PerContainer,
        },
        user: UserSpec {
            uid: sandbox.run_as_user.unwrap_or(PAUSE_USER),
            gid: sandbox.run_as_group.unwrap_or(PAUSE_USER),
            additional_gids,
        },
        sysctls: sandbox.sysctls.clone(),
        cgroup: names::pod_cgroup(plan),
        resources: sandbox.resources.clone(),
        shm_size_bytes: SHM_BYTES,
    })
}

/// The user of the pause image.
const PAUSE_USER: u32 = 65535;

/// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of the pod.
fn write_files(driver: &Driver, cx: &mut Context<'_>) -> Result<(), SyscallError> {
    let plan = cx.plan;
    let files = PodFiles::new(&plan.roots.pod_data(&plan.uid));
    let pod_ips = driver.sandbox.as_ref().map_or(&[][..], |sandbox| &sandbox.pod_ips);
    let own = match plan.sandbox.network {
        NetworkMode::Host => fs::read_to_string("/etc/hosts").ok(),
        NetworkMode::None | NetworkMode::Bridge => None,
    };
    let input = HostsInput {
        host_file: own.as_deref(),
        pod_ips,
        hostname: &plan.sandbox.hostname,
        domain: plan.sandbox.domain.as_deref(),
        aliases: &plan.sandbox.host_aliases,
    };
    let resolver = resolv_conf(&plan.sandbox.dns, &host_resolv_conf());
    for message in resolver.warnings {
        note(cx, EventType::Warning, "DNSConfigForming", message);
    }
    write(&files.hosts, &hosts(&input))?;
    write(&files.hostname, &hostname(&plan.sandbox.hostname))?;
    write(&files.resolv_conf, &resolver.text)
}

fn write(path: &Path, text: &str) -> Result<(), SyscallError> {
    let written = atomic::write_with_mode(path, text.as_bytes(), 0o644, Durability::Volatile);
    written.map_err(|error| match error {
        crate::store::Error::File { cause, .. } => cause,
        other => SyscallError::new("write", other.to_string(), nix::errno::Errno::EIO),
    })
}

/// The machine's own file; where that only names systemd's local resolver,
/// which a pod cannot reach, the list that resolver itself asks.
fn host_resolv_conf() -> String {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if own.contains("nameserver 127.0.0.53") {
        return fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(own);
    }
    own
}

fn note_missing_dns(cx: &mut Context<'_>) {
    let message = format!(
        "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \
         \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
        cx.plan.kubelet_name()
    );
    note(cx, EventType::Warning, "MissingClusterDNS", message);
}

fn note(cx: &mut Context<'_>, r#type: EventType, reason: &str, message: String) {
    let reason = reason.to_owned();
    cx.tell(Event::Noted { r#type, reason, message, container: None });
}
