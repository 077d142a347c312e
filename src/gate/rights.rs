//! Who may do what: roles in the product's own terms, and the one table of what each is for. `docs/security.md` shows
//! the same table, and a test holds the two together.

use std::fmt;

/// What somebody is trusted with (`domain.md` 7). A caller may have several; without one nothing is allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Works a DLP alert queue: sees the column, actors and timelines.
    DlpAlertReader,
    /// Works Defender incidents: sees impacted assets and the risk of their users.
    SecurityReader,
    /// Works risk alerts, by pseudonym.
    InsiderRiskAnalyst,
    /// Works risk alerts and cases, down to single activities.
    InsiderRiskInvestigator,
    /// Decides settings and policies, and erases users. Sees no user's risk.
    InsiderRiskAdmin,
    /// Reads the audit log, and nothing else.
    Auditor,
    /// Sends facts in, and reads none.
    Ingestor,
    /// Follows the feed of exported risk alerts, as a SIEM does. Its name is Microsoft's.
    ActivityFeedReader,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DlpAlertReader,
        Self::SecurityReader,
        Self::InsiderRiskAnalyst,
        Self::InsiderRiskInvestigator,
        Self::InsiderRiskAdmin,
        Self::Auditor,
        Self::Ingestor,
        Self::ActivityFeedReader,
    ];

    /// Returns its name in tokens and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DlpAlertReader => "dlp-alert-reader",
            Self::SecurityReader => "security-reader",
            Self::InsiderRiskAnalyst => "insider-risk-analyst",
            Self::InsiderRiskInvestigator => "insider-risk-investigator",
            Self::InsiderRiskAdmin => "insider-risk-admin",
            Self::Auditor => "auditor",
            Self::Ingestor => "ingestor",
            Self::ActivityFeedReader => "ActivityFeed.Read",
        }
    }

    /// Returns the role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a call asks for: one right for each RPC that names a tenant, of the RPC's name, and two for the Management
/// Activity API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is the RPC of its name, which the contract documents")]
pub enum Right {
    EnrichAlert,
    BatchEnrichAlerts,
    ListUserActivities,
    SummarizeAlert,
    RankAlerts,
    GetImpactedAssets,
    ListImpactedEntities,
    GetUserRisk,
    ListRiskAlerts,
    GetRiskAlert,
    ExportRiskAlerts,
    ExportUserRiskAlerts,
    UpdateRiskAlertStatus,
    IngestActivities,
    StreamActivities,
    UpsertUsers,
    UpsertPolicies,
    SetMemberships,
    RecordTriggers,
    ImportRiskAlerts,
    DeleteUser,
    GetSettings,
    UpdateSettings,
    ListAuditEvents,
    VerifyAuditLog,
    ResolveUsers,
    ReadActivityFeed,
    ManageActivityFeed,
}

impl Right {
    /// Those of RPCs, in the order of the table.
    pub const RPCS: [Self; 26] = [
        Self::EnrichAlert,
        Self::BatchEnrichAlerts,
        Self::ListUserActivities,
        Self::SummarizeAlert,
        Self::RankAlerts,
        Self::GetImpactedAssets,
        Self::ListImpactedEntities,
        Self::GetUserRisk,
        Self::ListRiskAlerts,
        Self::GetRiskAlert,
        Self::ExportRiskAlerts,
        Self::ExportUserRiskAlerts,
        Self::UpdateRiskAlertStatus,
        Self::IngestActivities,
        Self::StreamActivities,
        Self::UpsertUsers,
        Self::UpsertPolicies,
        Self::SetMemberships,
        Self::RecordTriggers,
        Self::ImportRiskAlerts,
        Self::DeleteUser,
        Self::GetSettings,
        Self::UpdateSettings,
        Self::ListAuditEvents,
        Self::VerifyAuditLog,
        Self::ResolveUsers,
    ];

    /// Those of the Management Activity API: its reading operations, and those that start and stop subscriptions.
    pub const ACTIVITY_FEED: [Self; 2] = [Self::ReadActivityFeed, Self::ManageActivityFeed];

    /// Returns the roles that have it: the table. Whoever is not listed is refused.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::EnrichAlert | Self::BatchEnrichAlerts | Self::SummarizeAlert | Self::RankAlerts => {
                &[Role::DlpAlertReader]
            }
            // Incident pages open the same timeline.
            Self::ListUserActivities => &[Role::DlpAlertReader, Role::SecurityReader],
            Self::GetImpactedAssets | Self::ListImpactedEntities | Self::GetUserRisk => {
                &[Role::SecurityReader]
            }
            Self::ListRiskAlerts
            | Self::GetRiskAlert
            | Self::ExportRiskAlerts
            | Self::UpdateRiskAlertStatus => &[Role::InsiderRiskAnalyst, Role::InsiderRiskInvestigator],
            // Names everybody in clear.
            Self::ExportUserRiskAlerts => &[Role::InsiderRiskInvestigator],
            Self::IngestActivities
            | Self::StreamActivities
            | Self::UpsertUsers
            | Self::RecordTriggers
            | Self::ImportRiskAlerts => &[Role::Ingestor],
            // Who is scored, and how, is decided by people; membership also comes from directories.
            Self::SetMemberships => &[Role::Ingestor, Role::InsiderRiskAdmin],
            Self::UpsertPolicies | Self::DeleteUser | Self::GetSettings | Self::UpdateSettings => {
                &[Role::InsiderRiskAdmin]
            }
            Self::ListAuditEvents | Self::VerifyAuditLog | Self::ResolveUsers => &[Role::Auditor],
            Self::ReadActivityFeed | Self::ManageActivityFeed => &[Role::ActivityFeedReader],
        }
    }

    /// Returns the name of its RPC, or its own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnrichAlert => "EnrichAlert",
            Self::BatchEnrichAlerts => "BatchEnrichAlerts",
            Self::ListUserActivities => "ListUserActivities",
            Self::SummarizeAlert => "SummarizeAlert",
            Self::RankAlerts => "RankAlerts",
            Self::GetImpactedAssets => "GetImpactedAssets",
            Self::ListImpactedEntities => "ListImpactedEntities",
            Self::GetUserRisk => "GetUserRisk",
            Self::ListRiskAlerts => "ListRiskAlerts",
            Self::GetRiskAlert => "GetRiskAlert",
            Self::ExportRiskAlerts => "ExportRiskAlerts",
            Self::ExportUserRiskAlerts => "ExportUserRiskAlerts",
            Self::UpdateRiskAlertStatus => "UpdateRiskAlertStatus",
            Self::IngestActivities => "IngestActivities",
            Self::StreamActivities => "StreamActivities",
            Self::UpsertUsers => "UpsertUsers",
            Self::UpsertPolicies => "UpsertPolicies",
            Self::SetMemberships => "SetMemberships",
            Self::RecordTriggers => "RecordTriggers",
            Self::ImportRiskAlerts => "ImportRiskAlerts",
            Self::DeleteUser => "DeleteUser",
            Self::GetSettings => "GetSettings",
            Self::UpdateSettings => "UpdateSettings",
            Self::ListAuditEvents => "ListAuditEvents",
            Self::VerifyAuditLog => "VerifyAuditLog",
            Self::ResolveUsers => "ResolveUsers",
            Self::ReadActivityFeed => "ReadActivityFeed",
            Self::ManageActivityFeed => "ManageActivityFeed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: impl IntoIterator<Item = String>) -> String {
        cells.into_iter().fold("|".to_owned(), |row, cell| format!("{row} {cell} |")) + "\n"
    }

    /// Writes the table as the document has it.
    fn table() -> String {
        let head = row(["RPC".to_owned()].into_iter().chain(Role::ALL.map(|role| role.to_string())));
        let line = format!("|{}\n", "---|".repeat(1 + Role::ALL.len()));
        let rows = Right::RPCS.into_iter().chain(Right::ACTIVITY_FEED).map(|right| {
            let mark = |role| if right.roles().contains(&role) { "yes" } else { "" };
            row([format!("`{}`", right.name())]
                .into_iter()
                .chain(Role::ALL.map(|role| mark(role).to_owned())))
        });
        head + &line + &rows.collect::<String>()
    }

    #[test]
    fn the_document_has_the_table_of_the_code() {
        let table = table();
        let document = include_str!("../../docs/security.md");
        assert!(
            document.contains(&format!("\n\n{table}\n")),
            "docs/security.md must have this table:\n{table}"
        );
    }

    #[test]
    fn a_role_is_found_by_its_name_to_the_letter() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(Role::named(&role.name().to_uppercase()), None);
        }
    }
}
