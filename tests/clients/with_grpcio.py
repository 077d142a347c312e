"""A client that knows nothing but the address: it learns the services by reflection, as grpcurl does."""

import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

address, tenant = sys.argv[1:3]
channel = grpc.insecure_channel(address)
database = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(database)
services = [name for name in database.get_services() if name.startswith("riskshare.v1.")]
assert len(services) == 7, services


def call(service, method, request):
    descriptor = pool.FindServiceByName(f"riskshare.v1.{service}").FindMethodByName(method)
    message = message_factory.GetMessageClass(descriptor.input_type)
    answer = message_factory.GetMessageClass(descriptor.output_type)
    stub = channel.unary_unary(
        f"/riskshare.v1.{service}/{method}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    return json_format.MessageToDict(stub(json_format.ParseDict(request, message())))


alert = {"alertId": "a", "involvedUsers": [{"upn": "john@contoso.com"}]}
answer = call("AlertEnrichmentService", "EnrichAlert", {"tenantId": tenant, "alert": alert, "view": 3})
assert answer["alert"]["severityText"] == "High", answer
assert answer["alert"]["actors"][0]["activities"][0]["indicator"] == "CopyToUSB", answer
try:
    call("AlertEnrichmentService", "EnrichAlert", {"tenantId": "contoso", "alert": alert})
    raise AssertionError("a tenant id that is no UUID was taken")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    details = {any.TypeName(): any for any in rpc_status.from_call(error).details}
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    details["google.rpc.ErrorInfo"].Unpack(info)
    details["google.rpc.BadRequest"].Unpack(request)
    assert info.reason == "INVALID_FIELD", info
    assert [violation.field for violation in request.field_violations] == ["tenant_id"], request
print("grpcio: learned seven services by reflection, an alert enriched, an error's details read")
