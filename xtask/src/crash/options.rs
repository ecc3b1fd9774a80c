//! What `cargo xtask crash` is asked for.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::site::{self, Kind};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) stores: Vec<Kind>,
    pub(crate) kills: u64,
    /// None: all of them.
    pub(crate) points: Option<usize>,
    pub(crate) power: bool,
    pub(crate) quick: bool,
    pub(crate) seed: u64,
    pub(crate) syncctl: Option<PathBuf>,
    pub(crate) release: bool,
    /// Only experiments and controls whose name has this in it.
    pub(crate) only: Option<String>,
}

impl Options {
    /// Reads the words behind `cargo xtask crash`.
    pub(crate) fn of(arguments: &[String]) -> Result<Options> {
        let mut options = Options {
            stores: Vec::new(),
            kills: 0,
            points: None,
            power: false,
            quick: arguments.iter().any(|word| word == "--quick"),
            seed: 20_261_123,
            syncctl: None,
            release: false,
            only: None,
        };
        options.kills = if options.quick { 10 } else { 500 };
        options.points = options.quick.then_some(6);
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} wants a value"));
            match word.as_str() {
                "--store" => options.stores.push(site::kind_of(value()?)?),
                "--kills" => options.kills = value()?.parse().context("--kills wants a number")?,
                "--points" => {
                    let points = value()?;
                    options.points = match points.as_str() {
                        "all" => None,
                        number => Some(number.parse().context("--points wants `all` or a number")?),
                    };
                }
                "--seed" => options.seed = value()?.parse().context("--seed wants a number")?,
                "--syncctl" => options.syncctl = Some(PathBuf::from(value()?)),
                "--only" => options.only = Some(value()?.clone()),
                "--power" => options.power = true,
                "--release" => options.release = true,
                "--quick" => {}
                other => bail!(
                    "there is no `{other}`: cargo xtask crash [--store KIND]… [--kills N] [--points all|N] [--power] \
                     [--quick] [--seed S] [--release] [--syncctl PATH] [--only WORD]"
                ),
            }
        }
        if options.stores.is_empty() {
            options.stores = Kind::ALL.to_vec();
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Result<Options> {
        Options::of(&words.split_whitespace().map(str::to_owned).collect::<Vec<String>>())
    }

    #[test]
    fn what_is_asked_for() {
        let options = of("--store jsonl --kills 7 --points all --quick --seed 3").unwrap();
        assert_eq!((options.stores, options.kills, options.points), (vec![Kind::Jsonl], 7, None));
        let options = of("").unwrap();
        assert_eq!((options.stores.len(), options.kills, options.points), (4, 500, None));
        for wrong in ["--store oracle", "--kills many", "--kills", "--fast", "--points some"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
