use std::time::Duration;

use futures_util::future::join_all;
use kiln_fetch::{PublicNames, names_a_private_address};
use kiln_model::{Outlets, Permit};
use kiln_parse::remote;
use kiln_store::{HookRecord, JobRecord, ListenerRecord, Message, Store, StoreError};
use kiln_wire::worker::{Remote, Source};
use reqwest::{Client, Url};
use serde_json::json;

use crate::forge::{self, Of};
use crate::sign::sign;

/// How many messages are under way at one time.
const AT_ONCE: i64 = 16;

/// How long whoever is told may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long nobody else takes a message that is under way, in milliseconds.
const UNDER_WAY: i64 = 60_000;

/// How long after each try the next one is, in seconds: as the convention suggests. After the last
/// the message is given up.
const AGAIN: [i64; 9] = [5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000];

/// A listener at whom nothing has arrived for so long, in milliseconds, is told nothing any more.
const LOST: i64 = 5 * 24 * 3600 * 1000;

/// Tells what is in the outbox.
pub struct Notifier {
    store: Store,
    settings: NotifierSettings,
    /// Speaks to hosts that an operator named.
    any: Client,
    /// Speaks to the public internet alone.
    public: Client,
}

/// What a notifier is told by an operator.
#[derive(Debug, Clone)]
pub struct NotifierSettings {
    /// Whom it may speak to.
    pub outlets: Outlets,
    /// Where the service is reached, without a slash at the end.
    pub url: String,
    /// The time, in milliseconds since 1970.
    pub now: fn() -> i64,
}

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
enum Lost {
    /// It never will: nothing is left to tell it to.
    #[error("nobody is there any more to be told")]
    Nobody,
    /// It may not be spoken to.
    #[error("an operator does not allow to speak to it")]
    Outlet,
    /// It answered something else than yes.
    #[error("it answered {0}")]
    Answer(u16),
    /// It could not be reached.
    #[error("it could not be reached")]
    Network(#[source] reqwest::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Notifier {
    /// Over a store.
    pub fn new(store: Store, settings: NotifierSettings) -> Result<Self, reqwest::Error> {
        // The first provider of a process stays; a second attempt is no error worth telling.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            Client::builder()
                .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
                .timeout(PATIENCE)
                // Where it leads to, nobody has allowed.
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
        };
        let public = client().dns_resolver(std::sync::Arc::new(PublicNames)).build()?;
        Ok(Self { store, settings, any: client().build()?, public })
    }

    /// Tells all whose time has come; how many messages that were.
    pub async fn tell_all(&self) -> Result<usize, StoreError> {
        let now = (self.settings.now)();
        let messages = self.store.take_messages(AT_ONCE, now, now + UNDER_WAY).await?;
        let count = messages.len();
        // Who is slow to answer keeps nobody else waiting.
        let each = messages.iter().map(async |message| {
            let told = self.tell(message).await;
            self.note(message, told).await
        });
        join_all(each).await.into_iter().collect::<Result<(), _>>()?;
        Ok(count)
    }

    async fn note(&self, message: &Message, told: Result<(), Lost>) -> Result<(), StoreError> {
        let lost = match told {
            Ok(()) => return self.store.drop_message(message, true).await,
            Err(Lost::Nobody) => return self.store.drop_message(message, false).await,
            Err(Lost::Store(error)) => return Err(error),
            Err(lost) => lost,
        };
        let now = (self.settings.now)();
        let at = usize::try_from(message.tries - 1).unwrap_or(0);
        let next_at = AGAIN.get(at).map(|seconds| now + seconds * 1000);
        tracing::info!(message = message.id, %lost, "not told");
        let is_disabled = self.store.failed_message(message, next_at, now, LOST).await?;
        if is_disabled {
            tracing::warn!(listener = message.listener, "told nothing any more: it never answers");
        }
        Ok(())
    }

    async fn tell(&self, message: &Message) -> Result<(), Lost> {
        let job = self.store.job(message.job).await?;
        if let Some(id) = message.listener {
            let listener = self.store.listener(id).await?.ok_or(Lost::Nobody)?;
            return self.tell_listener(message, &job, &listener).await;
        }
        let hook = message.hook.ok_or(Lost::Nobody)?;
        let hook = self.store.hook_of(hook).await?.ok_or(Lost::Nobody)?;
        self.tell_forge(message, &job, &hook).await
    }

    async fn tell_listener(
        &self,
        message: &Message,
        job: &JobRecord,
        listener: &ListenerRecord,
    ) -> Result<(), Lost> {
        let project = self.store.project_of(listener.project).await?.ok_or(Lost::Nobody)?;
        let body = json!({
            "type": format!("job.{}", message.what.word()),
            "timestamp": message.at,
            "data": {
                "project": project.name,
                "build": job.build.0,
                "job": job.id.0,
                "title": job.title,
                "target": job.settings.target.as_str(),
                "state": message.what.word(),
                "page": self.page(job),
            },
        });
        let body = body.to_string();
        let id = format!("msg_{}", message.id);
        let seconds = (self.settings.now)() / 1000;
        let signature = sign(&listener.secret, &id, seconds, body.as_bytes());
        let fields = [
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ];
        self.post(&listener.url, &fields, body).await
    }

    async fn tell_forge(
        &self,
        message: &Message,
        job: &JobRecord,
        hook: &HookRecord,
    ) -> Result<(), Lost> {
        let build = self.store.build(job.build).await?;
        let asked = match &build.source {
            Source::Remote(Remote::Git { reference, .. }) => Some(reference.clone()),
            _ => None,
        };
        let pinned = build.origin.as_ref().and_then(|origin| origin.commit.clone());
        let commit = pinned.or(asked).filter(|commit| remote::is_commit(commit));
        // A tag's commit is known when it was fetched: what becomes of it is told then.
        let commit = commit.ok_or(Lost::Nobody)?;
        let (target, page) = (job.settings.target.as_str(), self.page(job));
        let of = Of { commit: &commit, what: message.what, title: &job.title, target, page: &page };
        let call = forge::call(&hook.hook, &of).ok_or(Lost::Nobody)?;
        self.post(&call.url, &[call.field], call.body).await
    }

    async fn post(
        &self,
        url: &str,
        fields: &[(&'static str, String)],
        body: String,
    ) -> Result<(), Lost> {
        let parts = remote::url(url).map_err(|_| Lost::Nobody)?;
        let permit = self.settings.outlets.permit(parts.is_plain, parts.host, parts.port);
        let parsed: Url = url.parse().map_err(|_| Lost::Nobody)?;
        let client = match permit {
            Permit::Any => &self.any,
            Permit::Public if !names_a_private_address(&parsed) => &self.public,
            Permit::Public | Permit::No => return Err(Lost::Outlet),
        };
        let mut request = client.post(parsed).header("content-type", "application/json").body(body);
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let response = request.send().await.map_err(|error| Lost::Network(error.without_url()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // Gone: whoever was there wants nothing more (the convention's own word for it).
            status if status.as_u16() == 410 => Err(Lost::Nobody),
            status => Err(Lost::Answer(status.as_u16())),
        }
    }

    fn page(&self, job: &JobRecord) -> String {
        format!("{}/jobs/{}", self.settings.url, job.id)
    }
}
