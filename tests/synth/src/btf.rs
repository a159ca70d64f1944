//! Toy BTF, record by record.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

/// A blob in the making.
#[derive(Default)]
pub struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Types so far.
    pub count: u32,
    first_string: u32,
}

impl Btf {
    /// An empty blob.
    pub fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    /// A blob that continues `base`: numbers and strings go on after its own.
    pub fn on(base: &Self) -> Self {
        Self {
            count: base.count,
            first_string: base.first_string + base.strings.len() as u32,
            ..Self::default()
        }
    }

    /// Adds a string; answers its offset.
    pub fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.first_string + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// Adds a record; answers its number.
    pub fn add(
        &mut self,
        name: &str,
        kind: u32,
        vlen: u32,
        kflag: bool,
        value: u32,
        body: &[u32],
    ) -> u32 {
        let name = self.string(name);
        let info = kind << 24 | vlen | u32::from(kflag) << 31;
        for word in [name, info, value].iter().chain(body) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    /// An integer of `size` bytes.
    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> u32 {
        self.add(
            name,
            1,
            0,
            false,
            size,
            &[u32::from(signed) << 24 | (size * 8)],
        )
    }

    /// A struct (4) or union (5) with members (name, type, bit offset, width of a bitfield or 0).
    pub fn compound(
        &mut self,
        name: &str,
        kind: u32,
        size: u32,
        members: &[(&str, u32, u32, u32)],
    ) -> u32 {
        let kflag = members.iter().any(|m| m.3 != 0);
        let mut body = Vec::new();
        for (name, ty, bit, width) in members {
            let offset = if kflag { width << 24 | bit } else { *bit };
            body.extend([self.string(name), *ty, offset]);
        }
        self.add(name, kind, members.len() as u32, kflag, size, &body)
    }

    /// The blob, with 7.2's layout section if there is one.
    pub fn build(&self, layout: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
        let header: u32 = if layout.is_some() { 32 } else { 24 };
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [header, 0, types, types, strings] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        if let Some(layout) = layout {
            out.extend_from_slice(&(types + strings).to_le_bytes());
            out.extend_from_slice(&(layout.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out.extend_from_slice(layout.unwrap_or_default());
        out
    }
}
