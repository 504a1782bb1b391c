//! What the end of a handler means for a probe or a hook, in the kubelet's
//! words. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lifecycle::event::ProbeResult;
use crate::model::ExitStatus;
use crate::model::plan::{Handler, PortRef, ProbePlan};
use crate::model::quote::go_quoted;
use crate::model::time::go_duration;
use crate::supervisor::probe::grpc::{Health, code_name};
use crate::supervisor::probe::http::Answer;
use crate::supervisor::probe::url::Url;

/// How a handler ended, before it is known what that means for a probe or a
/// hook.
#[derive(Debug)]
pub enum Outcome {
    /// A process ended by itself.
    Exited {
        status: ExitStatus,
        output: String,
        errors: String,
    },
    Connected,
    Answered {
        answer: Answer,
    },
    /// A redirect to another host, which is not followed.
    Elsewhere {
        answer: Answer,
    },
    /// It was tried, and the other side or the network did not play along.
    Failed(String),
    /// A health check was answered.
    Checked(Health),
    /// A health check was not answered in time.
    CheckTimedOut {
        address: SocketAddr,
        connected: bool,
    },
    /// An exec has not ended in time.
    TimedOut,
    /// It could not even be tried.
    Impossible(String),
    /// A sleep is over.
    Slept,
}

/// What an end counts as.
#[must_use]
pub fn probe_result(outcome: Outcome, probe: Option<&ProbePlan>) -> ProbeResult {
    match outcome {
        Outcome::Exited { status, .. } if status.success() => ProbeResult::Success,
        Outcome::Exited { output, .. } => ProbeResult::Failure(output),
        Outcome::Connected | Outcome::Slept => ProbeResult::Success,
        Outcome::Answered { answer, .. } => match answer.status {
            200..300 => ProbeResult::Success,
            300..400 => ProbeResult::Warning(redirect_warning(&answer)),
            status => ProbeResult::Failure(format!("HTTP probe failed with statuscode: {status}")),
        },
        Outcome::Elsewhere { answer } => ProbeResult::Warning(redirect_warning(&answer)),
        Outcome::Failed(message) => ProbeResult::Failure(message),
        Outcome::Checked(health) => health_result(health, probe),
        Outcome::CheckTimedOut { connected: true, .. } => ProbeResult::Failure(rpc_timeout(probe)),
        Outcome::CheckTimedOut { address, connected: false } => ProbeResult::Failure(format!(
            "timeout: failed to connect service \"{address}\" within {}: context deadline exceeded",
            timeout_of(probe)
        )),
        Outcome::TimedOut => ProbeResult::Failure(timeout_text(probe)),
        Outcome::Impossible(message) => ProbeResult::Error(message),
    }
}

/// In the words of the kubelet's grpc probe.
fn health_result(health: Health, probe: Option<&ProbePlan>) -> ProbeResult {
    const DEADLINE_EXCEEDED: u32 = 4;
    const UNIMPLEMENTED: u32 = 12;
    ProbeResult::Failure(match health {
        Health::Serving => return ProbeResult::Success,
        Health::Other(status) => format!("service unhealthy (responded with \"{status}\")"),
        Health::Status { code: DEADLINE_EXCEEDED, .. } => rpc_timeout(probe),
        Health::Status { code: UNIMPLEMENTED, message } => format!(
            "error: this server does not implement the grpc health protocol \
             (grpc.health.v1.Health): {message}"
        ),
        Health::Status { code, message } => format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {message}",
            code_name(code)
        ),
        Health::Broken(problem) => format!(
            "error: health rpc probe failed: rpc error: code = Unavailable desc = {problem}"
        ),
    })
}

fn rpc_timeout(probe: Option<&ProbePlan>) -> String {
    format!("timeout: health rpc did not complete within {}", timeout_of(probe))
}

fn timeout_of(probe: Option<&ProbePlan>) -> String {
    let seconds = probe.map_or(1, |probe| probe.timeout_seconds);
    go_duration(Duration::from_secs(u64::from(seconds)))
}

fn redirect_warning(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!("Probe terminated redirects, Response body: {body}")
}

fn timeout_text(probe: Option<&ProbePlan>) -> String {
    let Some(ProbePlan { handler: Handler::Exec { command }, timeout_seconds, .. }) = probe else {
        return "timeout".to_owned();
    };
    let after = go_duration(Duration::from_secs(u64::from(*timeout_seconds)));
    format!("command timed out: \"{}\" timed out after {after}", command.join(" "))
}

/// Whether a hook has failed, and the kubelet's text. Any answer of an HTTP
/// server is a success.
///
/// # Errors
/// The failure's text.
pub fn hook_result(
    outcome: Outcome,
    handler: &Handler,
    container: &str,
    pod: &str,
) -> Result<(), String> {
    let command = match handler {
        Handler::Exec { command } => command.join(" "),
        _ => String::new(),
    };
    let (error, output) = match outcome {
        Outcome::Exited { status, output, errors } if !status.success() => {
            let code = status.code();
            (format!("command '{command}' exited with {code}: {errors}"), output)
        }
        Outcome::Failed(error) | Outcome::Impossible(error) => (error, String::new()),
        _ => return Ok(()),
    };
    let place = format!("for Container \"{container}\" in Pod \"{pod}\" failed - error: {error}");
    Err(match handler {
        Handler::Exec { .. } => {
            format!("Exec lifecycle hook ([{command}]) {place}, message: {}", go_quoted(&output))
        }
        Handler::HttpGet(get) => format!("HTTP lifecycle hook ({}) {place}", get.path),
        Handler::Sleep { seconds } => format!("Sleep lifecycle hook ({seconds}) {place}"),
        Handler::TcpSocket { host, port } => invalid_handler(host.as_deref(), port),
        // The API has no such hook.
        Handler::Grpc { .. } => "Cannot run handler: invalid handler".to_owned(),
    })
}

/// tcpSocket hooks are accepted and never carried out; Go prints the handler.
fn invalid_handler(host: Option<&str>, port: &PortRef) -> String {
    let port = match port {
        PortRef::Number(number) => format!("{{0 {number} }}"),
        PortRef::Name(name) => format!("{{1 0 {name}}}"),
    };
    format!(
        "Cannot run handler: invalid handler: &LifecycleHandler{{Exec:nil,HTTPGet:nil,\
         TCPSocket:&TCPSocketAction{{Port:{port},Host:{},}},Sleep:nil,}}",
        host.unwrap_or_default()
    )
}

/// Go's text for a whole request that took too long.
pub const HTTP_TIMEOUT: &str =
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

/// A failure as Go's HTTP client tells it.
#[must_use]
pub fn get_error(url: &Url, cause: &str) -> String {
    format!("Get \"{url}\": {cause}")
}

/// A name that nobody knows, as Go's resolver tells it.
#[must_use]
pub fn no_such_host(host: &str) -> String {
    format!("dial tcp: lookup {host}: no such host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::HttpGet;

    fn exec() -> Handler {
        Handler::Exec { command: vec!["sh".to_owned(), "-c".to_owned(), "x".to_owned()] }
    }

    fn probe(handler: Handler) -> ProbePlan {
        ProbePlan {
            handler,
            initial_delay_seconds: 0,
            period_seconds: 10,
            timeout_seconds: 2,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_seconds: None,
        }
    }

    fn exited(code: u8) -> Outcome {
        let (output, errors) = ("out".to_owned(), "err\n".to_owned());
        Outcome::Exited { status: ExitStatus::Exited(code), output, errors }
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { answer: answer(status) }
    }

    fn answer(status: u16) -> Answer {
        Answer { status, location: None, body: b"body".to_vec() }
    }

    #[test]
    fn every_end_of_a_probe_has_the_kubelets_text() {
        let failure = |text: &str| ProbeResult::Failure(text.to_owned());
        let warning =
            ProbeResult::Warning("Probe terminated redirects, Response body: body".to_owned());
        let address: SocketAddr = "10.0.0.5:50051".parse().unwrap();
        let refused = Health::Status { code: 12, message: "unknown service".to_owned() };
        let missing = Health::Status { code: 5, message: "unknown service".to_owned() };
        let table = [
            (exited(0), ProbeResult::Success),
            (exited(1), failure("out")),
            (Outcome::Connected, ProbeResult::Success),
            (answered(200), ProbeResult::Success),
            (answered(304), warning.clone()),
            (Outcome::Elsewhere { answer: answer(302) }, warning),
            (answered(503), failure("HTTP probe failed with statuscode: 503")),
            (Outcome::Failed("dial".to_owned()), failure("dial")),
            (Outcome::Impossible("no".to_owned()), ProbeResult::Error("no".to_owned())),
            (Outcome::TimedOut, failure("command timed out: \"sh -c x\" timed out after 2s")),
            (Outcome::Checked(Health::Serving), ProbeResult::Success),
            (
                Outcome::Checked(Health::Other("NOT_SERVING")),
                failure("service unhealthy (responded with \"NOT_SERVING\")"),
            ),
            (
                Outcome::Checked(refused),
                failure(
                    "error: this server does not implement the grpc health protocol \
                     (grpc.health.v1.Health): unknown service",
                ),
            ),
            (
                Outcome::Checked(missing),
                failure(
                    "error: health rpc probe failed: rpc error: code = NotFound desc = unknown \
                     service",
                ),
            ),
            (
                Outcome::CheckTimedOut { address, connected: false },
                failure(
                    "timeout: failed to connect service \"10.0.0.5:50051\" within 2s: context \
                     deadline exceeded",
                ),
            ),
            (
                Outcome::CheckTimedOut { address, connected: true },
                failure("timeout: health rpc did not complete within 2s"),
            ),
        ];
        let plan = probe(exec());
        for (outcome, want) in table {
            let shown = format!("{outcome:?}");
            assert_eq!(probe_result(outcome, Some(&plan)), want, "{shown}");
        }
    }

    #[test]
    fn a_failed_hook_tells_who_it_was_and_what_it_said() {
        let judge = |outcome, handler: &Handler| hook_result(outcome, handler, "c", "web_ns(uid)");
        let http = Handler::HttpGet(HttpGet {
            https: false,
            host: None,
            port: PortRef::Number(80),
            path: "/x".to_owned(),
            headers: Vec::new(),
        });
        assert_eq!(judge(exited(0), &exec()), Ok(()));
        assert_eq!(judge(answered(500), &http), Ok(()));
        assert_eq!(
            judge(exited(3), &exec()).unwrap_err(),
            "Exec lifecycle hook ([sh -c x]) for Container \"c\" in Pod \"web_ns(uid)\" failed - \
             error: command 'sh -c x' exited with 3: err\n, message: \"out\""
        );
        assert_eq!(
            judge(Outcome::Failed("refused".to_owned()), &http).unwrap_err(),
            "HTTP lifecycle hook (/x) for Container \"c\" in Pod \"web_ns(uid)\" failed - error: \
             refused"
        );
    }
}
