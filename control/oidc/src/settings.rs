use std::str::FromStr;

use kiln_model::Foreign;
use serde_json::Value;

use crate::claims::Rest;

/// What an operator says of a provider.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its address, exactly as its own documents name it.
    pub issuer: String,
    /// What it knows this service as.
    pub client: String,
    /// By what the service shows that it is that; none for a client that PKCE alone speaks for.
    pub secret: Option<String>,
    /// What people know it as.
    pub name: String,
    /// The claim that accounts are named by.
    pub claim: String,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// Whoever meets one of these is let in; everybody, where there are none.
    pub allow: Vec<Condition>,
    /// Whoever meets one of these is an operator, and nobody else whom the provider signs in; left
    /// to this service where there are none.
    pub operators: Vec<Condition>,
    /// Where the provider sends browsers back to.
    pub redirect: String,
    /// Certificates (PEM) of authorities that it is believed by, besides those of the host.
    pub authorities: Vec<u8>,
}

/// A claim that has a value, or has it among others: `groups=packagers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    claim: String,
    value: String,
}

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a claim and a value, as groups=packagers: {0}")]
pub struct ConditionError(Foreign);

impl Condition {
    /// The claim's name.
    pub(crate) fn claim(&self) -> &str {
        &self.claim
    }

    /// Whether these claims meet it.
    pub(crate) fn is_met(&self, claims: &Rest) -> bool {
        let is_it = |one: &Value| match one {
            Value::String(text) => *text == self.value,
            Value::Bool(yes) => yes.to_string() == self.value,
            Value::Number(number) => number.to_string() == self.value,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        match claims.0.get(&self.claim) {
            Some(Value::Array(all)) => all.iter().any(is_it),
            Some(one) => is_it(one),
            None => false,
        }
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match text.split_once('=') {
            Some((claim, value)) if !claim.is_empty() && !value.is_empty() => {
                Ok(Self { claim: claim.to_owned(), value: value.to_owned() })
            }
            _ => Err(ConditionError(Foreign::new(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_is_met_by_the_very_value_alone_or_among_others() {
        let condition: Condition = "groups=packagers".parse().expect("a condition");
        for (groups, is_met) in [
            (json!("packagers"), true),
            (json!(["readers", "packagers"]), true),
            (json!("packagers readers"), false),
            (json!(["packagers2"]), false),
            (json!([["packagers"]]), false),
            (json!({"packagers": true}), false),
            (json!(null), false),
        ] {
            let claims = serde_json::from_value(json!({"groups": groups})).expect("claims");
            assert_eq!(condition.is_met(&claims), is_met, "{groups}");
        }
        assert!(!condition.is_met(&Rest::default()));
        let verified: Condition = "email_verified=true".parse().expect("a condition");
        let claims = serde_json::from_value(json!({"email_verified": true})).expect("claims");
        assert!(verified.is_met(&claims));
        for wrong in ["", "groups", "groups=", "=packagers"] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong:?}");
        }
    }
}
