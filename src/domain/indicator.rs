//! The indicator taxonomy: every name that insider risk management's tenant settings know, what kind of act it
//! detects, and whether it may be shared (`domain.md` section 2).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::{Arc, LazyLock};

use ActivityType::{
    Access, Booster, Browsing, Collection, Communication, Deletion, Derived, Dlp, Exfiltration, Health,
    Infiltration, Obfuscation, Physical, RiskyAi, Security,
};
use Sharing::{Configurable, No, Yes};

/// The longest indicator name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The indicator under which the 30-day insight of `risk-model.md` 3 is shown.
pub const CUMULATIVE: &str = "CumulativeExfiltrationDetector";

/// What kind of act an indicator detects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the product's own words")]
pub enum ActivityType {
    Access,
    Deletion,
    Collection,
    Exfiltration,
    Infiltration,
    Obfuscation,
    Security,
    Browsing,
    RiskyAi,
    Communication,
    Health,
    Physical,
    Dlp,
    /// Computed here from other activities; never an activity itself.
    Derived,
    /// Modifies scores; never an activity itself, never shown.
    Booster,
    /// A name that the taxonomy does not hold.
    Unknown,
}

/// Whether activities of an indicator may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Exfiltration: shared, unless the tenant turns it off.
    Yes,
    /// Evidence conflicts: not shared, unless the tenant turns it on.
    Configurable,
    /// Never.
    No,
    /// Not in the taxonomy: never, unless the tenant declares the name as custom.
    Unknown,
}

/// An indicator, known or not. Ordered and compared by name.
#[derive(Clone, Debug)]
pub struct Indicator(Name);

#[derive(Clone, Debug)]
enum Name {
    /// An index into [`TAXONOMY`].
    Known(u16),
    /// A name outside the taxonomy.
    Other(Arc<str>),
}

impl Indicator {
    /// Returns the indicator of that name. Names are compared exactly, as the product does.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match BY_NAME.get(name) {
            Some(&index) => Self(Name::Known(index)),
            None => Self(Name::Other(name.into())),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Name::Known(index) => TAXONOMY[usize::from(*index)].name,
            Name::Other(name) => name,
        }
    }

    /// Returns its number in the taxonomy, which means nothing outside this process.
    pub(super) fn number(&self) -> Option<u16> {
        match &self.0 {
            Name::Known(index) => Some(*index),
            Name::Other(_) => None,
        }
    }

    /// Returns the indicator of that number.
    pub(super) fn numbered(number: u16) -> &'static Self {
        static ALL: LazyLock<Vec<Indicator>> = LazyLock::new(|| taxonomy().collect());
        &ALL[usize::from(number)]
    }

    /// Returns what kind of act it detects.
    #[must_use]
    pub fn activity_type(&self) -> ActivityType {
        self.row().map_or(ActivityType::Unknown, |row| row.activity_type)
    }

    /// Returns what the taxonomy says about sharing it.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.row().map_or(Sharing::Unknown, |row| row.sharing)
    }

    /// Says whether an activity can carry it: derived insights and boosters are no activities.
    #[must_use]
    pub fn is_observable(&self) -> bool {
        !matches!(self.activity_type(), Derived | Booster)
    }

    fn row(&self) -> Option<&'static Row> {
        match &self.0 {
            Name::Known(index) => Some(&TAXONOMY[usize::from(*index)]),
            Name::Other(_) => None,
        }
    }
}

impl PartialEq for Indicator {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Name::Known(a), Name::Known(b)) => a == b,
            (Name::Other(a), Name::Other(b)) => a == b,
            _ => false, // `named` never makes an `Other` of a known name.
        }
    }
}

impl Eq for Indicator {}

impl Hash for Indicator {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialOrd for Indicator {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Indicator {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

/// Returns every indicator of the taxonomy.
pub fn taxonomy() -> impl Iterator<Item = Indicator> {
    (0..TAXONOMY.len()).map(|index| Indicator(Name::Known(index_of(index))))
}

struct Row {
    name: &'static str,
    activity_type: ActivityType,
    sharing: Sharing,
}

const fn row(name: &'static str, activity_type: ActivityType, sharing: Sharing) -> Row {
    Row { name, activity_type, sharing }
}

fn index_of(index: usize) -> u16 {
    u16::try_from(index).expect("the taxonomy has fewer than 65,536 rows")
}

static BY_NAME: LazyLock<HashMap<&'static str, u16>> =
    LazyLock::new(|| TAXONOMY.iter().enumerate().map(|(index, row)| (row.name, index_of(index))).collect());

#[rustfmt::skip]
static TAXONOMY: &[Row] = &[
    // Email
    row("EmailExternal", Exfiltration, Yes),
    // Office: share outside
    row("SpoFileSharing", Exfiltration, Yes),
    row("SpoFolderSharing", Exfiltration, Yes),
    row("SpoSiteSharing", Exfiltration, Yes),
    // Office: Teams outside
    row("TeamsChatFileSharedExternal", Exfiltration, Yes),
    row("TeamsChannelFileSharedExternal", Exfiltration, Yes),
    row("TeamsFolderSharedExternal", Exfiltration, Yes),
    // Office: outsiders granted access
    row("SpoSiteExternalUserAdded", Exfiltration, Configurable),
    row("TeamsMemberAddedExternal", Exfiltration, Configurable),
    row("TeamsChannelMemberAddedExternal", Exfiltration, Configurable),
    // Office: Teams sensitive text
    row("TeamsSensitiveMessage", Exfiltration, Configurable),
    // Office: download
    row("SpoDownload", Collection, Configurable),
    row("SpoDownloadV2", Collection, Configurable),
    row("SpoSyncDownload", Collection, Configurable),
    row("OdbDownload", Collection, Configurable),
    row("OdbSyncDownload", Collection, Configurable),
    row("TeamsFileDownload", Collection, Configurable),
    // Office: access
    row("SpoFileAccessed", Access, No),
    row("SpoAccessRequest", Access, No),
    row("SpoApprovedAccess", Access, No),
    row("SpoSiteInternalUserAdded", Access, No),
    // Office: labels
    row("SpoFileLabelDowngraded", Obfuscation, No),
    row("SpoFileLabelRemoved", Obfuscation, No),
    row("SpoSiteLabelRemoved", Obfuscation, No),
    // Office: deletion
    row("SpoFileDeleted", Deletion, No),
    row("SpoFileDeletedFromFirstStageRecycleBin", Deletion, No),
    row("SpoFileDeletedFromSecondStageRecycleBin", Deletion, No),
    row("SpoFolderDeleted", Deletion, No),
    row("SpoFolderDeletedFromFirstStageRecycleBin", Deletion, No),
    row("SpoFolderDeletedFromSecondStageRecycleBin", Deletion, No),
    // Device: removable media
    row("CopyToUSB", Exfiltration, Yes),
    // Device: personal cloud
    row("CopyToPersonalCloud", Exfiltration, Yes),
    // Device: print
    row("Print", Exfiltration, Yes),
    // Device: share / remote
    row("EpoCopyToNetworkShare", Exfiltration, Yes),
    row("EpoFileCopiedToRemoteDesktopSession", Exfiltration, Yes),
    // Device: clipboard
    row("EpoCopyToClipboardFromSensitiveFile", Exfiltration, Configurable),
    // Device: staging
    row("EpoFileArchived", Collection, Configurable),
    row("EpoFileStagedToCentralLocation", Collection, Configurable),
    // Device: inbound
    row("EpoFileDownloadedFromBlacklistedDomain", Infiltration, No),
    row("EpoFileDownloadedFromEnterpriseDomain", Collection, No),
    // Device: hide / rename
    row("EpoFileRenamed", Obfuscation, No),
    row("EpoHiddenFileCreated", Obfuscation, No),
    // Device: other
    row("EpoFileDeleted", Deletion, No),
    row("EpoRemovableMediaMount", Security, No),
    row("EpoSensitiveFileRead", Access, No),
    // Network (web traffic) out
    row("NetworkUploadFile", Exfiltration, Yes),
    row("NetworkUploadText", Exfiltration, Yes),
    // Network in
    row("NetworkDownloadFile", Infiltration, No),
    row("NetworkDownloadText", Infiltration, No),
    // Cloud storage: shared out
    row("BoxContentExternallyShared", Exfiltration, Yes),
    row("DropboxContentExternallyShared", Exfiltration, Yes),
    row("GoogleDriveContentExternallyShared", Exfiltration, Yes),
    // Cloud storage: download
    row("BoxContentDownload", Collection, Configurable),
    row("DropboxContentDownload", Collection, Configurable),
    // Cloud storage: access/delete
    row("BoxContentAccess", Access, No),
    row("DropboxContentAccess", Access, No),
    row("GoogleDriveContentAccess", Access, No),
    row("BoxContentDelete", Deletion, No),
    row("DropboxContentDelete", Deletion, No),
    row("GoogleDriveContentDelete", Deletion, No),
    // Third-party apps (MDCA)
    row("Mcas3rdPartyAppFileSharing", Exfiltration, Yes),
    row("Mcas3rdPartyAppDownload", Collection, Configurable),
    row("Mcas3rdPartyAppFileDelete", Deletion, No),
    // Fabric / Power BI out
    row("LakehouseExternalDataShareCreated", Exfiltration, Yes),
    // Fabric / Power BI export
    row("PowerBIReportsDownloaded", Collection, Configurable),
    row("PowerBIReportsExported", Collection, Configurable),
    // Fabric / Power BI other
    row("PowerBIReportsViewed", Access, No),
    row("PowerBIDashboardsDeleted", Deletion, No),
    row("PowerBIReportsDeleted", Deletion, No),
    row("PowerBISemanticModelsDeleted", Deletion, No),
    row("LakehouseArtifactDeleted", Deletion, No),
    row("LakehouseFileOrBlobDeleted", Deletion, No),
    row("PowerBISensitivityLabelDowngradedForArtifacts", Obfuscation, No),
    row("PowerBISensitivityLabelRemovedFromArtifacts", Obfuscation, No),
    row("LakehouseSensitivityLabelDowngraded", Obfuscation, No),
    row("LakehouseSensitivityLabelRemoved", Obfuscation, No),
    row("FabricExternalDataSharingSwitchEnabled", Security, No),
    // Cloud services: AWS
    row("AWSS3PublicAccessEnabled", Security, No),
    row("AWSS3BlockPublicAccessDisabled", Security, No),
    row("AWSS3BucketDeleted", Security, No),
    row("AWSS3ServerLoggingDisabled", Security, No),
    // Cloud services: Azure
    row("AzureElevateAccessToAllSubscriptions", Security, No),
    row("AzureResourceThreatProtectionSettingsUpdated", Security, No),
    row("AzureSQLServerAuditingSettingsUpdated", Security, No),
    row("AzureSQLServerFirewallRuleDeleted", Security, No),
    row("AzureSQLServerFirewallRuleUpdated", Security, No),
    row("AzureStorageAccountOrContainerDeleted", Deletion, No),
    // MDCA alerts
    row("McasActivityFromInfrequentCountry", Security, No),
    row("McasImpossibleTravel", Security, No),
    row("McasMultipleFailedLogins", Security, No),
    row("McasMultipleStorageDeletion", Security, No),
    row("McasMultipleVMCreation", Security, No),
    row("McasMultipleVMDeletion", Security, No),
    row("McasSuspiciousAdminActivities", Security, No),
    row("McasSuspiciousCloudCreation", Security, No),
    row("McasSuspiciousCloudTrailLoggingChange", Security, No),
    row("McasTerminatedEmployeeActivity", Security, No),
    // Defender for Endpoint
    row("SecurityAlertDefenseEvasion", Security, No),
    row("SecurityAlertUnwantedSoftware", Security, No),
    // Entra ID
    row("CompromisedUserAlerts", Security, No),
    row("CompromisedSignInAlerts", Security, No),
    // Risky browsing
    row("EpoBrowseToChildAbuseSites", Browsing, No),
    row("EpoBrowseToCriminalActivitySites", Browsing, No),
    row("EpoBrowseToCultSites", Browsing, No),
    row("EpoBrowseToGamblingSites", Browsing, No),
    row("EpoBrowseToHackingSites", Browsing, No),
    row("EpoBrowseToHateIntoleranceSites", Browsing, No),
    row("EpoBrowseToIllegalSoftwareSites", Browsing, No),
    row("EpoBrowseToKeyloggerSites", Browsing, No),
    row("EpoBrowseToLlmSites", Browsing, No),
    row("EpoBrowseToMalwareSites", Browsing, No),
    row("EpoBrowseToPhishingSites", Browsing, No),
    row("EpoBrowseToPornographySites", Browsing, No),
    row("EpoBrowseToUnallowedDomain", Browsing, No),
    row("EpoBrowseToViolenceSites", Browsing, No),
    // Generative AI
    row("CopilotRiskyPrompt", RiskyAi, No),
    row("CopilotSensitiveResponse", RiskyAi, No),
    row("ConnectedAIAppRiskyPrompt", RiskyAi, No),
    row("ConnectedAIAppSensitiveResponse", RiskyAi, No),
    row("AIAppRiskyPrompt", RiskyAi, No),
    // Communication Compliance
    row("CCFinancialRegulatoryRiskyTextSent", Communication, No),
    row("CCInappropriateContentSent", Communication, No),
    row("CCInappropriateImagesSent", Communication, No),
    row("CCPromptShields", Communication, No),
    row("CCProtectedMaterialDetection", Communication, No),
    row("CCSensitiveInformationType", Communication, No),
    row("CCSupervisionRuleMatch", Communication, No),
    // Health records
    row("EmployeeAccessedEmployeePatientData", Health, No),
    row("EmployeeAccessedFamilyData", Health, No),
    row("EmployeeAccessedHighVolumePatientData", Health, No),
    row("EmployeeAccessedNeighbourData", Health, No),
    row("EmployeeAccessedRestrictedData", Health, No),
    // Physical access
    row("PhysicalAccess", Physical, No),
    // DLP
    row("HighSeverityDlpRuleMatch", Dlp, No),
    // CED
    row("CumulativeExfiltrationDetector", Derived, No),
    row("PeerCumulativeExfiltrationDetector", Derived, No),
    // Boosters
    row("AnomalyDetections", Booster, No),
    row("UserHistory", Booster, No),
    row("PriorityUserGroupMember", Booster, No),
    row("PotentialHighImpactUser", Booster, No),
    // Exfiltration that has no tenant indicator; these two names are ours (`domain.md` section 4).
    row("EpoFileTransferredByBluetooth", Exfiltration, Yes),
    row("MailForwardingRuleExternal", Exfiltration, Yes),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_name_stands_twice() {
        let names: HashSet<_> = TAXONOMY.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TAXONOMY.len());
    }

    #[test]
    fn only_exfiltration_is_shared_by_default_and_only_exfiltration_or_collection_may_be_turned_on() {
        for row in TAXONOMY {
            match row.sharing {
                Yes => assert_eq!(row.activity_type, Exfiltration, "{}", row.name),
                Configurable => {
                    assert!(matches!(row.activity_type, Exfiltration | Collection), "{}", row.name);
                }
                No => assert_ne!(row.activity_type, Exfiltration, "{}", row.name),
                Sharing::Unknown => panic!("{} is in the taxonomy", row.name),
            }
        }
    }

    #[test]
    fn a_name_in_other_letters_is_unknown_and_stays_inside() {
        assert_eq!(Indicator::named("copytousb").sharing(), Sharing::Unknown);
        assert_eq!(Indicator::named("copytousb").activity_type(), ActivityType::Unknown);
        assert_eq!(Indicator::named("CopyToUSB").sharing(), Yes);
    }

    #[test]
    fn derived_insights_and_boosters_are_no_activities() {
        assert!(!Indicator::named(CUMULATIVE).is_observable());
        assert!(!Indicator::named("PriorityUserGroupMember").is_observable());
        assert!(Indicator::named("PhysicalAccess").is_observable());
    }
}
