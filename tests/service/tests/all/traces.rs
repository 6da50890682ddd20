//! What a collector of traces is told of a build.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_kit::{Ground, Trial};
use kiln_service::{Forge, Service, TARGET, is_published};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Who told it, and what.
fn told(collector: &Forge) -> Result<Vec<(String, Span)>> {
    let mut spans = Vec::new();
    for heard in collector.heard() {
        ensure!(heard.line == "POST /v1/traces", "{}", heard.line);
        let request = ExportTraceServiceRequest::decode(&heard.body[..]).context("a request")?;
        for of in request.resource_spans {
            let about = format!("{:?}", of.resource.context("a resource")?.attributes);
            let who = ["kiln-control", "kiln-worker"].into_iter().find(|who| about.contains(who));
            let who = who.context("a process of kiln's")?;
            let its = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(its.map(|span| (who.to_owned(), span)));
        }
    }
    Ok(spans)
}

#[test]
fn an_attempt_is_one_trace_from_its_worker_into_control() -> Result<()> {
    let (Some(ground), Some(trial)) = (Ground::or_skip(), Trial::or_skip()) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let collector = Forge::start(folder.path())?;
    let url = format!("http://{}", collector.host());
    let program = env!("CARGO_BIN_EXE_kiln-service-program");
    let mut service = Service::start_as(program.as_ref(), ground, &trial, &["--otlp", &url])?;
    service.told(&["project", "create", "tools", "--public", "--target", TARGET])?;
    let job = service.build("tools", &service.spec("kt-traced", 1, ":")?)?;
    ensure!(is_published(&job), "{job}");
    // What is not sent yet is sent by who ends.
    service.stop()?;

    let began = Instant::now();
    let spans = loop {
        let spans = told(&collector)?;
        if spans.iter().any(|(_, span)| span.name == "attempt") {
            break spans;
        }
        ensure!(began.elapsed() < Duration::from_secs(20), "nothing was told of an attempt");
        std::thread::sleep(Duration::from_millis(100));
    };
    let (who, attempt) = spans.iter().find(|(_, it)| it.name == "attempt").context("an attempt")?;
    ensure!(who == "kiln-worker" && attempt.parent_span_id.is_empty(), "{attempt:?}");
    let of_it: Vec<&(String, Span)> =
        spans.iter().filter(|(_, span)| span.trace_id == attempt.trace_id).collect();
    let by_id: BTreeMap<&[u8], &str> =
        of_it.iter().map(|(_, span)| (&span.span_id[..], &span.name[..])).collect();
    let stage = |name: &str| {
        of_it.iter().any(|(_, span)| span.name == name && span.parent_span_id == attempt.span_id)
    };
    for name in ["resolve", "fetch", "materialise", "prepare", "run", "collect"] {
        ensure!(stage(name), "no stage {name} in {by_id:?}");
    }
    let asked = of_it.iter().find(|(_, span)| span.name == "POST /worker/v1/resolve");
    let (who, asked) = asked.with_context(|| format!("a request in {by_id:?}"))?;
    ensure!(who == "kiln-control", "{asked:?}");
    ensure!(by_id.get(&asked.parent_span_id[..]) == Some(&"resolve"), "{asked:?}");
    let submitted = "POST /api/v1/projects/{project}/builds";
    ensure!(spans.iter().any(|(_, span)| span.name == submitted), "no {submitted}");
    Ok(())
}
