//! Writes that are frequent, and make, show or change no credential. They would pass without a row too; with one, the
//! gate knows them. Source: the reference of the platform services (October 2026) and the Environment API.

use crate::dynatrace::catalogue::Content::Opaque;

use super::endpoints;

endpoints! {
    // Grail.
    any    "/platform/storage/query/v1/{*}"           => QueryCall,    Platform, Opaque, pass query, "queries data: execute, poll, cancel, parse, verify, autocomplete";
    any    "/platform/storage/filter-segments/v1/{*}" => SegmentCall,  Platform, Opaque, pass query, "filters that people keep";
    any    "/platform/storage/management/v1/{*}"      => BucketUpdate, Platform, Opaque, pass query, "buckets of data: holds no credential";
    any    "/platform/storage/resource-store/v1/{*}"  => QueryCall,    Platform, Opaque, pass query, "tables that queries look things up in";

    // Ingest.
    any    "/platform/ingest/v1/{*}"       => IngestCall,       Platform, Opaque, pass query, "brings data in, which nothing executes";
    any    "/platform/ingest/custom/{*}"   => IngestCall,       Platform, Opaque, pass query, "brings data in, which nothing executes";
    any    "/api/v2/logs/ingest/{*}"       => IngestCall,       V2, Opaque, pass query, "brings data in, which nothing executes";
    any    "/api/v2/metrics/ingest/{*}"    => IngestCall,       V2, Opaque, pass query, "brings data in, which nothing executes";
    any    "/api/v2/events/ingest/{*}"     => IngestCall,       V2, Opaque, pass query, "brings data in, which nothing executes";
    any    "/api/v2/bizevents/ingest/{*}"  => IngestCall,       V2, Opaque, pass query, "brings data in, which nothing executes";
    any    "/api/v2/otlp/{*}"              => IngestCall,       V2, Opaque, pass query, "brings data in, which nothing executes";
    any    "/platform/openpipeline/v1/{*}" => OpenPipelineCall, Platform, Opaque, pass query, "says how data is processed: holds no credential";

    // Documents, and what tells people something.
    any    "/platform/document/v1/{*}"        => DocumentCall,     Platform, Opaque, pass query, "dashboards and notebooks, their trash and their shares, which need a login";
    any    "/platform/notification/v1/{*}"    => NotificationCall, Platform, Opaque, pass query, "tells people and workflows of something";
    any    "/platform/notification/v2/{*}"    => NotificationCall, Platform, Opaque, pass query, "tells people and workflows of something";
    any    "/platform/davis/analyzers/v1/{*}" => DavisCall,        Platform, Opaque, pass query, "analyses data: execute, poll, cancel, validate";
    any    "/platform/davis/copilot/v1/{*}"   => DavisCall,        Platform, Opaque, pass query, "answers questions about data";
    any    "/platform/slo/v1/{*}"             => SloCall,          Platform, Opaque, pass query, "objectives of services";

    // What runs when; what runs is written elsewhere.
    any    "/platform/automation/v1/executions/{*}"         => AutomationCall, Platform, Opaque, pass query, "cancels, pauses and resumes what runs already";
    any    "/platform/automation/v1/task-executions/{*}"    => AutomationCall, Platform, Opaque, pass query, "cancels what runs already";
    any    "/platform/automation/v1/business-calendars/{*}" => AutomationCall, Platform, Opaque, pass query, "says when workflows run";
    any    "/platform/automation/v1/scheduling-rules/{*}"   => AutomationCall, Platform, Opaque, pass query, "says when workflows run";

    // Settings and permissions that are asked for, or checked, and not written.
    POST   "/platform/settings/v1/values/{*}"                                  => SettingsValidate,  Platform, Opaque, pass query, "checks values, and stores none";
    POST   "/platform/settings/v1/effective-permissions:resolve"               => PermissionResolve, Platform, Opaque, pass query, "says what the caller may do";
    POST   "/platform/management/v1/effective-permissions:resolve"             => PermissionResolve, Platform, Opaque, pass query, "says what the caller may do";
    POST   "/platform/management/v1/environment/effective-permissions:resolve" => PermissionResolve, Platform, Opaque, pass query, "says what the caller may do";

    // Settings of apps, which only the app reads: the schemas that govern credentials are Dynatrace's own (`builtin:`).
    any    "/platform/app-settings/v2/{*}" => AppSettingsCall, Platform, Opaque, pass query, "settings of an app: govern no credential, and secrets in them are masked";

    // Extensions run on OneAgents and ActiveGates, outside Dynatrace; those of version 2 must be signed by whom the
    // environment trusts.
    any    "/api/v2/extensions/{*}"        => ExtensionCall, V2, Opaque, pass query, "signed code that runs on OneAgents and ActiveGates, not inside Dynatrace";
    any    "/api/config/v1/extensions/{*}" => ExtensionCall, ConfigV1, Opaque, pass query, "code that runs on OneAgents and ActiveGates, not inside Dynatrace";
    any    "/platform/extensions/v2/{*}"   => ExtensionCall, Platform, Opaque, pass query, "signed code that runs on OneAgents and ActiveGates, not inside Dynatrace";
    any    "/api/v2/hub/{*}"               => HubCall,       V2, Opaque, pass query, "installs extensions that Dynatrace publishes; apps come in by the app registry";
    any    "/platform/hub/v1/{*}"          => HubCall,       Platform, Opaque, pass query, "the catalogue of what Dynatrace publishes; apps come in by the app registry";
}
