//! A container's environment, command and arguments, as the kubelet assembles
//! them. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::downward::Facts;
use super::env_file;
use crate::model::expansion::expand;
use crate::model::plan::{ContainerPlan, EnvValue, EnvVar, ObjectKind, ObjectRef};
use crate::model::quote::go_quoted;

/// What containerd gives a process that nobody gave a PATH.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names and values; a name appears once, in the order it was first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    list: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
}

impl Variables {
    /// Sets a variable, in place of an older one of that name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.index.get(&name).and_then(|&at| self.list.get_mut(at)) {
            Some((_, old)) => *old = value,
            None => {
                self.index.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).and_then(|&at| self.list.get(at)).map(|(_, value)| value.as_str())
    }

    /// Replaces the `$(NAME)` references to these in `text`.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        expand(text, |name| self.get(name))
    }
}

/// Where values come from that are not in the plan.
pub trait Sources {
    /// The text keys of an object of the pod's namespace (a ConfigMap's
    /// `data`, a Secret's decoded `data`); `None` when it does not exist.
    ///
    /// # Errors
    /// Why the object cannot be read.
    fn keys(
        &self,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, String>;

    /// A file of an emptyDir volume.
    ///
    /// # Errors
    /// Why the file cannot be read.
    fn file(&self, volume: &str, path: &str) -> Result<String, String>;
}

/// Why an environment cannot be made, in the kubelet's words.
#[derive(Debug, Clone, PartialEq)]
pub enum EnvError {
    ObjectNotFound { object: ObjectRef },
    KeyNotFound { object: ObjectRef, namespace: String, key: String },
    ObjectUnreadable { cause: String },
    EnvFile { cause: String },
    FileKeyNotFound { key: String, path: String },
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectNotFound { object } => {
                let kind = match object.kind {
                    ObjectKind::ConfigMap => "configmap",
                    ObjectKind::Secret => "secret",
                };
                write!(f, "{kind} {} not found", go_quoted(&object.name))
            }
            Self::KeyNotFound { object, namespace, key } => {
                let kind = match object.kind {
                    ObjectKind::ConfigMap => "ConfigMap",
                    ObjectKind::Secret => "Secret",
                };
                write!(f, "couldn't find key {key} in {kind} {namespace}/{}", object.name)
            }
            Self::ObjectUnreadable { cause } => f.write_str(cause),
            Self::EnvFile { cause } => write!(f, "couldn't parse env file: {cause}"),
            Self::FileKeyNotFound { key, path } => write!(
                f,
                "environment variable key {} not found in file {}",
                go_quoted(key),
                go_quoted(path)
            ),
        }
    }
}

impl std::error::Error for EnvError {}

/// The variables of the pod's manifest: envFrom, then env; later ones replace
/// earlier ones, and a value sees what is set before it.
///
/// # Errors
/// [`EnvError`], at the first value that cannot be had and is not optional.
pub fn variables(
    container: &ContainerPlan,
    facts: &Facts<'_>,
    sources: &dyn Sources,
) -> Result<Variables, EnvError> {
    let mut set = Variables::default();
    for from in &container.env_from {
        for (key, value) in object(&from.source, sources)?.unwrap_or_default() {
            set.set(format!("{}{key}", from.prefix), value);
        }
    }
    for variable in &container.env {
        if let Some(value) = value(variable, &set, facts, sources)? {
            set.set(variable.name.clone(), value);
        }
    }
    Ok(set)
}

/// A variable's value; `None`: it is optional and absent, an earlier definition
/// stays.
fn value(
    variable: &EnvVar,
    set: &Variables,
    facts: &Facts<'_>,
    sources: &dyn Sources,
) -> Result<Option<String>, EnvError> {
    Ok(match &variable.value {
        EnvValue::Literal(text) => Some(set.expand(text)),
        EnvValue::Field(field) => Some(facts.field(field)),
        EnvValue::Resource(resource) => Some(facts.resource(resource)),
        EnvValue::Key { object: from, key } => {
            let Some(mut keys) = object(from, sources)? else { return Ok(None) };
            match keys.remove(key) {
                None if !from.optional => {
                    let namespace = facts.plan.namespace.clone();
                    let (object, key) = (from.clone(), key.clone());
                    return Err(EnvError::KeyNotFound { object, namespace, key });
                }
                found => found,
            }
        }
        EnvValue::FileKey { volume, path, key, optional } => {
            let cause = |cause| EnvError::EnvFile { cause };
            let text = sources.file(volume, path).map_err(cause)?;
            let found = env_file::find(&text, key)
                .map_err(|_| cause(format!("invalid format in file {}", go_quoted(path))))?;
            if found.is_none() && !optional {
                let (key, path) = (key.clone(), path.clone());
                return Err(EnvError::FileKeyNotFound { key, path });
            }
            found
        }
    })
}

/// An object's keys; `None`: it is optional and absent.
fn object(
    object: &ObjectRef,
    sources: &dyn Sources,
) -> Result<Option<BTreeMap<String, String>>, EnvError> {
    let found = sources
        .keys(object.kind, &object.name)
        .map_err(|cause| EnvError::ObjectUnreadable { cause })?;
    if found.is_none() && !object.optional {
        return Err(EnvError::ObjectNotFound { object: object.clone() });
    }
    Ok(found)
}

/// The process's whole environment: defaults, the image's, the manifest's.
#[must_use]
pub fn process_environment(
    hostname: &str,
    tty: bool,
    image: &[String],
    manifest: &Variables,
) -> Vec<String> {
    let mut set = Variables::default();
    let term = tty.then_some("TERM=xterm");
    for variable in [DEFAULT_PATH].into_iter().chain(term) {
        insert(&mut set, variable);
    }
    set.set("HOSTNAME", hostname);
    for variable in image {
        insert(&mut set, variable);
    }
    for (name, value) in &manifest.list {
        set.set(name.clone(), value.clone());
    }
    set.list.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// `NAME=value`; without `=` it is a name with an empty value.
fn insert(set: &mut Variables, variable: &str) {
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    set.set(name, value);
}

/// The process's arguments: a command in the manifest replaces entrypoint and
/// cmd of the image, arguments alone replace its cmd.
#[must_use]
pub fn arguments(
    container: &ContainerPlan,
    entrypoint: &[String],
    cmd: &[String],
    variables: &Variables,
) -> Vec<String> {
    let given = |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).cloned();
    let expanded = |list: Vec<String>| list.iter().map(|text| variables.expand(text)).collect();
    let (command, args) = (given(&container.command), given(&container.args));
    let (first, second): (Vec<String>, Vec<String>) = match (command, args) {
        (None, None) => (entrypoint.to_vec(), cmd.to_vec()),
        (Some(command), args) => (expanded(command), expanded(args.unwrap_or_default())),
        (None, Some(args)) => (entrypoint.to_vec(), expanded(args)),
    };
    first.into_iter().chain(second).collect()
}

/// The literal `env` entries alone, which is all that the command of an exec
/// probe may refer to.
#[must_use]
pub fn literals(container: &ContainerPlan) -> Variables {
    let mut set = Variables::default();
    for variable in &container.env {
        if let EnvValue::Literal(text) = &variable.value {
            let value = set.expand(text);
            set.set(variable.name.clone(), value);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::{EnvFrom, FieldRef, PodPlan, ResourceRef};
    use crate::supervisor::process::downward::Node;
    use crate::supervisor::testing::{container, pod};

    /// ConfigMap `c` with A and B, Secret `s` with A, file `v/f` with K.
    struct Objects;

    impl Sources for Objects {
        fn keys(
            &self,
            kind: ObjectKind,
            name: &str,
        ) -> Result<Option<BTreeMap<String, String>>, String> {
            let keys: &[(&str, &str)] = match (kind, name) {
                (ObjectKind::ConfigMap, "c") => &[("A", "c-a"), ("B", "c-b")],
                (ObjectKind::Secret, "s") => &[("A", "s-a")],
                (_, "broken") => return Err("read record \"x\": EOF".to_owned()),
                _ => return Ok(None),
            };
            Ok(Some(keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
        }

        fn file(&self, volume: &str, path: &str) -> Result<String, String> {
            match (volume, path) {
                ("v", "f") => Ok("K='from file'\n".to_owned()),
                ("v", "bad") => Ok("K=x\n".to_owned()),
                _ => Err("no such file or directory".to_owned()),
            }
        }
    }

    fn reference(kind: ObjectKind, name: &str, optional: bool) -> ObjectRef {
        ObjectRef { kind, name: name.to_owned(), optional }
    }

    fn config(name: &str, optional: bool) -> ObjectRef {
        reference(ObjectKind::ConfigMap, name, optional)
    }

    fn secret(name: &str, optional: bool) -> ObjectRef {
        reference(ObjectKind::Secret, name, optional)
    }

    fn from(prefix: &str, source: ObjectRef) -> EnvFrom {
        EnvFrom { prefix: prefix.to_owned(), source }
    }

    fn key(object: ObjectRef, key: &str) -> EnvValue {
        EnvValue::Key { object, key: key.to_owned() }
    }

    fn file_key(path: &str, key: &str, optional: bool) -> EnvValue {
        let (volume, path, key) = ("v".to_owned(), path.to_owned(), key.to_owned());
        EnvValue::FileKey { volume, path, key, optional }
    }

    fn literal(text: &str) -> EnvValue {
        EnvValue::Literal(text.to_owned())
    }

    fn assemble(env_from: Vec<EnvFrom>, env: Vec<(&str, EnvValue)>) -> Result<String, String> {
        let mut plan: PodPlan = pod();
        plan.labels.insert("app".to_owned(), "shop".to_owned());
        let node = Node { cpu_milli: 2000, memory_bytes: 1 << 30, storage_bytes: 0 };
        let pod_ips = ["10.0.0.2".to_owned(), "fd00::2".to_owned()];
        let facts = Facts { plan: &plan, pod_ips: &pod_ips, host_ips: &[], node };
        let env =
            env.into_iter().map(|(name, value)| EnvVar { name: name.to_owned(), value }).collect();
        let container = ContainerPlan { env_from, env, ..container() };
        let set = variables(&container, &facts, &Objects).map_err(|e| e.to_string())?;
        let list: Vec<String> = set.list.iter().map(|(n, v)| format!("{n}={v}")).collect();
        Ok(list.join(" "))
    }

    #[test]
    fn later_definitions_replace_earlier_ones_and_prefixes_count() {
        let all = assemble(
            vec![from("", config("c", false)), from("P_", secret("s", false))],
            vec![("B", literal("own")), ("C", key(secret("s", false), "A"))],
        );
        assert_eq!(all.as_deref(), Ok("A=c-a B=own P_A=s-a C=s-a"));
    }

    #[test]
    fn a_value_sees_what_is_set_before_it_and_not_what_comes_after() {
        let all = assemble(
            vec![from("", config("c", false))],
            vec![("X", literal("$(A)-$(Y)-$$(A)")), ("Y", literal("y")), ("Z", literal("$(Y)"))],
        );
        assert_eq!(all.as_deref(), Ok("A=c-a B=c-b X=c-a-$(Y)-$(A) Y=y Z=y"));
    }

    #[test]
    fn an_optional_absence_leaves_the_earlier_definition_in_force() {
        let all = assemble(
            vec![from("", config("c", false)), from("", secret("none", true))],
            vec![
                ("A", key(config("c", true), "none")),
                ("B", key(config("none", true), "x")),
                ("N", file_key("f", "none", true)),
            ],
        );
        assert_eq!(all.as_deref(), Ok("A=c-a B=c-b"));
    }

    #[test]
    fn the_pod_and_its_node_tell_of_themselves() {
        let all = assemble(
            Vec::new(),
            vec![
                ("IP", EnvValue::Field(FieldRef::PodIp)),
                ("IPS", EnvValue::Field(FieldRef::PodIps)),
                ("HOST", EnvValue::Field(FieldRef::HostIp)),
                ("APP", EnvValue::Field(FieldRef::Label("app".to_owned()))),
                ("CPU", EnvValue::Resource(ResourceRef::NodeCpu { divisor_milli: 1000 })),
                ("MIB", EnvValue::Resource(ResourceRef::NodeMemory { divisor: 1 << 20 })),
                ("LIMIT", EnvValue::Resource(ResourceRef::Value(64))),
                ("FILE", file_key("f", "K", false)),
            ],
        );
        let want = "IP=10.0.0.2 IPS=10.0.0.2,fd00::2 HOST= APP=shop CPU=2 MIB=1024 LIMIT=64 \
                    FILE=from file";
        assert_eq!(all.as_deref(), Ok(want));
    }

    #[test]
    fn what_is_missing_is_told_in_the_kubelets_words() {
        let table = [
            (key(config("none", false), "x"), "configmap \"none\" not found"),
            (key(secret("none", false), "x"), "secret \"none\" not found"),
            (key(config("c", false), "x"), "couldn't find key x in ConfigMap default/c"),
            (key(secret("s", false), "x"), "couldn't find key x in Secret default/s"),
            (key(config("broken", true), "x"), "read record \"x\": EOF"),
            (file_key("none", "K", true), "couldn't parse env file: no such file or directory"),
            (file_key("bad", "K", true), "couldn't parse env file: invalid format in file \"bad\""),
            (file_key("f", "X", false), "environment variable key \"X\" not found in file \"f\""),
        ];
        for (value, want) in table {
            assert_eq!(assemble(Vec::new(), vec![("V", value)]), Err(want.to_owned()));
        }
        let missing = assemble(vec![from("", config("none", false))], Vec::new());
        assert_eq!(missing, Err("configmap \"none\" not found".to_owned()));
    }

    #[test]
    fn defaults_then_the_image_then_the_manifest_make_the_process_environment() {
        let mut manifest = Variables::default();
        manifest.set("A", "manifest");
        let image = ["PATH=/image", "A=image", "EMPTY"].map(str::to_owned);
        let env = process_environment("web", true, &image, &manifest);
        assert_eq!(env, ["PATH=/image", "TERM=xterm", "HOSTNAME=web", "A=manifest", "EMPTY="]);
        let env = process_environment("web", false, &[], &Variables::default());
        assert_eq!(env, [DEFAULT_PATH, "HOSTNAME=web"]);
    }

    #[test]
    fn command_and_args_replace_what_the_image_says() {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
        let mut set = Variables::default();
        set.set("A", "1");
        let table = [
            (None, None, vec!["entry", "cmd"]),
            (list(&[]), list(&[]), vec!["entry", "cmd"]),
            (list(&["run", "$(A)"]), None, vec!["run", "1"]),
            (None, list(&["$(A)", "$(PATH)"]), vec!["entry", "1", "$(PATH)"]),
            (list(&["run"]), list(&["x"]), vec!["run", "x"]),
        ];
        for (command, args, want) in table {
            let container = ContainerPlan { command, args, ..container() };
            let found = arguments(&container, &["entry".to_owned()], &["cmd".to_owned()], &set);
            assert_eq!(found, want);
        }
    }
}
