use super::assets;
use super::words;
use crate::guard::Asker;
use crate::service::App;

/// What stands around every page: its title, who is signed in, the way to everywhere.
pub(crate) struct Shell {
    pub(crate) title: String,
    pub(crate) who: Option<String>,
    pub(crate) is_operator: bool,
    pub(crate) urls: &'static assets::Urls,
    now: i64,
}

impl Shell {
    pub(crate) fn of(app: &App, asker: &Asker, title: impl Into<String>) -> Self {
        let who = asker.principal.user().map(|_| asker.label());
        let is_operator = asker.principal.is_operator();
        Self { title: title.into(), who, is_operator, urls: &assets::URLS, now: app.now() }
    }

    /// Of a page that nobody in particular asks for.
    pub(crate) fn plain(app: &App, title: impl Into<String>, who: Option<String>) -> Self {
        let title = title.into();
        Self { title, who, is_operator: false, urls: &assets::URLS, now: app.now() }
    }

    /// How long ago something was, in words.
    pub(crate) fn ago(&self, at: &i64) -> String {
        words::ago(self.now - at)
    }

    /// A moment in UTC, to the minute.
    pub(crate) fn date(&self, at: &i64) -> String {
        words::date(*at)
    }

    /// How long from one moment to another, or until now.
    pub(crate) fn took(&self, from: &i64, until: &Option<i64>) -> String {
        words::span(until.unwrap_or(self.now) - from)
    }

    /// Milliseconds, in words.
    pub(crate) fn span(&self, ms: &u64) -> String {
        words::span(ms.cast_signed())
    }

    /// A number of bytes, in words.
    pub(crate) fn bytes(&self, bytes: &u64) -> String {
        words::bytes(*bytes)
    }
}
