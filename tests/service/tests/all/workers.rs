//! A worker that lies is refused, and set aside where what it says is false.

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Trial};
use kiln_model::{Digest, Isolation, LeaseKey};
use kiln_service::{Service, TARGET};
use kiln_wire::worker::{
    Claim, ClaimedArtifact, Ending, Finish, Lease, LeaseRequest, ResolveRequest, Resolved, VERSION,
};
use serde_json::{Value, json};

/// A worker that says whatever it likes.
struct Liar<'a> {
    service: &'a Service,
    credential: String,
}

impl<'a> Liar<'a> {
    fn enrol(service: &'a Service) -> Result<Self> {
        let told = service.told(&["worker", "enroll", "liar"])?;
        let ticket = told.trim().rsplit_once(' ').context("a ticket")?.1.to_owned();
        let enrol = json!({"ticket": ticket, "arch": "x86_64", "slots": 1, "version": "0"});
        let body = enrol.to_string();
        let (status, answer) = service.ask("POST", "/worker/v1/enrol", "", body.as_bytes())?;
        ensure!(status == 200, "{answer}");
        let (again, _) = service.ask("POST", "/worker/v1/enrol", "", body.as_bytes())?;
        ensure!(again == 401, "a ticket is good once");
        let credential = answer["credential"].as_str().context("a credential")?.to_owned();
        Ok(Self { service, credential })
    }

    fn say(&self, path: &str, message: &impl serde::Serialize) -> Result<(u16, Value)> {
        let body = serde_json::to_vec(message)?;
        self.service.ask("POST", path, &self.credential, &body)
    }

    /// Submits a build, and takes its lease.
    fn lease(&self, number: u32) -> Result<Lease> {
        self.service.run(&["worker", "resume", "liar"])?;
        let folder = self.service.spec(&format!("kt-lie{number}"), 1, ":")?;
        let folder = folder.to_str().context("a path")?;
        self.service.told(&["build", "--project", "tools", folder])?;
        let request = LeaseRequest {
            protocol: VERSION,
            version: "0".into(),
            slots: 1,
            isolation: Isolation::default(),
            has_kvm: false,
        };
        let (status, answer) = self.say("/worker/v1/lease", &request)?;
        ensure!(status == 200, "{answer}");
        serde_json::from_value(answer["lease"].clone()).context("a lease")
    }

    fn finish(&self, key: LeaseKey, claim: Claim) -> Result<(u16, Value)> {
        self.say("/worker/v1/finish", &Finish { key, ending: Ending::Built(claim) })
    }
}

#[test]
fn a_worker_that_lies_is_refused_and_set_aside() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let program = env!("CARGO_BIN_EXE_kiln-service-program").as_ref();
    let service = Service::start_with(program, ground, &trial, 0)?;
    service.told(&["project", "create", "tools", "--target", TARGET])?;
    let liar = Liar::enrol(&service)?;
    let lease = liar.lease(0)?;
    refused_at_once(&service, &liar, lease.key)?;

    let resolve = ResolveRequest { key: lease.key, requires: Vec::new() };
    let (status, answer) = liar.say("/worker/v1/resolve", &resolve)?;
    ensure!(status == 200, "{answer}");
    let resolved: Resolved = serde_json::from_value(answer)?;
    let lock = kiln_parse::lock::digest(&resolved.lock);
    let nothing = ClaimedArtifact {
        name: "x-1-1.src.rpm".to_owned(),
        digest: Digest::of(b"nobody handed this over"),
        size: 5,
    };
    let text = b"this is not a package";
    let path = {
        let LeaseKey { job, epoch } = lease.key;
        let (digest, size) = (Digest::of(text), text.len());
        format!("/worker/v1/jobs/{job}/{}/artifacts/{digest}/{size}?offset=0", epoch.0)
    };
    let (status, _) = service.ask("PUT", &path, &liar.credential, b"other bytes than those")?;
    ensure!(status == 400, "bytes that are not those of their digest: {status}");
    let (status, answer) = service.ask("PUT", &path, &liar.credential, text)?;
    ensure!(status == 200 && answer["is_whole"] == true, "{answer}");
    let no_package = ClaimedArtifact { digest: Digest::of(text), size: 21, ..nothing.clone() };
    let larger = ClaimedArtifact { size: 22, ..no_package.clone() };
    let source_lease = |number: u32| liar.lease(number);
    let mut lease = lease;
    type Lie<'a> = (&'a str, fn(&mut Claim), &'a ClaimedArtifact);
    let lies: [Lie<'_>; 5] = [
        ("another lease", |claim| claim.key.epoch.0 += 1, &nothing),
        ("a lock of its own", |claim| claim.lock = Digest::of(b"mine"), &nothing),
        ("what it never handed over", |_| {}, &nothing),
        ("what is no package", |_| {}, &no_package),
        ("another size", |_| {}, &larger),
    ];
    for (number, (lie, bend, srpm)) in (1_u32..).zip(lies) {
        let key = lease.key;
        let resolve = ResolveRequest { key, requires: Vec::new() };
        ensure!(liar.say("/worker/v1/resolve", &resolve)?.0 == 200);
        let srpm = srpm.clone();
        let mut claim = Claim { key, lock, srpm, rpms: Vec::new(), refused: Vec::new() };
        bend(&mut claim);
        let (status, answer) = liar.finish(key, claim.clone())?;
        ensure!(status == 403 && answer["fault"] == "breach", "{lie}: {status} {answer}");
        let workers = service.json(&["worker", "list", "--json"])?;
        ensure!(workers[0]["state"] == "aside", "{lie}: {workers}");
        let (status, _) = liar.finish(key, claim)?;
        ensure!(status == 409, "{lie}, once more: {status}");
        lease = source_lease(number)?;
    }
    let audit = service.told(&["audit"])?;
    ensure!(audit.matches("breach").count() == 5, "{audit}");
    Ok(())
}

/// What is refused without anyone being set aside.
fn refused_at_once(service: &Service, liar: &Liar<'_>, key: LeaseKey) -> Result<()> {
    let stale = ResolveRequest {
        key: LeaseKey { epoch: kiln_model::Epoch(key.epoch.0 + 6), ..key },
        requires: Vec::new(),
    };
    ensure!(liar.say("/worker/v1/resolve", &stale)?.0 == 409, "a lease that it doesn't hold");
    let blob = |digest: Digest| -> Result<u16> {
        let path = format!("/worker/v1/jobs/{}/{}/blobs/{digest}", key.job, key.epoch.0);
        Ok(service.ask("GET", &path, &liar.credential, b"")?.0)
    };
    ensure!(blob(Digest::of(b"not in its locks"))? == 403, "a blob that nobody gave it");
    let log = format!("/worker/v1/jobs/{}/{}/logs/build?offset=99", key.job, key.epoch.0);
    ensure!(service.ask("POST", &log, &liar.credential, b"x")?.0 == 400, "a log with a gap");
    let log = format!("/worker/v1/jobs/{}/{}/logs/passwd?offset=0", key.job, key.epoch.0);
    ensure!(service.ask("POST", &log, &liar.credential, b"x")?.0 == 404, "a log of its own");
    for path in ["/api/v1/users", "/api/v1/me", "/api/v1/workers", "/api/v1/audit"] {
        let (status, _) = service.ask("GET", path, &liar.credential, b"")?;
        ensure!(status == 403, "a worker's credential at {path}: {status}");
    }
    let old = LeaseRequest {
        protocol: VERSION + 1,
        version: "0".into(),
        slots: 1,
        isolation: Isolation::default(),
        has_kvm: false,
    };
    ensure!(liar.say("/worker/v1/lease", &old)?.0 == 400, "another protocol");
    Ok(())
}
