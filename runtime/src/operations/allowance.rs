//! What clients have had today and may have. It is known to whoever keeps the counts that survive a
//! restart, so it is asked for at each scrape: a copy would be wrong at midnight, and after a client is
//! removed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// A client's inferences of today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The client's name.
    pub client: String,
    /// How many it has had.
    pub used: u64,
    /// How many it may have; `None` without a limit.
    pub quota: Option<u64>,
}

/// Says what clients have.
type Source = Arc<dyn Fn() -> Vec<Allowance> + Send + Sync>;

/// Whom to ask, if there is anybody.
#[derive(Clone, Default)]
pub(super) struct Allowances(Arc<Mutex<Option<Source>>>);

impl Allowances {
    /// From now on it is asked here.
    pub(super) fn ask(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// By client: a name that came twice would make a scraper refuse everything else with it.
    fn now(&self) -> BTreeMap<String, Allowance> {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = source.map_or_else(Vec::new, |ask| ask());
        all.into_iter().map(|one| (one.client.clone(), one)).collect()
    }
}

impl fmt::Debug for Allowances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Allowances")
    }
}

impl Collector for Allowances {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let all = self.now();
        let used = all.values().map(|one| (one.client.as_str(), one.used));
        gauge(&mut encoder, "client_today", "Inferences of clients today", used)?;
        let quotas = all
            .values()
            .filter_map(|one| Some((one.client.as_str(), one.quota?)));
        let help = "Inferences that clients may have in a day, of those with a limit";
        gauge(&mut encoder, "client_quota", help, quotas)
    }
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    let (unit, help) = (Unit::Other("inferences".to_owned()), format!("{help}."));
    let mut family = encoder.encode_descriptor(name, &help, Some(&unit), MetricType::Gauge)?;
    for (client, value) in values {
        let labels = [("client", client)];
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
