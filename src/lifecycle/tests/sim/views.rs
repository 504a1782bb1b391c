//! What a test looks at.

use super::*;

impl Sim {
    pub fn stop(&mut self, grace_seconds: Option<u32>) {
        self.tell(stop_event(grace_seconds, false));
    }

    pub fn app(&self, name: &str) -> &ContainerStatus {
        let status = self.machine.status();
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let found = lists.into_iter().flatten().find(|container| container.name == name);
        found.expect("a container of that name")
    }

    /// `reason: message` of all events.
    pub fn events(&self) -> Vec<String> {
        let text =
            |event: &crate::model::event::PodEvent| format!("{}: {}", event.reason, event.message);
        self.machine.events().iter().map(text).collect()
    }

    /// Seconds between begin and each start order of a container.
    pub fn start_times(&self, name: &str) -> Vec<f64> {
        self.order_times(|plan, action| match action {
            Action::StartContainer { instance, .. } => spec(plan, instance.container).name == name,
            _ => false,
        })
    }

    /// Signals sent to a container: seconds since begin, and which.
    pub fn signals(&self, name: &str) -> Vec<(f64, Signal)> {
        let plan = self.machine.plan();
        let sent = self.orders.iter().filter_map(|(at, action)| match action {
            Action::Signal { instance, signal } if spec(plan, instance.container).name == name => {
                Some((seconds(*at), *signal))
            }
            _ => None,
        });
        sent.collect()
    }

    pub fn order_times(&self, wanted: impl Fn(&PodPlan, &Action) -> bool) -> Vec<f64> {
        let plan = self.machine.plan();
        let found = self.orders.iter().filter(|(_, action)| wanted(plan, action));
        found.map(|(at, _)| seconds(*at)).collect()
    }

    pub fn ordered(&self, wanted: impl Fn(&Action) -> bool) -> usize {
        self.orders.iter().filter(|(_, action)| wanted(action)).count()
    }

    pub fn running(&self) -> &BTreeSet<Instance> {
        &self.alive
    }
}
