//! One field set alone, and what must come of it.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::table::{Row, State};
use crate::support::{Bundle, Ran, World};

/// A change of a config.
pub type Change = Box<dyn Fn(&mut Value)>;
type Look = Box<dyn Fn(&Place, &Row) -> Result<(), String>>;

/// How the effect shows.
enum See {
    /// A script in the container prints this, and something else without the
    /// field.
    Prints(String, String),
    /// Nothing but the error that the row names.
    Fails,
    /// Something of its own.
    Looks(Look),
}

pub struct Case {
    pub leaf: String,
    /// What the field needs around it.
    given: Change,
    set: Change,
    see: See,
}

/// Where the cases run: one world, one bundle.
pub struct Place {
    pub world: World,
    pub bundle: PathBuf,
    base: Value,
}

/// `leaf` set to `value`, where nothing of it is in a list or a map.
pub fn leaf(leaf: &str, value: impl Into<Value>) -> Case {
    let (path, value) = (leaf.to_owned(), value.into());
    by(leaf, move |config| put(config, &path, value.clone()))
}

/// `leaf` set by a change.
pub fn by(leaf: &str, set: impl Fn(&mut Value) + 'static) -> Case {
    Case { leaf: leaf.to_owned(), given: Box::new(|_| ()), set: Box::new(set), see: See::Fails }
}

impl Case {
    pub fn given(self, given: impl Fn(&mut Value) + 'static) -> Self {
        Self { given: Box::new(given), ..self }
    }

    pub fn prints(self, script: &str, want: impl Display) -> Self {
        Self { see: See::Prints(script.to_owned(), want.to_string()), ..self }
    }

    pub fn looks(self, look: impl Fn(&Place, &Row) -> Result<(), String> + 'static) -> Self {
        Self { see: See::Looks(Box::new(look)), ..self }
    }

    /// Runs it: what is not as the row says.
    pub fn check(&self, place: &Place, row: &Row) -> Result<(), String> {
        match &self.see {
            See::Looks(look) => look(place, row),
            See::Fails if row.state == State::Yes => Err("no effect is looked for".to_owned()),
            See::Fails => announced(row, &place.run(&self.config(place, "true"))),
            See::Prints(script, want) => self.prints_as_told(place, row, script, want),
        }
    }

    fn prints_as_told(
        &self,
        place: &Place,
        row: &Row,
        script: &str,
        want: &str,
    ) -> Result<(), String> {
        let ran = place.run(&self.config(place, script));
        if row.state == State::Refused || (row.state == State::Depends && ran.code != 0) {
            return announced(row, &ran);
        }
        if ran.code != 0 || ran.stdout.trim() != want {
            return Err(format!("wanted {want:?}, got {ran:?}"));
        }
        let without = place.run(&place.config(script, &self.given));
        if without.code == 0 && without.stdout.trim() == want {
            return Err(format!("the same without the field: {want:?}"));
        }
        Ok(())
    }

    /// The base, what the field needs, and the field.
    pub fn config(&self, place: &Place, script: &str) -> Value {
        let mut config = place.config(script, &self.given);
        (self.set)(&mut config);
        config
    }
}

/// An error, and the one of the row.
pub fn announced(row: &Row, ran: &Ran) -> Result<(), String> {
    if ran.code == 0 {
        return Err("it is not refused".to_owned());
    }
    if row.announces(&ran.stderr) && ran.stderr.trim_end().lines().count() == 1 {
        return Ok(());
    }
    Err(format!("the row announces {:?}, the error is {:?}", row.errors, ran.stderr))
}

impl Place {
    pub fn new() -> Self {
        let world = World::new();
        let bundle = Bundle::new(&world, "b", &["true"]).with_payload();
        // Users of other user namespaces pass through.
        for folder in [world.path(), &bundle.path] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        let mut base = bundle.config.clone();
        base["linux"]["cgroupsPath"] = Value::from(format!("/{}", world.name("conformance")));
        Self { bundle: bundle.path.clone(), world, base }
    }

    /// The base with `script` and a change.
    pub fn config(&self, script: &str, change: &Change) -> Value {
        let mut config = self.base.clone();
        put(&mut config, "process.args", Value::from(vec!["sh", "-c", script]));
        change(&mut config);
        config
    }

    pub fn write(&self, config: &Value) {
        fs::write(self.bundle.join("config.json"), config.to_string()).expect("config.json");
    }

    /// A container from begin to end.
    pub fn run(&self, config: &Value) -> Ran {
        self.write(config);
        let id = self.world.name("c");
        self.podrt(&["run", "-b", &self.bundle.to_string_lossy(), &id])
    }

    /// A created container, looked at and deleted.
    pub fn created<T>(&self, config: &Value, look: impl FnOnce(&str) -> T) -> Result<T, String> {
        self.write(config);
        let id = self.world.name("c");
        let ran = self.podrt(&["create", "-b", &self.bundle.to_string_lossy(), &id]);
        if ran.code != 0 {
            return Err(ran.stderr);
        }
        let seen = look(&id);
        self.podrt(&["delete", "-f", &id]);
        Ok(seen)
    }

    pub fn podrt(&self, args: &[&str]) -> Ran {
        self.world.podrt(args)
    }

    /// What `state` prints of a container.
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.podrt(&["state", id]).stdout).unwrap_or_default()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }
}

/// Sets a field by its dotted path; missing objects are made.
pub fn put(config: &mut Value, path: &str, value: Value) {
    let mut at = config;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = value;
}

/// Appends to a list by its dotted path.
pub fn push(config: &mut Value, path: &str, value: Value) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let mut list = config.pointer(&pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    list.push(value);
    put(config, path, Value::Array(list));
}

/// An error unless the two are the same.
pub fn same(got: &str, want: &str) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("wanted {want:?}, got {got:?}")) }
}
