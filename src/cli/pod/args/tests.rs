use clap::CommandFactory as _;

use super::*;

#[test]
fn every_verb_has_a_consistent_parser() {
    RunArgs::command().debug_assert();
    GetArgs::command().debug_assert();
    DescribeArgs::command().debug_assert();
    LogsArgs::command().debug_assert();
    ExecArgs::command().debug_assert();
    DeleteArgs::command().debug_assert();
    ApplyArgs::command().debug_assert();
    CreateArgs::command().debug_assert();
    ReplaceArgs::command().debug_assert();
    MetaArgs::command().debug_assert();
    AttachArgs::command().debug_assert();
    DebugArgs::command().debug_assert();
    EventsArgs::command().debug_assert();
    WaitArgs::command().debug_assert();
    RunImageArgs::command().debug_assert();
}
