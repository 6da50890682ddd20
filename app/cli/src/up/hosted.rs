//! What `kiln up` takes where many use it: who else signs people in, behind which proxies it is, and
//! how much everybody may ask for and send.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_model::Foreign;
use kiln_oidc::{Condition, Provider, ProviderSettings};
use kiln_server::{Network, RateCaps};
use kiln_store::UploadCaps;

use crate::client;
use crate::failure::{Failure, doing};

/// For a service that many use.
#[derive(Debug, clap::Args)]
pub(super) struct Hosted {
    /// An OpenID provider that signs people in, by its address: https://id.example.org/realms/main
    #[arg(long, value_name = "URL", env = "KILN_OIDC_ISSUER", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,

    /// What it knows this service as
    #[arg(long, value_name = "ID", env = "KILN_OIDC_CLIENT_ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,

    /// A file with the secret that it gave this service; none for a public client
    #[arg(
        long,
        value_name = "FILE",
        env = "KILN_OIDC_CLIENT_SECRET_FILE",
        requires = "oidc_issuer"
    )]
    oidc_client_secret_file: Option<PathBuf>,

    /// What people know it as: 'Example Org'; its host's name, as a rule
    #[arg(long, value_name = "NAME", env = "KILN_OIDC_NAME", requires = "oidc_issuer")]
    oidc_name: Option<String>,

    /// The claim that new accounts are named by
    #[arg(
        long,
        value_name = "CLAIM",
        env = "KILN_OIDC_CLAIM",
        default_value = "preferred_username"
    )]
    oidc_claim: String,

    /// What it is asked for besides 'openid': as a provider wants it for groups; may be given again
    #[arg(long, value_name = "SCOPE", default_value = "profile", requires = "oidc_issuer")]
    oidc_scope: Vec<String>,

    /// Whom to let in: a claim and its value, as groups=packagers; may be given again, for any of
    /// them. Everybody whom the provider signs in, where there is none
    #[arg(long, value_name = "CLAIM=VALUE", requires = "oidc_issuer")]
    oidc_allow: Vec<Condition>,

    /// Who is an operator, likewise, as of each sign-in; where there is none, the provider makes no
    /// operators
    #[arg(long, value_name = "CLAIM=VALUE", requires = "oidc_issuer")]
    oidc_operator: Vec<Condition>,

    /// A proxy before this service, or a network of them, as 10.0.0.0/8: what it says in
    /// X-Forwarded-For and X-Forwarded-Proto is believed; may be given again
    #[arg(long, value_name = "ADDRESS")]
    behind_proxy: Vec<Network>,

    /// How many requests of one account are answered in a second, on average; 0 for any number.
    /// Readers of repositories and workers are not counted
    #[arg(long, value_name = "N", default_value_t = 50)]
    rate_user: u32,

    /// How many requests from one address of people who are not signed in, likewise
    #[arg(long, value_name = "N", default_value_t = 20)]
    rate_address: u32,

    /// How much an account may have sent that no build names yet, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32_768)]
    uploads: u64,

    /// In how many files
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    upload_files: u64,
}

impl Hosted {
    /// Who signs people in besides a service at that address. It is not asked anything yet.
    pub(super) fn provider(&self, url: &str) -> Result<Option<Arc<Provider>>, Failure> {
        let (Some(issuer), Some(client)) = (&self.oidc_issuer, &self.oidc_client_id) else {
            return Ok(None);
        };
        let settings = ProviderSettings {
            issuer: issuer.clone(),
            client: client.clone(),
            secret: self.secret()?,
            name: self.oidc_name.clone().unwrap_or_else(|| host_of(issuer)),
            claim: self.oidc_claim.clone(),
            scopes: self.oidc_scope.clone(),
            allow: self.oidc_allow.clone(),
            operators: self.oidc_operator.clone(),
            redirect: format!("{url}/login/oidc/done"),
            authorities: client::authorities().to_vec(),
        };
        Ok(Some(Arc::new(Provider::new(settings)?)))
    }

    fn secret(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.oidc_client_secret_file else { return Ok(None) };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(doing(format!("reading {}", path.display())))?;
        match text.trim() {
            "" => Err(Failure::caller(format!("{} is empty", path.display()), None)),
            secret => Ok(Some(secret.to_owned())),
        }
    }

    pub(super) fn proxies(&self) -> Vec<Network> {
        self.behind_proxy.clone()
    }

    pub(super) fn rates(&self) -> RateCaps {
        let cap = NonZeroU32::new;
        RateCaps { user: cap(self.rate_user), address: cap(self.rate_address) }
    }

    pub(super) fn upload_caps(&self) -> UploadCaps {
        UploadCaps { bytes: self.uploads << 20, files: self.upload_files }
    }
}

/// The host's name of an address.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    Foreign::new(host).as_str().to_owned()
}
