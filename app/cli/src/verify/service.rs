//! A build of a service is built again by the service; here it is asked for and waited for.

use kiln_api::{Build, Verification};
use kiln_model::{Foreign, Proof};
use reqwest::Method;

use crate::Failure;
use crate::client::Client;
use crate::verify::prove::unread;

/// Has every job of a build built again, and waits until each is judged.
pub(crate) fn verify(build: i64, is_quiet: bool) -> Result<Vec<Proof>, Failure> {
    let client = Client::find()?;
    let build: Build = client.get(&format!("/api/v1/builds/{build}"))?;
    let built: Vec<_> = build.jobs.iter().filter(|job| job.state == "built").collect();
    if built.is_empty() {
        let hint = format!(
            "'kiln builds' shows where its jobs stand: {}/builds/{}",
            client.server, build.id
        );
        return Err(Failure::caller(format!("build {} was not built", build.id), Some(hint)));
    }
    let mut asked = Vec::new();
    for job in built {
        let path = format!("/api/v1/jobs/{}/verify", job.id);
        let made: Verification = client.send(Method::POST, &path, &())?;
        if !is_quiet {
            eprintln!("job {} is built again: {}/jobs/{}", job.id, client.server, made.rebuild);
        }
        asked.push(made);
    }
    asked.iter().map(|one| wait(&client, one)).collect()
}

fn wait(client: &Client, asked: &Verification) -> Result<Proof, Failure> {
    let Verification { job, rebuild, build, .. } = asked;
    loop {
        // Answers as soon as the rebuild is over, or after a while.
        let rebuilt: Build = client.get(&format!("/api/v1/builds/{build}?wait=45"))?;
        let all: Vec<Verification> = client.get(&format!("/api/v1/jobs/{job}/verdicts"))?;
        let found = all.into_iter().find(|one| one.rebuild == *rebuild);
        match found {
            None => {
                let error = format!("rebuild {rebuild} of job {job} is gone");
                return Err(Failure::caller(error, None));
            }
            Some(one) if one.verdict.is_some() => break,
            Some(_) if rebuilt.jobs.iter().all(|job| job.is_over) => {
                // It is over and about to be judged.
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
            Some(_) => {}
        }
    }
    let mut bytes = Vec::new();
    let path = format!("/api/v1/jobs/{job}/verdicts/{rebuild}");
    client.read(&path, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    serde_json::from_slice(&bytes).map_err(|error| unread(&Foreign::new(&error.to_string())))
}
