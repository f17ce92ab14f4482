//! A template that is accepted can be filled, always in the same way, and holds its key.
#![cfg_attr(fuzzing, no_main)]

use skewer::rules::Template;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

pub(crate) fn check(data: &[u8]) {
    // A hole of 6 bytes makes up to 4096: some hundred of them are enough.
    let Ok(source) = std::str::from_utf8(&data[..data.len().min(1000)]) else {
        return;
    };
    let Ok(template) = Template::parse(source) else {
        return;
    };
    assert_eq!(template.source(), source);
    let filled = template.fill(7);
    assert!(filled.text.contains(&filled.key));
    assert!(filled == template.fill(7));
}
