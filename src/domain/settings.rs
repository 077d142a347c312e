//! What a tenant has decided.

use crate::domain::audit::AuditChange;
use crate::domain::indicator::{Indicator, Sharing};
use crate::domain::time::Lookback;
use std::collections::{BTreeMap, BTreeSet};

/// A tenant's settings. The three switches are independent (`domain.md` 1.1, fact 4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Shares users' insider risk with DLP alerts and Defender.
    pub data_sharing: bool,
    /// Exports risk alerts to SIEMs.
    pub alert_export: bool,
    /// Shows pseudonyms where the product keeps them.
    pub anonymization: bool,
    /// Scores every user that is no guest (`risk-model.md` 6, last paragraph).
    pub user_analytics: bool,
    /// How many days are shared.
    pub lookback: Lookback,
    /// Departures from the taxonomy: name to "is shared".
    pub overrides: BTreeMap<Indicator, bool>,
    /// Names outside the taxonomy that the tenant declares as exfiltration.
    pub custom: BTreeSet<Indicator>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_sharing: false,
            alert_export: false,
            anonymization: true,
            user_analytics: false,
            lookback: Lookback::default(),
            overrides: BTreeMap::new(),
            custom: BTreeSet::new(),
        }
    }
}

impl Settings {
    /// Says whether activities of the indicator are exfiltration that may leave (`risk-model.md`, Words). An
    /// allow-list: what is not known to be shared stays inside.
    #[must_use]
    pub fn shares(&self, indicator: &Indicator) -> bool {
        match indicator.sharing() {
            Sharing::Yes => self.overrides.get(indicator).copied().unwrap_or(true),
            Sharing::Configurable => self.overrides.get(indicator).copied().unwrap_or(false),
            Sharing::No => false,
            Sharing::Unknown => self.custom.contains(indicator),
        }
    }

    /// Returns what is other in `next`, by the names of the contract, with its value there.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<AuditChange> {
        let fields = self.fields().into_iter().zip(next.fields());
        let others = fields.filter(|((_, own), (_, next))| own != next);
        others.map(|(_, (field, value))| AuditChange { field: field.to_owned(), value }).collect()
    }

    fn fields(&self) -> [(&'static str, String); 7] {
        let overrides =
            self.overrides.iter().map(|(indicator, shared)| format!("{}={shared}", indicator.name()));
        let custom = self.custom.iter().map(|indicator| indicator.name().to_owned());
        [
            ("data_sharing_enabled", self.data_sharing.to_string()),
            ("alert_export_enabled", self.alert_export.to_string()),
            ("anonymization_enabled", self.anonymization.to_string()),
            ("user_analytics_enabled", self.user_analytics.to_string()),
            ("lookback_days", self.lookback.days().to_string()),
            ("indicator_overrides", overrides.collect::<Vec<_>>().join(" ")),
            ("custom_exfiltration_indicators", custom.collect::<Vec<_>>().join(" ")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, shared: bool) -> Settings {
        Settings { overrides: [(Indicator::named(name), shared)].into(), ..Settings::default() }
    }

    #[test]
    fn sharing_and_export_are_off_and_anonymization_on_by_default() {
        let settings = Settings::default();
        assert_eq!(
            (settings.data_sharing, settings.alert_export, settings.anonymization),
            (false, false, true)
        );
        assert_eq!((settings.user_analytics, settings.lookback.days()), (false, 120));
    }

    #[test]
    fn a_tenant_turns_exfiltration_off_and_configurable_on_but_never_a_hidden_one_on() {
        assert!(Settings::default().shares(&Indicator::named("CopyToUSB")));
        assert!(!with("CopyToUSB", false).shares(&Indicator::named("CopyToUSB")));
        assert!(!Settings::default().shares(&Indicator::named("SpoDownload")));
        assert!(with("SpoDownload", true).shares(&Indicator::named("SpoDownload")));
        assert!(!with("PhysicalAccess", true).shares(&Indicator::named("PhysicalAccess")));
        assert!(!with("Invented", true).shares(&Indicator::named("Invented")));
    }

    #[test]
    fn what_changed_is_named_with_its_new_value() {
        let before = Settings::default();
        assert_eq!(before.changes(&before), []);
        let next = Settings { data_sharing: true, ..with("Print", false) };
        let named =
            |field: &str, value: &str| AuditChange { field: field.to_owned(), value: value.to_owned() };
        let expected = [named("data_sharing_enabled", "true"), named("indicator_overrides", "Print=false")];
        assert_eq!(before.changes(&next), expected);
        assert_eq!(next.changes(&before)[1], named("indicator_overrides", ""));
    }

    #[test]
    fn a_custom_indicator_is_shared_once_declared() {
        let custom = Indicator::named("BadgeDump");
        let settings = Settings { custom: [custom.clone()].into(), ..Settings::default() };
        assert!(settings.shares(&custom));
        assert!(!settings.shares(&Indicator::named("Other")));
    }
}
