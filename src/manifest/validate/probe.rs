//! Probes and lifecycle hooks.

use super::check::Check;
use super::env::port_number;
use super::names;
use crate::manifest::path::Path;
use crate::manifest::schema::IntOrString;
use crate::manifest::types::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, PodOS, Probe,
    SleepAction, TCPSocketAction,
};

/// What the rules for hooks and probes need of the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct PodFacts<'a> {
    pub grace_seconds: Option<i64>,
    pub os: Option<&'a PodOS>,
}

/// Hooks and probes of a regular container or a sidecar.
pub(super) fn hooks_and_probes(
    check: &mut Check<'_>,
    container: &Container,
    pod: PodFacts<'_>,
    path: &Path<'_>,
) {
    if let Some(hooks) = &container.lifecycle {
        lifecycle(check, hooks, pod, &path.child("lifecycle"));
    }
    if let Some(probe) = &container.liveness_probe {
        let path = path.child("livenessProbe");
        self::probe(check, probe, pod, &path);
        success_threshold_is_one(check, probe, &path);
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.child("readinessProbe");
        self::probe(check, probe, pod, &path);
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let path = path.child("terminationGracePeriodSeconds");
            check.invalid(&path, seconds, "must not be set for readinessProbes");
        }
    }
    if let Some(probe) = &container.startup_probe {
        let path = path.child("startupProbe");
        self::probe(check, probe, pod, &path);
        success_threshold_is_one(check, probe, &path);
    }
}

fn success_threshold_is_one(check: &mut Check<'_>, probe: &Probe, path: &Path<'_>) {
    if probe.success_threshold != 1 {
        check.invalid(&path.child("successThreshold"), probe.success_threshold, "must be 1");
    }
}

fn probe(check: &mut Check<'_>, probe: &Probe, pod: PodFacts<'_>, path: &Path<'_>) {
    let handler = Handler {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    handler.check(check, pod, path);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (name, value) in numbers {
        check.not_negative(&path.child(name), i64::from(value));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds
        && seconds <= 0
    {
        let path = path.child("terminationGracePeriodSeconds");
        check.invalid(&path, seconds, "must be greater than 0");
    }
}

fn lifecycle(check: &mut Check<'_>, hooks: &Lifecycle, pod: PodFacts<'_>, path: &Path<'_>) {
    let handlers = [("postStart", &hooks.post_start), ("preStop", &hooks.pre_stop)];
    for (name, hook) in handlers {
        if let Some(hook) = hook {
            Handler::of_hook(hook).check(check, pod, &path.child(name));
        }
    }
    if let Some(signal) = &hooks.stop_signal {
        stop_signal(check, signal, pod.os, &path.child("stopSignal"));
    }
}

fn stop_signal(check: &mut Check<'_>, signal: &str, os: Option<&PodOS>, path: &Path<'_>) {
    match os.map(|os| os.name.as_str()) {
        None => check.forbidden(path, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") => check.one_of_if_set(path, signal, &["SIGKILL", "SIGTERM"]),
        Some("linux") => check.one_of_if_set(path, signal, &STOP_SIGNALS),
        Some(_) => {}
    }
}

/// Every signal a Linux container may name, sorted as the API server sorts.
const STOP_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// What probes and hooks may do; exactly one of it.
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> Handler<'a> {
    fn of_hook(hook: &'a LifecycleHandler) -> Self {
        Self {
            exec: hook.exec.as_ref(),
            http_get: hook.http_get.as_ref(),
            tcp_socket: hook.tcp_socket.as_ref(),
            grpc: None,
            sleep: hook.sleep.as_ref(),
        }
    }

    fn check(&self, check: &mut Check<'_>, pod: PodFacts<'_>, path: &Path<'_>) {
        let handlers = [
            ("exec", self.exec.is_some()),
            ("httpGet", self.http_get.is_some()),
            ("tcpSocket", self.tcp_socket.is_some()),
            ("grpc", self.grpc.is_some()),
            ("sleep", self.sleep.is_some()),
        ];
        let mut set = handlers.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name);
        let Some(first) = set.next() else {
            check.required(path, "must specify a handler type");
            return;
        };
        self.check_one(check, first, pod, &path.child(first));
        for name in set {
            check.forbidden(&path.child(name), "may not specify more than 1 handler type");
        }
    }

    fn check_one(&self, check: &mut Check<'_>, name: &str, pod: PodFacts<'_>, path: &Path<'_>) {
        match name {
            "exec" if self.exec.is_some_and(|exec| exec.command.is_empty()) => {
                check.required(&path.child("command"), "");
            }
            "httpGet" => self.http_get.into_iter().for_each(|http| http_get(check, http, path)),
            "tcpSocket" => {
                let port = self.tcp_socket.map(|socket| &socket.port);
                port.into_iter().for_each(|port| port_ref(check, port, &path.child("port")));
            }
            "grpc" => {
                let port = self.grpc.map(|grpc| grpc.port);
                port.into_iter().for_each(|port| port_number(check, port, &path.child("port")));
            }
            "sleep" => self.sleep.into_iter().for_each(|action| sleep(check, action, pod, path)),
            _ => {}
        }
    }
}

fn http_get(check: &mut Check<'_>, http: &HTTPGetAction, path: &Path<'_>) {
    if http.path.is_empty() {
        check.required(&path.child("path"), "");
    }
    port_ref(check, &http.port, &path.child("port"));
    check.one_of_if_set(&path.child("scheme"), &http.scheme, &["HTTP", "HTTPS"]);
    let headers = path.child("httpHeaders");
    for (index, header) in http.http_headers.iter().enumerate() {
        check.at(&headers.index(index).child("name"), |check| {
            check.invalid_each(&headers, &header.name, names::http_header(&header.name));
        });
    }
}

fn port_ref(check: &mut Check<'_>, port: &IntOrString, path: &Path<'_>) {
    match port {
        IntOrString::Int(port) => port_number(check, *port, path),
        IntOrString::String(name) => check.invalid_each(path, name, names::port_name(name)),
    }
}

fn sleep(check: &mut Check<'_>, sleep: &SleepAction, pod: PodFacts<'_>, path: &Path<'_>) {
    let Some(grace) = pod.grace_seconds else { return };
    if !(0..=grace).contains(&sleep.seconds) {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        check.invalid(path, sleep.seconds, &detail);
    }
}
