//! What a process that runs for long tells of itself: lines on standard error, and traces to a
//! collector (OpenTelemetry, OTLP over HTTP) where an operator names one.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::failure::{Failure, doing};

/// How long the end of a process may wait for a collector.
const LAST: Duration = Duration::from_secs(3);

/// How a process tells what it does.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Telling {
    /// Write logs as JSON
    #[arg(long)]
    log_json: bool,

    /// A collector that traces go to, by OTLP over HTTP: http://127.0.0.1:4318
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp: Option<String>,
}

impl Telling {
    /// The same for another process of this program.
    pub(crate) fn again(&self) -> Vec<OsString> {
        let json = self.log_json.then(|| OsString::from("--log-json"));
        let otlp = self.otlp.iter().flat_map(|url| [OsString::from("--otlp"), url.into()]);
        json.into_iter().chain(otlp).collect()
    }

    /// Begins: one line for each thing that happens (`RUST_LOG` says how much), and traces as long
    /// as what is returned is there. `role` is what this process is called in them.
    pub(crate) fn begin(&self, role: &'static str) -> Result<Telemetry, Failure> {
        let provider = self.otlp.as_deref().map(|url| provider(url, role)).transpose()?;
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
        let lines = match self.log_json {
            true => lines.json().boxed(),
            false => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        };
        // Of ours alone: who sends traces makes requests too.
        let ours = Targets::new().with_target("kiln", Level::DEBUG);
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("kiln")).with_filter(ours)
        });
        let begun = tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces);
        // Begun already: then somebody else has said how.
        drop(begun.try_init());
        Ok(Telemetry(provider))
    }
}

/// Ends with what is still to be sent being sent.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown_with_timeout(LAST)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn provider(url: &str, role: &'static str) -> Result<SdkTracerProvider, Failure> {
    // The first provider of a process stays; a second attempt is no error worth telling.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = format!("{}/v1/traces", url.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
    let exporter =
        exporter.map_err(|error| doing("making ready to send traces")(io::Error::other(error)))?;
    let resource = Resource::builder().with_service_name(role).build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
