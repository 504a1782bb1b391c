//! `delete`: pods end and everything of them goes; other objects just go.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::node;
use crate::model::{PodKey, PodUid, Roots};
use crate::store::objects::{ObjectKey, ObjectStore};
use crate::store::pods::PodStore;
use crate::supervisor;
use crate::supervisor::client::{self, Client};
use crate::supervisor::control::protocol::StopOrder;

use super::args::DeleteArgs;
use super::meta;
use super::selector::Selector;
use super::source;
use super::types::{ResourceType, resources};
use super::view::{self, Query};

/// How a pod is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    grace_seconds: Option<u32>,
    force: bool,
    /// Give up waiting then.
    until: Option<Instant>,
}

/// How long the shim of a pod that is to end at once may take, before its pod
/// is taken down without it.
const FORCED: Duration = Duration::from_secs(30);

/// How long a shim may take to note an order.
const PROMPT: Duration = Duration::from_secs(10);

impl How {
    /// With the pod's own grace period.
    #[must_use]
    pub fn graceful() -> Self {
        Self { grace_seconds: None, force: false, until: None }
    }

    /// At once.
    #[must_use]
    pub fn forced() -> Self {
        Self { grace_seconds: Some(0), force: true, until: None }
    }

    /// Within so many seconds, at least one.
    #[must_use]
    pub fn within(seconds: u32) -> Self {
        Self { grace_seconds: Some(seconds.max(1)), force: false, until: None }
    }

    /// kubectl's rules for the flags.
    fn from_args(args: &DeleteArgs) -> Result<Self, CliError> {
        let refuse = |text: &str| Err(CliError::Refused(text.to_owned()));
        if args.force && args.grace_period > 0 {
            return refuse(
                "--force and --grace-period greater than 0 cannot be specified together",
            );
        }
        if args.now && args.grace_period >= 0 {
            return refuse("--now and --grace-period cannot be specified together");
        }
        // As kubectl has it, 0 is no limit.
        let timeout = args.timeout.filter(|timeout| !timeout.is_zero());
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if args.force {
            return Ok(Self { until, ..Self::forced() });
        }
        let grace_seconds = match args.grace_period {
            _ if args.now => Some(1),
            0 => Some(1),
            seconds if seconds > 0 => Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            _ => None,
        };
        Ok(Self { grace_seconds, force: false, until })
    }

    /// Until when an answer of the shim is waited for.
    fn patience(&self, otherwise: Option<Duration>) -> Option<Instant> {
        let otherwise = if self.force { Some(FORCED) } else { otherwise };
        self.until.or_else(|| Instant::now().checked_add(otherwise?))
    }

    /// What a shim is told.
    #[must_use]
    pub fn order(&self) -> StopOrder {
        StopOrder {
            grace_seconds: self.grace_seconds,
            force: self.force,
            delete: true,
            reason: None,
            message: None,
        }
    }
}

/// Ends a pod and removes everything of it. With `wait` it returns when
/// nothing is left; without, the pod is only told. False when there was none.
///
/// # Errors
/// The shim's and the store's.
pub fn pod(roots: &Roots, key: &PodKey, how: &How, wait: bool) -> Result<bool, CliError> {
    let room = |e: crate::store::Error| CliError::room(&e, e.kind());
    let supervisor = |e: supervisor::Error| CliError::room(&e, e.kind());
    let objects = ObjectStore::new(roots.objects());
    let object = ObjectKey::new(Some(&key.namespace), "Pod", &key.name).map_err(room)?;
    let Some(record) = PodStore::new(&roots.root).find(key).map_err(room)? else {
        let Some(stored) = objects.delete(&object).map_err(room)? else { return Ok(false) };
        // What it left before the last reboot.
        let uid = stored["metadata"]["uid"].as_str().and_then(|uid| PodUid::new(uid).ok());
        if let Some(uid) = uid {
            client::remove_folders(roots, key, &uid).map_err(supervisor)?;
        }
        return Ok(true);
    };
    match end(roots, record.uid(), how, wait) {
        Ok(Ended::Later) => return Ok(true),
        Ok(Ended::Now) => client::remove_ended(roots, record.uid()).map_err(supervisor)?,
        // Whatever is wrong with the shim: a pod can be got rid of.
        Err(_) if how.force => client::take_down(roots, record.uid()).map_err(supervisor)?,
        Err(supervisor::Error::TooSlow { .. }) if wait => return Err(gave_up(key)),
        Err(error) => return Err(supervisor(error)),
    }
    let stored = objects.get(&object).map_err(room)?;
    let uid = |value: &Value| value["metadata"]["uid"].as_str() == Some(record.uid().as_str());
    if stored.as_ref().is_some_and(uid) {
        objects.delete(&object).map_err(room)?;
    }
    Ok(true)
}

/// How far a pod's end has come.
enum Ended {
    /// Nothing is left but its records.
    Now,
    /// It was told to.
    Later,
}

fn end(roots: &Roots, uid: &PodUid, how: &How, wait: bool) -> supervisor::Result<Ended> {
    let Some(client) = Client::connect(roots, uid)? else { return Ok(Ended::Now) };
    if wait {
        return client.stop_and_wait(how.order(), how.patience(None)).map(|()| Ended::Now);
    }
    client.stop(how.order(), how.patience(Some(PROMPT))).map(|()| Ended::Later)
}

/// In kubectl's words.
fn gave_up(key: &PodKey) -> CliError {
    CliError::Refused(format!("timed out waiting for the condition on pods/{}", key.name))
}

/// What one verb deletes.
struct Target {
    kind: ResourceType,
    key: PodKey,
}

/// Runs the verb: a line for each object, as it goes.
///
/// # Errors
/// The first object that is not there or cannot be removed; the others are
/// tried all the same.
pub fn run(args: &DeleteArgs, roots: &Roots) -> Result<(), CliError> {
    let how = How::from_args(args)?;
    if how.force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource \
             has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut result = Ok(());
    let targets = targets(args, roots)?;
    if targets.len() > 1 {
        tell_all(roots, &targets, &how);
    }
    for target in targets {
        match one(args, roots, &target, &how) {
            Ok(true) => report(args, &target, &how),
            Ok(false) if args.ignore_not_found => {}
            Ok(false) => {
                let name = target.key.name;
                result = result.and(Err(CliError::NotFound { kind: target.kind.plural(), name }));
            }
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Asks every pod to end before the first is waited for, so that their grace
/// periods pass side by side. What fails here fails again, and is reported,
/// when its turn comes.
fn tell_all(roots: &Roots, targets: &[Target], how: &How) {
    let pods = PodStore::new(&roots.root);
    for target in targets.iter().filter(|target| target.kind == ResourceType::Pod) {
        if refuse_static(roots, &target.key).is_err() {
            continue;
        }
        let Ok(Some(record)) = pods.find(&target.key) else { continue };
        if let Ok(Some(client)) = Client::connect(roots, record.uid()) {
            let _ = client.tell_to_stop(how.order());
        }
    }
}

fn one(args: &DeleteArgs, roots: &Roots, target: &Target, how: &How) -> Result<bool, CliError> {
    let Target { kind, key } = target;
    if *kind == ResourceType::Pod {
        refuse_static(roots, key)?;
        return pod(roots, key, how, args.wait);
    }
    object(roots, *kind, key, how)
}

/// A node would only begin the pod again.
fn refuse_static(roots: &Roots, key: &PodKey) -> Result<(), CliError> {
    let record = PodStore::new(&roots.root).find(key).map_err(|e| CliError::room(&e, e.kind()))?;
    let is_static = record.is_some_and(|record| record.plan().is_ok_and(|plan| plan.is_static));
    if is_static && node::is_running(roots) {
        return Err(CliError::Refused(format!("pod {:?} is a static pod", key.name))
            .hint("remove its manifest from the folder of podrt node"));
    }
    Ok(())
}

/// Deletes one object of any type, waiting for a pod's end; false when there
/// was none.
///
/// # Errors
/// The shim's and the store's.
pub fn object(
    roots: &Roots,
    kind: ResourceType,
    key: &PodKey,
    how: &How,
) -> Result<bool, CliError> {
    if kind == ResourceType::Pod {
        return pod(roots, key, how, true);
    }
    let room = |e: crate::store::Error| CliError::room(&e, e.kind());
    let namespace = kind.is_namespaced().then_some(key.namespace.as_str());
    let key = ObjectKey::new(namespace, kind.kind(), &key.name).map_err(room)?;
    Ok(ObjectStore::new(roots.objects()).delete(&key).map_err(room)?.is_some())
}

fn report(args: &DeleteArgs, target: &Target, how: &How) {
    let Target { kind, key } = target;
    if args.output == "name" {
        println!("{}/{}", kind.singular(), key.name);
    } else {
        println!("{}", report_line(*kind, key, *how));
    }
}

/// `pod "web" deleted from default namespace`
#[must_use]
pub fn report_line(kind: ResourceType, key: &PodKey, how: How) -> String {
    let verb = if how.force { "force deleted" } else { "deleted" };
    let place = if kind.is_namespaced() {
        format!(" from {} namespace", key.namespace)
    } else {
        String::new()
    };
    format!("{} {:?} {verb}{place}", kind.singular(), key.name)
}

fn targets(args: &DeleteArgs, roots: &Roots) -> Result<Vec<Target>, CliError> {
    if !["", "name"].contains(&args.output.as_str()) {
        return Err(CliError::Refused(format!(
            "unexpected -o output mode: {}. We only support '-o name'",
            args.output
        )));
    }
    if args.all && !args.selector.is_empty() {
        return Err(CliError::Refused(
            "setting 'all' parameter but found a non empty selector.".into(),
        ));
    }
    if !args.files.names.is_empty() {
        return from_files(args);
    }
    // A single word that is no type is the name of a pod.
    let bare = match args.what.as_slice() {
        [] => return Err(CliError::Refused(NOTHING.into())),
        words if ResourceType::parse(&words[0]).is_none() && !words[0].contains('/') => true,
        _ => false,
    };
    if bare {
        let keys = args.what.iter().map(|name| args.scope.key(name));
        return Ok(keys.map(|key| Target { kind: ResourceType::Pod, key }).collect());
    }
    let mut targets = Vec::new();
    for (kind, name) in resources(&args.what)? {
        match name {
            Some(name) => targets.push(Target { kind, key: args.scope.key(&name) }),
            None if args.all || !args.selector.is_empty() => {
                targets.extend(selected(args, roots, kind)?);
            }
            None => {
                return Err(CliError::Refused(
                    "resource(s) were provided, but no name was specified".into(),
                ));
            }
        }
    }
    Ok(targets)
}

const NOTHING: &str = "You must provide one or more resources by argument or filename.";

fn from_files(args: &DeleteArgs) -> Result<Vec<Target>, CliError> {
    let given = source::objects(&args.files, &args.scope.scope)?;
    let targets = given.iter().map(source::Given::target);
    targets.map(|target| target.map(|(kind, key)| Target { kind, key })).collect()
}

fn selected(args: &DeleteArgs, roots: &Roots, kind: ResourceType) -> Result<Vec<Target>, CliError> {
    let namespace = args.scope.query_namespace();
    if kind == ResourceType::Pod {
        let selector = Selector::parse(&args.selector)?;
        let views = view::list(roots, &Query { namespace, selector })?;
        return Ok(views.into_iter().map(|view| Target { kind, key: view.key }).collect());
    }
    let selector = Selector::parse(&args.selector)?;
    let namespace = namespace.filter(|_| kind.is_namespaced());
    let found = meta::selected(roots, kind, namespace.as_deref(), &selector)?;
    Ok(found.into_iter().map(|(kind, key)| Target { kind, key }).collect())
}
