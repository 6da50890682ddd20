//! One form for each document: the same content is the same bytes, so a digest names it and a
//! changed byte is a changed document.

use kiln_model::Foreign;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::AttestError;

/// A document as kiln writes it: JSON without blanks, the fields of each object sorted by their
/// bytes.
pub fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("types of our own always serialise");
    let mut bytes = Vec::new();
    write(&value, &mut bytes);
    bytes
}

fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            to.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write(item, to);
            }
            to.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            // Whether a map of serde_json is sorted is for others to decide.
            fields.sort_by_key(|(name, _)| *name);
            to.push(b'{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                plain(name, to);
                to.push(b':');
                write(value, to);
            }
            to.push(b'}');
        }
        other => plain(other, to),
    }
}

fn plain(value: &impl Serialize, to: &mut Vec<u8>) {
    serde_json::to_writer(to, value).expect("a text or a number in memory");
}

/// Reads a document of at most `cap` bytes, and refuses one that is not written as [`to_bytes`]
/// writes it: what a signature or a digest doesn't cover can't differ then either.
pub fn read<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    cap: usize,
) -> Result<T, AttestError> {
    if bytes.len() > cap {
        return Err(AttestError::Large { what, size: bytes.len(), cap });
    }
    let document: T = serde_json::from_slice(bytes).map_err(|error| form(what, &error))?;
    match to_bytes(&document) == bytes {
        true => Ok(document),
        false => Err(AttestError::Changed { what }),
    }
}

pub(crate) fn form(what: &'static str, error: &serde_json::Error) -> AttestError {
    AttestError::Form { what, why: Foreign::new(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_sorted_at_every_depth_and_nothing_is_blank() {
        let document = json!({ "b": [1, { "z": null, "a": "ä\n" }], "a": true, "B": {} });
        let text = String::from_utf8(to_bytes(&document)).expect("text");
        assert_eq!(text, r#"{"B":{},"a":true,"b":[1,{"a":"ä\n","z":null}]}"#);
    }

    #[test]
    fn another_way_to_write_the_same_is_refused() {
        let read = |text: &str| read::<BTreeMap<String, u32>>(text.as_bytes(), "list", 40);
        assert_eq!(read(r#"{"a":1,"b":2}"#).expect("read").len(), 2);
        for changed in [
            r#"{"b":2,"a":1}"#,
            r#"{"a": 1,"b":2}"#,
            "{\"a\":1,\"b\":2}\n",
            r#"{"a":1,"a":1,"b":2}"#,
            r#"{"\u0061":1,"b":2}"#,
        ] {
            let refused = read(changed);
            assert!(matches!(refused, Err(AttestError::Changed { .. })), "{changed}: {refused:?}");
        }
        assert!(matches!(read("{"), Err(AttestError::Form { .. })));
        assert!(matches!(read(&" ".repeat(41)), Err(AttestError::Large { .. })));
    }
}
