"""A small service over Redis, in Python, that answers two calls of riskshare's AlertEnrichmentService.

Redis has two keys for each person, kept up by somebody else:

- `level:UPN`: the severity and the score, a byte each, so that the greatest value is the highest risk;
- `actor:UPN`: the serialized `Actor` with its last 50 activities, which is put into answers as it is. Nothing is
  cheaper to answer with, so this is the strongest peer, not the one that is easiest to keep right.

It knows one tenant, no switch and no roles, all of which favours it. Each call is written down in the same round trip
in which it is answered. Redis syncs its file once a second, so that the line is not durable when the answer leaves:
this favours the peer too.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import redis

# More threads only wait for the interpreter's lock.
THREADS = 8
DAY_SECONDS = 86_400
NONE = 1
TEXTS = {NONE: "None", 2: "Low", 3: "Medium", 4: "High"}
UNKNOWN = bytes([NONE, 0])


class Service:
    """Answers from a Redis server."""

    def __init__(self, socket, alerts, actors):
        # Replies stay bytes: decoding them would only cost.
        self.redis = redis.Redis(unix_socket_path=socket)
        self.alerts = alerts
        self.actors = actors

    def enrich_alert(self, request, _context):
        """Answers one alert with its actors in full."""
        alert = request.alert
        people = [user.upn.lower() for user in alert.involved_users]
        found = self.ask("EnrichAlert", ["level:" + upn for upn in people] + ["actor:" + upn for upn in people], people)
        actors = list(zip(found, found[len(people) :], people))
        actors = [(level or UNKNOWN, actor or self.unknown(upn)) for level, actor, upn in actors]
        actors.sort(key=lambda pair: pair[0], reverse=True)
        severity = actors[0][0][0] if actors else NONE
        parts = [self.enriched(alert, severity, self.now()).SerializeToString()]
        if actors:
            parts.append(field(4, first_field(actors[0][1])))
        parts.extend(field(5, actor) for _, actor in actors)
        return field(1, b"".join(parts))

    def batch_enrich_alerts(self, request, _context):
        """Answers the column of a page."""
        involved = [[user.upn.lower() for user in alert.involved_users] for alert in request.alerts]
        people = [upn for some in involved for upn in some]
        levels = iter(self.ask("BatchEnrichAlerts", ["level:" + upn for upn in people], people))
        now = self.now()
        response = self.alerts.BatchEnrichAlertsResponse()
        for alert, some in zip(request.alerts, involved):
            severity = max((next(levels) or UNKNOWN for _ in some), default=UNKNOWN)[0]
            response.results.add(alert=self.enriched(alert, severity, now))
        return response.SerializeToString()

    def ask(self, call, keys, people):
        """Reads keys, and writes down who was asked about."""
        pipeline = self.redis.pipeline(transaction=False)
        if keys:
            pipeline.mget(keys)
        pipeline.xadd("audit", {"call": call, "people": " ".join(people)})
        results = pipeline.execute()
        return results[0] if keys else []

    def enriched(self, alert, severity, now):
        """Returns an alert with its column."""
        return self.alerts.EnrichedAlert(
            alert_id=alert.alert_id, severity=severity, severity_text=TEXTS[severity], as_of=now[0], valid_until=now[1]
        )

    def unknown(self, upn):
        """Returns the actor of whom nothing is known."""
        return self.actors.Actor(user={"upn": upn}, severity=NONE, severity_text=TEXTS[NONE]).SerializeToString()

    @staticmethod
    def now():
        """Returns this instant and the next midnight."""
        seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
        return {"seconds": seconds, "nanos": nanos}, {"seconds": seconds - seconds % DAY_SECONDS + DAY_SECONDS}


def field(number, value):
    """Returns a field of bytes as it stands in a message."""
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(number):
    """Returns a number as it stands in a message."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def first_field(message):
    """Returns the value of the field that a message begins with: of an actor, the user."""
    length, shift, at = 0, 0, 1
    while True:
        length |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return message[at : at + length]


def main():
    """Serves until it is killed."""
    socket, protos = sys.argv[1:]
    sys.path.insert(0, protos)
    alerts = grpc.protos("riskshare/v1/alert_enrichment.proto")
    service = Service(socket, alerts, grpc.protos("riskshare/v1/actor.proto"))
    methods = {
        "EnrichAlert": grpc.unary_unary_rpc_method_handler(
            service.enrich_alert, alerts.EnrichAlertRequest.FromString
        ),
        "BatchEnrichAlerts": grpc.unary_unary_rpc_method_handler(
            service.batch_enrich_alerts, alerts.BatchEnrichAlertsRequest.FromString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(THREADS))
    name = "riskshare.v1.AlertEnrichmentService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
