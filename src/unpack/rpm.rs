//! RPM packages: a lead, two headers (signatures; everything about the package, its scripts among
//! it), and the files in a compressed `cpio`.
//!
//! Source: "Package format" in rpm's manual, versions 3, 4 and 6.

use std::io::Read;

use super::part::fill;
use super::{Body, Damage, Format, Input, Members, Step};

pub(super) struct Rpm;

const LEAD: usize = 96;
const LEAD_MAGIC: &[u8] = b"\xed\xab\xee\xdb";
const HEADER_MAGIC: &[u8] = b"\x8e\xad\xe8";
/// What rpm itself bounds: entries of 16 bytes, and bytes of data.
const MOST_ENTRIES: u32 = 0xffff;
const MOST_DATA: u32 = 256 << 20;

impl Format for Rpm {
    fn name(&self) -> &'static str {
        "rpm"
    }

    fn recognises(&self, head: &[u8], _name: &[u8]) -> bool {
        head.starts_with(LEAD_MAGIC)
    }

    fn unpack(&self, input: Input<'_>, out: &mut dyn Members) -> Result<(), Damage> {
        let mut input = input.into_reader();
        let mut lead = [0; LEAD];
        input.read_exact(&mut lead)?;
        out.text(Step::part("lead"), &lead);
        for (kind, alignment) in [("signatures", 8), ("header", 1)] {
            let mut fixed = [0; 16];
            input.read_exact(&mut fixed)?;
            if !fixed.starts_with(HEADER_MAGIC) {
                return Err(Damage::broken(format!("what should be its {kind} is none")));
            }
            let number = |at: usize| {
                u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
            };
            let (entries, data) = (number(8), number(12));
            if entries > MOST_ENTRIES || data > MOST_DATA {
                return Err(Damage::broken(format!(
                    "its {kind} are larger than they may be"
                )));
            }
            let data = u64::from(data);
            std::io::copy(
                &mut (&mut input).take(u64::from(entries) * 16),
                &mut std::io::sink(),
            )?;
            let mut part = super::part::Part::new(&mut input, data);
            out.member(Step::part(kind), Body::Stream(&mut part, Some(data)))?;
            if !part.finish()? {
                return Ok(());
            }
            let padding = data.next_multiple_of(alignment) - data;
            fill(&mut input, &mut [0; 8][..padding as usize])?;
        }
        let payload = Step::content("payload");
        let mut first = [0];
        if fill(&mut input, &mut first)? == 0 {
            return Err(Damage::broken("it ends without its files"));
        }
        let mut whole = (&first[..]).chain(&mut input);
        out.member(payload, Body::Stream(&mut whole, None))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpio::tests::newc;
    use super::super::testing::{self, gzip};
    use super::*;

    fn header(entries: u32, data: &[u8], alignment: usize) -> Vec<u8> {
        let mut out = [HEADER_MAGIC, &[1, 0, 0, 0, 0]].concat();
        out.extend(entries.to_be_bytes());
        out.extend((data.len() as u32).to_be_bytes());
        out.resize(out.len() + entries as usize * 16, 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(alignment), 0);
        out
    }

    fn rpm(payload: &[u8]) -> Vec<u8> {
        let mut lead = LEAD_MAGIC.to_vec();
        lead.resize(LEAD, 0);
        let signatures = header(3, b"sums", 8);
        let about = header(7, b"name\0%post: export KEY=1\0", 1);
        [lead, signatures, about, payload.to_vec()].concat()
    }

    #[test]
    fn files_and_scripts_are_read() {
        let files = newc(&[("./usr/bin/app", b"app"), ("./etc/app.conf", b"KEY=2\n")]);
        let package = rpm(&gzip(&files));
        for notes in [
            testing::unpack("a.rpm", &package),
            testing::unpack_stream("", &package, 7),
        ] {
            let ways: Vec<_> = notes.contents().into_iter().map(|(way, _)| way).collect();
            assert!(
                ways.iter().any(|way| way.ends_with("./etc/app.conf")),
                "{ways:?}"
            );
            assert!(notes.hold("KEY=1") && notes.hold("KEY=2") && notes.unread().is_empty());
        }
    }

    #[test]
    fn damage_is_named() {
        let good = rpm(&newc(&[("one", b"first")]));
        // A payload of a few bytes is no cpio any more.
        let payload = good.len() - newc(&[("one", b"first")]).len();
        for end in (4..payload).chain(payload + 130..good.len() - 3) {
            assert!(
                !testing::unpack("", &good[..end]).unread().is_empty(),
                "cut at {end}"
            );
        }
        let mut large = good.clone();
        large[LEAD + 12..LEAD + 16].fill(0xff);
        assert!(!testing::unpack("", &large).unread().is_empty());
    }
}
