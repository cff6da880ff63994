//! Where a backup's options come from: flags win over the profile, the profile over what is built
//! in. Which profile: by flag, by `WARIFU_PROFILE`, by `default_profile` in config.toml.

use super::{BackupArgs, EstimateArgs, PlanArgs};
use crate::size::Size;
use std::ffi::OsString;
use warifu_core::SiteName;
use warifu_vault::config::Profile;
use warifu_vault::{Class, Compression, Config, Failure};

/// The profile that a command goes by.
///
/// # Errors
/// Where it is named and not there.
pub(crate) fn chosen(
    config: &Config,
    flag: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Profile, Failure> {
    let variable = variable("WARIFU_PROFILE").filter(|name| !name.is_empty());
    let variable = variable.map(OsString::into_string).transpose().map_err(|name| {
        let what = format!("WARIFU_PROFILE is {name:?}, which is no text");
        Failure::new(Class::Usage, "profile-unknown", what).next("unset it, or name a profile")
    })?;
    config.profile(flag.or(variable.as_deref()))
}

/// Fills in what no flag of a backup said.
pub(crate) fn lay_under(args: &mut BackupArgs, profile: &Profile) {
    args.scheme = args.scheme.or(profile.scheme);
    args.compress = args.compress.or_else(|| compression(profile));
    args.pad = args.pad.or(profile.pad);
    args.jobs = args.jobs.or(profile.jobs.and_then(|jobs| u16::try_from(jobs).ok()));
    args.memory_limit = args.memory_limit.or(profile.memory_limit.map(|bytes| Size { bytes }));
    sites(&mut args.pins, &mut args.exclusions, profile);
}

/// The profile's compression; its word was checked when the settings were read.
fn compression(profile: &Profile) -> Option<Compression> {
    profile.compress.as_deref().and_then(|word| word.parse().ok())
}

/// Fills in what no flag of an estimate said.
pub(crate) fn lay_under_estimate(args: &mut EstimateArgs, profile: &Profile) {
    args.scheme = args.scheme.or(profile.scheme);
    args.compress = args.compress.or_else(|| compression(profile));
    args.pad = args.pad.or(profile.pad);
    sites(&mut args.pins, &mut args.exclusions, profile);
}

/// Fills in what no flag of a plan said.
pub(crate) fn lay_under_plan(args: &mut PlanArgs, profile: &Profile) {
    args.scheme = args.scheme.or(profile.scheme);
    sites(&mut args.pins, &mut args.exclusions, profile);
}

/// How a profile has data treated.
pub(crate) fn treatment(profile: &Profile) -> (Compression, bool) {
    (compression(profile).unwrap_or_default(), profile.pad.unwrap_or(false))
}

/// Any flag of a kind replaces the profile's list of that kind; and a site that a flag names is
/// taken from the profile's list of the other kind.
fn sites(pins: &mut Vec<SiteName>, exclusions: &mut Vec<SiteName>, profile: &Profile) {
    let without = |list: &Option<Vec<SiteName>>, other: &[SiteName]| -> Vec<SiteName> {
        let list = list.iter().flatten();
        list.filter(|site| !other.contains(site)).cloned().collect()
    };
    match (pins.is_empty(), exclusions.is_empty()) {
        (true, true) => {
            *pins = without(&profile.pin, &[]);
            *exclusions = without(&profile.exclude, &[]);
        }
        (true, false) => *pins = without(&profile.pin, exclusions),
        (false, true) => *exclusions = without(&profile.exclude, pins),
        (false, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn laid(line: &str, profile: &Profile) -> BackupArgs {
        let words = ["warifu", "backup", "a", "--individual", "P1"].into_iter();
        let words = words.chain(line.split_whitespace());
        let Command::Backup(mut args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("a backup")
        };
        lay_under(&mut args, profile);
        args
    }

    fn names(list: &[SiteName]) -> Vec<&str> {
        list.iter().map(SiteName::as_str).collect()
    }

    #[test]
    fn flags_win_over_the_profile_and_it_over_what_is_built_in() {
        let list = |names: &[&str]| Some(names.iter().map(|name| name.parse().unwrap()).collect());
        let profile = Profile {
            scheme: Some("2/3".parse().unwrap()),
            pin: list(&["a", "b"]),
            exclude: list(&["c", "d"]),
            ..Profile::default()
        };
        let scheme = |args: &BackupArgs| args.scheme().to_string();
        let args = laid("", &profile);
        assert_eq!((scheme(&args).as_str(), names(&args.pins)), ("2/3", vec!["a", "b"]));
        assert_eq!(names(&args.exclusions), ["c", "d"]);
        assert_eq!(scheme(&laid("", &Profile::default())), "3/5");
        assert_eq!(scheme(&laid("--scheme 4/7", &profile)), "4/7");
        let args = laid("--pin c", &profile);
        assert_eq!((names(&args.pins), names(&args.exclusions)), (vec!["c"], vec!["d"]));
        let args = laid("--exclude a --exclude e", &profile);
        assert_eq!((names(&args.pins), names(&args.exclusions)), (vec!["b"], vec!["a", "e"]));
        let args = laid("--pin x --exclude y", &profile);
        assert_eq!((names(&args.pins), names(&args.exclusions)), (vec!["x"], vec!["y"]));
    }

    #[test]
    fn a_flag_undoes_the_padding_of_a_profile() {
        let padded = Profile { pad: Some(true), ..Profile::default() };
        let plain = Profile::default();
        for (line, profile, expected) in [
            ("", &plain, None),
            ("", &padded, Some(true)),
            ("--pad", &plain, Some(true)),
            ("--pad=yes", &plain, Some(true)),
            ("--pad=no", &padded, Some(false)),
        ] {
            assert_eq!(laid(line, profile).pad, expected, "{line}");
        }
    }

    #[test]
    fn the_flag_names_the_profile_before_the_variable_and_it_before_the_default() {
        let mut config = Config::new(&"g".parse().unwrap(), None);
        for (name, scheme) in [("a", "2/3"), ("b", "3/5"), ("c", "4/7")] {
            let scheme = Some(scheme.parse().unwrap());
            config.profile.insert(name.to_owned(), Profile { scheme, ..Profile::default() });
        }
        let by = |config: &Config, flag, variable: Option<&str>| {
            let profile = chosen(config, flag, |_| variable.map(OsString::from));
            profile.map(|found| found.scheme.map(|k| k.to_string())).map_err(|f| f.code())
        };
        assert_eq!(by(&config, None, None), Ok(None));
        config.default_profile = Some("a".to_owned());
        assert_eq!(by(&config, None, None), Ok(Some("2/3".to_owned())));
        assert_eq!(by(&config, None, Some("")), Ok(Some("2/3".to_owned())));
        assert_eq!(by(&config, None, Some("b")), Ok(Some("3/5".to_owned())));
        assert_eq!(by(&config, Some("c"), Some("b")), Ok(Some("4/7".to_owned())));
        assert_eq!(by(&config, Some("none"), Some("b")), Ok(None));
        assert_eq!(by(&config, Some("d"), None), Err("profile-unknown"));
    }
}
