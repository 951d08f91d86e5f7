//! The frame of the binary format: field headers, lengths and nesting, without the meaning of the values.
//!
//! Source: xrpl.org, "Binary Format", and the type codes of `definitions.json`.

use super::CodecError;

/// Objects and arrays within each other; rippled stops at ten.
const MAX_DEPTH: usize = 10;
/// Type and field code of the end of an object.
const OBJECT_END: (u8, u8) = (14, 1);
/// Type and field code of the end of an array.
const ARRAY_END: (u8, u8) = (15, 1);

/// Checks that the bytes are one object whose fields are in canonical order, known in size, and complete; gives the places
/// of its token amounts.
pub(super) fn check(bytes: &[u8]) -> Result<Vec<usize>, CodecError> {
    let mut reader = Reader { bytes, at: 0, tokens: Vec::new() };
    if bytes.is_empty() {
        return Err(reader.wrong("it is empty"));
    }
    reader.object(0)?;
    Ok(reader.tokens)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where amounts of tokens begin.
    tokens: Vec<usize>,
}

impl Reader<'_> {
    fn wrong(&self, reason: &'static str) -> CodecError {
        CodecError::Malformed { offset: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = self.peek().ok_or_else(|| self.wrong("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, count: usize) -> Result<(), CodecError> {
        let end = self.at.saturating_add(count);
        if end > self.bytes.len() {
            return Err(self.wrong("a field is longer than the blob"));
        }
        self.at = end;
        Ok(())
    }

    fn header(&mut self) -> Result<(u8, u8), CodecError> {
        let first = self.byte()?;
        let (mut kind, mut field) = (first >> 4, first & 15);
        for code in [&mut kind, &mut field] {
            if *code == 0 {
                *code = self.byte()?;
                if *code < 16 {
                    return Err(self.wrong("a field header is not in its shortest form"));
                }
            }
        }
        Ok((kind, field))
    }

    /// Fields until the end marker; the outermost object (depth 0) has none and ends with the bytes.
    fn object(&mut self, depth: usize) -> Result<(), CodecError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("objects are nested too deep"));
        }
        let mut last = (0, 0);
        loop {
            if depth == 0 && self.peek().is_none() {
                return Ok(());
            }
            let header = self.header()?;
            if header == OBJECT_END && depth > 0 {
                return Ok(());
            }
            if header <= last || header == OBJECT_END || header == ARRAY_END {
                return Err(self.wrong("the fields are not in canonical order"));
            }
            last = header;
            self.value(header.0, depth)?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), CodecError> {
        loop {
            match self.header()? {
                ARRAY_END => return Ok(()),
                OBJECT_END => return Err(self.wrong("an array holds an end marker of an object")),
                (14, _) => self.object(depth + 1)?,
                _ => return Err(self.wrong("an array holds something else than objects")),
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), CodecError> {
        match kind {
            1 => self.skip(2),
            2 | 10 => self.skip(4),
            3 | 11 => self.skip(8),
            4 => self.skip(16),
            5 => self.skip(32),
            6 => self.amount(),
            7 => {
                let length = self.length()?;
                self.skip(length)
            }
            8 => self.account(),
            9 | 20 => self.skip(12),
            14 => self.object(depth + 1),
            15 => self.array(depth),
            16 => self.skip(1),
            17 | 26 => self.skip(20),
            18 => self.paths(),
            19 => {
                let length = self.length()?;
                if length % 32 == 0 { self.skip(length) } else { Err(self.wrong("a list of hashes is cut off")) }
            }
            21 => self.skip(24),
            24 => self.issue(),
            25 => {
                self.account()?;
                self.issue()?;
                self.account()?;
                self.issue()
            }
            _ => Err(self.wrong("a field has an unknown type")),
        }
    }

    /// Length of a variable field in one to three bytes.
    fn length(&mut self) -> Result<usize, CodecError> {
        let first = usize::from(self.byte()?);
        match first {
            0..=192 => Ok(first),
            193..=240 => Ok(193 + (first - 193) * 256 + usize::from(self.byte()?)),
            241..=254 => {
                let (second, third) = (usize::from(self.byte()?), usize::from(self.byte()?));
                Ok(12_481 + (first - 241) * 65_536 + second * 256 + third)
            }
            _ => Err(self.wrong("a length begins with the byte 255")),
        }
    }

    fn account(&mut self) -> Result<(), CodecError> {
        match self.length()? {
            20 => self.skip(20),
            // The pseudo-transactions of validators have an empty account (rippled, `STAccount`).
            0 => Ok(()),
            _ => Err(self.wrong("an account does not have 20 bytes")),
        }
    }

    /// XRP in 8 bytes, a token in 48, a multi-purpose token in 33; the first byte tells which.
    fn amount(&mut self) -> Result<(), CodecError> {
        let first = self.peek().ok_or_else(|| self.wrong("it ends too early"))?;
        if first & 0x80 != 0 {
            self.tokens.push(self.at);
            return self.skip(super::tokens::TOKEN_BYTES);
        }
        self.skip(if first & 0x20 != 0 { 33 } else { 8 })
    }

    /// A currency, and unless it is XRP an issuer; a multi-purpose token has 44 bytes with a marker for the issuer.
    fn issue(&mut self) -> Result<(), CodecError> {
        const MPT_MARKER: [u8; 20] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let start = self.at;
        self.skip(20)?;
        if self.bytes.get(start..self.at).is_some_and(|code| code.iter().all(|b| *b == 0)) {
            return Ok(());
        }
        let issuer = self.at;
        self.skip(20)?;
        if self.bytes.get(issuer..self.at) == Some(MPT_MARKER.as_slice()) { self.skip(4) } else { Ok(()) }
    }

    /// Paths of steps: a type byte, then 20 bytes for each of its bits; 0xFF parts paths, 0x00 ends them.
    fn paths(&mut self) -> Result<(), CodecError> {
        const STEP_BITS: u8 = 0x01 | 0x10 | 0x20;
        loop {
            match self.byte()? {
                0x00 => return Ok(()),
                0xFF => {}
                step if step & !STEP_BITS == 0 => self.skip(20 * step.count_ones() as usize)?,
                _ => return Err(self.wrong("a path has a step of an unknown type")),
            }
        }
    }
}
