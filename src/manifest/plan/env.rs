//! Environment variables and the downward API.

use super::container::Planner;
use crate::manifest::downward::{self, FieldPath};
use crate::manifest::types::{
    Container, EnvFromSource, EnvVar, ObjectFieldSelector, ResourceFieldSelector,
};
use crate::model::Quantity;
use crate::model::plan::EnvVar as EnvVarPlan;
use crate::model::plan::{EnvFrom, EnvValue, FieldRef, ObjectKind, ObjectRef, ResourceRef};

pub(super) fn object_ref(kind: ObjectKind, name: &str, optional: Option<bool>) -> ObjectRef {
    ObjectRef { kind, name: name.to_owned(), optional: optional.unwrap_or(false) }
}

pub(super) fn env_from(source: &EnvFromSource) -> Option<EnvFrom> {
    let config_map = source.config_map_ref.as_ref();
    let config_map = config_map.map(|s| object_ref(ObjectKind::ConfigMap, &s.name, s.optional));
    let secret = source.secret_ref.as_ref();
    let secret = secret.map(|s| object_ref(ObjectKind::Secret, &s.name, s.optional));
    Some(EnvFrom { prefix: source.prefix.clone(), source: config_map.or(secret)? })
}

impl Planner<'_> {
    pub(super) fn env(&self, var: &EnvVar, container: &Container) -> EnvVarPlan {
        let value = self.env_value(var, container);
        let value = value.unwrap_or_else(|| EnvValue::Literal(var.value.clone()));
        EnvVarPlan { name: var.name.clone(), value }
    }

    fn env_value(&self, var: &EnvVar, container: &Container) -> Option<EnvValue> {
        let source = var.value_from.as_ref().filter(|_| var.value.is_empty())?;
        if let Some(field) = &source.field_ref {
            return field_ref(field).map(EnvValue::Field);
        }
        if let Some(resource) = &source.resource_field_ref {
            return Some(EnvValue::Resource(self.resource_ref(resource, Some(container))));
        }
        if let Some(key) = &source.config_map_key_ref {
            let object = object_ref(ObjectKind::ConfigMap, &key.name, key.optional);
            return Some(EnvValue::Key { object, key: key.key.clone() });
        }
        if let Some(key) = &source.secret_key_ref {
            let object = object_ref(ObjectKind::Secret, &key.name, key.optional);
            return Some(EnvValue::Key { object, key: key.key.clone() });
        }
        source.file_key_ref.as_ref().map(|file| EnvValue::FileKey {
            volume: file.volume_name.clone(),
            path: file.path.clone(),
            key: file.key.clone(),
            optional: file.optional.unwrap_or(false),
        })
    }

    /// The value of `limits.cpu` and its like, divided and rounded up; what no
    /// limit restricts is the node's to say.
    pub(super) fn resource_ref(
        &self,
        selector: &ResourceFieldSelector,
        own: Option<&Container>,
    ) -> ResourceRef {
        let container = match selector.container_name.as_str() {
            "" => own,
            name => self.find_container(name).or(own),
        };
        let (list, name) = selector.resource.split_once('.').unwrap_or(("", ""));
        let resources = container.map(|container| &container.resources);
        let amount = resources.and_then(|resources| match list {
            "limits" => resources.limits.get(name),
            _ => resources.requests.get(name),
        });
        let pod_limit = || {
            let resources = self.spec().resources.as_ref().filter(|_| list == "limits")?;
            resources.limits.get(name)
        };
        let divisor = match selector.divisor.exact_milli() {
            0 => 1000,
            milli => milli,
        };
        match amount.or_else(pod_limit) {
            Some(amount) => ResourceRef::Value(divide_up(amount, divisor)),
            None if list != "limits" => ResourceRef::Value(0),
            None => of_node(name, divisor),
        }
    }
}

fn divide_up(amount: &Quantity, divisor_milli: i128) -> i64 {
    let amount = amount.exact_milli();
    let value =
        amount.div_euclid(divisor_milli) + i128::from(amount.rem_euclid(divisor_milli) != 0);
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn of_node(name: &str, divisor_milli: i128) -> ResourceRef {
    let milli = i64::try_from(divisor_milli).unwrap_or(i64::MAX);
    let whole = (milli / 1000).max(1);
    match name {
        "cpu" => ResourceRef::NodeCpu { divisor_milli: milli },
        "memory" => ResourceRef::NodeMemory { divisor: whole },
        "ephemeral-storage" => ResourceRef::NodeEphemeralStorage { divisor: whole },
        _ => ResourceRef::Value(0),
    }
}

pub(super) fn field_ref(field: &ObjectFieldSelector) -> Option<FieldRef> {
    Some(match downward::field_path(&field.api_version, &field.field_path).ok()? {
        FieldPath::Label(key) => FieldRef::Label(key.to_owned()),
        FieldPath::Annotation(key) => FieldRef::Annotation(key.to_owned()),
        FieldPath::Whole(name) => match name {
            "metadata.name" => FieldRef::Name,
            "metadata.namespace" => FieldRef::Namespace,
            "metadata.uid" => FieldRef::Uid,
            "metadata.labels" => FieldRef::Labels,
            "metadata.annotations" => FieldRef::Annotations,
            "spec.nodeName" => FieldRef::NodeName,
            "spec.serviceAccountName" => FieldRef::ServiceAccountName,
            "status.hostIP" => FieldRef::HostIp,
            "status.hostIPs" => FieldRef::HostIps,
            "status.podIP" => FieldRef::PodIp,
            "status.podIPs" => FieldRef::PodIps,
            _ => return None,
        },
    })
}
