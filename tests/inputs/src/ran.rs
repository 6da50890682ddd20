use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// What came of one kiln.
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// How long it ran.
    pub wall: Duration,
    /// The `result.json` that it wrote, if it wrote one.
    pub result: Option<Value>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// It failed with this exit code, and said all of this.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        let all = format!("{}\n{}", self.out, self.err);
        for word in words {
            assert!(all.contains(word), "nothing says {word:?}: {self}");
        }
        assert!(all.contains("error:"), "no error is told: {self}");
        assert!(!all.contains("panicked"), "{self}");
        // For those who ask ('--no-capture'): what each bad input gets.
        let lines = all.lines().filter(|line| {
            ["error: ", "  because: ", "hint: "].iter().any(|word| line.starts_with(word))
        });
        eprintln!("{code}: {}", lines.collect::<Vec<_>>().join(" | "));
        self
    }

    /// `result.json` lays it at this door.
    #[track_caller]
    pub fn fault(&self, fault: &str) -> &Self {
        let result = self.result.as_ref().unwrap_or_else(|| panic!("no result.json: {self}"));
        assert_eq!(result["report"]["fault"], fault, "{self}");
        self
    }

    /// It went well.
    #[track_caller]
    pub fn built(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, signal, wall, out, err, .. } = self;
        writeln!(f, "code {code:?}, signal {signal:?}, {wall:?}")?;
        let end = |text: &str| {
            let from = text.floor_char_boundary(text.len().saturating_sub(3000));
            text[from..].to_owned()
        };
        write!(f, "--- out\n{}\n--- err\n{}", end(out), end(err))
    }
}
