//! What of this process stays in memory while it waits.

use std::ffi::{c_int, c_void};

use nix::errno::Errno;

use super::SyscallError;

/// Lets go of the pages of this program that nothing writes to, and of the
/// stack that deeper calls have used. What is used again comes back from the
/// page cache, 64 KiB at a time; what was needed only to get started stays
/// away, for the machine to use otherwise. For the main thread alone.
///
/// # Errors
/// The errno of madvise(2).
pub fn release() -> Result<(), SyscallError> {
    release_stack()?;
    release_program()
}

/// How far below this frame the stack is left alone, for the calls to come.
const STACK_KEPT_BYTES: usize = 16 * 1024;
/// How far the stack of a single-threaded program is looked at.
const STACK_BYTES: usize = 1024 * 1024;

fn release_stack() -> Result<(), SyscallError> {
    let here = 0_u8;
    let end = ((&raw const here).expose_provenance() - STACK_KEPT_BYTES) & !(page_bytes() - 1);
    let start = std::ptr::with_exposed_provenance_mut::<c_void>(end - STACK_BYTES);
    // SAFETY: below a frame are only frames of calls that have returned (the
    // program handles no signals on this stack), and nothing else is mapped
    // within 1 MiB below a main thread's stack: the kernel keeps a gap there.
    let outcome = unsafe { libc::madvise(start, STACK_BYTES, libc::MADV_DONTNEED) };
    match Errno::result(outcome) {
        // The stack has not grown so far.
        Ok(_) | Err(Errno::ENOMEM) => Ok(()),
        Err(errno) => Err(SyscallError::new("madvise", "stack", errno)),
    }
}

fn page_bytes() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

fn release_program() -> Result<(), SyscallError> {
    let mut outcome = Ok(());
    // SAFETY: `each_object` gets what it casts `data` back to, which outlives
    // the call, and keeps neither of its arguments.
    unsafe { libc::dl_iterate_phdr(Some(each_object), (&raw mut outcome).cast()) };
    outcome.map_err(|errno| SyscallError::new("madvise", "MADV_DONTNEED", errno))
}

/// Handles the first object, the program itself, and ends the walk.
unsafe extern "C" fn each_object(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the C library passes a valid `info` with `dlpi_phnum` program
    // headers, and `release` a valid `outcome`.
    let (headers, base, outcome) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (headers, info.dlpi_addr, &mut *data.cast::<Result<(), Errno>>())
    };
    let is_constant = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    for header in headers.iter().filter(is_constant) {
        let (Ok(start), Ok(length)) =
            (usize::try_from(base + header.p_vaddr), usize::try_from(header.p_memsz))
        else {
            continue;
        };
        let first = start & !(page_bytes() - 1);
        let address = std::ptr::with_exposed_provenance_mut::<c_void>(first);
        // SAFETY: these pages are mapped from the program's file and were never
        // written to (their segment is read-only), so that each comes back as
        // it was.
        if unsafe { libc::madvise(address, start - first + length, libc::MADV_DONTNEED) } < 0 {
            *outcome = Err(Errno::last());
        }
    }
    1
}

#[cfg(test)]
mod tests {
    static TEXT: &str = "constants come back as they were";

    #[test]
    fn the_program_goes_on_as_if_nothing_had_happened() {
        let before = TEXT.to_owned();
        super::release_program().unwrap();
        assert_eq!(TEXT, before);
        assert_eq!(format!("{:.3}", 2.0_f64.sqrt()), "1.414");
    }
}
