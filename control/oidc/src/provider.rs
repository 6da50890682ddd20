use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_model::Foreign;
use openidconnect::core::{CoreAuthenticationFlow, CoreClientAuthMethod, CoreProviderMetadata};
use openidconnect::{
    AccessTokenHash, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, DiscoveryError, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    TokenResponse as _,
};
use reqwest::Url;
use tokio::sync::Mutex;

use crate::claims::{Client, Rest, Signed, Tokens, Told, every_claim};
use crate::error::{OidcError, Why};
use crate::outbound::{Lost, Outbound};
use crate::settings::{Condition, ProviderSettings};

/// For how long what a provider says of itself counts.
const FRESH: Duration = Duration::from_secs(3600);

/// Not sooner than this it is asked again because somebody brought a signature by an unknown key.
const SOON: Duration = Duration::from_secs(60);

/// How long a provider that did not answer is waited with, once.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest `sub`, in characters of ASCII (OpenID Connect Core 1.0, section 2).
const SUBJECT: usize = 255;

/// An OpenID provider that signs people in.
pub struct Provider {
    settings: ProviderSettings,
    redirect: RedirectUrl,
    outbound: Outbound,
    /// What it says of itself, asked for when somebody first signs in by it.
    known: Mutex<Option<Known>>,
}

/// What a provider said of itself, and when.
#[derive(Clone)]
struct Known {
    client: Arc<Client>,
    at: Instant,
}

/// What ties the end of a sign-in to its beginning. Only the browser and the provider learn the
/// state; the nonce comes back in the ID token, and the verifier shows that whoever exchanges the
/// code is who asked for it.
#[derive(Debug, Clone)]
pub struct Proof {
    /// `state`, which comes back in the address.
    pub state: String,
    /// `nonce`.
    pub nonce: String,
    /// `code_verifier`: 43 to 128 letters and digits (RFC 7636, section 4.1).
    pub verifier: String,
}

/// Somebody whom the provider knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// By what the provider tells people apart. Its `sub`: names and addresses change hands.
    pub subject: String,
    /// What they are called there, if the provider says so.
    pub name: Option<String>,
    /// Whether they are an operator; nothing where that is for this service to say.
    pub is_operator: Option<bool>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}

impl Provider {
    /// One that is not asked anything yet: it may be down.
    pub fn new(settings: ProviderSettings) -> Result<Self, OidcError> {
        let outbound = Outbound::new(&settings.issuer, &settings.authorities)?;
        let redirect = RedirectUrl::new(settings.redirect.clone());
        let redirect = redirect.map_err(|error| OidcError::Setup(error.to_string()))?;
        Ok(Self { settings, redirect, outbound, known: Mutex::default() })
    }

    /// What people know it as.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its address.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Where a browser is sent to sign in.
    pub async fn begin(&self, proof: &Proof) -> Result<String, OidcError> {
        let Known { client, .. } = self.known(FRESH).await?;
        let verifier = PkceCodeVerifier::new(proof.verifier.clone());
        let scopes = self.settings.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let (state, nonce) = (proof.state.clone(), proof.nonce.clone());
        let (url, _, _) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(scopes)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&self.redirect))
            .url();
        Ok(url.into())
    }

    /// Who came back from there with a code.
    pub async fn end(&self, code: &str, proof: &Proof) -> Result<Person, OidcError> {
        let known = self.known(FRESH).await?;
        let tokens = self.exchange(&known.client, code, proof).await?;
        let signed = tokens.id_token().ok_or_else(|| self.nonsense("it gave no ID token"))?;
        let nonce = Nonce::new(proof.nonce.clone());
        let (client, verified) = match verified(&known.client, &tokens, signed, &nonce) {
            // Keys are changed now and then.
            Err(error) if is_by_another_key(&error) => {
                let Known { client, .. } = self.known(SOON).await?;
                let verified = verified(&client, &tokens, signed, &nonce);
                (client, verified)
            }
            verified => (known.client, verified),
        };
        let name = self.settings.name.clone();
        let (subject, mut claims) = verified
            .map_err(|error| OidcError::Unbelieved { name: name.clone(), why: Why::of(&error) })?;
        if subject.is_empty() || subject.len() > SUBJECT || !subject.is_ascii() {
            return Err(self.nonsense("it knows you as something that is no 'sub'"));
        }
        self.ask_more(&client, &tokens, &subject, &mut claims).await?;
        let is_met = |conditions: &[Condition]| conditions.iter().any(|one| one.is_met(&claims));
        let (allow, operators) = (&self.settings.allow, &self.settings.operators);
        if !allow.is_empty() && !is_met(allow) {
            return Err(OidcError::NotAllowed { name });
        }
        let called = claims.0.get(&self.settings.claim).and_then(|claim| claim.as_str());
        Ok(Person {
            name: called.map(str::to_owned),
            is_operator: (!operators.is_empty()).then(|| is_met(operators)),
            subject,
        })
    }

    async fn exchange(
        &self,
        client: &Client,
        code: &str,
        proof: &Proof,
    ) -> Result<Tokens, OidcError> {
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request =
            request.map_err(|_| self.nonsense("it names no place to exchange codes at"))?;
        let request = request
            .set_pkce_verifier(PkceCodeVerifier::new(proof.verifier.clone()))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&self.redirect));
        let name = self.settings.name.clone();
        request.request_async(&self.outbound).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => {
                OidcError::Code { name, why: Why(Foreign::new(&said.to_string())) }
            }
            RequestTokenError::Request(lost) => self.lost(&lost),
            RequestTokenError::Parse(error, _) => self.nonsense(&error.to_string()),
            RequestTokenError::Other(said) => self.nonsense(&said),
        })
    }

    /// Claims that the ID token lacks are asked for where the provider tells more: many tell only
    /// there what somebody is called and which groups they are in.
    async fn ask_more(
        &self,
        client: &Client,
        tokens: &Tokens,
        subject: &str,
        claims: &mut Rest,
    ) -> Result<(), OidcError> {
        let ProviderSettings { claim, allow, operators, .. } = &self.settings;
        let mut wanted = allow.iter().chain(operators).map(Condition::claim).chain([&claim[..]]);
        if wanted.all(|claim| claims.0.contains_key(claim)) {
            return Ok(());
        }
        let subject = openidconnect::SubjectIdentifier::new(subject.to_owned());
        let Ok(request) = client.user_info(tokens.access_token().clone(), Some(subject)) else {
            return Ok(());
        };
        let told: Result<Told, _> = request.request_async(&self.outbound).await;
        let told = told.map_err(|error| self.nonsense(&Why::of(&error).to_string()))?;
        for (name, value) in every_claim(&told).0 {
            // What is signed counts.
            claims.0.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// What the provider says of itself, no older than that; older where it doesn't answer now.
    async fn known(&self, age: Duration) -> Result<Known, OidcError> {
        let before = self.known.lock().await.clone();
        if let Some(known) = before.as_ref().filter(|known| known.at.elapsed() < age) {
            return Ok(known.clone());
        }
        // Asked without the lock: who comes meanwhile doesn't wait for another's patience.
        let found = match self.discover().await {
            Err(OidcError::Unreachable { .. }) => {
                tokio::time::sleep(PAUSE).await;
                self.discover().await
            }
            found => found,
        };
        match (found, before) {
            (Ok(client), _) => {
                let known = Known { client: Arc::new(client), at: Instant::now() };
                *self.known.lock().await = Some(known.clone());
                tracing::info!(issuer = self.settings.issuer, "a provider said how to sign in");
                Ok(known)
            }
            (Err(error), Some(before)) => {
                tracing::warn!(%error, "what the provider said before counts still");
                Ok(before)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn discover(&self) -> Result<Client, OidcError> {
        let ProviderSettings { issuer, client, secret, .. } = &self.settings;
        let url = IssuerUrl::new(issuer.clone());
        let url = url.map_err(|error| OidcError::Setup(error.to_string()))?;
        let found = CoreProviderMetadata::discover_async(url, &self.outbound).await;
        let found = found.map_err(|error| match error {
            DiscoveryError::Request(lost) => self.lost(&lost),
            // Something that stands before it answers for it, while it is down.
            DiscoveryError::Response(status, ..) if status.is_server_error() => {
                let why = Why::say(&format!("it answered {status}"));
                OidcError::Unreachable { name: self.settings.name.clone(), why }
            }
            other => self.nonsense(&Why::of(&other).to_string()),
        })?;
        let leads: &Url = found.authorization_endpoint().url();
        if !self.outbound.may_lead_to(leads) {
            return Err(self.nonsense("it would have people sign in without TLS, at another host"));
        }
        let how = auth_type(&found);
        let secret = secret.clone().map(ClientSecret::new);
        let client = Client::from_provider_metadata(found, ClientId::new(client.clone()), secret);
        Ok(client.set_auth_type(how))
    }

    fn lost(&self, lost: &Lost) -> OidcError {
        let (name, why) = (self.settings.name.clone(), Why::of(lost));
        match lost {
            Lost::Network(_) => OidcError::Unreachable { name, why },
            Lost::Forbidden(_) | Lost::Long | Lost::Request => OidcError::Nonsense { name, why },
        }
    }

    fn nonsense(&self, why: &str) -> OidcError {
        OidcError::Nonsense { name: self.settings.name.clone(), why: Why::say(why) }
    }
}

/// How this service shows its secret: as the standard would have it, unless the provider takes it
/// in the body alone.
fn auth_type(found: &CoreProviderMetadata) -> AuthType {
    let methods = found.token_endpoint_auth_methods_supported().map_or(&[][..], Vec::as_slice);
    let takes = |method| methods.contains(&method);
    match takes(CoreClientAuthMethod::ClientSecretPost)
        && !takes(CoreClientAuthMethod::ClientSecretBasic)
    {
        true => AuthType::RequestBody,
        false => AuthType::BasicAuth,
    }
}

/// Who an ID token is about and what it says, if it is good: signed by the provider, for this
/// service, not too old, of this very sign-in, and given with this very access token.
fn verified(
    client: &Client,
    tokens: &Tokens,
    signed: &Signed,
    nonce: &Nonce,
) -> Result<(String, Rest), ClaimsVerificationError> {
    let verifier = client.id_token_verifier();
    let claims = signed.claims(&verifier, nonce)?;
    if let Some(expected) = claims.access_token_hash() {
        let other = |error: &dyn std::fmt::Display| {
            ClaimsVerificationError::Other(format!("the hash of the access token: {error}"))
        };
        let method = signed.signing_alg().map_err(|error| other(&error))?;
        let key = signed.signing_key(&verifier).map_err(|error| other(&error))?;
        let found = AccessTokenHash::from_token(tokens.access_token(), method, key);
        if found.map_err(|error| other(&error))? != *expected {
            return Err(other(&"it is another's"));
        }
    }
    Ok((claims.subject().as_str().to_owned(), every_claim(claims)))
}

fn is_by_another_key(error: &ClaimsVerificationError) -> bool {
    let ClaimsVerificationError::SignatureVerification(error) = error else { return false };
    matches!(
        error,
        SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_)
    )
}
