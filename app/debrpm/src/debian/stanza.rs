//! Control data: blocks of `Field: value` lines, parted by empty lines (Debian Policy 5.1).

/// One block, in the order in which its fields stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stanza<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Stanza<'a> {
    /// The value of a field, without the white space around it. Lines that go on keep theirs.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Every block of `text`. Lines of comment are skipped, as are lines that are neither a field
/// nor the rest of one: an index may hold what this program has no use for.
pub(crate) fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let stanza = next_stanza(&mut rest);
            if !stanza.is_empty() {
                return Some(stanza);
            }
        }
        None
    })
}

/// Takes one block off `rest`. A value is the slice from its colon to the end of its last line.
fn next_stanza<'a>(rest: &mut &'a str) -> Stanza<'a> {
    let whole = *rest;
    let mut stanza = Stanza::default();
    let mut at = 0;
    for line in whole.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        if line.trim_end().is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.0.last_mut() {
                let from = value.as_ptr() as usize - whole.as_ptr() as usize;
                *value = &whole[from..at];
            }
        } else if !line.starts_with('#')
            && let Some(colon) = line.find(':')
        {
            stanza.0.push((&line[..colon], &whole[begin + colon + 1..at]));
        }
    }
    *rest = &whole[at..];
    stanza
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_on_over_lines_and_blocks_end_at_empty_ones() {
        let text = "# a note\nPackage: bash\nDescription: a shell\n that runs\n .\n things\nSize:1\n\n\n\nPackage: sed\nnonsense\n";
        let all: Vec<_> = stanzas(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].field("description"), Some("a shell\n that runs\n .\n things"));
        assert_eq!(all[0].field("Size"), Some("1"));
        assert_eq!(all[1].field("Package"), Some("sed"));
        assert_eq!(all[1].field("Size"), None);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(stanzas("").count() + stanzas("\n \n\n").count(), 0);
    }
}
