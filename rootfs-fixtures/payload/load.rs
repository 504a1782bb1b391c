//! Processes that use up something.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::sys;
use crate::{Outcome, Words, parse, seconds};

/// Touches BYTES of memory, a megabyte at a time, then holds it.
pub fn memhog(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let bytes: usize = parse(words.need(0, "BYTES")?)?;
    let mut held = Vec::new();
    let mut total = 0;
    while total < bytes {
        let step = (bytes - total).min(1 << 20);
        held.push(vec![1_u8; step]);
        total += step;
    }
    println!("holding {total}");
    std::thread::sleep(words.flag("--hold").map(seconds).transpose()?.unwrap_or_default());
    // The sum keeps the memory from being optimised away.
    let sum: usize = held.iter().map(|block| usize::from(block[block.len() / 2])).sum();
    Ok(u8::from(sum == usize::MAX))
}

/// Touches BYTES of memory in huge pages of the default size.
pub fn hugepages(words: &[String]) -> Outcome {
    let bytes: usize = parse(Words::new(words, &[]).need(0, "BYTES")?)?;
    sys::touch_huge_pages(bytes)?;
    println!("touched {bytes}");
    Ok(0)
}

/// Forks COUNT sleeping children and says how many there are before it fails.
pub fn forkbomb(words: &[String]) -> Outcome {
    let count: u32 = parse(Words::new(words, &[]).need(0, "COUNT")?)?;
    for made in 0..count {
        if let Err(why) = sys::fork_child(|| sys::wait_for_ever()) {
            println!("{made} children");
            return Err(why);
        }
    }
    println!("{count} children");
    sys::wait_for_ever()
}

pub fn cpu_burn(words: &[String]) -> Outcome {
    let until = Instant::now() + seconds(Words::new(words, &[]).need(0, "SECONDS")?)?;
    let mut number = 1_u64;
    while Instant::now() < until {
        for _ in 0..100_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
    }
    Ok(u8::from(number == 0))
}

/// BYTES of `x` without a newline.
pub fn write_stdout(words: &[String]) -> Outcome {
    let mut bytes: usize = parse(Words::new(words, &[]).need(0, "BYTES")?)?;
    let block = [b'x'; 4096];
    let mut out = io::stdout().lock();
    while bytes > 0 {
        let step = bytes.min(block.len());
        out.write_all(&block[..step]).map_err(|error| error.to_string())?;
        bytes -= step;
    }
    out.flush().map_err(|error| error.to_string())?;
    Ok(0)
}

/// Numbered lines: `line 0`, `line 1`, …, filled up to `--length` bytes.
pub fn spam(words: &[String]) -> Outcome {
    let words = Words::new(words, &[]);
    let lines: u64 = parse(words.need(0, "LINES")?)?;
    let interval = words.flag("--interval").map(seconds).transpose()?.unwrap_or_default();
    let length = words.parsed("--length")?.unwrap_or(0);
    let mut out = io::stdout().lock();
    for line in 0..lines {
        let text = format!("line {line} ");
        writeln!(out, "{text:.<length$}", length = length).map_err(|error| error.to_string())?;
        if interval > Duration::ZERO {
            out.flush().map_err(|error| error.to_string())?;
            std::thread::sleep(interval);
        }
    }
    Ok(0)
}
