//! Image references: the short form names the same image.

use podrt::image::Reference;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Reference::parse(text) {
        Err(problem) => assert!(!problem.to_string().contains('\n'), "{problem}"),
        Ok(reference) => {
            for form in [reference.familiar(), reference.to_string()] {
                assert_eq!(Reference::parse(&form).as_ref(), Ok(&reference), "{text} → {form}");
            }
        }
    }
}
