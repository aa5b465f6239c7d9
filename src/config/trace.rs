//! Where spans are sent: the settings of the export by OTLP, under the names that OpenTelemetry gives them.

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::RawSettings;
use super::read::{Check, list};

/// Where and as whom to send how many spans.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// Base URL of the collector without a trailing slash; `None`: spans are not sent.
    pub endpoint: Option<SecretString>,
    /// Headers of the requests to it.
    pub headers: Vec<(String, SecretString)>,
    /// The name of this service.
    pub service_name: String,
    /// Share of traces that are sent.
    pub share: f64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            service_name: "kombo-mirror".to_owned(),
            share: 1.0,
        }
    }
}

/// Where spans are sent; a malformed value is reported by [`Settings::check`](super::Settings::check) and left out here.
#[must_use]
pub fn trace_settings(raw: &RawSettings) -> TraceSettings {
    Check::default().trace(raw)
}

impl Check {
    pub(super) fn trace(&mut self, raw: &RawSettings) -> TraceSettings {
        let default = TraceSettings::default();
        let share = self.parsed(
            "OTEL_TRACES_SAMPLER_ARG",
            raw.otel_traces_sampler_arg.as_ref(),
            default.share,
            "a number from 0 to 1",
        );
        if !(0.0..=1.0).contains(&share) {
            self.problems
                .push("OTEL_TRACES_SAMPLER_ARG must be from 0 to 1".to_owned());
        }
        TraceSettings {
            endpoint: self.collector(raw.otel_exporter_otlp_endpoint.as_deref()),
            headers: self.trace_headers(raw),
            service_name: raw
                .otel_service_name
                .clone()
                .unwrap_or(default.service_name),
            share,
        }
    }

    fn collector(&mut self, url: Option<&str>) -> Option<SecretString> {
        let url = url.filter(|url| !url.is_empty())?;
        let fine = Url::parse(url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fine {
            self.problems.push(
                "OTEL_EXPORTER_OTLP_ENDPOINT must be an http(s) URL such as http://localhost:4318"
                    .to_owned(),
            );
            return None;
        }
        Some(url.trim_end_matches('/').into())
    }

    fn trace_headers(&mut self, raw: &RawSettings) -> Vec<(String, SecretString)> {
        let name = "OTEL_EXPORTER_OTLP_HEADERS";
        let value = raw.otel_exporter_otlp_headers.as_ref();
        let file = raw.otel_exporter_otlp_headers_file.as_ref();
        let Some(text) = self.secret(name, value, file) else {
            return Vec::new();
        };
        let headers: Option<Vec<_>> = list(text.expose_secret())
            .iter()
            .map(|header| header_of(header))
            .collect();
        headers.unwrap_or_else(|| {
            self.problems.push(format!(
                "{name} must be headers such as api-key=secret, comma-separated"
            ));
            Vec::new()
        })
    }
}

/// `name=value`, the value percent-encoded where it must be.
fn header_of(text: &str) -> Option<(String, SecretString)> {
    let (name, value) = text.split_once('=')?;
    let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8();
    let (name, value) = (name.trim(), value.ok()?);
    HeaderName::try_from(name).ok()?;
    HeaderValue::from_str(&value).ok()?;
    Some((name.to_owned(), value.into_owned().into()))
}
