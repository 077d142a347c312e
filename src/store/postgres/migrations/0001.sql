-- Version 1. docs/postgres.md says why.

CREATE TABLE tenant (
    tenant_id uuid PRIMARY KEY,
    settings bytea NOT NULL,
    settings_version bigint NOT NULL,
    rules_version bigint NOT NULL,
    sharing boolean NOT NULL,
    epoch bigint NOT NULL,
    next_user bigint NOT NULL
);

CREATE TABLE policy (
    tenant_id uuid NOT NULL,
    policy_id text NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, policy_id)
);

CREATE SEQUENCE user_version;

CREATE TABLE user_state (
    tenant_id uuid NOT NULL,
    user_no bigint NOT NULL,
    version bigint NOT NULL,
    -- Activities only came since this version; before it some also went, or came from another number.
    whole bigint NOT NULL,
    pseudonym bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, user_no)
);

CREATE TABLE identity_key (
    tenant_id uuid NOT NULL,
    key bytea NOT NULL,
    user_no bigint NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX identity_key_user ON identity_key (tenant_id, user_no);

CREATE TABLE pseudonym (
    tenant_id uuid NOT NULL,
    pseudonym bigint NOT NULL,
    user_no bigint NOT NULL,
    PRIMARY KEY (tenant_id, pseudonym)
);

CREATE TABLE absorbed (
    tenant_id uuid NOT NULL,
    from_no bigint NOT NULL,
    into_no bigint NOT NULL,
    PRIMARY KEY (tenant_id, from_no)
);

CREATE TABLE membership (
    tenant_id uuid NOT NULL,
    policy_id text NOT NULL,
    user_no bigint NOT NULL,
    PRIMARY KEY (tenant_id, policy_id, user_no)
);

CREATE TABLE activity (
    tenant_id uuid NOT NULL,
    user_no bigint NOT NULL,
    day integer NOT NULL,
    activity_id text NOT NULL,
    -- That of the user with which it came.
    version bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, user_no, day, activity_id)
) PARTITION BY RANGE (day);
CREATE INDEX activity_by_id ON activity (tenant_id, activity_id);

CREATE TABLE risk_alert (
    tenant_id uuid NOT NULL,
    alert_id text NOT NULL,
    user_no bigint NOT NULL,
    place bytea NOT NULL,
    exported boolean NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, alert_id)
);
CREATE INDEX risk_alert_in_order ON risk_alert (tenant_id, place DESC, alert_id);
CREATE INDEX risk_alert_of_user ON risk_alert (tenant_id, user_no);

CREATE TABLE due (
    position bigserial PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_no bigint NOT NULL,
    alert_id text NOT NULL,
    payload bytea NOT NULL
);

CREATE TABLE content (
    number bigint PRIMARY KEY,
    tenant_id uuid NOT NULL,
    day integer NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX content_of_tenant ON content (tenant_id, number);
CREATE SEQUENCE content_number;

CREATE TABLE note (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE audit_head (
    tenant_id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    hash text NOT NULL,
    anchor_sequence bigint NOT NULL,
    anchor_hash text NOT NULL
);

CREATE TABLE audit_line (
    tenant_id uuid NOT NULL,
    sequence bigint NOT NULL,
    day integer NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);
CREATE INDEX audit_line_day ON audit_line (day);
