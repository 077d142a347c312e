//! The taxonomy, written down a second time (`domain.md` section 2): which names exist, what each detects, and whether
//! it may leave. A row that changes here lets something out, or takes something away, that the product does not.

use riskshare::domain::indicator::{Sharing, taxonomy};
use std::collections::BTreeMap;

/// Type, whether it is shared (Yes, Configurable, No), names.
#[rustfmt::skip]
const TABLE: &[(&str, char, &str)] = &[
    // Email
    ("Exfiltration", 'Y', "EmailExternal"),
    // Office: share outside
    ("Exfiltration", 'Y', "SpoFileSharing SpoFolderSharing SpoSiteSharing"),
    // Office: Teams outside
    ("Exfiltration", 'Y', "TeamsChatFileSharedExternal TeamsChannelFileSharedExternal TeamsFolderSharedExternal"),
    // Office: outsiders granted access
    ("Exfiltration", 'C', "SpoSiteExternalUserAdded TeamsMemberAddedExternal TeamsChannelMemberAddedExternal"),
    // Office: Teams sensitive text
    ("Exfiltration", 'C', "TeamsSensitiveMessage"),
    // Office: download
    ("Collection", 'C', "SpoDownload SpoDownloadV2 SpoSyncDownload OdbDownload OdbSyncDownload TeamsFileDownload"),
    // Office: access
    ("Access", 'N', "SpoFileAccessed SpoAccessRequest SpoApprovedAccess SpoSiteInternalUserAdded"),
    // Office: labels
    ("Obfuscation", 'N', "SpoFileLabelDowngraded SpoFileLabelRemoved SpoSiteLabelRemoved"),
    // Office: deletion
    ("Deletion", 'N', "SpoFileDeleted SpoFileDeletedFromFirstStageRecycleBin \
        SpoFileDeletedFromSecondStageRecycleBin SpoFolderDeleted \
        SpoFolderDeletedFromFirstStageRecycleBin SpoFolderDeletedFromSecondStageRecycleBin"),
    // Device: removable media
    ("Exfiltration", 'Y', "CopyToUSB"),
    // Device: personal cloud
    ("Exfiltration", 'Y', "CopyToPersonalCloud"),
    // Device: print
    ("Exfiltration", 'Y', "Print"),
    // Device: share / remote
    ("Exfiltration", 'Y', "EpoCopyToNetworkShare EpoFileCopiedToRemoteDesktopSession"),
    // Device: clipboard
    ("Exfiltration", 'C', "EpoCopyToClipboardFromSensitiveFile"),
    // Device: staging
    ("Collection", 'C', "EpoFileArchived EpoFileStagedToCentralLocation"),
    // Device: inbound
    ("Infiltration", 'N', "EpoFileDownloadedFromBlacklistedDomain"),
    ("Collection", 'N', "EpoFileDownloadedFromEnterpriseDomain"),
    // Device: hide / rename
    ("Obfuscation", 'N', "EpoFileRenamed EpoHiddenFileCreated"),
    // Device: other
    ("Deletion", 'N', "EpoFileDeleted"),
    ("Security", 'N', "EpoRemovableMediaMount"),
    ("Access", 'N', "EpoSensitiveFileRead"),
    // Network (web traffic) out
    ("Exfiltration", 'Y', "NetworkUploadFile NetworkUploadText"),
    // Network in
    ("Infiltration", 'N', "NetworkDownloadFile NetworkDownloadText"),
    // Cloud storage: shared out
    ("Exfiltration", 'Y', "BoxContentExternallyShared DropboxContentExternallyShared \
        GoogleDriveContentExternallyShared"),
    // Cloud storage: download
    ("Collection", 'C', "BoxContentDownload DropboxContentDownload"),
    // Cloud storage: access/delete
    ("Access", 'N', "BoxContentAccess DropboxContentAccess GoogleDriveContentAccess"),
    ("Deletion", 'N', "BoxContentDelete DropboxContentDelete GoogleDriveContentDelete"),
    // Third-party apps (MDCA)
    ("Exfiltration", 'Y', "Mcas3rdPartyAppFileSharing"),
    ("Collection", 'C', "Mcas3rdPartyAppDownload"),
    ("Deletion", 'N', "Mcas3rdPartyAppFileDelete"),
    // Fabric / Power BI out
    ("Exfiltration", 'Y', "LakehouseExternalDataShareCreated"),
    // Fabric / Power BI export
    ("Collection", 'C', "PowerBIReportsDownloaded PowerBIReportsExported"),
    // Fabric / Power BI other
    ("Access", 'N', "PowerBIReportsViewed"),
    ("Deletion", 'N', "PowerBIDashboardsDeleted PowerBIReportsDeleted PowerBISemanticModelsDeleted \
        LakehouseArtifactDeleted LakehouseFileOrBlobDeleted"),
    ("Obfuscation", 'N', "PowerBISensitivityLabelDowngradedForArtifacts \
        PowerBISensitivityLabelRemovedFromArtifacts LakehouseSensitivityLabelDowngraded \
        LakehouseSensitivityLabelRemoved"),
    ("Security", 'N', "FabricExternalDataSharingSwitchEnabled"),
    // Cloud services: AWS
    ("Security", 'N', "AWSS3PublicAccessEnabled AWSS3BlockPublicAccessDisabled AWSS3BucketDeleted \
        AWSS3ServerLoggingDisabled"),
    // Cloud services: Azure
    ("Security", 'N', "AzureElevateAccessToAllSubscriptions AzureResourceThreatProtectionSettingsUpdated \
        AzureSQLServerAuditingSettingsUpdated AzureSQLServerFirewallRuleDeleted \
        AzureSQLServerFirewallRuleUpdated"),
    ("Deletion", 'N', "AzureStorageAccountOrContainerDeleted"),
    // MDCA alerts
    ("Security", 'N', "McasActivityFromInfrequentCountry McasImpossibleTravel McasMultipleFailedLogins \
        McasMultipleStorageDeletion McasMultipleVMCreation McasMultipleVMDeletion \
        McasSuspiciousAdminActivities McasSuspiciousCloudCreation \
        McasSuspiciousCloudTrailLoggingChange McasTerminatedEmployeeActivity"),
    // Defender for Endpoint
    ("Security", 'N', "SecurityAlertDefenseEvasion SecurityAlertUnwantedSoftware"),
    // Entra ID
    ("Security", 'N', "CompromisedUserAlerts CompromisedSignInAlerts"),
    // Risky browsing
    ("Browsing", 'N', "EpoBrowseToChildAbuseSites EpoBrowseToCriminalActivitySites EpoBrowseToCultSites \
        EpoBrowseToGamblingSites EpoBrowseToHackingSites EpoBrowseToHateIntoleranceSites \
        EpoBrowseToIllegalSoftwareSites EpoBrowseToKeyloggerSites EpoBrowseToLlmSites \
        EpoBrowseToMalwareSites EpoBrowseToPhishingSites EpoBrowseToPornographySites \
        EpoBrowseToUnallowedDomain EpoBrowseToViolenceSites"),
    // Generative AI
    ("RiskyAi", 'N', "CopilotRiskyPrompt CopilotSensitiveResponse ConnectedAIAppRiskyPrompt \
        ConnectedAIAppSensitiveResponse AIAppRiskyPrompt"),
    // Communication Compliance
    ("Communication", 'N', "CCFinancialRegulatoryRiskyTextSent CCInappropriateContentSent CCInappropriateImagesSent \
        CCPromptShields CCProtectedMaterialDetection CCSensitiveInformationType \
        CCSupervisionRuleMatch"),
    // Health records
    ("Health", 'N', "EmployeeAccessedEmployeePatientData EmployeeAccessedFamilyData \
        EmployeeAccessedHighVolumePatientData EmployeeAccessedNeighbourData \
        EmployeeAccessedRestrictedData"),
    // Physical access
    ("Physical", 'N', "PhysicalAccess"),
    // DLP
    ("Dlp", 'N', "HighSeverityDlpRuleMatch"),
    // CED: the 30-day insight is shown, an activity of that name never
    ("Derived", 'N', "CumulativeExfiltrationDetector PeerCumulativeExfiltrationDetector"),
    // Boosters
    ("Booster", 'N', "AnomalyDetections UserHistory PriorityUserGroupMember PotentialHighImpactUser"),
    // Ours: exfiltration that has no tenant indicator (section 4)
    ("Exfiltration", 'Y', "EpoFileTransferredByBluetooth MailForwardingRuleExternal"),
];

#[test]
fn the_taxonomy_is_this_table_and_nothing_else() {
    let rows = TABLE.iter().flat_map(|(kind, shared, names)| {
        names.split_whitespace().map(move |name| (name.to_owned(), ((*kind).to_owned(), *shared)))
    });
    let expected: Vec<_> = rows.collect();
    let letter = |sharing| match sharing {
        Sharing::Yes => 'Y',
        Sharing::Configurable => 'C',
        Sharing::No => 'N',
        Sharing::Unknown => '?',
    };
    let known = taxonomy().map(|indicator| {
        let row = (format!("{:?}", indicator.activity_type()), letter(indicator.sharing()));
        (indicator.name().to_owned(), row)
    });
    let known: Vec<_> = known.collect();
    let by_name = |rows: &[(String, (String, char))]| rows.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!(by_name(&known), by_name(&expected));
    assert_eq!(known.len(), expected.len(), "no name stands twice");
}
