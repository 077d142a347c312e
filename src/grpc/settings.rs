//! `SettingsService`: what a tenant has decided.

use crate::domain::indicator::{Indicator, NAME_BYTES_MAX, Sharing};
use crate::domain::settings::Settings;
use crate::domain::time::Lookback;
use crate::engine::decisions::{ChangeError, Decisions, VersionedSettings};
use crate::gate::admission::Gate;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::parse::Fields;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::settings_service_server::SettingsService;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::{Request, Response, Status};

const LIST_MAX: usize = 500;

/// Reads and changes settings.
pub struct SettingsDesk {
    /// Says for which tenant.
    pub gate: Gate,
    /// Keeps what was decided.
    pub decisions: Arc<Decisions>,
}

#[tonic::async_trait]
impl SettingsService for SettingsDesk {
    async fn get_settings(
        &self,
        request: Request<pb::GetSettingsRequest>,
    ) -> Result<Response<pb::GetSettingsResponse>, Status> {
        let (access, _) = auth::access(&self.gate, request, Right::GetSettings).await?;
        let permit = self.gate.permit(access);
        let settings = self.decisions.get(&permit).await.map_err(|cause| status::unavailable(&cause))?;
        Ok(Response::new(pb::GetSettingsResponse { settings: Some(render(&settings)) }))
    }

    async fn update_settings(
        &self,
        request: Request<pb::UpdateSettingsRequest>,
    ) -> Result<Response<pb::UpdateSettingsResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::UpdateSettings).await?;
        let change = Change::parse(request)?;
        let permit = self.gate.permit(access);
        let changed = self.decisions.change(&permit, change.expected, |now| change.apply(now)).await;
        let changed = changed.map_err(|error| match error {
            ChangeError::EtagMismatch => status::etag_mismatch(),
            ChangeError::Unavailable(cause) => status::unavailable(&cause),
            ChangeError::AuditUnavailable(cause) => status::audit_unavailable(&cause),
        })?;
        let settings = Some(render(&changed.settings));
        Ok(Response::new(pb::UpdateSettingsResponse {
            settings,
            drained: changed.drained,
            cut_off_replicas: changed.cut_off,
        }))
    }
}

fn render(settings: &VersionedSettings) -> pb::Settings {
    let VersionedSettings { settings, version } = settings;
    let one = |(indicator, shared): (&Indicator, &bool)| pb::IndicatorOverride {
        indicator: indicator.name().to_owned(),
        shared: *shared,
    };
    pb::Settings {
        data_sharing_enabled: settings.data_sharing,
        alert_export_enabled: settings.alert_export,
        anonymization_enabled: settings.anonymization,
        user_analytics_enabled: settings.user_analytics,
        lookback_days: settings.lookback.days(),
        indicator_overrides: settings.overrides.iter().map(one).collect(),
        custom_exfiltration_indicators: settings.custom.iter().map(|i| i.name().to_owned()).collect(),
        etag: version.to_string(),
    }
}

/// A change of some fields.
struct Change {
    /// The version that the caller read.
    expected: Option<u64>,
    mask: Vec<Field>,
    /// Holds the new values of the fields in the mask.
    new: Settings,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    DataSharing,
    AlertExport,
    Anonymization,
    UserAnalytics,
    Lookback,
    Overrides,
    Custom,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "data_sharing_enabled" => Self::DataSharing,
            "alert_export_enabled" => Self::AlertExport,
            "anonymization_enabled" => Self::Anonymization,
            "user_analytics_enabled" => Self::UserAnalytics,
            "lookback_days" => Self::Lookback,
            "indicator_overrides" => Self::Overrides,
            "custom_exfiltration_indicators" => Self::Custom,
            _ => return None,
        })
    }
}

impl Change {
    fn parse(request: pb::UpdateSettingsRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let mask = mask(&mut fields, &request.update_mask.unwrap_or_default().paths);
        let expected = etag(&mut fields, &request.etag);
        fields.demand(request.settings.is_some(), format_args!("settings"), "must be set");
        let new = values(&mut fields, &mask, &request.settings.unwrap_or_default());
        fields.finish(Some(Self { expected, mask, new }))
    }

    fn apply(&self, now: Settings) -> Settings {
        let mut next = now;
        for field in &self.mask {
            match field {
                Field::DataSharing => next.data_sharing = self.new.data_sharing,
                Field::AlertExport => next.alert_export = self.new.alert_export,
                Field::Anonymization => next.anonymization = self.new.anonymization,
                Field::UserAnalytics => next.user_analytics = self.new.user_analytics,
                Field::Lookback => next.lookback = self.new.lookback,
                Field::Overrides => next.overrides.clone_from(&self.new.overrides),
                Field::Custom => next.custom.clone_from(&self.new.custom),
            }
        }
        next
    }
}

fn mask(fields: &mut Fields, paths: &[String]) -> Vec<Field> {
    fields.demand(!paths.is_empty(), format_args!("update_mask"), "must name at least one field");
    fields.demand(paths.len() <= LIST_MAX, format_args!("update_mask"), "must be at most 500 paths");
    let mut mask = Vec::new();
    for (i, path) in paths.iter().take(LIST_MAX).enumerate() {
        let field = Field::named(path);
        let rule = "must be a field of Settings that can be changed";
        fields.demand(field.is_some(), format_args!("update_mask.paths[{i}]"), rule);
        mask.extend(field);
    }
    mask
}

fn etag(fields: &mut Fields, etag: &str) -> Option<u64> {
    let expected = etag.parse().ok();
    let is_ours = etag.is_empty() || expected.is_some();
    fields.demand(is_ours, format_args!("etag"), "must be empty or an etag that this service gave");
    expected
}

fn values(fields: &mut Fields, mask: &[Field], given: &pb::Settings) -> Settings {
    let mut new = Settings {
        data_sharing: given.data_sharing_enabled,
        alert_export: given.alert_export_enabled,
        anonymization: given.anonymization_enabled,
        user_analytics: given.user_analytics_enabled,
        ..Settings::default()
    };
    if mask.contains(&Field::Lookback) {
        let lookback = Lookback::new(given.lookback_days);
        fields.demand(lookback.is_some(), format_args!("settings.lookback_days"), "must be 90 to 120");
        new.lookback = lookback.unwrap_or_default();
    }
    if mask.contains(&Field::Overrides) {
        new.overrides = overrides(fields, &given.indicator_overrides);
    }
    if mask.contains(&Field::Custom) {
        new.custom = custom(fields, &given.custom_exfiltration_indicators);
    }
    new
}

fn overrides(fields: &mut Fields, given: &[pb::IndicatorOverride]) -> BTreeMap<Indicator, bool> {
    let list = format_args!("settings.indicator_overrides");
    fields.demand(given.len() <= LIST_MAX, list, "must be at most 500");
    let mut overrides = BTreeMap::new();
    for (i, one) in given.iter().take(LIST_MAX).enumerate() {
        let path = format_args!("settings.indicator_overrides[{i}].indicator");
        let indicator = Indicator::named(&one.indicator);
        let may_depart = matches!(indicator.sharing(), Sharing::Yes | Sharing::Configurable);
        fields.demand(may_depart, path, "must be an exfiltration or configurable indicator of the taxonomy");
        let earlier = overrides.insert(indicator, one.shared);
        fields.demand(earlier.is_none(), path, "must not be listed twice");
    }
    overrides
}

fn custom(fields: &mut Fields, names: &[String]) -> BTreeSet<Indicator> {
    let list = format_args!("settings.custom_exfiltration_indicators");
    fields.demand(names.len() <= LIST_MAX, list, "must be at most 500");
    let mut custom = BTreeSet::new();
    for (i, name) in names.iter().take(LIST_MAX).enumerate() {
        let path = format_args!("settings.custom_exfiltration_indicators[{i}]");
        fields.text(path, name, NAME_BYTES_MAX);
        let indicator = Indicator::named(name);
        fields.demand(indicator.sharing() == Sharing::Unknown, path, "must not be a name of the taxonomy");
        fields.demand(custom.insert(indicator), path, "must not be listed twice");
    }
    custom
}
