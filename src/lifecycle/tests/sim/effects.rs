//! What the paper runtime makes of each order.

use super::*;

impl Sim {
    pub(super) fn carry_out(&mut self, action: Action) {
        self.orders.push((self.now_ns, action.clone()));
        match action {
            Action::SetUpVolumes => match pop_front(&mut self.volume_failures) {
                Some(message) => self.answer(Event::VolumesFailed { message }),
                None => self.answer(Event::VolumesReady),
            },
            Action::CreateSandbox { attempt } => match pop_front(&mut self.sandbox_failures) {
                Some(message) => self.answer(Event::SandboxFailed { attempt, message }),
                None => self.answer(Event::SandboxCreated {
                    attempt,
                    pod_ips: vec![format!("10.0.0.{}", attempt + 2)],
                    host_ips: vec!["192.0.2.1".into()],
                }),
            },
            Action::StartContainer { instance, .. } => self.order_start(instance),
            Action::CancelStart { instance } => self.cancel_start(instance),
            Action::RunProbe { instance, probe } => self.run_probe(instance, probe),
            Action::CancelProbe { instance, probe } => {
                assert!(self.probing.remove(&(instance, probe)), "no such probe runs");
                self.drop_coming(|what| {
                    matches!(what, Coming::Tell(Event::ProbeFinished { instance: i, probe: p, .. })
                        if *i == instance && *p == probe)
                });
            }
            Action::RunHook { instance, hook } => self.run_hook(instance, hook),
            Action::CancelHook { instance, hook } => {
                assert!(self.hooking.remove(&(instance, hook)), "no such hook runs");
                self.drop_coming(|what| {
                    matches!(what, Coming::Tell(Event::HookFinished { instance: i, hook: h, .. })
                        if *i == instance && *h == hook)
                });
            }
            Action::Signal { instance, signal } => self.signal(instance, signal),
            Action::RemoveContainer { instance } => {
                assert!(!self.alive.contains(&instance), "a running instance is not removed");
                self.ended.remove(&instance);
                self.answer(Event::Removed { instance });
            }
            Action::StopSandbox { attempt } => {
                assert!(self.alive.is_empty(), "containers run in the sandbox: {:?}", self.alive);
                self.answer(Event::SandboxStopped { attempt });
            }
            Action::TearDown => {
                assert!(self.alive.is_empty(), "containers are still there");
                self.answer(Event::TornDown);
            }
        }
    }

    fn drop_coming(&mut self, unwanted: impl Fn(&Coming) -> bool) {
        self.coming.retain(|_, what| !unwanted(what));
    }

    fn order_start(&mut self, instance: Instance) {
        let same = |other: &&Instance| other.container == instance.container;
        let other = self.alive.iter().filter(same).find(|other| **other != instance);
        assert_eq!(other, None, "two instances of one container");
        if self.alive.contains(&instance) {
            let at = self.now().wall;
            return self.answer(Event::Started { instance, at });
        }
        if let Some(exit) = self.ended.get(&instance).cloned() {
            let at = self.now().wall;
            self.answer(Event::Started { instance, at });
            return self.answer(exit);
        }
        let attempts = self.facts.iter().filter(|(_, event)| {
            matches!(event, Event::StartFailed { instance: i, .. } | Event::Started { instance: i, .. }
                if i.container == instance.container)
        });
        let attempt = attempts.count();
        match nth(&self.script(instance).start_failures, attempt).flatten() {
            Some((failure, message)) => {
                let message = message.to_owned();
                if failure == StartFailure::Run {
                    self.answer(Event::Created { instance, started_from: from(instance) });
                }
                self.answer(Event::StartFailed { instance, failure, message });
            }
            None => {
                self.answer(Event::ImagePulled { instance, how: Pulled::AlreadyPresent });
                self.answer(Event::Created { instance, started_from: from(instance) });
                self.after(LATENCY, Coming::Start(instance));
            }
        }
    }

    fn cancel_start(&mut self, instance: Instance) {
        let before = self.coming.len();
        self.drop_coming(|what| *what == Coming::Start(instance));
        if self.coming.len() < before {
            let (failure, message) = (StartFailure::Cancelled, String::new());
            self.answer(Event::StartFailed { instance, failure, message });
        }
    }

    pub(super) fn start(&mut self, instance: Instance) {
        self.alive.insert(instance);
        let attempt = usize::try_from(instance.attempt).expect("a small number");
        if let Some((ms, code)) = nth(&self.script(instance).runs, attempt) {
            self.after(ms * MS, Coming::Exit(instance, ExitStatus::Exited(code)));
        }
        let at = self.now().wall;
        self.tell(Event::Started { instance, at });
    }

    pub(super) fn exit(&mut self, instance: Instance, status: ExitStatus) {
        if !self.alive.remove(&instance) {
            return;
        }
        let script = self.script(instance);
        let event = Event::Exited {
            instance,
            status,
            oom_killed: script.oom_killed,
            at: self.now().wall,
            message: script.message,
        };
        self.ended.insert(instance, event.clone());
        self.tell(event);
    }

    fn run_probe(&mut self, instance: Instance, probe: ProbeKind) {
        assert!(self.alive.contains(&instance), "a probe of what does not run");
        assert!(self.probing.insert((instance, probe)), "a probe runs twice at once");
        let script = self.script(instance);
        let results = match probe {
            ProbeKind::Startup => script.startup,
            ProbeKind::Liveness => script.liveness,
            ProbeKind::Readiness => script.readiness,
        };
        let name = spec(self.machine.plan(), instance.container).name.clone();
        let run = self.probe_runs.entry((name, probe)).or_default();
        let result = nth(&results, *run).expect("a scripted result");
        *run += 1;
        self.answer(Event::ProbeFinished { instance, probe, result });
    }

    fn run_hook(&mut self, instance: Instance, hook: HookKind) {
        assert!(self.alive.contains(&instance), "a hook in what does not run");
        assert!(self.hooking.insert((instance, hook)), "a hook runs twice at once");
        let script = self.script(instance);
        let (ms, result) = match hook {
            HookKind::PostStart => script.post_start,
            HookKind::PreStop => script.pre_stop,
        };
        self.after(ms * MS, Coming::Tell(Event::HookFinished { instance, hook, result }));
    }

    fn signal(&mut self, instance: Instance, signal: Signal) {
        assert!(self.alive.contains(&instance), "a signal to what does not run");
        if signal == Signal::KILL {
            self.after(LATENCY, Coming::Exit(instance, ExitStatus::Signaled(Signal::KILL)));
        } else if let Some((ms, code)) = self.script(instance).on_stop {
            self.after(ms * MS, Coming::Exit(instance, ExitStatus::Exited(code)));
        }
    }
}
