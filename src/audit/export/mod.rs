//! Records of the trail in the forms that others read: a line for each, a file for each form.

mod ocsf;
mod wazuh;

use super::Record;

/// A form that records can be exported in.
pub struct Profile {
    /// The value of `--profile`.
    pub name: &'static str,
    /// One line for the help.
    pub help: &'static str,
    /// One line of ASCII, without its line feed.
    pub render: fn(&Record) -> String,
}

/// The forms. A new one is one file and one line here.
#[rustfmt::skip]
pub const PROFILES: &[Profile] = &[
    Profile { name: "ocsf", help: "OCSF 1.8: Detection Finding (2004) for a leak, Entity Management (3004) for a step", render: |record| line(&ocsf::event(record)) },
    Profile { name: "wazuh", help: "flat JSON for Wazuh's decoder, which takes no lists of objects", render: |record| line(&wazuh::event(record)) },
    Profile { name: "trail", help: "the records as they are", render: |record| line(record) },
];

/// The form of this name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// One line of ASCII, whatever is in it: log servers differ in what they make of anything else.
fn line(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).expect("texts and numbers can be written");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests;
