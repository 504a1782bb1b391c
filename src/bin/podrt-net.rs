//! TLS for a shim's probes and hooks: one process for each connection.

use std::process::ExitCode;

fn main() -> ExitCode {
    podrt::tls::run()
}
