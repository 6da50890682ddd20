//! Makes strange inputs out of good ones, the same ones each time.

/// Numbers that code gets wrong, as they may stand in a header.
const NUMBERS: [u32; 9] =
    [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

/// Pieces of text that formats give a meaning to.
const PIECES: [&str; 18] = [
    "<",
    ">",
    "&lt;",
    "&#0;",
    "]]>",
    "<!ENTITY a \"b\">",
    "../",
    "/",
    "%",
    "\0",
    "\n",
    "\r\n",
    "{{",
    "%{x}",
    "\"",
    "99999999999999999999",
    "\u{202e}",
    "= (((((((((( if ",
];

/// A sequence of inputs.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The sequence of that name and number.
    pub fn new(name: &str, seed: u64) -> Self {
        let start = name.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { state: start | 1 }
    }

    /// Marsaglia's xorshift64.
    fn number(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// The next input: one of the good ones with some changes.
    pub fn next(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match good.is_empty() {
            true => Vec::new(),
            false => good[self.below(good.len())].clone(),
        };
        let changes = 1 + self.below(6);
        for _ in 0..changes {
            self.change(&mut input, good);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, good: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 => input.truncate(at),
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 if at < input.len() => input[at] = self.number() as u8,
            // A length, a count or an offset that lies.
            3 if at + 4 <= input.len() => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                input[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            4 => {
                let piece = PIECES[self.below(PIECES.len())].as_bytes();
                input.splice(at..at, piece.iter().copied());
            }
            // A part of it again, often enough to be many.
            5 if !input.is_empty() => {
                let end = (at + 1 + self.below(256)).min(input.len());
                let part = input[at.min(end)..end].to_vec();
                let times = [1, 2, 50, 2000][self.below(4)];
                let part = part.repeat(times);
                input.splice(end..end, part);
            }
            6 => {
                let end = (at + self.below(64)).min(input.len());
                input.drain(at..end);
            }
            7 if !good.is_empty() => {
                let other = &good[self.below(good.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.insert(at, self.number() as u8),
        }
        // Beyond this only time is lost.
        input.truncate(1 << 20);
    }
}
