//! What containers of a pod share.

use std::fs;

use crate::sys;
use crate::{Outcome, Words, parse};

/// POSIX shared memory is a file below /dev/shm.
pub fn shm_write(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let path = format!("/dev/shm/{}", words.need(0, "NAME")?);
    fs::write(&path, words.need(1, "TEXT")?).map_err(|error| format!("{path}: {error}"))?;
    Ok(0)
}

pub fn shm_read(words: &[String]) -> Outcome {
    let path = format!("/dev/shm/{}", Words::new(words, &[]).need(0, "NAME")?);
    println!("{}", fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?);
    Ok(0)
}

/// System V shared memory belongs to the IPC namespace.
pub fn sysv_write(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let page = sys::shared_memory(parse(words.need(0, "KEY")?)?, true)?;
    sys::put_text(page, words.need(1, "TEXT")?);
    Ok(0)
}

pub fn sysv_read(words: &[String]) -> Outcome {
    let page = sys::shared_memory(parse(Words::new(words, &[]).need(0, "KEY")?)?, false)?;
    println!("{}", sys::text_at(page));
    Ok(0)
}
