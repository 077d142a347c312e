//! Every RPC, every role, own tenant and others, over the wire, against the one table.

use crate::issuer::Issuer;
use crate::wire::{seen_as, send_as};
use crate::world::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use riskshare::gate::rights::{Right, Role};
use riskshare::pb;
use tonic::Code;

/// Returns every RPC of ours.
fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.package_name() == "riskshare.v1");
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

/// Returns the row of an RPC.
fn row(method: &MethodDescriptor) -> Option<Right> {
    Right::RPCS.into_iter().find(|right| right.name() == method.name())
}

/// Returns a request that says nothing but its tenant, which may stand in the batch of a stream.
fn request(method: &MethodDescriptor, tenant: &str) -> Vec<u8> {
    let mut message = DynamicMessage::new(method.input());
    let id = Value::String(tenant.to_owned());
    if message.try_set_field_by_name("tenant_id", id.clone()).is_err() {
        let batch = method.input().get_field_by_name("batch").expect("a request names its tenant");
        let mut inner = DynamicMessage::new(batch.kind().as_message().unwrap().clone());
        inner.set_field_by_name("tenant_id", id);
        message.set_field(&batch, Value::Message(inner));
    }
    message.encode_to_vec()
}

#[test]
fn every_rpc_has_one_row_and_every_row_an_rpc() {
    let methods = methods();
    for method in &methods {
        assert!(row(method).is_some(), "{} has no row in gate/rights.rs", method.full_name());
    }
    for right in Right::RPCS {
        let count = methods.iter().filter(|method| method.name() == right.name()).count();
        assert_eq!(count, 1, "{}", right.name());
    }
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_in_its_own_tenant_and_nothing_else() {
    let issuer = Issuer::start().await;
    let world = World::start_with(|config| {
        issuer.configure(config);
        config.limits.denials_per_minute = 0;
    })
    .await;
    let [own, other, nowhere] = std::array::from_fn(|_| uuid::Uuid::new_v4().to_string());
    for tenant in [&own, &other] {
        share(&world, &issuer, tenant).await;
    }
    let mut cells = 0;
    for method in methods() {
        let (path, right) = (path(&method), row(&method).expect("a row"));
        for role in Role::ALL {
            let bearer = issuer.bearer(&own, &[role.name()]);
            let ask = async |tenant: &str| {
                seen_as(&world.channel, &[&bearer], &path, request(&method, tenant)).await
            };
            let (here, there, beyond) = (ask(&own).await, ask(&other).await, ask(&nowhere).await);
            let cell = format!("{path} by {role}");
            let is_allowed = right.roles().contains(&role);
            let is_refused = matches!(here.code(), Code::PermissionDenied | Code::Unauthenticated);
            assert_eq!(is_refused, !is_allowed, "{cell}: {here:?}");
            assert_eq!(there.code(), Code::PermissionDenied, "{cell}: {there:?}");
            let reason = if is_allowed { "TENANT_MISMATCH" } else { "PERMISSION_MISSING" };
            assert!(there.holds(reason), "{cell}: {there:?}");
            assert_eq!(there, beyond, "{cell}: whether the tenant exists shows");
            if !is_allowed {
                assert_eq!(here, there, "{cell}: the role comes before the tenant");
            }
            cells += 1;
        }
        let stranger = send_as(&world.channel, &[], &path, request(&method, &own)).await.unwrap_err();
        assert_eq!((stranger.code(), reason(&stranger).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
    }
    assert_eq!(cells, Right::RPCS.len() * Role::ALL.len());
}

/// Makes a tenant that shares.
async fn share(world: &World, issuer: &Issuer, tenant: &str) {
    let request = Tenant { world, id: tenant.to_owned() }
        .change("data_sharing_enabled", pb::Settings { data_sharing_enabled: true, ..Default::default() });
    let admin = issuer.bearer(tenant, &["insider-risk-admin"]);
    send_as(&world.channel, &[&admin], "SettingsService/UpdateSettings", request.encode_to_vec())
        .await
        .unwrap();
}
