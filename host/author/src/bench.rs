//! How fast a stage is, and whether it became slower.

use ilab_core::contract::{Context, Descriptor};
use ilab_core::names::{PluginDigest, StageName};
use ilab_wasm::{CallError, Plugin};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Calls that are made before any is measured.
const WARM_UP: usize = 5;

/// What calls of one stage took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measured {
    /// How many calls.
    pub calls: u64,
    /// The fastest.
    pub least: f64,
    /// Half of them were faster.
    pub median: f64,
    /// 95 of 100 were faster.
    pub p95: f64,
}

/// Measurements that were kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    /// The component that was measured.
    pub digest: PluginDigest,
    /// What a render of each stage took.
    pub render: BTreeMap<StageName, Measured>,
}

/// A stage that became slower.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Regression {
    /// The stage.
    pub stage: StageName,
    /// What it took, in microseconds.
    pub was: f64,
    /// What it takes.
    pub is: f64,
}

impl Measured {
    /// Renders a stage again and again for so long, and at least ten times. Every call is what the host makes of one: a
    /// fresh instance under all limits.
    ///
    /// # Errors
    /// [`CallError`] when a call gives no plan.
    pub fn render(
        plugin: &Plugin,
        stage: &Descriptor,
        context: &Context,
        time: Duration,
    ) -> Result<Self, CallError> {
        const LEAST: usize = 10;
        for _ in 0..WARM_UP {
            plugin.render(&stage.name, context)?;
        }
        let begun = Instant::now();
        let mut took = Vec::new();
        while took.len() < LEAST || begun.elapsed() < time {
            let start = Instant::now();
            plugin.render(&stage.name, context)?;
            took.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Self::of(took))
    }

    fn of(mut took: Vec<f64>) -> Self {
        took.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = ((took.len() - 1) as f64 * share).round() as usize;
            // A tenth of a microsecond is more than anybody can tell.
            (took[index] * 10.0).round() / 10.0
        };
        Self { calls: took.len() as u64, least: at(0.0), median: at(0.5), p95: at(0.95) }
    }
}

impl Baseline {
    /// Stages that take more than before by more than `percent`, by the fastest call: what else the machine does makes calls
    /// slower, never faster.
    #[must_use]
    pub fn regressions(&self, before: &Self, percent: f64) -> Vec<Regression> {
        let slower = |(stage, now): (&StageName, &Measured)| {
            let was = before.render.get(stage)?.least;
            (now.least > was * (1.0 + percent / 100.0)).then(|| Regression {
                stage: stage.clone(),
                was,
                is: now.least,
            })
        };
        self.render.iter().filter_map(slower).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_calls() {
        let measured = Measured::of((1..=100).map(f64::from).rev().collect());
        assert_eq!(measured, Measured { calls: 100, least: 1.0, median: 51.0, p95: 95.0 });
    }

    #[test]
    fn only_what_is_slower_by_more_is_a_regression() {
        let at = |least: f64| {
            let measured = Measured { calls: 10, least, median: least, p95: least };
            Baseline {
                digest: PluginDigest::of(b"x"),
                render: [(StageName::new("s").unwrap(), measured)].into(),
            }
        };
        assert!(at(109.0).regressions(&at(100.0), 10.0).is_empty());
        let slower = at(111.0).regressions(&at(100.0), 10.0);
        assert_eq!((slower[0].was, slower[0].is), (100.0, 111.0));
        let new = Baseline { render: BTreeMap::new(), ..at(1.0) };
        assert!(at(111.0).regressions(&new, 10.0).is_empty(), "nothing to compare with");
    }
}
