//! Container logs in CRI's format: splitting lines ([`split`]), entries
//! ([`entry`]), the files ([`mod@file`]), what survives a kill ([`journal`]), and
//! the pump between them ([`pump`]).

pub mod entry;
pub mod file;
pub mod journal;
pub mod pump;
pub mod split;
pub mod tail;
