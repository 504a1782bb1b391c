//! Probes and hooks.

use super::seconds;
use crate::manifest::schema::IntOrString;
use crate::manifest::types::{
    ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use crate::model::plan::{Handler, HookPlan, HttpGet, PortRef, ProbePlan};

pub(super) fn probe(probe: &Probe) -> Option<ProbePlan> {
    let handler = exec(probe.exec.as_ref())
        .or_else(|| http_get(probe.http_get.as_ref()))
        .or_else(|| tcp_socket(probe.tcp_socket.as_ref()))
        .or_else(|| grpc(probe.grpc.as_ref()))?;
    let number = |value: i32| seconds(i64::from(value));
    Some(ProbePlan {
        handler,
        initial_delay_seconds: number(probe.initial_delay_seconds),
        period_seconds: number(probe.period_seconds),
        timeout_seconds: number(probe.timeout_seconds),
        success_threshold: number(probe.success_threshold),
        failure_threshold: number(probe.failure_threshold),
        termination_grace_seconds: probe.termination_grace_period_seconds.map(seconds),
    })
}

pub(super) fn hook(hook: &LifecycleHandler) -> Option<HookPlan> {
    let sleep = || {
        let seconds = hook.sleep.as_ref().map(|sleep| seconds(sleep.seconds));
        seconds.map(|seconds| Handler::Sleep { seconds })
    };
    let handler = exec(hook.exec.as_ref())
        .or_else(|| http_get(hook.http_get.as_ref()))
        .or_else(|| tcp_socket(hook.tcp_socket.as_ref()))
        .or_else(sleep)?;
    Some(HookPlan { handler })
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn exec(action: Option<&ExecAction>) -> Option<Handler> {
    action.map(|action| Handler::Exec { command: action.command.clone() })
}

fn http_get(action: Option<&HTTPGetAction>) -> Option<Handler> {
    let action = action?;
    Some(Handler::HttpGet(HttpGet {
        https: action.scheme == "HTTPS",
        host: text(&action.host),
        port: port(&action.port),
        path: action.path.clone(),
        headers: action.http_headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
    }))
}

fn tcp_socket(action: Option<&TCPSocketAction>) -> Option<Handler> {
    action.map(|action| Handler::TcpSocket { host: text(&action.host), port: port(&action.port) })
}

fn grpc(action: Option<&GRPCAction>) -> Option<Handler> {
    action.map(|action| Handler::Grpc {
        port: port_number(action.port),
        service: action.service.clone().unwrap_or_default(),
    })
}

fn port(port: &IntOrString) -> PortRef {
    match port {
        IntOrString::Int(number) => PortRef::Number(port_number(*number)),
        IntOrString::String(name) => PortRef::Name(name.clone()),
    }
}

/// Ports were checked to lie within 16 bits.
pub(super) fn port_number(port: i32) -> u16 {
    u16::try_from(port).unwrap_or(0)
}
