//! The machine against a simulated runtime with fake time.

mod plans;
mod sim;

mod amending;
mod ephemeral;
mod events;
mod hooks;
mod init;
mod probes;
mod properties;
mod reboot;
mod restarts;
mod resume;
mod sandbox;
mod seeds;
mod start_failures;
mod statuses;
mod stops;
