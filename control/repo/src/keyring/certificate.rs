use pgp::composed::SignedPublicKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, PublicSubkey, RevocationCode, Signature};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, Tag};

/// The least bytes of a serialised RSA key: a modulus of 2048 bits.
const RSA_BYTES: usize = 256;

/// A primary key with those of its subkeys that may sign, reduced to what a decision needs.
///
/// As rpm does it: a key counts if it was valid when the signature was made, so packages outlive
/// the key that they were signed with; one that was revoked because it fell into other hands
/// never counts.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    fingerprint: String,
    keys: Vec<Key>,
    revoked: Option<Revoked>,
}

/// A key that may have signed.
#[derive(Debug, Clone)]
pub(super) struct Key {
    material: Material,
    from: u64,
    until: Option<u64>,
    revoked: Option<Revoked>,
    is_strong: bool,
}

#[derive(Debug, Clone)]
enum Material {
    Primary(Box<PublicKey>),
    Sub(Box<PublicSubkey>),
}

/// When a revocation takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revoked {
    /// For all that was ever signed.
    Always,
    /// For what was signed from this second on.
    From(u64),
}

impl Certificate {
    pub(super) fn of(certificate: &SignedPublicKey) -> Self {
        let primary = &certificate.primary_key;
        let details = &certificate.details;
        let selfs: Vec<&Signature> = details
            .users
            .iter()
            .flat_map(|user| user.signatures.iter().map(move |signature| (user, signature)))
            .filter(|(user, signature)| {
                counts(signature)
                    && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            })
            .map(|(_, signature)| signature)
            .chain(
                details
                    .direct_signatures
                    .iter()
                    .filter(|signature| counts(signature) && signature.verify_key(primary).is_ok()),
            )
            .filter(|signature| signature.revocation_reason_code().is_none())
            .collect();
        let revocations = details
            .revocation_signatures
            .iter()
            .filter(|signature| counts(signature) && signature.verify_key(primary).is_ok());
        let from = u64::from(primary.created_at().as_secs());
        let primary_key = Key {
            material: Material::Primary(Box::new(primary.clone())),
            from,
            until: end_of(from, &selfs),
            revoked: None,
            is_strong: is_strong(primary.public_params()),
        };
        let subkeys = certificate
            .public_subkeys
            .iter()
            .filter_map(|subkey| signing_subkey(primary, &subkey.key, &subkey.signatures));
        Self {
            fingerprint: format!("{:X}", primary.fingerprint()),
            revoked: earliest(revocations),
            keys: std::iter::once(primary_key).chain(subkeys).collect(),
        }
    }

    /// The primary key's fingerprint in upper-case digits.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key that a signature says it is by.
    pub(super) fn signer(&self, signature: &Signature) -> Option<&Key> {
        let prints = signature.issuer_fingerprint();
        let ids = signature.issuer_key_id();
        self.keys.iter().find(|key| {
            let details = key.details();
            match prints.is_empty() {
                false => prints.iter().any(|print| **print == details.fingerprint()),
                true => ids.iter().any(|id| **id == details.legacy_key_id()),
            }
        })
    }

    /// What was the matter with the key at that second, if anything.
    pub(super) fn complaint(&self, key: &Key, at: u64) -> Option<&'static str> {
        let revoked =
            [self.revoked, key.revoked].into_iter().flatten().any(|revoked| match revoked {
                Revoked::Always => true,
                Revoked::From(from) => at >= from,
            });
        let primary = self.keys.first()?;
        let over = |key: &Key| key.until.is_some_and(|until| at >= until);
        if revoked {
            Some("was revoked")
        } else if !key.is_strong {
            Some("was too weak to mean anything")
        } else if at < key.from {
            Some("did not exist yet")
        } else if over(key) || over(primary) {
            Some("had expired")
        } else {
            None
        }
    }
}

impl Key {
    fn details(&self) -> &dyn KeyDetails {
        match &self.material {
            Material::Primary(key) => &**key,
            Material::Sub(key) => &**key,
        }
    }

    /// Whether the signature is this key's, over these bytes.
    pub(super) fn verifies(&self, signature: &Signature, content: &[u8]) -> bool {
        match &self.material {
            Material::Primary(key) => signature.verify(&**key, content).is_ok(),
            Material::Sub(key) => signature.verify(&**key, content).is_ok(),
        }
    }
}

fn signing_subkey(
    primary: &PublicKey,
    subkey: &PublicSubkey,
    signatures: &[Signature],
) -> Option<Key> {
    let bound: Vec<&Signature> = signatures
        .iter()
        .filter(|signature| {
            counts(signature) && signature.verify_subkey_binding(primary, subkey).is_ok()
        })
        .collect();
    let is_revocation = |signature: &&&Signature| {
        signature.typ() == Some(pgp::packet::SignatureType::SubkeyRevocation)
    };
    let revocations = bound.iter().filter(is_revocation).copied();
    let bindings: Vec<&Signature> =
        bound.iter().filter(|signature| !is_revocation(signature)).copied().collect();
    let newest = newest(&bindings)?;
    // A signing subkey vouches for its primary in turn (RFC 9580, section 10.1.5): without that,
    // anyone could adopt another's key and with it whatever that one signed.
    let back = newest.embedded_signature()?;
    let adopted = back.verify_primary_key_binding(subkey, primary).is_ok();
    if !newest.key_flags().sign() || !counts(back) || !adopted {
        return None;
    }
    let from = u64::from(subkey.created_at().as_secs());
    Some(Key {
        material: Material::Sub(Box::new(subkey.clone())),
        from,
        until: end_of(from, &bindings),
        revoked: earliest(revocations),
        is_strong: is_strong(subkey.public_params()),
    })
}

/// Whether a key's own signature on itself is worth anything. SHA-1 is taken here, as rpm takes
/// it: who forges one still needs a second key with the fingerprint that the target names.
fn counts(signature: &Signature) -> bool {
    !matches!(
        signature.hash_alg(),
        None | Some(HashAlgorithm::None | HashAlgorithm::Md5 | HashAlgorithm::Ripemd160)
    )
}

fn is_strong(params: &PublicParams) -> bool {
    match params {
        PublicParams::RSA(rsa) => rsa.write_len() >= RSA_BYTES,
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_)
        | PublicParams::MlDsa65Ed25519(_)
        | PublicParams::MlDsa87Ed448(_) => true,
        _ => false,
    }
}

fn newest<'a>(signatures: &[&'a Signature]) -> Option<&'a Signature> {
    signatures.iter().max_by_key(|signature| signature.created().map(|at| at.as_secs())).copied()
}

/// When a key ends, by the newest signature that says something of it.
fn end_of(from: u64, signatures: &[&Signature]) -> Option<u64> {
    let lasts = newest(signatures)?.key_expiration_time().map_or(0, |time| time.as_secs());
    (lasts > 0).then(|| from + u64::from(lasts))
}

fn earliest<'a>(revocations: impl Iterator<Item = &'a Signature>) -> Option<Revoked> {
    let mut earliest = None;
    for revocation in revocations {
        let soft = matches!(
            revocation.revocation_reason_code(),
            Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
        );
        let Some(at) = revocation.created().filter(|_| soft) else { return Some(Revoked::Always) };
        let at = u64::from(at.as_secs());
        earliest = Some(match earliest {
            Some(Revoked::From(before)) => Revoked::From(before.min(at)),
            _ => Revoked::From(at),
        });
    }
    earliest
}
