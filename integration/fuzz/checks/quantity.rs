//! Quantities: what is printed reads as the same amount, and the canonical form
//! is one.

use podrt::model::Quantity;

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(quantity) = Quantity::parse(text) else { return };
    let canonical = quantity.canonical();
    let again = Quantity::parse(&canonical.to_string()).expect("the canonical form is valid");
    assert_eq!(again.exact_milli(), canonical.exact_milli(), "{text} → {canonical}");
    assert_eq!(again.canonical().to_string(), canonical.to_string(), "{text}");
    assert_eq!(quantity.is_negative(), quantity.exact_milli() < 0, "{text}");
    let _ = (quantity.milli(), quantity.value());
}
