use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_access::Access;
use kiln_flow::{Flow, Publisher};
use kiln_model::{Digest, LeaseKey, Limits, Outlets};
use kiln_oidc::Provider;
use kiln_store::{Caps, Deed, Store, UploadCaps};

use crate::peer::Network;
use crate::rates::{RateCaps, Rates};

/// How many workers that waited look at once: what wakes one wakes all, and few get something.
const LEASING: usize = 8;

/// What a service is told by its operator.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Where it is reached, without a slash at the end: `https://kiln.example.org`.
    pub url: String,
    /// How much may be built at one time.
    pub caps: Caps,
    /// What a build may take.
    pub limits: Limits,
    /// How many processes a build may start at once.
    pub jobs: u32,
    /// The largest file that can be uploaded, in bytes.
    pub upload_cap: u64,
    /// How much an account may have sent that no build names yet.
    pub upload_caps: UploadCaps,
    /// Whom the service itself may speak to: those who are told what becomes of jobs.
    pub notified: Outlets,
    /// Proxies that are believed when they say for whom they ask.
    pub proxies: Vec<Network>,
    /// How often somebody may ask.
    pub rates: RateCaps,
    /// Who signs people in besides the service itself.
    pub provider: Option<Arc<Provider>>,
}

/// All that a request may need.
pub struct Service {
    /// The life of builds.
    pub flow: Flow,
    /// Signs and publishes.
    pub publisher: Publisher,
    /// Lets people in.
    pub access: Access,
    /// What the operator said.
    pub settings: ServiceSettings,
    /// What each lease's worker may fetch: what its locks name, and its sources.
    pub(crate) granted: Mutex<BTreeMap<LeaseKey, Arc<BTreeSet<Digest>>>>,
    /// Workers that were woken look for something to do, a few at a time.
    pub(crate) leasing: tokio::sync::Semaphore,
    /// Who asked how often.
    pub(crate) rates: Rates,
}

/// What handlers are given.
pub(crate) type App = Arc<Service>;

impl Service {
    /// A service of these parts.
    pub fn new(
        flow: Flow,
        publisher: Publisher,
        access: Access,
        settings: ServiceSettings,
    ) -> Self {
        let (granted, leasing) = (Mutex::default(), tokio::sync::Semaphore::new(LEASING));
        let rates = Rates::new(settings.rates);
        Self { flow, publisher, access, settings, granted, leasing, rates }
    }

    pub(crate) fn store(&self) -> &Store {
        self.flow.store()
    }

    pub(crate) fn now(&self) -> i64 {
        self.flow.now()
    }

    /// Notes in the audit log what somebody did. That it cannot be noted is no reason to undo it.
    pub(crate) async fn note(&self, actor: &str, action: &str, subject: &str, detail: &str) {
        let deed = Deed { actor, action, subject, detail };
        if let Err(error) = self.store().note(&deed, self.now()).await {
            tracing::error!(action, %error, "not noted in the audit log");
        }
    }

    pub(crate) fn forget_grants(&self, key: LeaseKey) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.remove(&key);
    }
}
