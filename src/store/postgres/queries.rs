//! Every statement of the hot ways, by name. `$1` is the tenant unless it says otherwise.

/// What the switch of a tenant says.
pub const SWITCH: &str = "SELECT sharing, epoch FROM tenant WHERE tenant_id = $1";

/// Takes the shared lock of a tenant's switch, by the lock's number `$1`, until the end of the transaction.
pub const LOCK_SHARED: &str = "SELECT pg_advisory_xact_lock_shared($1)";

/// Takes the exclusive lock `$1`.
pub const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// The sessions that hold the shared lock `$1`, but this one.
pub const HOLDERS: &str = "SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid) \
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = 'ShareLock' AND pid <> pg_backend_pid() \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND ((classid::bigint << 32) | objid::bigint) = $1";

/// Which of the sessions `$1` have ended.
pub const ENDED: &str = "SELECT pid FROM unnest($1::integer[]) AS holder (pid) \
    WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = holder.pid)";

/// Ends the sessions that hold the shared lock `$1`, but this one. The number stands in two halves in `pg_locks`.
pub const END_HOLDERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks \
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = 'ShareLock' AND pid <> pg_backend_pid() \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND ((classid::bigint << 32) | objid::bigint) = $1";

macro_rules! people {
    ($hit:literal) => {
        concat!(
            "WITH hit AS MATERIALIZED (",
            $hit,
            "), \
    known AS MATERIALIZED ( \
      SELECT u.user_no, u.version, u.pseudonym, u.payload, k.version IS DISTINCT FROM u.version AS fresh, \
        CASE WHEN k.version >= u.whole THEN k.version ELSE -1 END AS since \
      FROM user_state u \
      LEFT JOIN unnest($3::bigint[], $4::bigint[]) AS k (user_no, version) ON k.user_no = u.user_no \
      WHERE u.tenant_id = $1 AND u.user_no IN (SELECT user_no FROM hit)) \
    SELECT 0, NULL::bigint, rules_version, settings, NULL::bigint, NULL::bigint FROM tenant WHERE tenant_id = $1 \
    UNION ALL SELECT 1, NULL, NULL, p.payload, NULL, NULL FROM policy p JOIN tenant t USING (tenant_id) \
      WHERE p.tenant_id = $1 AND t.rules_version <> $5 \
    UNION ALL SELECT 2, user_no, NULL, key, NULL, NULL FROM hit \
    UNION ALL SELECT 3, user_no, version, CASE WHEN fresh THEN payload END, since, pseudonym FROM known \
    UNION ALL SELECT 4, a.user_no, a.day::bigint, a.payload, NULL, NULL FROM activity a JOIN known k USING (user_no) \
      WHERE a.tenant_id = $1 AND k.fresh AND a.version > k.since"
        )
    };
}

/// Everything about some people in one statement, which is one snapshot. `$2` are keys, `$3` and `$4` the numbers and
/// versions of users that the replica knows already, `$5` the version of the rules that it knows. Of what it knows
/// nothing but the version comes, and of what it knew before, the activities that came since. Kinds: 0 the settings with
/// the version of the rules, 1 a policy, 2 whom a key points at, 3 a user with the version since which activities come
/// (-1 for all) and the pseudonym, 4 an activity with its day.
pub const READ: &str =
    people!("SELECT key, user_no FROM identity_key WHERE tenant_id = $1 AND key = ANY($2)");

/// The same, but about nobody where the tenant does not share.
pub const READ_IF_SHARED: &str = people!(
    "SELECT key, user_no FROM identity_key WHERE tenant_id = $1 AND key = ANY($2) \
     AND (SELECT sharing FROM tenant WHERE tenant_id = $1)"
);

/// The same about users by number: those of `$2`.
pub const READ_NUMBERS: &str =
    people!("SELECT ''::bytea AS key, n AS user_no FROM unnest($2::bigint[]) AS n");

/// Makes a tenant known.
pub const MEET_TENANT: &str = "INSERT INTO tenant VALUES ($1, $2, 0, 0, false, 0, 1) ON CONFLICT DO NOTHING";

/// Reads a tenant and keeps it from changing.
pub const TENANT: &str = "SELECT settings, settings_version, sharing, epoch, next_user FROM tenant \
    WHERE tenant_id = $1 FOR UPDATE";

/// Replaces a tenant's settings.
pub const SETTINGS: &str = "UPDATE tenant SET settings = $2, settings_version = $3, sharing = $4, epoch = $5, \
    rules_version = rules_version + 1 WHERE tenant_id = $1";
