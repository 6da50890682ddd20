use axum::Form;
use axum::extract::{FromRequest, Request};

use crate::problem::{Answer, Refused};

/// What a form was filled in with, by the names of its fields.
pub(crate) struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let form = Form::<Vec<(String, String)>>::from_request(request, state).await;
        let Form(fields) = form.map_err(|error| Refused::wrong(error.body_text()))?;
        match fields.iter().any(|(_, text)| text.contains('\0')) {
            true => Err(Refused::wrong("a text with a NUL in it, which no text has")),
            false => Ok(Self(fields)),
        }
    }
}

impl Fields {
    pub(crate) fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// What a field holds; nothing where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// As it was typed, with whatever stands around it.
    pub(crate) fn exact(&self, name: &str) -> String {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// What every field of that name holds.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// The words of a field.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        self.text(name).split_whitespace().map(str::to_owned).collect()
    }

    /// Whether a box is ticked.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Answer<T> {
        let wrong = |_| Refused::wrong(format!("{name} is a number"));
        self.text(name).parse().map_err(wrong)
    }
}
