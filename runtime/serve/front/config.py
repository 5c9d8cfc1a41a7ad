"""Envoy's configuration as a dictionary: a listener for each of Triton's three ports, and the limits of each request and client.

Its fields are documented at https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api.
"""

import secrets
from pathlib import Path
from typing import Any

from ..options import Endpoints
from .limits import FrontLimits

ADMIN = "front.sock"
"""Envoy's administration, a socket in the server's folder."""
STATS = ("http", "grpc", "metrics")
"""The names of the listeners, their clusters and their statistics."""

_EXTENSION = "type.googleapis.com/envoy.extensions."
_GROUPS = 32
"""Clients are put into groups by a hash of their address, since Envoy limits connections by filter chain."""
_MOST_HEADERS = 64
_HEADERS_KIB = 16
_HEAP = 1 << 30
"""Bytes for bodies on their way, beside room for four of the largest."""
_PATHS = {
    "http": ("/v2",),
    "grpc": ("/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"),
    "metrics": ("/metrics",),
}
_HEALTH_TIMEOUT = "5s"


def front_config(public: Endpoints, private: Endpoints, limits: FrontLimits) -> dict[str, Any]:
    """The configuration of a front that listens on ``public`` for a Triton on ``private``."""
    return {
        "admin": {"address": {"pipe": {"path": ADMIN, "mode": 0o600}}, "ignore_global_conn_limit": True},
        "static_resources": {
            "listeners": [_listener(name, public, limits) for name in STATS],
            "clusters": [_cluster(name, private, limits) for name in STATS],
        },
        "overload_manager": _overload(limits),
    }


def _extension(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _EXTENSION + kind, **fields}}


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _listener(name: str, public: Endpoints, limits: FrontLimits) -> dict[str, Any]:
    manager = _manager(name, limits)
    each = max(1, limits.connections // 2)
    chains = []
    for group in range(_GROUPS):
        kind = "filters.network.connection_limit.v3.ConnectionLimit"
        limit = _extension("connections", kind, stat_prefix=name, max_connections=each)
        chains.append({"name": f"clients-{group}", "filters": [limit, manager]})
    return {
        "name": name,
        "address": _address(public.address, getattr(public, name)),
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": limits.body,
        "filter_chain_matcher": _group_of_client(),
        "filter_chains": chains,
    }


def _group_of_client() -> dict[str, Any]:
    """The chain of a client: the largest group up to the hash of its address. The seed is a secret, so that nobody can choose a group."""
    seed = secrets.randbits(32)
    address = _extension("address", "matching.common_inputs.network.v3.DirectSourceIPInput")
    matchers = []
    for group in range(_GROUPS - 1, 0, -1):
        kind = "matching.input_matchers.consistent_hashing.v3.ConsistentHashing"
        match = _extension("hash", kind, threshold=group, modulo=_GROUPS, seed=seed)
        predicate = {"single_predicate": {"input": address, "custom_match": match}}
        matchers.append({"predicate": predicate, "on_match": _chain(group)})
    return {"matcher_list": {"matchers": matchers}, "on_no_match": _chain(0)}


def _chain(group: int) -> dict[str, Any]:
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": f"clients-{group}"}
    return {"action": {"name": "chain", "typed_config": value}}


def _manager(name: str, limits: FrontLimits) -> dict[str, Any]:
    """The HTTP connections of a listener: what it reads of a request, for how long, and what it says when it refuses one."""
    return _extension(
        "manager", "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="HTTP2" if name == "grpc" else "HTTP1",
        route_config={"virtual_hosts": [{"name": name, "domains": ["*"], "routes": _routes(name)}]},
        http_filters=_filters(name),
        max_request_headers_kb=_HEADERS_KIB,
        common_http_protocol_options={"idle_timeout": "120s", "max_headers_count": _MOST_HEADERS},
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": "localhost"},
        http2_protocol_options={
            "max_concurrent_streams": 128,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 16 << 20,
        },
        request_headers_timeout=f"{min(10, limits.receive)}s",
        request_timeout=f"{limits.receive}s",
        stream_idle_timeout="0s",  # Triton may compute for long
        stream_flush_timeout="60s",
        delayed_close_timeout="0.2s",  # for the client to read a refusal; the connection counts until then
        local_reply_config=_replies(name, limits),
        use_remote_address=True,
        skip_xff_append=True,
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
    )  # fmt: skip


def _routes(name: str) -> list[dict[str, Any]]:
    def route(prefix: str, timeout: str = "0s") -> dict[str, Any]:
        # A request is only sent again if Triton has not begun to read it.
        retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
        return {"match": {"prefix": prefix}, "route": {"cluster": name, "timeout": timeout, "retry_policy": retry}}

    health = [route("/v2/health/", _HEALTH_TIMEOUT)] if name == "http" else []
    missing = {"status": 404, "body": {"inline_string": "there is nothing at this path"}}
    return [*health, *map(route, _PATHS[name]), {"match": {"prefix": "/"}, "direct_response": missing}]


def _filters(name: str) -> list[dict[str, Any]]:
    def check(file: str) -> dict[str, Any]:
        source = {"filename": str(Path(__file__).with_name(file))}
        return _extension("check", "filters.http.lua.v3.Lua", default_source_code=source)

    router = _extension("router", "filters.http.router.v3.Router", suppress_envoy_headers=True)
    if name == "metrics":
        return [router]
    if name == "grpc":
        return [check("check_grpc.lua"), router]

    def enabled(value: bool, key: str) -> dict[str, Any]:
        return {"common_config": {"enabled": {"default_value": value, "runtime_key": f"front.{key}"}}}

    gzip = _extension("gzip", "compression.gzip.decompressor.v3.Gzip", window_bits=15, chunk_size=65536)
    unpack = _extension(
        "gzip", "filters.http.decompressor.v3.Decompressor",
        decompressor_library=gzip,
        request_direction_config={**enabled(True, "unpack_requests"), "advertise_accept_encoding": False},
        response_direction_config=enabled(False, "unpack_answers"),
    )  # fmt: skip
    return [unpack, check("check_http.lua"), router]


def _replies(name: str, limits: FrontLimits) -> dict[str, Any]:
    """One line for each refusal; over HTTP as Triton writes it, ``{"error": "…"}``."""

    def reply(status: int, text: str, headers: dict[str, str]) -> dict[str, Any]:
        value = {"default_value": status, "runtime_key": f"front.status_{status}"}
        match = {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
        added = [
            {"header": {"key": key, "value": word}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, word in headers.items()
        ]
        return {"filter": match, "body": {"inline_string": text}, "headers_to_add": added}

    def grpc_status(number: int) -> dict[str, str]:
        return {"grpc-status": str(number)} if name == "grpc" else {}

    headers = f"the request has more than {_MOST_HEADERS} headers or {_HEADERS_KIB} KiB of them"
    mappers = [
        reply(408, f"the request was not sent whole within {limits.receive} s", grpc_status(4)),
        reply(413, f"the request is larger than {limits.body} bytes", grpc_status(8)),
        reply(431, headers, grpc_status(8)),
        reply(503, "Triton does not answer now; try again later", {"retry-after": "2"}),
    ]
    if name == "grpc":
        return {"mappers": mappers}
    form = {"json_format": {"error": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"}
    return {"mappers": mappers, "body_format": form}


def _cluster(name: str, private: Endpoints, limits: FrontLimits) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(private.address, getattr(private, name))}}
    protocol: dict[str, Any] = {"http2_protocol_options" if name == "grpc" else "http_protocol_options": {}}
    options = {
        "@type": f"{_EXTENSION}upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": protocol,
    }  # fmt: skip
    threshold = {
        "max_connections": limits.connections, "max_pending_requests": 1 << 20, "max_requests": 1 << 20, "max_retries": 32,
    }  # fmt: skip
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "per_connection_buffer_limit_bytes": limits.body,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _overload(limits: FrontLimits) -> dict[str, Any]:
    """Bounds of the whole front: the largest requests are reset before memory ends, and then no more are accepted."""
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    kind = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    monitors = [
        _extension(
            heap, "resource_monitors.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=_HEAP + 4 * limits.body
        ),
        _extension(connections, kind, max_active_downstream_connections=len(STATS) * limits.connections),
    ]
    reset = {"scaled": {"scaling_threshold": 0.8, "saturation_threshold": 0.95}}
    return {
        "refresh_interval": "0.25s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "resource_monitors": monitors,
        "actions": [
            {"name": f"envoy.overload_actions.{action}", "triggers": [{"name": heap, **trigger}]}
            for action, trigger in (
                ("reset_high_memory_stream", reset),
                ("stop_accepting_requests", {"threshold": {"value": 0.95}}),
            )
        ],
    }
