//! What this process takes of the machine, as `/proc` tells it. Elsewhere only when it started.

use std::fmt::Error;

use entities::Moment;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

/// The process's numbers, read when they are asked for.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) started: Moment,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        if let Some(bytes) = resident() {
            gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
        }
        if let Some(open) = open_files() {
            gauge("process_open_fds", "Files and sockets that are open", open)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit an f64")]
        let started = self.started.as_millis() as f64 / 1000.0;
        gauge("process_start_time_seconds", "When the server started", started)
    }
}

/// `VmRSS` of `/proc/self/status`: unlike `statm` it needs no page size.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "a number of files")]
fn open_files() -> Option<f64> {
    // The directory itself is open while it is read.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}
